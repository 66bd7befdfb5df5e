"""Floor 5: places in tensors: of grids, diagonals and triangles, as single numbers, and those of an order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import numpy as np

from tilec.dtypes import I32, I64, U64
from tilec.errors import error
from tilec.exact.domain import fixed
from tilec.numpy.axes import axis_of, count_of, shape_of, tabled, whole
from tilec.numpy.creation import arange
from tilec.numpy.indexing import take_along_axis
from tilec.numpy.joining import shape
from tilec.numpy.repeating import unstack
from tilec.numpy.shapes import broadcast_to, reshape, stack
from tilec.numpy.sorting import argsort
from tilec.rules import shape_text
from tilec.tracing.dispatch import lift, operation
from tilec.tracing.elementwise import apply, as_dtype, dtype_of
from tilec.tracing.place import located


@operation
def indices(dimensions: Any, dtype: Any = "int32", *, sparse: bool = False) -> Any:
    """The indices of a grid: one tensor, whose first axis says of which axis, or a tuple of tensors that are of size 1
    along all other axes if `sparse`. Raises TILE0211, TILE0303.
    """
    sizes, kind = shape_of(dimensions), dtype_of(dtype)
    rank = len(sizes)
    rows = [reshape(_counted(n, kind), [-1 if b == a else 1 for b in range(rank)]) for a, n in enumerate(sizes)]
    if sparse:
        return tuple(rows)
    return stack([broadcast_to(r, sizes) for r in rows]) if rank else lift(np.zeros((0,), kind.numpy))


def _counted(size: Any, kind: Any) -> Any:
    return as_dtype(arange(fixed(size, "a grid of that size")), kind)


def fromfunction(function: Callable[..., Any], shape: Any, *, dtype: Any = "float32") -> Any:
    """What a function gives of the indices of a grid, one tensor for each axis. Raises TILE0211, TILE0303,
    TILE0505.
    """
    with located():
        if not callable(function):
            raise error("TILE0505", f"fromfunction takes a function, not {function!r}")
    return function(*unstack(indices(shape, dtype)))


@operation
def ix_(*arrays: Any) -> Any:
    """Vectors of integers as the axes of a grid: a tuple with which x[ix_(...)] is each row at each column.

    Raises TILE0202, TILE0304.
    """
    tensors = [lift(a) for a in arrays]
    for tensor in tensors:
        if tensor.ndim != 1:
            raise error("TILE0202", f"the axes of a grid are vectors, not tensors of rank {tensor.ndim}")
        if not tensor.type.dtype.is_integer or tensor.type.dtype.bits == 1:
            raise error("TILE0304", f"a tensor is indexed by integers, not by {tensor.type.dtype.long}")
    rank = len(tensors)
    return tuple(reshape(t, [-1 if b == a else 1 for b in range(rank)]) for a, t in enumerate(tensors))


# --- diagonals and triangles ------------------------------------------------------------------------------------------


@operation
def diag_indices(n: int, ndim: int = 2) -> Any:
    """The indices of the diagonal of a tensor of `ndim` axes of size n: a tuple of int32 vectors, one for each."""
    return (arange(count_of(n, "a size")),) * count_of(ndim, "a number of axes")


@operation
def tril_indices(n: int, k: int = 0, m: int | None = None) -> Any:
    """The indices of the elements on and below the k-th diagonal of a matrix of n rows and m columns, n by default: a
    pair of int32 vectors, in row-major order. Raises TILE0210, TILE0211, TILE0416.
    """
    return _corner(np.tril_indices, n, k, m)


@operation
def triu_indices(n: int, k: int = 0, m: int | None = None) -> Any:
    """The indices of the elements on and above the k-th diagonal; see `tril_indices`."""
    return _corner(np.triu_indices, n, k, m)


def _corner(function: Any, n: Any, k: Any, m: Any) -> Any:
    rows = count_of(n, "a number of rows")
    columns = rows if m is None else count_of(m, "a number of columns")
    tabled(rows * columns, "the indices of a triangle")
    diagonal = max(-rows - 1, min(whole(k, "a diagonal"), columns + 1))  # further away all are alike
    return tuple(lift(part.astype(np.int32)) for part in function(rows, diagonal, columns))


def diag_indices_from(x: Any, /) -> Any:
    """The indices of the diagonal of a tensor whose sizes are equal; see `diag_indices`. Raises TILE0202, TILE0203."""
    with located():
        sizes = shape(x)
        if len(sizes) < 2:
            raise error("TILE0202", f"a tensor of rank {len(sizes)} has no diagonal")
        if len(set(sizes)) > 1:
            raise error("TILE0203", f"the sizes of a tensor with a diagonal are equal, not {list(sizes)}")
    return diag_indices(sizes[0], len(sizes))


def tril_indices_from(x: Any, /, k: int = 0) -> Any:
    """`tril_indices` of a matrix of the shape of x."""
    rows, columns = _matrix(x)
    return tril_indices(rows, k, columns)


def triu_indices_from(x: Any, /, k: int = 0) -> Any:
    """`triu_indices` of a matrix of the shape of x."""
    rows, columns = _matrix(x)
    return triu_indices(rows, k, columns)


def _matrix(x: Any) -> tuple[int, int]:
    with located():
        sizes = shape(x)
        if len(sizes) != 2:
            raise error("TILE0202", f"the triangle of a matrix, not of a tensor of rank {len(sizes)}")
        return sizes[0], sizes[1]


# --- numbers of places, and orders ------------------------------------------------------------------------------------


@operation
def ravel_multi_index(multi_index: Sequence[Any], /, dims: Any, mode: str = "clip") -> Any:
    """The row-major numbers of places in a shape: the inverse of `unravel_index`. Places beyond are moved to the edge
    ("clip") or counted around ("wrap"), as no traced value can raise an error. Raises TILE0204, TILE0304, TILE0511.
    """
    sizes = [fixed(n, "places in an axis of that size are counted") for n in shape_of(dims)]
    given = list(unstack(multi_index)) if not isinstance(multi_index, tuple | list) else [lift(i) for i in multi_index]
    if len(given) != len(sizes):
        raise error("TILE0204", f"{len(given)} indices for a shape of {len(sizes)} axes")
    if prod(sizes) > I64.max:
        raise error("TILE0511", f"the places of a shape {shape_text(tuple(sizes))} are more than int64 counts")
    if 0 in sizes and all(0 not in i.type.shape for i in given):
        raise error("TILE0511", f"a shape {shape_text(tuple(sizes))} has no places")
    wide = I32 if prod(sizes) <= I32.max else I64
    number: Any = 0
    for index, size in zip(given, sizes):
        if not index.type.dtype.is_integer:
            raise error("TILE0304", f"places are integers, not {index.type.dtype.long}")
        number = apply("add", apply("mul", number, size), as_dtype(moved_inside(index, size, mode), wide))
    return number


def moved_inside(index: Any, size: int, mode: str) -> Any:
    """An index within 0 and size - 1; raises TILE0511 of an unknown mode."""
    number = index if index.type.dtype == U64 else as_dtype(index, I64)
    match mode:
        case "clip":
            return as_dtype(apply("min", apply("max", number, 0), size - 1), I64)
        case "wrap":
            return as_dtype(apply("mod", number, size), I64)
        case _:
            help = "'clip' or 'wrap': the values of a traced tensor cannot raise an error"
            raise error("TILE0511", f"there is no mode {mode!r} of indices", help=help)


@operation
def lexsort(keys: Any, /, axis: int = -1) -> Any:
    """The order, int32, of tensors of one shape by several keys: the last is the first to be sorted by, and of what is
    equal the one before it decides. Of NaN, as `sort`. Raises TILE0203, TILE0505.
    """
    given = [lift(k) for k in keys] if isinstance(keys, tuple | list) else list(unstack(keys))
    if not given or len({k.type.shape for k in given}) > 1:
        raise error("TILE0505" if not given else "TILE0203", "one key or more of one shape is sorted by")
    along = axis_of(axis, given[0].ndim)
    order = argsort(given[0], axis=along)
    for key in given[1:]:
        order = take_along_axis(order, argsort(take_along_axis(key, order, axis=along), axis=along), axis=along)
    return order
