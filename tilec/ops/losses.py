"""Floor 5: losses of numbers: distances, margins, angles. Those of probabilities are in `tilec.ops.crossentropy`.

A target comes before the output of a network, and has its shape. The mean along `axis` is the loss of a sample; with
`axis=()` each element is one. `reduction` says what becomes of the samples: "mean", "sum" or "none", which gives a loss
for each. `weights` broadcast to the samples and multiply their losses; "mean" is then the weighted mean, 0 where all
weights are 0. Sixteen-bit floats are computed in float32 and rounded once.

All raise TILE0203 of shapes that do not fit, TILE0212 of no axis, TILE0511 of a reduction that there is not.
"""

from __future__ import annotations

from math import log
from typing import Any

from tilec.numpy.axes import number, positive
from tilec.numpy.elementwise import abs, clip, exp, log1p, log_e, relu, rsqrt, sqrt, square, tanh, where
from tilec.numpy.reductions import Axis, mean, sum
from tilec.ops.reduction import pair, reduced
from tilec.tracing.dispatch import operation

_SMALL = 1e-7  # added where a logarithm or a quotient of 0 would be taken


@operation(arrays=("weights",))
def mean_squared_error(
    target: Any, output: Any, /, *, axis: Axis = -1, weights: Any = None, reduction: str = "mean"
) -> Any:
    """(output - target)^2."""
    wanted, found, dtype = pair(target, output)
    return reduced(mean(square(found - wanted), axis=axis), dtype, weights, reduction)


@operation(arrays=("weights",))
def mean_absolute_error(
    target: Any, output: Any, /, *, axis: Axis = -1, weights: Any = None, reduction: str = "mean"
) -> Any:
    """|output - target|."""
    wanted, found, dtype = pair(target, output)
    return reduced(mean(abs(found - wanted), axis=axis), dtype, weights, reduction)


@operation(arrays=("weights",))
def huber(
    target: Any,
    output: Any,
    /,
    *,
    delta: float = 1.0,
    axis: Axis = -1,
    weights: Any = None,
    reduction: str = "mean",
) -> Any:
    """Of the distance d: d^2 / 2 up to delta, delta * (d - delta / 2) beyond (Huber 1964). Raises TILE0210 of 0
    or less."""
    wanted, found, dtype = pair(target, output)
    delta = positive(delta, "delta")
    distance = found - wanted
    near = clip(distance, -delta, delta)
    return reduced(mean(near * (distance - near * 0.5), axis=axis), dtype, weights, reduction)


@operation(arrays=("weights",))
def log_cosh(target: Any, output: Any, /, *, axis: Axis = -1, weights: Any = None, reduction: str = "mean") -> Any:
    """log(cosh(output - target)), without overflow, and accurate near 0."""
    wanted, found, dtype = pair(target, output)
    distance = abs(found - wanted)
    far = distance + log1p(exp(distance * -2.0)) - log(2)
    near = log1p(-square(tanh(distance))) * -0.5  # cosh^2 = 1 / (1 - tanh^2)
    return reduced(mean(where(distance > 1, far, near), axis=axis), dtype, weights, reduction)


@operation(arrays=("weights",))
def hinge(target: Any, output: Any, /, *, axis: Axis = -1, weights: Any = None, reduction: str = "mean") -> Any:
    """max(1 - target * output, 0) of targets that are -1 or 1."""
    wanted, found, dtype = pair(target, output)
    return reduced(mean(relu(1.0 - wanted * found), axis=axis), dtype, weights, reduction)


@operation(arrays=("weights",))
def poisson(target: Any, output: Any, /, *, axis: Axis = -1, weights: Any = None, reduction: str = "mean") -> Any:
    """output - target * log(output + 1e-7): of counts in the target, up to what the output does not change."""
    wanted, found, dtype = pair(target, output)
    return reduced(mean(found - wanted * log_e(found + _SMALL), axis=axis), dtype, weights, reduction)


@operation(arrays=("weights",))
def cosine_similarity(
    target: Any, output: Any, /, *, axis: Axis = -1, weights: Any = None, reduction: str = "mean"
) -> Any:
    """The cosine of the angle between target and output along the axis, times -1: least where they agree.

    0 where one of them is 0.
    """
    wanted, found, dtype = pair(target, output)
    wanted, found = (x * _reciprocal_length(x, axis) for x in (wanted, found))
    return reduced(-sum(wanted * found, axis=axis), dtype, weights, reduction)


def _reciprocal_length(x: Any, axis: Axis) -> Any:
    """1 / the length of vectors; 0 of those that are 0."""
    squares = sum(square(x), axis=axis, keepdims=True)
    return where(squares == 0, 0.0, rsqrt(squares))


@operation(arrays=("weights",))
def triplet(
    anchor: Any,
    positive: Any,
    negative: Any,
    /,
    *,
    margin: float = 1.0,
    axis: Axis = -1,
    weights: Any = None,
    reduction: str = "mean",
) -> Any:
    """max(|anchor - positive| - |anchor - negative| + margin, 0), of Euclidean distances along the axis.

    The slope of a distance of 0 is 0. (Schroff et al. 2015, without their squares.) Raises TILE0210.
    """
    (own, like, dtype), (_, unlike, _) = pair(anchor, positive), pair(anchor, negative)
    losses = _distance(own, like, axis) - _distance(own, unlike, axis) + float(number(margin, "a margin"))
    return reduced(relu(losses), dtype, weights, reduction)


def _distance(a: Any, b: Any, axis: Axis) -> Any:
    squares = sum(square(a - b), axis=axis)
    return where(squares == 0, 0.0, sqrt(squares))
