"""Floor 5: tensors with elements more, fewer or others at places that are known or that data name."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from tilec.dtypes import I32, I64, U32, U64
from tilec.errors import TileError, error
from tilec.exact.domain import fixed
from tilec.numpy.axes import axis_of, shape_of, whole
from tilec.numpy.creation import arange
from tilec.numpy.elementwise import where
from tilec.numpy.indexing import take
from tilec.numpy.joining import of_rank, size
from tilec.numpy.scattering import scattered
from tilec.numpy.shapes import broadcast_to, concat, moveaxis, reshape
from tilec.numpy_semantics import Array
from tilec.rules import broadcast, shape_text
from tilec.tracing.dispatch import lift, operation
from tilec.tracing.elementwise import apply, as_dtype, of_type
from tilec.tracing.place import located
from tilec.tracing.tensor import Tensor


def delete(x: Any, /, obj: Any, axis: int | None = None) -> Any:
    """x without the slices along an axis, or without the elements of the flattened x, that `obj` names: an index, a
    slice, a sequence of indices or a mask. `obj` decides the shape, and must not be traced.

    Raises TILE0212, TILE0225, TILE0304.
    """
    with located():
        count = _extent(x, axis)
        kept = np.delete(np.arange(count), _places(obj, count, count - 1))
    return take(x, kept, axis=axis)


def insert(x: Any, /, obj: Any, values: Any, axis: int | None = None) -> Any:
    """x with `values` before the slices along an axis, or the elements of the flattened x, that `obj` names: an index,
    a slice, a sequence of indices or a mask; the size of the axis is an index too. Values broadcast, and take the type
    of x. `obj` decides the shape, and must not be traced.

    Raises TILE0203, TILE0212, TILE0225, TILE0304, TILE0511.
    """
    with located():
        count = _extent(x, axis)
        places = _places(obj, count, count)
    single = places.ndim == 0
    return _inserted(x, values, places=tuple(places.reshape(-1).tolist()), single=single, axis=axis)


def _extent(x: Any, axis: int | None) -> int:
    """The number of slices along an axis, or of elements. Raises TILE0210 where it is open."""
    return whole(size(x, axis), "the number of slices")


@operation
def _inserted(x: Any, values: Any, /, places: tuple[int, ...], single: bool, axis: int | None) -> Any:
    tensor = reshape(x, -1) if axis is None else lift(x)
    along = axis_of(0 if axis is None else axis, tensor.ndim)
    given = of_type(values, tensor.type.dtype)
    if given.ndim > tensor.ndim:
        raise error("TILE0203", f"values of rank {given.ndim} are inserted in a tensor of rank {tensor.ndim}")
    given = of_rank(given, tensor.ndim)
    if single:  # the first axis of the values is the one that they are inserted along
        given = moveaxis(given, 0, along)
    own, sizes = given.type.shape[along], tensor.type.shape
    count = fixed(own, "values of that size are inserted") if len(places) == 1 else len(places)
    rows = broadcast_to(given, [count if a == along else n for a, n in enumerate(sizes)])
    old = fixed(sizes[along], "values are inserted along an axis of that size")
    where_to = places[0] if len(places) == 1 else list(places)
    order = np.insert(np.arange(old), where_to, np.arange(old, old + count))
    return take(concat([tensor, rows], axis=along), order, axis=along)


def _places(obj: Any, count: int, last: int) -> Array:
    """The indices that an index, a slice, a sequence or a mask names, counted from 0."""
    try:
        found = np.arange(count)[obj] if isinstance(obj, slice) else np.asarray(obj)
    except (TypeError, ValueError):
        raise _no_places(obj) from None
    if found.dtype == np.bool_:
        if found.shape != (count,):
            text = f"a mask of shape {shape_text(found.shape)} for an axis of size {count}"
            raise error("TILE0304", text)
        return np.flatnonzero(found)
    if found.size == 0:
        return np.zeros(0, np.int64)
    if not np.issubdtype(found.dtype, np.integer) or found.ndim > 1:
        raise _no_places(obj)
    if (wrong := found[(found < -count) | (found > last)]).size:
        raise error("TILE0225", f"index {wrong[0]} on an axis of size {count}")
    return np.where(found < 0, found + count, found)


def _no_places(obj: Any) -> TileError:
    return error("TILE0304", f"places are an integer, a slice, or a vector of integers or bools, not {obj!r}")


@operation
def put_along_axis(x: Any, indices: Any, values: Any, /, axis: int | None = -1) -> Any:
    """x with values[..., i, ...] at [..., indices[..., i, ...], ...] of an axis, or of the flattened x: the inverse of
    `take_along_axis`, as a new tensor. Values broadcast; where several have one place, the last is there.

    An index that is out of range is dropped. Raises TILE0202, TILE0203, TILE0304.
    """
    whole = lift(x)
    tensor = reshape(whole, -1) if axis is None else whole
    index = reshape(indices, -1) if axis is None else lift(indices)
    along = axis_of(0 if axis is None else axis, tensor.ndim)
    if index.ndim != tensor.ndim:
        raise error("TILE0202", f"indices of rank {index.ndim} for a tensor of rank {tensor.ndim}")
    if not index.type.dtype.is_integer:
        raise error("TILE0304", f"places are integers, not {index.type.dtype.long}")
    sizes = [fixed(n, "elements are put along an axis of that size") for n in tensor.type.shape]
    count = fixed(index.type.shape[along], "that many elements are put")
    rows = tuple(count if a == along else n for a, n in enumerate(sizes))
    index = broadcast_to(index, broadcast([index.type.shape, rows]))
    given = broadcast_to(of_type(values, tensor.type.dtype), index.type.shape)
    if 0 in sizes or 0 in index.type.shape:
        return whole
    return reshape(_written(tensor, _numbers(index, sizes, along), given), whole.type.shape)


def _numbers(index: Tensor, sizes: Sequence[int], along: int) -> Any:
    """The row-major number of each cell, -1 for one that there is not."""
    wide = I64 if prod(sizes) > I32.max or index.type.dtype in (U32, I64, U64) else I32
    place = as_dtype(apply("min", index, I64.max) if index.type.dtype == U64 else index, wide)
    place = where(apply("cmp_lt", place, 0), apply("add", place, sizes[along]), place)
    inside = apply("bit_and", apply("cmp_ge", place, 0), apply("cmp_lt", place, sizes[along]))
    number: Any = 0
    for a, n in enumerate(sizes):
        shape = [-1 if b == a else 1 for b in range(len(sizes))]
        here = place if a == along else reshape(arange(n, dtype=wide), shape)
        number = apply("add", apply("mul", number, n), here)
    return where(inside, number, -1)


def _written(x: Tensor, numbers: Tensor, values: Tensor) -> Any:
    cells, count = prod(x.shape), prod(numbers.shape)
    last = scattered("max", reshape(numbers, -1), arange(count), cells)
    found = take(reshape(values, -1), apply("max", last, 0))
    return where(apply("cmp_ge", last, 0), found, reshape(x, -1))


@operation
def fill_diagonal(x: Any, value: Any, /, *, wrap: bool = False) -> Any:
    """x with a number, or with the elements of a vector over and over, on its main diagonal, as a new tensor. Of rank 3
    or more all sizes are equal; of a tall matrix with `wrap` the diagonal begins anew after each row it leaves out.

    Raises TILE0202, TILE0203.
    """
    tensor = lift(x)
    sizes = [fixed(n, "a diagonal of a tensor of that size is written") for n in tensor.type.shape]
    if tensor.ndim < 2:
        raise error("TILE0202", f"a tensor of rank {tensor.ndim} has no diagonal")
    if tensor.ndim > 2 and len(set(sizes)) > 1:
        raise error("TILE0203", f"the sizes of a tensor with a diagonal are equal, not {shape_text(tuple(sizes))}")
    step = sizes[1] + 1 if tensor.ndim == 2 else sum(prod(sizes[k + 1 :]) for k in range(tensor.ndim))
    end = prod(sizes) if tensor.ndim > 2 or wrap else min(sizes[0], sizes[1]) * sizes[1]
    number = reshape(arange(prod(sizes)), sizes)
    given = reshape(of_type(value, tensor.type.dtype), -1)
    if not given.shape[0] or not prod(sizes):
        return tensor
    turn = apply("mod", apply("div", number, step), given.shape[0])
    there = apply("bit_and", apply("cmp_eq", apply("mod", number, step), 0), apply("cmp_lt", number, end))
    return where(there, take(given, turn), tensor)


@operation
def resize(x: Any, /, shape: Any) -> Any:
    """The elements in row-major order, over and over, in another shape; zeros of an empty tensor. Raises TILE0211."""
    flat, sizes = reshape(x, -1), shape_of(shape)
    own, count = (fixed(n, "a tensor of that size is filled") for n in (flat.type.shape[0], prod(sizes)))
    if own == 0:
        return broadcast_to(as_dtype(lift(0), flat.type.dtype), sizes)
    return reshape(take(flat, apply("mod", arange(count), own)), sizes)
