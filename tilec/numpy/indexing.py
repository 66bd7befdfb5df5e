"""Floor 5: `x[...]`: integers, slices, None and an ellipsis are one contraction; arrays of integers gather."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any, cast

import numpy as np

from tilec.affine import Affine, Poly, Size, size_text
from tilec.dtypes import I32, I64, U64, DType
from tilec.errors import error
from tilec.exact.domain import must_be_fixed
from tilec.expr import IndexValue
from tilec.graph import Special
from tilec.numpy.axes import axis_of, leaves, whole
from tilec.numpy.elementwise import where
from tilec.numpy.shapes import broadcast_to, moveaxis, permute_dims, reshape
from tilec.numpy_semantics import Array
from tilec.rules import broadcast, call, constant
from tilec.tracing.contraction import contraction, element, rearranged, variables
from tilec.tracing.dispatch import lift, operation, scope
from tilec.tracing.elementwise import apply, as_dtype
from tilec.tracing.sizes import OpenSize
from tilec.tracing.tensor import Tensor


def getitem(x: Tensor, key: Any) -> Any:
    """x[key]; also an element of a contraction's body, where the key holds index objects."""
    items = list(key) if isinstance(key, tuple) else [key]
    element = next((f for i in items if (f := getattr(i, "element_of", None)) is not None), None)
    return getitem_of(x, items) if element is None else element(x, items)


@operation
def getitem_of(x: Any, items: Sequence[Any], /) -> Any:
    """x[items] as in NumPy; a traced index that is out of range is clamped, any other raises TILE0225."""
    tensor = lift(x)
    items = _completed([_listed(i) if isinstance(i, list) else i for i in items], tensor.ndim)
    arrays = [i for i in items if isinstance(i, Tensor | np.ndarray | np.generic)]
    for index in (*arrays, *(np.asarray(i) for i in items if isinstance(i, bool))):
        _check_index(index)
    tensor, items = _along_open(tensor, items)
    if not any(isinstance(i, Tensor | np.ndarray | np.generic) for i in items):
        return _basic(tensor, items)
    return _gathered(tensor, items)


def _along_open(x: Tensor, items: Sequence[Any]) -> tuple[Tensor, list[Any]]:
    """Axes of open sizes: parts of them are gathered, and integers become arrays, with which elements are gathered."""
    left = list(items)
    axis = 0
    for k, item in enumerate(items):
        if item is None:
            continue
        size = x.type.shape[axis]
        if isinstance(size, Poly) and isinstance(item, slice) and not _is_whole(item, size):
            x = _open_part(x, axis, size, item)
            left[k] = slice(None)
        elif isinstance(size, Poly) and not isinstance(item, slice | Tensor | np.ndarray | np.generic):
            left[k] = np.asarray(whole(item, "an index"))
        axis += 1
    return x, left


def _open_part(x: Tensor, axis: int, size: Poly, item: slice) -> Tensor:
    """x[a:], x[:-b] or x[a:-b] along an axis of an open size."""
    from tilec.numpy.creation import arange

    start, stop = (0 if p is None else whole(p, "a bound of a slice") for p in (item.start, item.stop))
    if item.step not in (None, 1) or start < 0 or stop > 0 or (item.stop is not None and stop == 0):
        text = "only parts such as x[1:], x[:-1] and x[1:-1] of an axis of that size can be taken"
        raise must_be_fixed(size, text)
    places = arange(OpenSize(size) + (stop - start), dtype="int64")
    return cast(Tensor, take(x, apply("add", places, start), axis=axis))


def _listed(item: list[Any]) -> Any:
    """A list of indices as an array, or as a tensor where one of them is traced."""
    from tilec.numpy.creation import asarray

    if any(isinstance(i, Tensor) for i in leaves(item)):
        return asarray(item)
    try:
        return np.asarray(item, dtype=None if item else "int64")
    except ValueError:
        raise error("TILE0304", f"a tensor is indexed by rows of different lengths: {item!r}") from None


def _completed(items: list[Any], rank: int) -> list[Any]:
    """One item per axis, and the Nones: the ellipsis written out."""
    used = sum(1 for i in items if i is not None and i is not Ellipsis)
    places = [k for k, i in enumerate(items) if i is Ellipsis]
    if len(places) > 1:
        raise error("TILE0204", "an index with two ellipses")
    if used > rank:
        raise error("TILE0204", f"{used} indices for a tensor of rank {rank}")
    at = places[0] if places else len(items)
    return [*items[:at], *[slice(None)] * (rank - used), *items[at + 1 :]]


def _check_index(index: Any) -> None:
    dtype = np.dtype(index.dtype)
    if dtype == np.bool_:
        help = "tilec.numpy.where(mask, x, 0) keeps the shape, which must not depend on values"
        raise error("TILE0304", "a tensor is indexed by a mask", help=help)
    if not np.issubdtype(dtype, np.integer):
        raise error("TILE0304", f"a tensor is indexed by {dtype}: an index is an integer")


