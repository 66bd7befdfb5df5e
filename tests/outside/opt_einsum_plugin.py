"""A plug-in of pytest: what opt_einsum computes with NumPy's einsum, tensordot and transpose, tilec computes."""

from __future__ import annotations

from typing import Any

import numpy as np
from opt_einsum.backends import dispatch

import tilec.numpy as tnp
from tests.outside.arrays import computed, promoted


def einsum(subscripts: str, *operands: Any, out: Any = None, dtype: Any = None) -> Any:
    """One product of a path; every result is compared with NumPy's."""
    numbers = promoted(operands, dtype)
    found = computed(lambda *a: tnp.einsum(subscripts, *a), lambda *a: np.einsum(subscripts, *a), *numbers)
    return _into(found, out)


def tensordot(a: Any, b: Any, axes: Any = 2) -> Any:
    return computed(tnp.tensordot, np.tensordot, *promoted([a, b]), axes=axes)


def transpose(a: Any, axes: Any = None) -> Any:
    return computed(tnp.permute_dims, np.transpose, np.asarray(a), axes=axes)


def _into(found: Any, out: Any) -> Any:
    if out is None:
        return found
    out[...] = found
    return out


def pytest_configure() -> None:
    dispatch._cached_funcs |= {
        ("einsum", "numpy"): einsum,
        ("tensordot", "numpy"): tensordot,
        ("transpose", "numpy"): transpose,
    }
