"""Floor 5: sorting along an axis, and searching in what is sorted."""

from __future__ import annotations

from typing import Any

import numpy as np

from tilec.dtypes import BOOL, I32
from tilec.errors import error
from tilec.exact.domain import fixed
from tilec.graph import Special
from tilec.numpy.axes import axis_of
from tilec.numpy.elementwise import isnan, where
from tilec.numpy.indexing import take
from tilec.numpy.reductions import sum
from tilec.numpy.shapes import broadcast_to, flip
from tilec.tracing.dispatch import lift, operation, scope
from tilec.tracing.elementwise import apply, as_dtype, common_of
from tilec.tracing.operators import is_number
from tilec.tracing.sizes import OpenSize
from tilec.tracing.tensor import Tensor
from tilec.tracing.trace import fitting


@operation
def sort(x: Any, /, axis: int = -1, *, descending: bool = False, stable: bool = True) -> Any:
    """The elements along an axis in order, NaN last, or first if descending. It is always `stable`."""
    return _sorted(x, axis, descending)[0]


@operation
def argsort(x: Any, /, axis: int = -1, *, descending: bool = False, stable: bool = True) -> Any:
    """Where the elements of the sorted tensor come from, int32; equal elements keep their order, always."""
    return _sorted(x, axis, descending)[1]


def _sorted(x: Any, axis: int, descending: bool) -> list[Tensor]:
    """Descending is the reverse of what is sorted from its end on, so that equal elements keep their order."""
    tensor = lift(x)
    along = axis_of(axis, tensor.ndim)
    if descending:
        tensor = flip(tensor, axis=along)
    node = Special("sort", scope().names([tensor]), (("axis", along),))
    found, order = scope().bind_all(node, ("sorted", "order"))
    if not descending:
        return [found, order]
    size = tensor.type.shape[along]
    last = size - 1 if isinstance(size, int) else as_dtype(lift(OpenSize(size) - 1), I32)
    return [flip(found, axis=along), apply("sub", last, flip(order, axis=along))]


@operation(arrays=("sorter",))
def searchsorted(x1: Any, x2: Any, /, side: str = "left", sorter: Any = None) -> Any:
    """Where each element of x2 belongs in the sorted vector x1, int32: before its equals, or behind them for "right".

    NaN belongs to the end. `sorter` says where the elements of a vector in order are, as `argsort` does. By bisection.
    """
    if side not in ("left", "right"):
        raise error("TILE0511", f"the side is 'left' or 'right', not {side!r}")
    row, values = lift(x1), lift(x2)
    if row.ndim != 1:
        raise error("TILE0202", f"a vector is searched, not a tensor of rank {row.ndim}")
    size = fixed(row.type.shape[0], "a vector of that size is searched")
    dtype = common_of([row.type, values.type])
    if is_number(x2):
        fitting(x2, dtype)
    row, values = as_dtype(row if sorter is None else take(row, sorter), dtype), as_dtype(values, dtype)
    low = broadcast_to(lift(np.zeros((), "int32")), values.type.shape)
    high = broadcast_to(lift(np.full((), size, "int32")), values.type.shape)
    for _ in range(size.bit_length()):
        middle = apply("bit_right", apply("add", low, high), 1)
        right = apply("bit_and", apply("cmp_lt", middle, high), _before(take(row, middle), values, side))
        open_ = apply("cmp_lt", low, high)
        low = where(apply("bit_and", open_, right), apply("add", middle, 1), low)
        high = where(apply("bit_and", open_, apply("logical_not", right)), middle, high)
    return low


def _before(element: Any, value: Any, side: str) -> Any:
    """Whether an element stands before a value, NaN behind all numbers."""
    if side == "left":
        return where(isnan(value), apply("logical_not", isnan(element)), apply("cmp_lt", element, value))
    return apply("bit_or", isnan(value), apply("cmp_le", element, value))


@operation
def count_nonzero(x: Any, /, axis: Any = None, *, keepdims: bool = False) -> Any:
    """How many elements along axes are not zero, int32."""
    return sum(as_dtype(as_dtype(lift(x), BOOL), I32), axis, keepdims=keepdims)