def _basic(x: Tensor, items: Sequence[Any]) -> Tensor:
    """Integers, slices and Nones."""
    source: list[Affine] = []
    shape: list[Size] = []
    axis = 0
    for item in items:
        if item is None:
            shape.append(1)
            continue
        size, form = x.type.shape[axis], Affine.var(f"i{len(shape)}")
        if isinstance(item, slice) and _is_whole(item, size):
            source.append(form)
            shape.append(size)
        elif isinstance(item, slice):
            assert isinstance(size, int)  # parts of open axes have been gathered
            run = range(*_bounds(item, size))
            source.append(form * run.step + run.start)
            shape.append(len(run))
        else:
            assert isinstance(size, int)
            source.append(Affine.constant(_position(item, size, axis)))
        axis += 1
    whole_axes = (isinstance(i, slice) and _is_whole(i, n) for i, n in zip(items, x.type.shape))
    if len(items) == x.ndim and all(whole_axes):
        return x
    return rearranged(x, source, shape, "slice")


def _is_whole(item: slice, size: Size) -> bool:
    if isinstance(size, int):
        return _bounds(item, size) == (0, size, 1)
    starts, steps = (None, 0), (None, 1)
    ends = item.stop is None or (isinstance(item.stop, OpenSize) and item.stop.poly == size)
    return any(item.start is s for s in starts) and ends and any(item.step is s for s in steps)


def _bounds(item: slice, size: int) -> tuple[int, int, int]:
    parts = [None if p is None else whole(p, "a bound of a slice") for p in (item.start, item.stop, item.step)]
    if parts[2] == 0:
        raise error("TILE0216", "a slice with a step of 0")
    return slice(*parts).indices(size)


def _position(item: Any, size: int, axis: int) -> int:
    number = whole(item, "an index")
    if not -size <= number < size:
        raise error("TILE0225", f"index {number} on axis {axis} of size {size}")
    return number % size


def _gathered(x: Tensor, items: Sequence[Any]) -> Any:
    """With arrays among the items: they and the integers are broadcast together, as in NumPy."""
    advanced = [k for k, i in enumerate(items) if i is not None and not isinstance(i, slice)]
    basic = [slice(None) if k in advanced else i for k, i in enumerate(items)]
    sliced = _basic(x, basic)  # one axis per item now
    indices = [_in_range(items[k], sliced.type.shape[k], k) for k in advanced]
    shape = broadcast([i.type.shape for i in indices])
    front = permute_dims(sliced, [*advanced, *(k for k in range(sliced.ndim) if k not in advanced)])
    sizes, rest = front.type.shape[: len(advanced)], front.type.shape[len(advanced) :]
    flat: Any = 0
    for k, index in enumerate(indices):
        step: Size = prod(sizes[k + 1 :], start=1)
        flat = apply("add", flat, apply("mul", as_dtype(index, _wide(prod(sizes, start=1))), _operand(step)))
    rows = reshape(front, (prod(sizes, start=1), *rest))
    found = _gather(rows, broadcast_to(flat, shape))
    together = advanced == list(range(advanced[0], advanced[-1] + 1))
    where_to = advanced[0] if together else 0
    return moveaxis(found, _run(0, len(shape)), _run(where_to, len(shape))) if shape else found


def _run(start: int, count: int) -> list[int]:
    return list(range(start, start + count))


def _operand(size: Size) -> Any:
    """A size beside tensors."""
    return OpenSize(size) if isinstance(size, Poly) else size


def _in_range(item: Any, size: Size, axis: int) -> Any:
    """An index counted from 0. One that is known is checked, of an open size when called; a traced one is clamped."""
    if isinstance(item, Tensor):
        return _clamped(as_dtype(item, item.type.dtype), size)
    numbers = np.asarray(item)
    if isinstance(size, Poly):
        return _known_in_range(numbers.astype(np.int64), size, axis)
    if numbers.size and not (-size <= numbers.min() and numbers.max() < size):
        worst = numbers.min() if numbers.min() < -size else numbers.max()
        raise error("TILE0225", f"index {worst} on axis {axis} of size {size}")
    return lift(np.where(numbers < 0, numbers + size, numbers).astype(_wide(size).numpy))


def _known_in_range(numbers: Array, size: Poly, axis: int) -> Tensor:
    if not numbers.size:
        return lift(numbers)
    least, most = int(numbers.min()), int(numbers.max())
    worst = most if most >= -least else least
    enough = apply("cmp_ge", OpenSize(size), max(most + 1, -least))
    message = f"index {worst} on axis {axis}, whose size {size_text(size)} is less in this call"
    scope().require(enough, "TILE0225", message)
    return cast(Tensor, apply("add", numbers, apply("mul", (numbers < 0).astype(np.int64), OpenSize(size))))


