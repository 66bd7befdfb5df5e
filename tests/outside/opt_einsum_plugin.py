"""A plug-in of pytest: what opt_einsum computes with NumPy's einsum, tensordot and transpose, tilec computes."""

from __future__ import annotations

from typing import Any

import numpy as np
from opt_einsum.backends import dispatch

import tilec.numpy as tnp
from tests.outside.arrays import computed, einsum, promoted


def tensordot(a: Any, b: Any, axes: Any = 2) -> Any:
    return computed(tnp.tensordot, np.tensordot, *promoted([a, b]), axes=axes)


def transpose(a: Any, axes: Any = None) -> Any:
    return computed(tnp.permute_dims, np.transpose, np.asarray(a), axes=axes)


def pytest_configure() -> None:
    dispatch._cached_funcs |= {
        ("einsum", "numpy"): einsum,
        ("tensordot", "numpy"): tensordot,
        ("transpose", "numpy"): transpose,
    }
