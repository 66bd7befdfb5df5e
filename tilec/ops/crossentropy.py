"""Floor 5: losses of probabilities: cross-entropies, of classes by number or by share, focal ones, divergence.

Targets come before the output of a network. Probabilities in an output are kept 1e-7 away from 0 and 1; of logits the
losses are computed without overflow or cancellation. `reduction` and `weights` are those of `tilec.ops.losses`.
"""

from __future__ import annotations

from math import inf
from typing import Any

from tilec.dtypes import BOOL, I32, I64
from tilec.errors import error
from tilec.numpy.axes import axis_of, number, whole
from tilec.numpy.creation import arange
from tilec.numpy.elementwise import clip, exp, expm1, log1p, log_e, sigmoid, where
from tilec.numpy.precision import widened
from tilec.numpy.reductions import Axis, log_softmax, mean, sum
from tilec.numpy.shapes import expand_dims, reshape
from tilec.ops.reduction import pair, reduced
from tilec.rules import shape_text
from tilec.tracing.dispatch import lift, operation
from tilec.tracing.elementwise import as_dtype
from tilec.tracing.tensor import Tensor

EPSILON = 1e-7  # how near to 0 and 1 the probabilities of an output are taken to be


@operation(arrays=("weights",))
def binary_crossentropy(
    target: Any,
    output: Any,
    /,
    *,
    from_logits: bool = False,
    axis: Axis = -1,
    weights: Any = None,
    reduction: str = "mean",
) -> Any:
    """-(target * log(p) + (1 - target) * log(1 - p)): p is the output, or its sigmoid.

    The mean along `axis` is the loss of a sample; with `axis=()` each element is one. Raises TILE0203, TILE0511.
    """
    wanted, found, dtype = pair(target, output)
    losses = _binary(wanted, found, from_logits)
    return reduced(mean(losses, axis=axis), dtype, weights, reduction)


def _binary(target: Tensor, output: Tensor, from_logits: bool) -> Any:
    """Of logits log(1 + exp(-|x|)) and the share of |x| on the wrong side, in pieces with the right slope at 0."""
    if not from_logits:
        p = clip(output, EPSILON, 1 - EPSILON)
        return -(target * log_e(p) + (1.0 - target) * log_e(1.0 - p))
    positive = output > 0
    share, size = where(positive, 1.0 - target, target), where(positive, output, -output)
    certain = (share == 0) & (size == inf)  # and right: no share of an infinite number
    return share * where(certain, 0.0, size) + log1p(exp(-size))


@operation(arrays=("weights",))
def binary_focal_crossentropy(
    target: Any,
    output: Any,
    /,
    *,
    alpha: float | None = None,
    gamma: float = 2.0,
    from_logits: bool = False,
    axis: Axis = -1,
    weights: Any = None,
    reduction: str = "mean",
) -> Any:
    """`binary_crossentropy` times (1 - p)^gamma for the probability p of what is right (Lin et al. 2017).

    `alpha` weighs the loss of a target 1, and 1 - alpha that of 0. Raises TILE0203, TILE0210, TILE0511.
    """
    wanted, found, dtype = pair(target, output)
    losses = _binary(wanted, found, from_logits)
    one, zero = _both(found, from_logits)
    missed = wanted * zero + (1.0 - wanted) * one
    losses = losses * missed ** float(number(gamma, "gamma"))
    if alpha is not None:
        share = float(number(alpha, "alpha"))
        losses = losses * (wanted * share + (1.0 - wanted) * (1 - share))
    return reduced(mean(losses, axis=axis), dtype, weights, reduction)


def _both(output: Tensor, from_logits: bool) -> tuple[Any, Any]:
    """The probabilities of 1 and of 0."""
    if from_logits:
        return sigmoid(output), sigmoid(-output)
    p = clip(output, EPSILON, 1 - EPSILON)
    return p, 1.0 - p


@operation(arrays=("weights",))
def categorical_crossentropy(
    target: Any,
    output: Any,
    /,
    *,
    from_logits: bool = False,
    axis: int = -1,
    weights: Any = None,
    reduction: str = "mean",
) -> Any:
    """-(target * log(p)), added up along the axis of the classes: p is the output divided by its sum, or its softmax.

    Raises TILE0203, TILE0212, TILE0511.
    """
    wanted, found, dtype = pair(target, output)
    along = axis_of(axis, found.ndim)
    # where the target is 0, nothing: log(p) may be -infinity there
    terms = where(wanted == 0, 0.0, wanted * _log_probabilities(found, along, from_logits))
    return reduced(-sum(terms, axis=along), dtype, weights, reduction)