def _clamped(index: Tensor, size: Size) -> Any:
    """Compared in the index's own type where that is the wider one, else in a type that holds the size."""
    if isinstance(size, Poly):
        return _clamped_open(index, OpenSize(size))
    own, wide, last = index.type.dtype, _wide(size), max(size - 1, 0)
    if not own.is_signed:
        return as_dtype(apply("min", index, last) if last <= own.max else index, wide)
    counted = index if own.bits >= wide.bits else as_dtype(index, wide)
    counted = where(apply("cmp_lt", counted, 0), apply("add", counted, size), counted)
    return as_dtype(apply("min", apply("max", counted, 0), last), wide)


def _clamped_open(index: Tensor, size: OpenSize) -> Any:
    """In int64. There is a row: `_gather` sees to it."""
    if index.type.dtype == U64:
        return as_dtype(apply("min", index, as_dtype(lift(size - 1), U64)), I64)
    counted = as_dtype(index, I64)
    counted = where(apply("cmp_lt", counted, 0), apply("add", counted, size), counted)
    return apply("min", apply("max", counted, 0), size - 1)


def _wide(size: Size) -> DType:
    return I32 if isinstance(size, int) and size <= I32.max else I64


def _gather(rows: Tensor, index: Tensor) -> Any:
    if rows.type.shape[0] == 0:
        if 0 not in index.type.shape:
            raise error("TILE0225", "an element of an axis of size 0")
        return reshape(rows, (*index.type.shape, *rows.type.shape[1:]))
    if isinstance(size := rows.type.shape[0], Poly) and 0 not in index.type.shape:
        some = apply("cmp_gt", OpenSize(size), 0)
        taken = prod(index.type.shape, start=1)
        if isinstance(taken, Poly):
            some = apply("bit_or", some, apply("cmp_eq", OpenSize(taken), 0))
        scope().require(some, "TILE0225", "an element of an axis of size 0")
    return scope().bind(Special("gather", scope().names([rows, index])), "gather")


@operation
def take(x: Any, indices: Any, /, axis: int | None = None) -> Any:
    """The slices of x along an axis at these indices, or elements of the flattened x."""
    tensor = lift(x)
    if axis is None:
        tensor, axis = reshape(tensor, -1), 0
    along = axis_of(axis, tensor.ndim)
    if isinstance(indices, bool | int):
        return getitem_of(tensor, [*[slice(None)] * along, indices])
    index = _listed(indices) if isinstance(indices, list) else indices
    return getitem_of(tensor, [*[slice(None)] * along, index])


@operation
def take_along_axis(x: Any, indices: Any, /, axis: int = -1) -> Any:
    """Elements x[..., indices[..., i, ...], ...] along an axis; both have the same sizes along all others."""
    tensor, index = lift(x), lift(indices)
    along = axis_of(axis, tensor.ndim)
    if index.ndim != tensor.ndim:
        raise error("TILE0202", f"indices of rank {index.ndim} for a tensor of rank {tensor.ndim}")
    sizes = tuple(s for s in tensor.type.shape if isinstance(s, int))
    if len(sizes) < tensor.ndim:
        return _selected(tensor, index, along)
    places: list[Any] = []
    for a in range(tensor.ndim):
        count = np.arange(sizes[a], dtype="int32")
        places.append(index if a == along else count.reshape([-1 if b == a else 1 for b in range(tensor.ndim)]))
    return getitem_of(tensor, places)


def _selected(x: Tensor, index: Tensor, axis: int) -> Tensor:
    """take_along_axis where other axes are open: what is gathered has its row as its place, so all elements of the axis
    are compared with the index, and the one that matches is added to zeros (which makes 0 of -0).
    """
    count = x.type.shape[axis]
    if isinstance(count, Poly):
        raise must_be_fixed(count, "elements are taken along an axis of that size by an array of indices")
    _check_index(index)
    if count == 0:
        raise error("TILE0225", "an element of an axis of size 0")
    index = _in_range(index, count, axis)
    names, forms = variables(x.ndim)
    rows = iter(broadcast([t.type.shape[:axis] + t.type.shape[axis + 1 :] for t in (x, index)]))
    shape = [index.type.shape[a] if a == axis else next(rows) for a in range(x.ndim)]
    place = Affine.var("k")
    at = [Affine.constant(0) if n == 1 else f for f, n in zip(forms, index.type.shape, strict=True)]
    of = [place if a == axis else Affine.constant(0) if n == 1 else forms[a] for a, n in enumerate(x.type.shape)]
    found = call("cmp_eq", IndexValue(place, index.type.dtype), element(index, at))
    value = element(x, of)
    body = call("cond", found, value, constant(0, x.type.dtype))
    return contraction("sum", (*names, "k"), body, forms, shape, dtype=x.type.dtype, stem="taken")
