"""A plug-in of pytest: what einops does to NumPy's arrays, tilec does. Every result is compared with NumPy's."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from einops import _backends

import tilec.numpy as tnp
from tests.outside.arrays import computed, promoted


class TilecBackend(_backends.NumpyBackend):
    """einops' interface to a library of tensors; arrays outside of traced functions are NumPy's."""

    framework_name = "numpy"

    def reshape(self, x: Any, shape: Sequence[int]) -> Any:
        return computed(tnp.reshape, np.reshape, x, tuple(shape))

    def transpose(self, x: Any, axes: Sequence[int]) -> Any:
        return computed(tnp.permute_dims, np.transpose, x, tuple(axes))

    def reduce(self, x: Any, operation: str, axes: Sequence[int]) -> Any:
        function, reference = getattr(tnp, operation), getattr(np, operation)
        return computed(lambda a: function(a, axis=tuple(axes)), lambda a: reference(a, axis=tuple(axes)), x)

    def stack_on_zeroth_dimension(self, tensors: Sequence[Any]) -> Any:
        return computed(lambda *a: tnp.stack(a), lambda *a: np.stack(a), *promoted(tensors))

    def add_axis(self, x: Any, new_position: int) -> Any:
        return computed(tnp.expand_dims, np.expand_dims, x, new_position)

    def tile(self, x: Any, repeats: Sequence[int]) -> Any:
        return computed(tnp.tile, np.tile, x, tuple(repeats))

    def concat(self, tensors: Sequence[Any], axis: int) -> Any:
        joined = promoted(tensors)
        return computed(lambda *a: tnp.concat(a, axis=axis), lambda *a: np.concatenate(a, axis=axis), *joined)

    def einsum(self, pattern: str, *x: Any) -> Any:
        return computed(lambda *a: tnp.einsum(pattern, *a), lambda *a: np.einsum(pattern, *a), *promoted(x))


def pytest_configure() -> None:
    os.environ["EINOPS_TEST_BACKENDS"] = "numpy"
    ours: Any = TilecBackend
    vars(_backends)["NumpyBackend"] = ours
    _backends._loaded_backends["numpy"] = ours()