@operation(arrays=("weights",))
def categorical_focal_crossentropy(
    target: Any,
    output: Any,
    /,
    *,
    alpha: float = 0.25,
    gamma: float = 2.0,
    from_logits: bool = False,
    axis: int = -1,
    weights: Any = None,
    reduction: str = "mean",
) -> Any:
    """`categorical_crossentropy` with each class's term times alpha * (1 - p)^gamma (Lin et al. 2017).

    Raises TILE0203, TILE0210, TILE0212, TILE0511.
    """
    wanted, found, dtype = pair(target, output)
    along = axis_of(axis, found.ndim)
    # where the target is 0, nothing: log(p) may be -infinity there, which has no slope
    logs = where(wanted == 0, 0.0, _log_probabilities(found, along, from_logits))
    missed = (-expm1(logs)) ** float(number(gamma, "gamma"))
    return reduced(sum(wanted * logs * missed, axis=along) * -float(number(alpha, "alpha")), dtype, weights, reduction)


def _log_probabilities(output: Tensor, axis: int, from_logits: bool) -> Any:
    if from_logits:
        return log_softmax(output, axis=axis)
    return log_e(clip(output / sum(output, axis=axis, keepdims=True), EPSILON, 1 - EPSILON))


@operation(arrays=("weights",))
def sparse_categorical_crossentropy(
    target: Any,
    output: Any,
    /,
    *,
    from_logits: bool = False,
    axis: int = -1,
    ignore_class: int | None = None,
    weights: Any = None,
    reduction: str = "mean",
) -> Any:
    """-log of the probability of the target's class: a number of classes, which lie along an axis of the output.

    Probabilities are the output divided by its sum, or its softmax. The loss of a target that is `ignore_class` is 0
    and does not count in the mean; that of any other that is no class is NaN. Raises TILE0304 of a target that is not
    of integers, TILE0203 where it lacks another axis than that of the classes, TILE0210, TILE0212, TILE0511.
    """
    wide, dtype = widened(output)
    along = axis_of(axis, wide.ndim)
    labels = _labels(lift(target), wide, along)
    logs = _log_probabilities(wide, along, from_logits)
    classes = arange(wide.shape[along], dtype=labels.dtype)
    chosen = expand_dims(labels, along) == reshape(classes, [-1 if a == along else 1 for a in range(wide.ndim)])
    known = (labels >= 0) & (labels < wide.shape[along])
    losses = where(known, -sum(where(chosen, logs, 0.0), axis=along), float("nan"))
    if ignore_class is not None:
        counted = labels != whole(ignore_class, "a class")
        losses = where(counted, losses, 0.0)
        share = as_dtype(counted, wide.type.dtype)
        weights = share if weights is None else share * widened(weights)[0]
    return reduced(losses, dtype, weights, reduction)


def _labels(target: Tensor, output: Tensor, axis: int) -> Tensor:
    """The target in int32 or int64, in which numbers of classes are compared."""
    dtype = target.type.dtype
    if not dtype.is_integer or dtype == BOOL:
        raise error("TILE0304", f"classes are given by integers, not by {dtype.long}")
    shape = output.type.shape
    if target.type.shape != (*shape[:axis], *shape[axis + 1 :]):
        text = f"a target of shape {shape_text(target.type.shape)} for an output of shape {shape_text(shape)}"
        raise error("TILE0203", text, help=f"the target lacks axis {axis}, along which the classes lie")
    found: Tensor = as_dtype(target, I32 if dtype.bits < 32 or dtype == I32 else I64)
    return found


@operation(arrays=("weights",))
def kl_divergence(target: Any, output: Any, /, *, axis: Axis = -1, weights: Any = None, reduction: str = "mean") -> Any:
    """target * log(target / output), added up along the axis; 0 where the target is 0, NaN below
    (Kullback, Leibler 1951).

    Raises TILE0203, TILE0212, TILE0511.
    """
    wanted, found, dtype = pair(target, output)
    nothing = wanted == 0
    logs = log_e(where(nothing, 1.0, wanted)) - log_e(clip(found, EPSILON, None))
    terms = where(nothing, 0.0, wanted * logs)
    return reduced(sum(terms, axis=axis), dtype, weights, reduction)
