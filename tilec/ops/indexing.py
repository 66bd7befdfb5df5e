"""Floor 5: reading and writing at places that data name: `gather`, `scatter` and what follows from them, and slices.

Indices are tensors of integers whose last axis is one index of the first axes of another tensor: [N, 2] are N places in
its first two axes. A negative one counts from the end. Where writers of one cell meet, they come in row-major order of
their indices: the last one stays, sums are added up in that order, and of equal extrema the first takes the gradient.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from tilec.affine import Poly, Size
from tilec.dtypes import BOOL, I32, I64, DType
from tilec.errors import error
from tilec.exact.domain import fixed
from tilec.monoid import Standard
from tilec.numpy.axes import shape_of
from tilec.numpy.creation import arange, asarray, zeros
from tilec.numpy.elementwise import where
from tilec.numpy.indexing import getitem_of, take
from tilec.numpy.scattering import scattered
from tilec.numpy.shapes import broadcast_to, reshape
from tilec.rules import shape_text
from tilec.tracing.contract import contract
from tilec.tracing.dispatch import lift, operation
from tilec.tracing.elementwise import apply, as_dtype
from tilec.tracing.sizes import OpenSize
from tilec.tracing.tensor import Tensor


@operation
def gather(x: Any, indices: Any, /, axis: int = 0) -> Any:
    """The slices of x along an axis at integer indices, which are clamped to it; `tilec.numpy.take` along axis 0."""
    return take(x, indices, axis=axis)


@operation
def gather_nd(x: Any, indices: Any, /) -> Any:
    """x[indices[..., 0], indices[..., 1], ...], of shape indices.shape[:-1] + x.shape[k:] for indices of k numbers.

    Indices that are out of range are clamped. Raises TILE0202, TILE0304.
    """
    tensor, index = lift(x), _integers(lift(indices), "gather_nd")
    if index.type.shape[-1] == 0:
        return broadcast_to(tensor, (*index.type.shape[:-1], *tensor.type.shape))
    return getitem_of(tensor, _columns(index, tensor.ndim))


@operation
def scatter(indices: Any, values: Any, /, shape: Sequence[int]) -> Any:
    """Zeros of a shape to which values[j] is added at indices[j]; an index that is out of range is dropped.

    indices: [..., k] integers; values: indices.shape[:-1] + shape[k:]. Raises TILE0202, TILE0304.
    """
    return _scattered("sum", _integers(lift(indices), "scatter"), lift(values), shape_of(shape))


@operation
def scatter_update(x: Any, indices: Any, updates: Any, /) -> Any:
    """x with updates[j] at indices[j]: where several have one index, the last; outside is dropped.

    indices: [..., k] integers; updates: indices.shape[:-1] + x.shape[k:]. Raises TILE0202, TILE0304.
    """
    tensor, index = lift(x), _integers(lift(indices), "scatter_update")
    depth, shape = _depth(index, tensor.type.shape), tensor.type.shape
    places, rest = index.type.shape[:-1], shape[depth:]
    values = _of_shape(as_dtype(lift(updates), tensor.type.dtype), (*places, *rest))
    count = prod(places)
    if count == 0 or 0 in shape:
        return tensor
    last = _scattered("max", index, reshape(arange(count), places), shape[:depth])
    rows = take(reshape(values, (count, *rest)), apply("max", last, 0), axis=0)
    written = reshape(apply("cmp_ge", last, 0), (*shape[:depth], *(1,) * len(rest)))
    return where(written, rows, tensor)


@operation
def scatter_add(x: Any, indices: Any, updates: Any, /) -> Any:
    """x with updates[j] added at indices[j]; otherwise as `scatter_update`."""
    return _combined("sum", "add", x, indices, updates)


@operation
def scatter_max(x: Any, indices: Any, updates: Any, /) -> Any:
    """x with the larger one of x and updates[j] at indices[j]; otherwise as `scatter_update`."""
    return _combined("max", "max", x, indices, updates)


@operation
def scatter_min(x: Any, indices: Any, updates: Any, /) -> Any:
    """x with the smaller one of x and updates[j] at indices[j]; otherwise as `scatter_update`."""
    return _combined("min", "min", x, indices, updates)


@operation
def scatter_multiply(x: Any, indices: Any, updates: Any, /) -> Any:
    """x times updates[j] at indices[j]; otherwise as `scatter_update`."""
    return _combined("prod", "mul", x, indices, updates)


def _combined(monoid: Standard, op: str, x: Any, indices: Any, updates: Any) -> Any:
    tensor, index = lift(x), _integers(lift(indices), "scatter")
    dtype = tensor.type.dtype
    return as_dtype(
        apply(op, tensor, _scattered(monoid, index, as_dtype(lift(updates), dtype), tensor.type.shape)), dtype
    )


def _scattered(monoid: Standard, index: Tensor, values: Tensor, shape: tuple[Size, ...]) -> Any:
    """The aggregation of values at cells of a shape, from its identity on."""
    depth = _depth(index, shape)
    values = _of_shape(as_dtype(values, values.type.dtype), (*index.type.shape[:-1], *shape[depth:]))
    return reshape(scattered(monoid, _number(index, shape[:depth]), values, prod(shape[:depth])), shape)


def _integers(index: Tensor, what: str) -> Tensor:
    if not index.type.dtype.is_integer:
        raise error("TILE0304", f"{what} takes integer indices, not {index.type.dtype.long}")
    if index.ndim == 0:
        raise error("TILE0202", f"the indices of {what} have a last axis: one number for each axis that they index")
    return index


def _depth(index: Tensor, shape: tuple[Size, ...]) -> int:
    """How many axes are indexed."""
    depth = index.type.shape[-1]
    if not isinstance(depth, int) or depth > len(shape):
        raise error("TILE0202", f"indices of {depth} numbers for a tensor of rank {len(shape)}")
    return depth


def _of_shape(values: Tensor, shape: tuple[Size, ...]) -> Tensor:
    if values.type.shape != shape:
        raise error("TILE0202", f"values of shape {shape_text(values.type.shape)}, where {shape_text(shape)} is wanted")
    return values


def _columns(index: Tensor, rank: int) -> list[Any]:
    """The index of each axis."""
    depth = _depth(index, (0,) * rank)
    return [getitem_of(index, [..., k]) for k in range(depth)]


def _number(index: Tensor, shape: tuple[Size, ...]) -> Any:
    """The row-major number of a cell, -1 for one that there is not."""
    count = prod(shape)
    narrow = isinstance(count, int) and count <= I32.max and index.type.dtype.bits <= 32
    wide = I32 if narrow else I64
    number: Any = zeros(index.type.shape[:-1], dtype=wide)
    inside: Any = zeros(index.type.shape[:-1], dtype=BOOL)
    inside = apply("logical_not", inside)
    for column, size in zip(_columns(index, len(shape)), shape, strict=True):
        extent = OpenSize(size) if isinstance(size, Poly) else size
        here = _from_the_start(column, extent, wide)
        fits = apply("bit_and", apply("cmp_ge", here, 0), apply("cmp_lt", here, extent))
        number, inside = apply("add", apply("mul", number, extent), here), apply("bit_and", inside, fits)
    return where(inside, number, -1)


def _from_the_start(index: Any, size: Any, wide: DType) -> Any:
    """An index along an axis, of which those from the end are negative; what is too large for `wide` is outside."""
    own = index.type.dtype
    if own.is_signed:
        number = as_dtype(index, wide)
        return where(apply("cmp_lt", number, 0), apply("add", number, size), number)
    if own.bits < wide.bits or (isinstance(size, int) and size > own.max):
        return as_dtype(index, wide)
    return as_dtype(apply("min", index, as_dtype(lift(size), own)), wide)


@operation
def slice(x: Any, start: Any, /, shape: Sequence[int]) -> Any:
    """The part of x of this shape from `start` on, a vector of one integer for each axis, which is clamped so that the
    part is inside. Raises TILE0202, TILE0304, TILE0211.
    """
    tensor, sizes = lift(x), shape_of(shape)
    first = _starts(start, tensor, sizes)
    names = _names(tensor)
    read = ", ".join(f"{i} + S[{k}]" for k, i in enumerate(names))
    return contract(f"O[{_cells(names, sizes)}] = =(X[{read}])", X=tensor, S=first) if names else tensor


@operation
def slice_update(x: Any, start: Any, updates: Any, /) -> Any:
    """x with `updates`, of its rank, in place of its part from `start` on, which is clamped as that of `slice`."""
    tensor = lift(x)
    values = as_dtype(lift(updates), tensor.type.dtype)
    if values.ndim != tensor.ndim:
        raise error("TILE0202", f"a part of rank {values.ndim} of a tensor of rank {tensor.ndim}")
    first = _starts(start, tensor, values.type.shape)
    names = _names(tensor)
    read = ", ".join(f"{i} - S[{k}]" for k, i in enumerate(names))
    text = f"O[{_cells(names, tensor.type.shape)}] = =(U[{read}]) default X"
    return contract(text, X=tensor, U=values, S=first) if names else values


def _names(x: Tensor) -> list[str]:
    return [f"i{a}" for a in range(x.ndim)]


def _cells(names: Sequence[str], sizes: Sequence[Size]) -> str:
    return f"{', '.join(names)} : {', '.join(map(str, sizes))}"


def _starts(start: Any, x: Tensor, sizes: Sequence[Size]) -> Any:
    """Where a part begins, int64: at 0 or later, and so that it ends inside of x."""
    first, shape = asarray(start), x.type.shape
    if not first.type.dtype.is_integer and x.ndim:
        raise error("TILE0304", f"a part begins at integers, not at {first.type.dtype.long}")
    if first.type.shape != (x.ndim,) or len(sizes) != x.ndim:
        text = f"{shape_text(first.type.shape)} starts and {len(sizes)} sizes for a tensor of rank {x.ndim}"
        raise error("TILE0202", text)
    room = [_room(n, s) for n, s in zip(shape, sizes, strict=True)]
    return apply("min", apply("max", as_dtype(first, I64), 0), np.array(room, "int64")) if room else first


def _room(size: Size, part: Size) -> int:
    size, part = (fixed(n, "a part of an axis of that size begins at a tensor") for n in (size, part))
    if part > size:
        raise error("TILE0211", f"a part of {part} elements of an axis of size {size}")
    return size - part
