"""Floor 5: first axes added, tensors joined as columns and blocks, and what can be asked of shapes."""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from typing import Any

import numpy as np

from tilec.affine import Poly
from tilec.errors import error
from tilec.numpy.axes import axis_of, shape_of
from tilec.numpy.elementwise import isnan
from tilec.numpy.reductions import all
from tilec.numpy.shapes import broadcast_to, concat, permute_dims, reshape
from tilec.rules import broadcast
from tilec.tracing.dispatch import lift, operation
from tilec.tracing.elementwise import apply
from tilec.tracing.place import located
from tilec.tracing.sizes import OpenSize
from tilec.tracing.tensor import Tensor

# --- axes and tensors joined ------------------------------------------------------------------------------------------


@operation
def atleast_1d(*arrays: Any) -> Any:
    """A tensor of rank 1 or more: a number becomes a vector of one; of several tensors a tuple."""
    return _each(arrays, lambda t: reshape(t, (1,)) if t.ndim == 0 else t)


@operation
def atleast_2d(*arrays: Any) -> Any:
    """A tensor of rank 2 or more: a vector becomes a row; of several tensors a tuple."""
    return _each(arrays, lambda t: of_rank(t, 2))


@operation
def atleast_3d(*arrays: Any) -> Any:
    """A tensor of rank 3 or more: a vector of n becomes [1, n, 1], a matrix has a last axis of size 1 more; of several
    tensors a tuple.
    """
    return _each(arrays, lambda t: reshape(r, (*r.shape, 1)) if (r := of_rank(t, 2)).ndim == 2 else r)


def _each(arrays: Sequence[Any], function: Any) -> Any:
    found = tuple(function(lift(a)) for a in arrays)
    return found[0] if len(found) == 1 else found


def of_rank(x: Any, rank: int) -> Tensor:
    """A tensor of this rank or more: new axes come first."""
    tensor = lift(x)
    found: Tensor = reshape(tensor, (*(1,) * (rank - tensor.ndim), *tensor.shape))
    return found


@operation
def column_stack(arrays: Sequence[Any], /) -> Any:
    """The tensors one after another along the second axis, vectors as columns. Raises TILE0203, TILE0505."""
    if not isinstance(arrays, tuple | list):
        raise error("TILE0505", "a sequence of tensors is joined, and one tensor is none", help="column_stack([x])")
    columns = [lift(a) for a in arrays]
    return concat([permute_dims(of_rank(c, 2)) if c.ndim < 2 else c for c in columns], axis=1)


@operation
def block(arrays: Any, /) -> Any:
    """A tensor from nested lists of its blocks: the innermost lists are joined along the last axis, those around them
    along the one before it, and so on. All blocks stand equally deep. Raises TILE0203, TILE0505.
    """
    deep = _depth(arrays)
    rank = max([deep, *(lift(b).ndim for b in _blocks(arrays))])
    return _joined(arrays, deep, rank)


def _depth(arrays: Any) -> int:
    if not isinstance(arrays, tuple | list):
        return 0
    depths = {_depth(part) for part in arrays}
    if len(depths) != 1:
        text = "blocks stand differently deep in their lists" if depths else "a non-empty sequence of blocks is joined"
        raise error("TILE0505", text)
    return 1 + depths.pop()


def _blocks(arrays: Any) -> list[Any]:
    return [b for part in arrays for b in _blocks(part)] if isinstance(arrays, tuple | list) else [arrays]


def _joined(arrays: Any, deep: int, rank: int) -> Any:
    return concat([_joined(p, deep - 1, rank) for p in arrays], axis=-deep) if deep else of_rank(arrays, rank)


# --- what can be asked of shapes --------------------------------------------------------------------------------------


def ndim(x: Any, /) -> int:
    """The number of axes."""
    return len(shape(x))


def shape(x: Any, /) -> tuple[int, ...]:
    """The sizes of the axes. Raises TILE0505."""
    with located():
        try:
            return x.shape if isinstance(x, Tensor) else np.shape(x)
        except ValueError:
            raise error("TILE0505", "lists of different lengths have no shape") from None


def size(x: Any, /, axis: int | None = None) -> int:
    """The number of elements, or the size of one axis. Raises TILE0212."""
    sizes = shape(x)
    with located():
        if axis is not None:
            return sizes[axis_of(axis, len(sizes))]
        count = 1
        for extent in sizes:
            count *= extent
        return count


def broadcast_shapes(*shapes: Any) -> tuple[Any, ...]:
    """The shape that tensors of these shapes have together. Raises TILE0203, TILE0211."""
    with located():
        found = broadcast([shape_of(s) for s in shapes])
        return tuple(OpenSize(s) if isinstance(s, Poly) else s for s in found)


@operation
def array_equal(x1: Any, x2: Any, /, *, equal_nan: bool = False) -> Any:
    """Whether two tensors have the same shape and the same elements, a bool; NaN equals NaN if `equal_nan`."""
    a, b = lift(x1), lift(x2)
    return _equal(a, b, equal_nan) if a.type.shape == b.type.shape else lift(np.array(False))


@operation
def array_equiv(x1: Any, x2: Any, /) -> Any:
    """Whether two tensors, one repeated to the shape of the other, have the same elements, a bool."""
    a, b = lift(x1), lift(x2)
    longer, shorter = (a, b) if a.ndim >= b.ndim else (b, a)
    padded = (*(1,) * (longer.ndim - shorter.ndim), *shorter.type.shape)
    pairs = [*zip(padded, longer.type.shape)]
    if not builtins.all(1 in pair or pair[0] == pair[1] for pair in pairs):
        return lift(np.array(False))
    common = broadcast([a.type.shape, b.type.shape])
    return _equal(broadcast_to(a, common), broadcast_to(b, common), False)


def _equal(a: Tensor, b: Tensor, equal_nan: bool) -> Any:
    same = apply("cmp_eq", a, b)
    if equal_nan:
        same = apply("bit_or", same, apply("bit_and", isnan(a), isnan(b)))
    return all(same)
