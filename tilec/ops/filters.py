"""Floor 5: filters of windows: correlation, convolution, smoothing, and order statistics, after those of SciPy."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from tilec.affine import Affine
from tilec.dtypes import F32, promote
from tilec.errors import error
from tilec.exact.domain import fixed
from tilec.expr import Expr
from tilec.graph import Constraint
from tilec.numpy.axes import axes_of, number, whole
from tilec.numpy.indexing import getitem_of
from tilec.numpy.shapes import flip, pad, reshape
from tilec.numpy.sorting import sort
from tilec.numpy_semantics import Array
from tilec.ops.boundary import PADDING, checked
from tilec.ops.windows import per_axis
from tilec.rules import call, cast
from tilec.tracing.contraction import contraction, element, variables
from tilec.tracing.dispatch import lift, operation
from tilec.tracing.elementwise import as_float
from tilec.tracing.tensor import Tensor

Axes = Sequence[int] | int | None


@operation(arrays=("value",))
def correlate(
    x: Any,
    kernel: Any,
    /,
    mode: str = "full",
    *,
    boundary: str = "constant",
    value: Any = 0,
    origin: int | Sequence[int] = 0,
    axes: Axes = None,
) -> Any:
    """Sums of products of the kernel and what it lies on, at each place along `axes`: the last ones, as many as the
    kernel has.

    mode: "full", wherever the two meet; "same", where the kernel's middle, element size // 2 + origin, is on x;
    "valid", where all of the kernel is. So `scipy.signal.correlate`, of real numbers; `scipy.ndimage.correlate` is
    "same" with a boundary: constant (`value`), nearest, reflect, mirror, wrap, as there.

    Raises TILE0202, TILE0211, TILE0212, TILE0511.
    """
    tensor, weights = lift(x), lift(kernel)
    along = _axes(tensor, range(-weights.ndim, 0) if axes is None and weights.ndim <= tensor.ndim else axes)
    if len(along) != weights.ndim:
        raise error("TILE0202", f"a kernel of rank {weights.ndim} along {len(along)} axes")
    sizes = [fixed(n, "a kernel has an axis of that size") for n in weights.type.shape]
    low = _lows(mode, sizes, per_number(origin, len(sizes)))
    counts = [_count(mode, _extent(tensor, a), n) for a, n in zip(along, sizes)]
    around = [(b, c - 1 + n - 1 - b - (_extent(tensor, a) - 1)) for a, n, b, c in zip(along, sizes, low, counts)]
    padded = _padded(tensor, along, around, boundary, value)
    names, forms, offsets, read = _sliding(padded, along)
    dtype = promote(tensor.type.dtype, weights.type.dtype)
    body = call("mul", cast(read, dtype), cast(element(weights, offsets), dtype))
    shape = [counts[along.index(a)] if a in along else n for a, n in enumerate(tensor.type.shape)]
    return contraction("sum", names, body, forms, shape, stem="correlated")


@operation(arrays=("value",))
def convolve(
    x: Any, kernel: Any, /, mode: str = "full", *, boundary: str = "constant", value: Any = 0, axes: Axes = None
) -> Any:
    """`correlate` with the kernel turned around: `scipy.signal.convolve`."""
    return correlate(x, flip(kernel), mode, boundary=boundary, value=value, axes=axes)


@operation(arrays=("value",))
def gaussian_filter(
    x: Any,
    /,
    sigma: float | Sequence[float],
    *,
    order: int | Sequence[int] = 0,
    mode: str = "reflect",
    value: Any = 0,
    truncate: float = 4.0,
    axes: Axes = None,
) -> Any:
    """A Gaussian along `axes`, all by default, cut off at `truncate` standard deviations, or its derivative of that
    order: `scipy.ndimage.gaussian_filter`. Integers become float32. Raises TILE0204, TILE0210, TILE0212, TILE0511.
    """
    reach = float(number(truncate, "truncate"))
    tensor = as_float(lift(x))
    along = _axes(tensor, axes)
    for axis, s, n in zip(along, _numbers(sigma, len(along), "sigma"), per_number(order, len(along))):
        weights = gaussian(s, n, int(reach * s + 0.5))
        if len(weights) > 1 or n:
            tensor = weighted(tensor, axis, weights, mode, value)
    return tensor


@operation(arrays=("value",))
def uniform_filter(
    x: Any,
    /,
    size: int | Sequence[int] = 3,
    *,
    mode: str = "reflect",
    value: Any = 0,
    origin: int | Sequence[int] = 0,
    axes: Axes = None,
) -> Any:
    """The mean of a window: `scipy.ndimage.uniform_filter`. Integers become float32."""
    tensor = as_float(lift(x))
    along = _axes(tensor, axes)
    for axis, n, shift in zip(along, per_axis(size, len(along), "size"), per_number(origin, len(along))):
        tensor = weighted(tensor, axis, np.full(n, 1 / n), mode, value, shift)
    return tensor


@operation(arrays=("value",))
def maximum_filter(
    x: Any,
    /,
    size: int | Sequence[int] = 3,
    *,
    mode: str = "reflect",
    value: Any = 0,
    origin: int | Sequence[int] = 0,
    axes: Axes = None,
) -> Any:
    """The largest element of a window, NaN where there is one: `scipy.ndimage.maximum_filter`."""
    return _extreme("max", x, size, mode, value, origin, axes)


@operation(arrays=("value",))
def minimum_filter(
    x: Any,
    /,
    size: int | Sequence[int] = 3,
    *,
    mode: str = "reflect",
    value: Any = 0,
    origin: int | Sequence[int] = 0,
    axes: Axes = None,
) -> Any:
    """The smallest element of a window, NaN where there is one: `scipy.ndimage.minimum_filter`."""
    return _extreme("min", x, size, mode, value, origin, axes)


@operation(arrays=("value",))
def rank_filter(
    x: Any,
    /,
    rank: int,
    size: int | Sequence[int] = 3,
    *,
    mode: str = "reflect",
    value: Any = 0,
    origin: int | Sequence[int] = 0,
    axes: Axes = None,
) -> Any:
    """Element `rank` of a window in ascending order; a negative one counts from the last: `scipy.ndimage.rank_filter`.

    Raises TILE0225.
    """
    tensor = lift(x)
    along = _axes(tensor, axes)
    sizes = per_axis(size, len(along), "size")
    chosen, count = whole(rank, "a rank"), prod(sizes)
    if not -count <= chosen < count:
        raise error("TILE0225", f"element {chosen} of a window of {count}")
    padded = _padded(tensor, along, _around(sizes, origin), mode, value)
    names, forms, offsets, read = _sliding(padded, along)
    seen = contraction("assign", names, read, [*forms, *offsets], [*tensor.type.shape, *sizes], stem="windows")
    ordered = sort(reshape(seen, (*tensor.type.shape, count)))
    return getitem_of(ordered, [..., chosen])


@operation(arrays=("value",))
def percentile_filter(
    x: Any,
    /,
    percentile: float,
    size: int | Sequence[int] = 3,
    *,
    mode: str = "reflect",
    value: Any = 0,
    origin: int | Sequence[int] = 0,
    axes: Axes = None,
) -> Any:
    """The element of a window that so many percent of it are below: `scipy.ndimage.percentile_filter`."""
    part = number(percentile, "a percentile")
    if not -100 <= part <= 100:
        raise error("TILE0511", f"a percentile is between 0 and 100, not {percentile!r}")
    count = prod(per_axis(size, len(_axes(lift(x), axes)), "size"))
    part = part + 100 if part < 0 else part
    rank = count - 1 if part == 100 else int(float(count) * part / 100)
    return rank_filter(x, rank, size, mode=mode, value=value, origin=origin, axes=axes)


@operation(arrays=("value",))
def median_filter(
    x: Any,
    /,
    size: int | Sequence[int] = 3,
    *,
    mode: str = "reflect",
    value: Any = 0,
    origin: int | Sequence[int] = 0,
    axes: Axes = None,
) -> Any:
    """The middle element of a window, of an even number the larger one: `scipy.ndimage.median_filter`."""
    count = prod(per_axis(size, len(_axes(lift(x), axes)), "size"))
    return rank_filter(x, count // 2, size, mode=mode, value=value, origin=origin, axes=axes)


def gaussian(sigma: float, order: int, radius: int) -> Array:
    """Weights of a Gaussian at -radius to radius, adding up to one, or of its derivative of that order; raises TILE0511
    of a derivative that it does not have.
    """
    if sigma <= 0 or radius < 1 or order < 0:
        if order or sigma < 0:
            raise error("TILE0511", f"a Gaussian of standard deviation {sigma!r} and derivative {order}")
        return np.ones(1)
    x = np.arange(-radius, radius + 1)
    bell = np.exp(-0.5 / (sigma * sigma) * x**2)
    bell /= bell.sum()
    factor = np.polynomial.Polynomial([1.0])
    for _ in range(order):  # the derivative of factor(x) * exp(-x^2 / 2 sigma^2)
        factor = factor.deriv() - factor * np.polynomial.Polynomial([0, 1 / (sigma * sigma)])
    return np.asarray((bell * factor(x))[::-1])


def weighted(x: Tensor, axis: int, weights: Array, mode: str, value: Any, origin: int = 0) -> Tensor:
    """Correlation with constant weights along one axis; 16-bit floats are added up in float32."""
    wide = promote(x.type.dtype, F32)
    padded = _padded(x, [axis], _around([len(weights)], origin), mode, value)
    table = lift(weights.astype(wide.numpy))
    names, forms, offsets, read = _sliding(padded, [axis])
    body = call("mul", cast(read, wide), element(table, offsets))
    return contraction("sum", names, body, forms, x.type.shape, dtype=x.type.dtype, stem="filtered")


def _extreme(monoid: str, x: Any, size: Any, mode: str, value: Any, origin: Any, axes: Axes) -> Tensor:
    """Along one axis after the other."""
    tensor = lift(x)
    along = _axes(tensor, axes)
    for axis, n, shift in zip(along, per_axis(size, len(along), "size"), per_number(origin, len(along))):
        padded = _padded(tensor, [axis], _around([n], shift), mode, value)
        names, forms, (tap,), read = _sliding(padded, [axis])
        inside = [Constraint(tap, n)]
        stem = f"{monoid}_filter"
        tensor = contraction(monoid, names, read, forms, tensor.type.shape, constraints=inside, stem=stem)
    return tensor


def _sliding(padded: Tensor, axes: Sequence[int]) -> tuple[list[str], list[Affine], list[Affine], Expr]:
    """All indices of windows along axes, those of a result, those of the taps, and the element that a tap reads."""
    names, forms = variables(padded.ndim)
    taps, offsets = variables(len(axes), "k")
    places = [f + offsets[axes.index(a)] if a in axes else f for a, f in enumerate(forms)]
    return [*names, *taps], list(forms), list(offsets), element(padded, places)


def _padded(x: Tensor, axes: Sequence[int], around: Sequence[tuple[int, int]], mode: str, value: Any) -> Tensor:
    widths = [(0, 0)] * x.ndim
    for axis, pair in zip(axes, around):
        widths[axis] = pair
    kept: Tensor = pad(x, widths, PADDING[checked(mode)], constant_values=value)
    return kept


def _around(sizes: Sequence[int], origin: Any) -> list[tuple[int, int]]:
    """How far windows reach beyond both edges."""
    low = _lows("same", sizes, per_number(origin, len(sizes)))
    return [(b, n - 1 - b) for b, n in zip(low, sizes)]


def _lows(mode: str, sizes: Sequence[int], origins: Sequence[int]) -> list[int]:
    """By how much the first window begins before the axis. Raises TILE0511."""
    match mode:
        case "full":
            return [n - 1 for n in sizes]
        case "valid":
            return [0] * len(sizes)
        case "same":
            found = [n // 2 + o for n, o in zip(sizes, origins)]
            if wrong := [o for b, n, o in zip(found, sizes, origins) if not 0 <= b < n]:
                raise error("TILE0511", f"origin {wrong[0]} puts the middle outside of the window", notes=[f"{sizes}"])
            return found
    raise error("TILE0511", f"there is no mode {mode!r}", help="full, same, valid")


def _count(mode: str, extent: int, size: int) -> int:
    if size < 1 or (mode == "valid" and size > extent):
        text = f"a kernel of {size} elements on an axis of {extent}"
        raise error("TILE0211", text, help="'full' and 'same' take a kernel of any size" if size else None)
    return {"full": extent + size - 1, "same": extent, "valid": extent - size + 1}[mode]


def per_number(given: Any, count: int) -> list[int]:
    """An integer for each axis; raises TILE0204, TILE0210."""
    values = list(given) if isinstance(given, tuple | list) else [given] * count
    if len(values) != count:
        raise error("TILE0204", f"{len(values)} numbers for {count} axes")
    return [whole(v, "a number of elements") for v in values]


def _numbers(given: Any, count: int, what: str) -> list[float]:
    values = list(given) if isinstance(given, tuple | list) else [given] * count
    if len(values) != count:
        raise error("TILE0204", f"{what}: {len(values)} numbers for {count} axes")
    return [float(number(v, what)) for v in values]


def _axes(x: Tensor, axes: Any) -> list[int]:
    return list(axes_of(tuple(axes) if isinstance(axes, range) else axes, x.ndim))


def _extent(x: Tensor, axis: int) -> int:
    return fixed(x.type.shape[axis], f"axis {axis} is filtered")
