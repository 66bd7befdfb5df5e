"""Floor 5: quantiles, by sorting, and what is counted or weighed."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, floor, nan, prod
from typing import Any

import numpy as np

from tilec.dtypes import F32, I32, promote
from tilec.errors import error
from tilec.exact.domain import fixed
from tilec.numpy.axes import axes_of, number
from tilec.numpy.elementwise import common, isnan, where
from tilec.numpy.indexing import getitem_of, take, take_along_axis
from tilec.numpy.reductions import Axis, max, mean, min, sum
from tilec.numpy.shapes import broadcast_to, moveaxis, reshape
from tilec.numpy.sorting import sort
from tilec.tracing.dispatch import lift, operation
from tilec.tracing.elementwise import apply, as_dtype, as_float
from tilec.tracing.tensor import Tensor

_METHODS = ("linear", "lower", "higher", "midpoint", "nearest")
Levels = float | Sequence[float]


@operation
def quantile(x: Any, /, q: Levels, axis: Axis = None, *, method: str = "linear", keepdims: bool = False) -> Any:
    """The elements that a share q, from 0 to 1, of all along axes stands before; NaN where there is one.

    q: a number, or several, which give the result a first axis. method: of two neighbours "linear" takes what is
    between them, "lower", "higher", "midpoint" and "nearest" say which. Raises TILE0211, TILE0511.
    """
    return _quantile(x, q, 1.0, axis, method, keepdims)


@operation
def percentile(x: Any, /, q: Levels, axis: Axis = None, *, method: str = "linear", keepdims: bool = False) -> Any:
    """`quantile` of q / 100."""
    return _quantile(x, q, 100.0, axis, method, keepdims)


@operation
def median(x: Any, /, axis: Axis = None, *, keepdims: bool = False) -> Any:
    """The element in the middle, or the mean of the two there; NaN where there is one."""
    return _quantile(x, 0.5, 1.0, axis, "linear", keepdims)


@operation
def nanquantile(x: Any, /, q: Levels, axis: Axis = None, *, keepdims: bool = False) -> Any:
    """The linear `quantile` of what is not NaN; NaN where all are."""
    return _nanquantile(x, q, 1.0, axis, keepdims)


@operation
def nanpercentile(x: Any, /, q: Levels, axis: Axis = None, *, keepdims: bool = False) -> Any:
    """`nanquantile` of q / 100."""
    return _nanquantile(x, q, 100.0, axis, keepdims)


@operation
def nanmedian(x: Any, /, axis: Axis = None, *, keepdims: bool = False) -> Any:
    """The median of what is not NaN; NaN where all are."""
    return _nanquantile(x, 0.5, 1.0, axis, keepdims)


def _quantile(x: Any, q: Levels, whole: float, axis: Axis, method: str, keepdims: bool) -> Any:
    if method not in _METHODS:
        raise error("TILE0511", f"there is no quantile by {method!r}", help=", ".join(_METHODS))
    row, size, shape = _sorted(x, axis, keepdims)
    levels, outer = _levels(q, whole)
    places = [_place(level * (size - 1), method) for level in levels]
    low, high = (take(row, np.array([p[k] for p in places]), axis=0) for k in (0, 1))
    share = np.array([p[2] for p in places]).reshape(-1, *[1] * (row.ndim - 1))
    found = _between(low, high, as_dtype(lift(share), row.type.dtype))
    found = where(isnan(getitem_of(row, [-1])), nan, found)
    return reshape(found, (*outer, *shape))


def _nanquantile(x: Any, q: Levels, whole: float, axis: Axis, keepdims: bool) -> Any:
    """NaN stands last: the numbers before it are counted."""
    row, _, shape = _sorted(x, axis, keepdims)
    levels, outer = _levels(q, whole)
    dtype = promote(row.type.dtype, F32)  # in which places are exact
    count = sum(as_dtype(apply("logical_not", isnan(row)), I32), 0)
    last = as_dtype(apply("max", apply("sub", count, 1), 0), dtype)
    level = as_dtype(lift(np.array(levels).reshape(-1, *[1] * (row.ndim - 1))), dtype)
    place = apply("mul", level, last)
    below = apply("floor", place)
    low, high = (_at(row, apply(op, place)) for op in ("floor", "ceil"))
    share = as_dtype(apply("sub", place, below), row.type.dtype)
    found = where(apply("cmp_eq", count, 0), nan, _between(low, high, share))
    return reshape(found, (*outer, *shape))


def _at(row: Tensor, place: Any) -> Any:
    return take_along_axis(row, as_dtype(place, I32), axis=0)


def _between(low: Any, high: Any, share: Any) -> Any:
    """What is between neighbours, none of which need be finite where they are equal or one alone counts."""
    alone = apply("bit_or", apply("cmp_eq", share, 0), apply("cmp_eq", low, high))
    step = apply("sub", where(alone, 0, high), where(alone, 0, low))
    return apply("add", low, where(alone, 0, apply("mul", step, share)))


def _sorted(x: Any, axis: Axis, keepdims: bool) -> tuple[Tensor, int, tuple[Any, ...]]:
    """The elements along axes in order, along a first axis, their number, and the shape of what becomes of them."""
    tensor = as_float(x)
    axes = axes_of(axis, tensor.ndim)
    sizes = tensor.type.shape
    count = fixed(prod(sizes[a] for a in axes), "quantiles are taken along axes of that size")
    if count == 0:
        raise error("TILE0403", "a quantile of no elements")
    rest = [a for a in range(tensor.ndim) if a not in axes]
    front = reshape(moveaxis(tensor, axes, tuple(range(len(axes)))), (count, *(tensor.shape[a] for a in rest)))
    shape = tuple(1 if a in axes else tensor.shape[a] for a in range(tensor.ndim) if keepdims or a not in axes)
    return sort(front, axis=0), count, shape


def _levels(q: Levels, whole: float) -> tuple[list[float], tuple[int, ...]]:
    given = list(np.asarray(q, object).ravel())
    levels = [number(level, "a quantile") / whole for level in given]
    if wrong := [level for level in levels if not 0 <= level <= 1]:
        raise error("TILE0511", f"a share is from 0 to {whole:g}, not {wrong[0] * whole:g}")
    return levels, np.shape(q)


def _place(at: float, method: str) -> tuple[int, int, float]:
    """The neighbours of a place, and how far from the first to the second one it is."""
    low, high = floor(at), ceil(at)
    match method:
        case "linear":
            return low, high, at - low
        case "midpoint":
            return low, high, 0.5 if high > low else 0.0
        case _:
            k = {"lower": low, "higher": high, "nearest": round(at)}[method]
            return k, k, 0.0


@operation(arrays=("weights",))
def average(x: Any, /, axis: Axis = None, *, weights: Any = None, keepdims: bool = False) -> Any:
    """The mean along axes, weighed by `weights` of x's shape, or of one axis's size; in the type of both."""
    tensor = as_float(x)
    if weights is None:
        return mean(tensor, axis, keepdims=keepdims)
    factors = as_float(lift(weights))
    dtype = common(tensor, factors)
    if factors.ndim == 1 and tensor.ndim > 1:
        along = axes_of(axis, tensor.ndim)
        if len(along) != 1:
            raise error("TILE0202", f"a vector of weights goes with one axis, not with {len(along)}")
        factors = reshape(factors, [-1 if a == along[0] else 1 for a in range(tensor.ndim)])
    wide = as_dtype(tensor, promote(dtype, F32))
    factors = broadcast_to(as_dtype(factors, wide.type.dtype), wide.shape)
    total = sum(apply("mul", wide, factors), axis, keepdims=keepdims)
    return as_dtype(apply("div", total, sum(factors, axis, keepdims=keepdims)), dtype)


@operation
def ptp(x: Any, /, axis: Axis = None, *, keepdims: bool = False) -> Any:
    """The largest less the smallest element along axes."""
    return apply("sub", max(x, axis, keepdims=keepdims), min(x, axis, keepdims=keepdims))
