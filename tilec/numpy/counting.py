"""Floor 5: elements counted: in bins of given edges, and by their values where these are small integers."""

from __future__ import annotations

from typing import Any

import numpy as np

from tilec.dtypes import F32, I32, promote
from tilec.errors import error
from tilec.exact.domain import fixed
from tilec.numpy.axes import number, shape_of
from tilec.numpy.creation import arange, ones
from tilec.numpy.elementwise import where
from tilec.numpy.indexing import getitem_of
from tilec.numpy.reductions import max, min
from tilec.numpy.scattering import scattered
from tilec.numpy.shapes import flip, reshape
from tilec.numpy.sorting import searchsorted
from tilec.tracing.dispatch import lift, operation
from tilec.tracing.elementwise import apply, as_dtype, as_float
from tilec.tracing.tensor import Tensor


@operation(arrays=("weights",))
def bincount(x: Any, /, weights: Any = None, *, length: int) -> Any:
    """How often each of the integers 0, 1 ... length - 1 is in a vector, int32, or the sum of the weights of those
    elements. Other integers are not counted: the shape of the result must not depend on values. Raises TILE0202,
    TILE0304.
    """
    values = reshape(x, -1)
    if not values.type.dtype.is_integer:
        raise error("TILE0304", f"bincount takes integers, not {values.type.dtype.long}")
    (count,) = shape_of(length)
    given = ones(values.type.shape, dtype="int32") if weights is None else reshape(weights, -1)
    if given.type.shape != values.type.shape:
        raise error("TILE0202", "one weight is wanted for each element")
    return scattered("sum", values, given, count)


@operation
def digitize(x: Any, bins: Any, /, right: bool = False) -> Any:
    """In which bin each element is, int32: 0 below bins[0], k from bins[k - 1] on, or behind it if `right`.

    Of edges in descending order: 0 from bins[0] on, k below bins[k - 1]. Raises TILE0202.
    """
    edges, side = lift(bins), "left" if right else "right"
    if edges.type.shape in ((), (0,)):
        return searchsorted(edges, x, side=side)
    falling = getitem_of(edges, [0]) > getitem_of(edges, [-1])
    place = searchsorted(where(falling, flip(edges), edges), x, side=side)
    return where(falling, edges.shape[0] - place, place)


def histogram(x: Any, /, bins: Any = 10, range: Any = None, *, weights: Any = None, density: bool = False) -> Any:
    """How many elements are in each bin, int32, and the edges of the bins: a pair. The last bin holds its upper edge.

    bins: their number, of equal widths from the least to the largest element or over `range`, a pair of numbers; or
    their edges in ascending order. weights: what is added up in place of ones. density: counts over their sum and the
    widths. Raises TILE0511.
    """
    pair = tuple(range) if isinstance(range, list) else range
    if isinstance(bins, int | np.integer):
        return _histogram(x, None, weights, count=int(bins), range=pair, density=density)
    return _histogram(x, bins, weights, count=0, range=pair, density=density)


@operation
def _histogram(x: Any, bins: Any, weights: Any, /, count: int, range: Any, density: bool) -> Any:
    values = as_float(x)
    edges = _equal_bins(values, count, range) if bins is None else _edges(values, bins)
    size = fixed(edges.type.shape[0], "elements are counted between that many edges")
    flat = reshape(values, -1)
    place = apply("sub", searchsorted(edges, flat, side="right"), 1)
    last = apply("cmp_eq", flat, getitem_of(edges, [-1]))
    counts = bincount(where(last, size - 2, place), weights, length=size - 1)
    if not density:
        return counts, edges
    wide = as_dtype(edges, promote(edges.type.dtype, F32))
    widths = apply("sub", getitem_of(wide, [slice(1, None)]), getitem_of(wide, [slice(None, -1)]))
    shares = as_dtype(counts, wide.type.dtype)
    return as_dtype(apply("div", apply("div", shares, widths), shares.sum()), edges.type.dtype), edges


def _edges(x: Tensor, bins: Any) -> Tensor:
    edges: Tensor = as_dtype(lift(bins), x.type.dtype)
    if edges.ndim != 1 or edges.type.shape[0] in (0, 1):
        raise error("TILE0511", f"bins are a number or a vector of two edges or more, not {bins!r}")
    return edges


def _equal_bins(x: Tensor, bins: int, range: Any) -> Any:
    if bins < 1:
        raise error("TILE0511", f"elements are counted in one bin or more, not in {bins}")
    dtype = x.type.dtype if x.type.dtype.bits >= 32 else F32
    low, high = _bounds(x, range)
    low, high = as_dtype(low, dtype), as_dtype(high, dtype)
    same = apply("cmp_eq", low, high)
    low, high = where(same, apply("sub", low, 0.5), low), where(same, apply("add", high, 0.5), high)
    steps = as_dtype(arange(bins + 1), dtype)
    inner = apply("add", low, apply("mul", steps, apply("div", apply("sub", high, low), bins)))
    return as_dtype(where(np.arange(bins + 1) == bins, high, inner), x.type.dtype)


def _bounds(x: Tensor, range: Any) -> tuple[Any, Any]:
    if range is None:
        return min(x), max(x)
    if not isinstance(range, tuple | list) or len(range) != 2:
        raise error("TILE0511", f"the range of a histogram is a pair of numbers, not {range!r}")
    low, high = (float(number(v, "a bound")) for v in range)
    if low > high:
        raise error("TILE0511", f"the range of a histogram goes from {low:g} to {high:g}")
    return lift(low), lift(high)


@operation
def unravel_index(x: Any, /, shape: Any) -> Any:
    """The indices, a tuple of one tensor for each axis, of the elements of a shape with these row-major numbers."""
    rest = lift(x)
    if not rest.type.dtype.is_integer:
        raise error("TILE0304", f"unravel_index takes integers, not {rest.type.dtype.long}")
    found: list[Any] = []
    rest = rest if rest.type.dtype.bits >= 32 else as_dtype(rest, I32)
    for size in reversed(shape_of(shape)):
        found.append(apply("mod", rest, size))
        rest = apply("div", rest, size)
    return tuple(reversed(found))
