"""Floor 5: filters by sums of windows: correlation, convolution, smoothing, after those of SciPy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tilec.dtypes import F32, promote
from tilec.errors import error
from tilec.exact.domain import fixed
from tilec.numpy.axes import each_axis, number, tabled, whole
from tilec.numpy.shapes import flip
from tilec.numpy_semantics import Array
from tilec.ops.neighbourhoods import Axes, around, extent_of, filtered_axes, lows, padded, sliding
from tilec.ops.windows import per_axis
from tilec.rules import call, cast
from tilec.tracing.contraction import contraction, element
from tilec.tracing.dispatch import lift, operation
from tilec.tracing.elementwise import as_float
from tilec.tracing.tensor import Tensor

_MOST_DERIVATIVES = 32  # of a Gaussian: far more than a filter tells apart


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
    along = filtered_axes(tensor, range(-weights.ndim, 0) if axes is None and weights.ndim <= tensor.ndim else axes)
    if len(along) != weights.ndim:
        raise error("TILE0202", f"a kernel of rank {weights.ndim} along {len(along)} axes")
    sizes = [fixed(n, "a kernel has an axis of that size") for n in weights.type.shape]
    low = lows(mode, sizes, each_axis(origin, len(sizes), "origin", whole))
    counts = [_count(mode, extent_of(tensor, a), n) for a, n in zip(along, sizes)]
    beyond = [(b, c - 1 + n - 1 - b - (extent_of(tensor, a) - 1)) for a, n, b, c in zip(along, sizes, low, counts)]
    continued = padded(tensor, along, beyond, boundary, value)
    names, forms, offsets, read = sliding(continued, along)
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
    along = filtered_axes(tensor, axes)
    sigmas, orders = each_axis(sigma, len(along), "sigma", number), each_axis(order, len(along), "order", whole)
    for axis, s, n in zip(along, sigmas, orders):
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
    along = filtered_axes(tensor, axes)
    sizes, origins = per_axis(size, len(along), "size"), each_axis(origin, len(along), "origin", whole)
    for axis, n, shift in zip(along, sizes, origins):
        tensor = weighted(tensor, axis, np.full(tabled(n, "a mean"), 1 / n), mode, value, shift)
    return tensor


def gaussian(sigma: float, order: int, radius: int) -> Array:
    """Weights of a Gaussian at -radius to radius, adding up to one, or of its derivative of that order; raises TILE0511
    of a derivative that it does not have.
    """
    if sigma <= 0 or radius < 1 or order < 0:
        if order or sigma < 0:
            raise error("TILE0511", f"a Gaussian of standard deviation {sigma!r} and derivative {order}")
        return np.ones(1)
    if not 0 <= order <= _MOST_DERIVATIVES:
        raise error("TILE0511", f"derivatives of a Gaussian are of order 0 to {_MOST_DERIVATIVES}, not {order}")
    x = np.arange(-radius, tabled(2 * radius + 1, "a Gaussian") - radius)
    bell = np.exp(-0.5 / (sigma * sigma) * x**2)
    bell /= bell.sum()
    factor = np.polynomial.Polynomial([1.0])
    for _ in range(order):  # the derivative of factor(x) * exp(-x^2 / 2 sigma^2)
        factor = factor.deriv() - factor * np.polynomial.Polynomial([0, 1 / (sigma * sigma)])
    return np.asarray((bell * factor(x))[::-1])


def weighted(x: Tensor, axis: int, weights: Array, mode: str, value: Any, origin: int = 0) -> Tensor:
    """Correlation with constant weights along one axis; 16-bit floats are added up in float32."""
    wide = promote(x.type.dtype, F32)
    continued = padded(x, [axis], around([len(weights)], origin), mode, value)
    table = lift(weights.astype(wide.numpy))
    names, forms, offsets, read = sliding(continued, [axis])
    body = call("mul", cast(read, wide), element(table, offsets))
    return contraction("sum", names, body, forms, x.type.shape, dtype=x.type.dtype, stem="filtered")


def _count(mode: str, extent: int, size: int) -> int:
    if size < 1 or (mode == "valid" and size > extent):
        text = f"a kernel of {size} elements on an axis of {extent}"
        raise error("TILE0211", text, help="'full' and 'same' take a kernel of any size" if size else None)
    return {"full": extent + size - 1, "same": extent, "valid": extent - size + 1}[mode]
