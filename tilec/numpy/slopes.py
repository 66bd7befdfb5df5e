"""Floor 5: slopes of what is known at points, what lies between these, and angles without jumps."""

from __future__ import annotations

from collections.abc import Sequence
from math import pi
from typing import Any

from tilec.dtypes import F32, DType
from tilec.errors import error
from tilec.exact.domain import fixed
from tilec.numpy.axes import axes_of, axis_of, number, positive
from tilec.numpy.cumulative import cumulative_sum, diff
from tilec.numpy.elementwise import common, is_integral, isnan, where
from tilec.numpy.indexing import getitem_of, take
from tilec.numpy.shapes import broadcast_to, concat, reshape
from tilec.numpy.sorting import argsort, searchsorted
from tilec.tracing.dispatch import lift, operation
from tilec.tracing.elementwise import apply, as_dtype, as_float, of_type
from tilec.tracing.tensor import Tensor


@operation(arrays=("to_end", "to_begin"))
def ediff1d(x: Any, /, to_end: Any = None, to_begin: Any = None) -> Any:
    """Differences of neighbours in the flattened tensor, between `to_begin` and `to_end`, which take its type.

    Raises TILE0511.
    """
    flat = reshape(x, -1)
    ends = [None if e is None else reshape(of_type(e, flat.type.dtype), -1) for e in (to_begin, to_end)]
    parts = [p for p in (ends[0], diff(flat), ends[1]) if p is not None]
    return concat(parts, axis=0)


@operation
def gradient(x: Any, /, *spacing: Any, axis: Any = None, edge_order: int = 1) -> Any:
    """Slopes along axes, all by default, by differences with both neighbours, of second order; at the ends with the one
    neighbour there is, or with two if `edge_order` is 2. A tensor for one axis, a tuple for several.

    spacing: the distance of points, 1 by default, or the vector of their places; one for all axes, or one for each.
    Raises TILE0202, TILE0204, TILE0208, TILE0212, TILE0511.
    """
    tensor = as_float(x)
    axes = axes_of(axis, tensor.ndim)
    steps: Sequence[Any] = spacing or (1.0,)
    steps = [*steps] * len(axes) if len(steps) == 1 else [*steps]
    if len(steps) != len(axes):
        raise error("TILE0204", f"{len(steps)} spacings for {len(axes)} axes")
    if edge_order not in (1, 2):
        raise error("TILE0511", f"the order of slopes at the ends is 1 or 2, not {edge_order!r}")
    found = tuple(_slopes(tensor, a, lift(h), edge_order) for a, h in zip(axes, steps))
    return found[0] if len(found) == 1 else found


def _slopes(x: Tensor, axis: int, spacing: Tensor, order: int) -> Any:
    size = fixed(x.type.shape[axis], "slopes are taken along an axis of that size")
    if size < order + 1:
        raise error("TILE0511", f"slopes of {size} points; there must be {order + 1} or more")
    left, right = (_distances(spacing, x, axis, size, k) for k in (0, 1))

    def at(k: int, stop: int | None = None) -> Any:
        """Elements from the k-th on, as many as there are inner ones, or the k-th alone."""
        return _part(x, axis, slice(k, k + size - 2) if stop is None else slice(k, stop))

    first, last = (_one(spacing, x, axis, size, k) for k in (0, size - 2))
    if order == 1:
        ends = [(at(1, 2) - at(0, 1)) / first, (at(size - 1, size) - at(size - 2, size - 1)) / last]
    else:
        second, before = (_one(spacing, x, axis, size, k) for k in (1, size - 3))
        ends = [
            _parabola([at(k, k + 1) for k in (0, 1, 2)], first, second),
            -_parabola([at(k, k + 1) for k in (size - 1, size - 2, size - 3)], last, before),
        ]
    if size == 2:
        return concat(ends, axis=axis)
    if spacing.ndim == 0:
        inner = (at(2) - at(0)) / (2 * left)
    else:
        before, after = at(1) - at(0), at(2) - at(1)
        inner = (before * (right / left) + after * (left / right)) / (left + right)
    return concat([ends[0], inner, ends[1]], axis=axis)


def _parabola(values: Sequence[Any], near: Any, far: Any) -> Any:
    """The slope at the first of three points of the parabola through them, at these distances."""
    both = near + far
    return (
        values[1] * (both / (near * far))
        - values[0] * ((near + both) / (near * both))
        - values[2] * (near / (far * both))
    )


def _distances(spacing: Tensor, x: Tensor, axis: int, size: int, first: int) -> Any:
    """The distances of inner points to their neighbours on one side."""
    if spacing.ndim == 0:
        return as_dtype(spacing, x.type.dtype)
    if spacing.type.shape != (size,):
        raise error("TILE0208", f"{size} points have as many places, not {list(spacing.shape)}")
    steps = diff(as_dtype(spacing, x.type.dtype))
    part = getitem_of(steps, [slice(first, first + size - 2)])
    return reshape(part, [-1 if a == axis else 1 for a in range(x.ndim)])


