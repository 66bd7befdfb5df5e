"""Floor 5: activations: elementwise functions and normalised exponentials, finite wherever their limits are.

Integers become float32. Sixteen-bit floats are computed in float32 and rounded once. NaN stays NaN. Where two pieces
meet with different slopes, the gradient is that of one of them.
"""

from __future__ import annotations

from math import pi, sqrt
from typing import Any

from tilec.errors import error
from tilec.numpy.axes import axis_of, number, positive
from tilec.numpy.creation import arange
from tilec.numpy.cumulative import cumsum
from tilec.numpy.elementwise import (
    abs,
    astype,
    clip,
    erf,
    exp,
    expm1,
    log1p,
    logical_not,
    maximum,
    minimum,
    multiply,
    relu,
    sigmoid,
    stop_gradient,
    tanh,
    where,
)
from tilec.numpy.elementwise import sqrt as root
from tilec.numpy.precision import widened
from tilec.numpy.reductions import max_or_zero, sum
from tilec.numpy.shapes import flip, moveaxis
from tilec.numpy.sorting import sort
from tilec.tracing.dispatch import operation
from tilec.tracing.elementwise import as_dtype, as_float

_SELU_ALPHA, _SELU_SCALE = 1.6732632423543772, 1.0507009873554805  # fixed points at mean 0 and variance 1
_CERTAIN = 1000.0  # where shares are 1, and 0 at its negative, in every type: infinities would make NaN of x * 0


@operation
def relu6(x: Any, /) -> Any:
    """min(max(x, 0), 6)."""
    return minimum(relu(as_float(x)), 6.0)


@operation
def leaky_relu(x: Any, /, negative_slope: float = 0.01) -> Any:
    """x where it is positive, else negative_slope * x (Maas et al. 2013). Raises TILE0210 of what is no number."""
    wide, dtype = widened(x)
    return as_dtype(where(wide > 0, wide, wide * float(number(negative_slope, "a slope"))), dtype)


@operation
def prelu(x: Any, slope: Any, /) -> Any:
    """x where it is positive, else slope * x; the slope, a tensor, broadcasts against x (He et al. 2015)."""
    tensor = as_float(x)
    return where(tensor > 0, tensor, multiply(tensor, slope))


@operation
def elu(x: Any, /, alpha: float = 1.0) -> Any:
    """x where it is positive, else alpha * (exp(x) - 1) (Clevert et al. 2015). Raises TILE0210 of what is no number."""
    wide, dtype = widened(x)
    return as_dtype(where(wide > 0, wide, expm1(wide) * float(number(alpha, "alpha"))), dtype)


@operation
def selu(x: Any, /) -> Any:
    """A scaled `elu` whose results tend to mean 0 and variance 1 (Klambauer et al. 2017)."""
    wide, dtype = widened(x)
    return as_dtype(where(wide > 0, wide, expm1(wide) * _SELU_ALPHA) * _SELU_SCALE, dtype)


@operation
def celu(x: Any, /, alpha: float = 1.0) -> Any:
    """x where it is positive, else alpha * (exp(x / alpha) - 1) (Barron 2017). Raises TILE0210 of 0 or less."""
    wide, dtype = widened(x)
    alpha = positive(alpha, "alpha")
    return as_dtype(where(wide > 0, wide, expm1(wide / alpha) * alpha), dtype)


@operation
def gelu(x: Any, /, approximate: bool = False) -> Any:
    """x times the probability that a standard normal number is less (Hendrycks, Gimpel 2016).

    With `approximate` the probability is taken as (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2.
    """
    wide, dtype = widened(x)
    if approximate:
        inner = clip(wide, -100.0, 100.0)  # beyond, the probability is 0 or 1, and the cube would overflow
        below = sigmoid((inner + inner * inner * inner * 0.044715) * (2 * sqrt(2 / pi)))
    else:
        below = (erf(minimum(wide, _CERTAIN) * sqrt(0.5)) + 1.0) * 0.5
    return as_dtype(maximum(wide, -_CERTAIN) * below, dtype)


@operation
def silu(x: Any, /) -> Any:
    """x * sigmoid(x), also known as swish (Elfwing et al. 2017)."""
    wide, dtype = widened(x)
    return as_dtype(maximum(wide, -_CERTAIN) * sigmoid(minimum(wide, _CERTAIN)), dtype)


@operation
def softplus(x: Any, /) -> Any:
    """log(1 + exp(x)), without overflow."""
    wide, dtype = widened(x)
    return as_dtype(_softplus(wide), dtype)


def _softplus(x: Any) -> Any:
    """max(x, 0) + log(1 + exp(-|x|)), whose slope at 0 is 1/2: that of max and |x| there would be any."""
    positive = x > 0
    return where(positive, x, 0.0) + log1p(exp(where(positive, -x, x)))


@operation
def log_sigmoid(x: Any, /) -> Any:
    """log(sigmoid(x)), accurate where the sigmoid is near 0 or 1."""
    wide, dtype = widened(x)
    return as_dtype(-_softplus(-wide), dtype)


@operation
def mish(x: Any, /) -> Any:
    """x * tanh(softplus(x)) (Misra 2019)."""
    wide, dtype = widened(x)
    return as_dtype(maximum(wide, -_CERTAIN) * tanh(_softplus(minimum(wide, _CERTAIN))), dtype)


@operation
def hard_sigmoid(x: Any, /) -> Any:
    """x / 6 + 1/2, kept between 0 and 1."""
    wide, dtype = widened(x)
    return as_dtype(_hard_sigmoid(wide), dtype)


