"""Floor 5: which elements are there: results whose number the values decide, in tensors of a given size."""

from __future__ import annotations

from math import prod
from typing import Any

from tilec.dtypes import BOOL, I32
from tilec.errors import error
from tilec.numpy.axes import count_of, whole
from tilec.numpy.creation import arange, ones
from tilec.numpy.cumulative import cumsum
from tilec.numpy.elementwise import where
from tilec.numpy.indexing import take
from tilec.numpy.reductions import sum
from tilec.numpy.shapes import concat, reshape, stack
from tilec.numpy.sorting import searchsorted, sort
from tilec.tracing.dispatch import lift, operation
from tilec.tracing.elementwise import as_dtype, of_type


@operation
def nonzero(x: Any, /, *, size: int | None = None, fill_value: int = 0) -> Any:
    """The places of the first `size` elements that are not 0, in row-major order: a tuple of int32 vectors, one for
    each axis, with `fill_value` where there are fewer. A single number counts as a vector.

    Raises TILE0210, TILE0211, TILE0511.
    """
    tensor = lift(x)
    shape = tensor.shape or (1,)
    flat, there = _first(reshape(as_dtype(tensor, BOOL), -1), _given(size))
    strides = [prod(shape[k + 1 :]) for k in range(len(shape))]
    fill = whole(fill_value, "what fills the rest")
    return tuple(where(there, flat // stride % n, fill) for stride, n in zip(strides, shape))


@operation
def argwhere(x: Any, /, *, size: int | None = None, fill_value: int = 0) -> Any:
    """The places that `nonzero` gives as rows: int32[size, axes of x]. Raises TILE0210, TILE0211, TILE0511."""
    tensor = lift(x)
    if tensor.ndim == 0:
        return reshape(arange(0), (_given(size), 0))
    return stack(list(nonzero(tensor, size=size, fill_value=fill_value)), axis=1)


@operation
def flatnonzero(x: Any, /, *, size: int | None = None, fill_value: int = 0) -> Any:
    """The row-major numbers, int32, of the elements that `nonzero` finds. Raises TILE0210, TILE0211, TILE0511."""
    return nonzero(reshape(x, -1), size=size, fill_value=fill_value)[0]


def _given(size: Any) -> int:
    """The number of elements that a result has, whatever the values are."""
    if size is None:
        help = "size=n gives the first n; there are as many results, whatever the values are"
        raise error("TILE0511", "how many elements there are depends on values, a shape must not", help=help)
    return count_of(size, "the size")


def _first(mask: Any, size: int) -> tuple[Any, Any]:
    """Where the first elements that hold are, and whether there are so many."""
    numbers = arange(size, dtype="int32")
    if mask.shape[0] == 0:
        return numbers * 0, numbers < 0
    counts = cumsum(as_dtype(mask, I32), axis=0)
    places = searchsorted(counts, numbers + 1)
    return where(places < mask.shape[0], places, 0), numbers < counts[-1]


@operation
def unique(x: Any, /, *, size: int | None = None, fill_value: Any = 0, return_counts: bool = False) -> Any:
    """The first `size` different elements, ascending, with `fill_value` where there are fewer; with `return_counts` the
    pair of them and how often each is there, int32. NaN differ from one another.

    Raises TILE0210, TILE0211, TILE0511.
    """
    count = _given(size)
    ordered = sort(reshape(lift(x), -1))
    n = ordered.shape[0]
    new = concat([ones((min(n, 1),), "bool"), ordered[1:] != ordered[:-1]], axis=0)
    places, there = _first(new, count)
    filled = of_type(fill_value, ordered.type.dtype)
    values = where(there, take(ordered, places), filled) if n else where(there, 0, filled)
    if not return_counts:
        return values
    groups = cumsum(as_dtype(new, I32), axis=0) - 1
    members = groups[None, :] == arange(count, dtype="int32")[:, None]
    return values, sum(as_dtype(members, I32), -1)


@operation
def union1d(x1: Any, x2: Any, /, *, size: int | None = None, fill_value: Any = 0) -> Any:
    """The first `size` different elements of two tensors, ascending; see `unique`."""
    return unique(concat([x1, x2], axis=None), size=size, fill_value=fill_value)