def _one(spacing: Tensor, x: Tensor, axis: int, size: int, place: int) -> Any:
    """The distance of two neighbours."""
    if spacing.ndim == 0:
        return as_dtype(spacing, x.type.dtype)
    steps = diff(as_dtype(spacing, x.type.dtype))
    return reshape(getitem_of(steps, [place]), (1,) * x.ndim)


def _part(x: Tensor, axis: int, part: slice) -> Any:
    return getitem_of(x, [*[slice(None)] * axis, part])


@operation
def unwrap(x: Any, /, discont: float | None = None, axis: int = -1, *, period: float = 2 * pi) -> Any:
    """Angles, or other numbers of a period, along an axis without jumps: where neighbours differ by `discont` or more,
    half a period by default, whole periods are added to what follows. Integers of a whole period stay integers.

    Raises TILE0210, TILE0212.
    """
    positive(period, "a period")
    half = period / 2 if discont is None else max(number(discont, "a jump"), period / 2)
    tensor = lift(x) if is_integral(x) and isinstance(period, int) else as_float(x)
    along = axis_of(axis, tensor.ndim)
    steps = diff(tensor, axis=along)
    low = -(period // 2) if is_integral(tensor) else -period / 2
    turned = apply("add", apply("mod", apply("sub", steps, low), period), low)
    if not (isinstance(period, int) and is_integral(tensor) and period % 2):  # half a period up, where it goes up
        upward = apply("bit_and", apply("cmp_eq", turned, low), apply("cmp_gt", steps, 0))
        turned = where(upward, -low, turned)
    right = apply("cmp_lt", apply("abs", steps), half)  # after a NaN nothing is known
    moved = cumulative_sum(where(right, 0, apply("sub", turned, steps)), along)
    rest = apply("add", _part(tensor, along, slice(1, None)), moved)
    return concat([_part(tensor, along, slice(0, 1)), rest], axis=along)


@operation(arrays=("left", "right"))
def interp(x: Any, xp: Any, fp: Any, /, left: Any = None, right: Any = None, *, period: float | None = None) -> Any:
    """The values at x of the lines between the points (xp, fp), vectors of which xp ascends; left of the first
    point `left` and right of the last one `right`, their values by default. With a `period` xp and x are angles, in any
    order, and the lines go around. Differentiable in x, fp and xp. NaN stays.

    Raises TILE0202, TILE0208, TILE0210, TILE0403.
    """
    dtype = _float_of(x, xp, fp)
    wide = F32 if dtype.bits < 32 else dtype
    at, places, values = (as_dtype(lift(a), wide) for a in (x, xp, fp))
    if places.ndim != 1 or values.ndim != 1:
        raise error("TILE0202", f"points are two vectors, not tensors of rank {places.ndim} and {values.ndim}")
    if places.type.shape != values.type.shape:
        raise error("TILE0208", f"{places.shape[0]} places have as many values, not {values.shape[0]}")
    if places.type.shape == (0,):
        raise error("TILE0403", "values between no points")
    if period is not None:
        at, places, values = _around(at, places, values, positive(period, "a period"))
        left = right = None
    count = fixed(places.type.shape[0], "values are found between that many points")
    found = _between(at, places, values, count)
    first, last = (getitem_of(values, [k]) for k in (0, -1))
    found = where(at < getitem_of(places, [0]), first if left is None else as_dtype(lift(left), wide), found)
    found = where(at == getitem_of(places, [-1]), last, found)
    found = where(at > getitem_of(places, [-1]), last if right is None else as_dtype(lift(right), wide), found)
    return as_dtype(where(isnan(at), at, found), dtype)


def _float_of(*operands: Any) -> DType:
    dtype = common(*operands)
    return dtype if dtype.is_float else F32


def _around(x: Tensor, xp: Tensor, fp: Tensor, period: float) -> tuple[Any, Any, Any]:
    """The points in order, with the last one before them and the first one behind them once more."""
    at, places = apply("mod", x, period), apply("mod", xp, period)
    order = argsort(places)
    places, values = take(places, order), take(fp, order)
    first, last = slice(0, 1), slice(-1, None)
    ends = getitem_of(places, [last]) - period, getitem_of(places, [first]) + period
    around = concat([getitem_of(values, [last]), values, getitem_of(values, [first])], axis=0)
    return at, concat([ends[0], places, ends[1]], axis=0), around


def _between(x: Tensor, xp: Tensor, fp: Tensor, count: int) -> Any:
    if count == 1:
        return broadcast_to(getitem_of(fp, [0]), x.type.shape)
    low = apply("min", apply("max", searchsorted(xp, x, side="right") - 1, 0), count - 2)
    (x0, x1), (y0, y1) = ([take(t, low + k) for k in (0, 1)] for t in (xp, fp))
    width = x1 - x0
    slope = (y1 - y0) / where(width == 0, 1, width)
    found, other = y0 + (x - x0) * slope, y1 + (x - x1) * slope
    level = where(isnan(other) & (y0 == y1), y0, other)
    return where(isnan(found), where(x == x0, y0, level), found)  # of infinite places and values