def _hard_sigmoid(x: Any) -> Any:
    return minimum(relu(x + 3.0), 6.0) * (1 / 6)


@operation
def hard_silu(x: Any, /) -> Any:
    """x * hard_sigmoid(x) (Howard et al. 2019)."""
    wide, dtype = widened(x)
    return as_dtype(maximum(wide, -3.0) * _hard_sigmoid(wide), dtype)


@operation
def hard_tanh(x: Any, /) -> Any:
    """x, kept between -1 and 1."""
    return clip(as_float(x), -1.0, 1.0)


@operation
def softsign(x: Any, /) -> Any:
    """x / (1 + |x|)."""
    wide, dtype = widened(x)
    bounded = clip(wide, -1e30, 1e30)  # beyond, the result is -1 or 1: infinities would make NaN of it
    return as_dtype(bounded / (abs(bounded) + 1.0), dtype)


@operation
def squareplus(x: Any, /, b: float = 4.0) -> Any:
    """(x + sqrt(x^2 + b)) / 2 (Barron 2021). Raises TILE0210 of no positive number."""
    wide, dtype = widened(x)
    b = positive(b, "b")
    near = clip(wide, -1e15, 1e15)  # the square of more would overflow
    length = maximum(root(near * near + b), abs(wide))
    small = (0.5 * b) / (length - wide)  # the same where x is negative, without cancellation
    return as_dtype(where(wide > 0, wide * 0.5 + length * 0.5, small), dtype)


@operation
def hard_shrink(x: Any, /, threshold: float = 0.5) -> Any:
    """x, but 0 where |x| <= threshold. Raises TILE0210 of what is no number."""
    tensor = as_float(x)
    return where(abs(tensor) <= float(number(threshold, "a threshold")), 0.0, tensor)


@operation
def soft_shrink(x: Any, /, threshold: float = 0.5) -> Any:
    """x moved towards 0 by the threshold, but not beyond. Raises TILE0210 of a number below 0."""
    wide, dtype = widened(x)
    bound = float(number(threshold, "a threshold"))
    if bound < 0:
        raise error("TILE0210", f"a threshold of soft_shrink is 0 or more, not {threshold!r}")
    return as_dtype(wide - clip(wide, -bound, bound), dtype)


@operation
def tanh_shrink(x: Any, /) -> Any:
    """x - tanh(x)."""
    wide, dtype = widened(x)
    return as_dtype(wide - tanh(wide), dtype)


@operation
def threshold(x: Any, /, threshold: float, value: float = 0.0) -> Any:
    """x where it is above the threshold, else the value. Raises TILE0210 of what is no number."""
    tensor = as_float(x)
    return where(tensor <= float(number(threshold, "a threshold")), float(number(value, "a value")), tensor)


@operation
def sparse_plus(x: Any, /) -> Any:
    """0 up to -1, (x + 1)^2 / 4 up to 1, x above: a `softplus` with exact zeros."""
    wide, dtype = widened(x)
    inner = clip(wide, -1.0, 1.0) + 1.0
    return as_dtype(where(wide >= 1, wide, inner * inner * 0.25), dtype)


@operation
def sparse_sigmoid(x: Any, /) -> Any:
    """(x + 1) / 2, kept between 0 and 1: the slope of `sparse_plus`."""
    wide, dtype = widened(x)
    return as_dtype(clip((wide + 1.0) * 0.5, 0.0, 1.0), dtype)


@operation
def glu(x: Any, /, axis: int = -1) -> Any:
    """The first half of x along an axis times the sigmoid of the second half (Dauphin et al. 2016).

    Raises TILE0212 of no axis, TILE0204 where its size is odd.
    """
    wide, dtype = widened(x)
    along = axis_of(axis, wide.ndim)
    size = wide.shape[along]
    if size % 2:
        raise error("TILE0204", f"glu halves an axis, but axis {along} has the odd size {size}")
    before = (slice(None),) * along
    values, gates = wide[(*before, slice(None, size // 2))], wide[(*before, slice(size // 2, None))]
    return as_dtype(values * sigmoid(gates), dtype)


@operation
def sparsemax(x: Any, /, axis: int = -1) -> Any:
    """The point of the probability simplex nearest to x along an axis (Martins, Astudillo 2016).

    Elements are lowered by one number, those below 0 are 0. Which stay is found by sorting, and has no derivative.
    """
    wide, dtype = widened(x)
    along = axis_of(axis, wide.ndim)
    moved = moveaxis(wide, along, -1)
    moved = moved - stop_gradient(max_or_zero(moved, axis=-1, keepdims=True))
    kept = logical_not(moved <= _limit(stop_gradient(moved)))  # NaN stays
    count = sum(astype(kept, wide.dtype), axis=-1, keepdims=True)
    excess = (sum(where(kept, moved, 0.0), axis=-1, keepdims=True) - 1.0) / count
    return as_dtype(moveaxis(where(kept, moved - excess, 0.0), -1, along), dtype)


def _limit(x: Any) -> Any:
    """Above which elements are kept: the k largest, for the greatest k with 1 + k x_k > x_1 + ... + x_k."""
    ordered = flip(sort(x, axis=-1), axis=-1)
    total = cumsum(ordered, axis=-1) - 1.0
    rank = astype(arange(1, x.shape[-1] + 1), x.dtype)
    excess = total / rank
    return max_or_zero(where(ordered > excess, excess, -float("inf")), axis=-1, keepdims=True)
