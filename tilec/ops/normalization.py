"""Floor 5: normalisation: elements less a mean and over a standard deviation, of a batch or of axes of one element.

Means and variances of 16-bit floats are computed in float32, and the result is rounded once. A variance is the mean of
squared distances from the mean, where the squares of large numbers do not cancel. The mean itself is rounded: where it
is k standard deviations, elements of the result are off by a few units in the last place of k, in float32 up to 1e-6 k.

Defaults of `batch_norm` are Keras's, those of the others torch's, whose epsilon of 1e-5 is 1e-3 in Keras.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

from tilec.dtypes import F32
from tilec.errors import error
from tilec.numpy import reductions
from tilec.numpy.axes import axes_of, number, whole
from tilec.numpy.shapes import reshape, squeeze
from tilec.ops.windows import image_axes
from tilec.rules import shape_text
from tilec.tracing.dispatch import lift, operation
from tilec.tracing.elementwise import apply, as_dtype, as_float
from tilec.tracing.tensor import Tensor

Axis: TypeAlias = int | Sequence[int]


@operation
def moments(x: Any, /, axes: Axis | None = None, keepdims: bool = False) -> tuple[Any, Any]:
    """The mean and the variance along axes, of all elements by default, as a pair. Raises TILE0212."""
    tensor = as_float(x)
    mean, variance, _ = _moments(tensor, axes_of(axes, tensor.ndim))
    if not keepdims:
        mean, variance = (squeeze(t, axes_of(axes, tensor.ndim)) for t in (mean, variance))
    return as_dtype(mean, tensor.type.dtype), as_dtype(variance, tensor.type.dtype)


@operation(arrays=("scale", "offset"))
def batch_norm(
    x: Any,
    mean: Any,
    variance: Any,
    /,
    scale: Any = None,
    offset: Any = None,
    epsilon: float = 1e-3,
    channels_first: bool = False,
) -> Any:
    """(x - mean) / sqrt(variance + epsilon) * scale + offset, with given statistics: batch normalisation in inference.

    All but x are vectors over the channels. Raises TILE0202, TILE0203.
    """
    tensor = as_float(x)
    channel = _channel(tensor, channels_first)
    mean, variance = (_wide(_spread(v, tensor, [channel])) for v in (mean, variance))
    return _normalized(tensor, apply("sub", _wide(tensor), mean), variance, scale, offset, [channel], epsilon)


@operation(arrays=("scale", "offset"))
def batch_norm_training(
    x: Any,
    mean: Any,
    variance: Any,
    /,
    scale: Any = None,
    offset: Any = None,
    epsilon: float = 1e-3,
    momentum: float = 0.99,
    channels_first: bool = False,
) -> tuple[Any, Any, Any]:
    """Batch normalisation with the statistics of the batch; returns (result, mean, variance), the latter two moved on.

    The statistics that inference will take become momentum * old + (1 - momentum) * those of the batch, as in Keras
    (torch's momentum is 1 less this one, and its running variance is that of n - 1 elements). Raises TILE0202,
    TILE0203.
    """
    tensor = as_float(x)
    channel = _channel(tensor, channels_first)
    rest = [a for a in range(tensor.ndim) if a != channel]
    own_mean, own_variance, centred = _moments(tensor, rest)
    result = _normalized(tensor, centred, own_variance, scale, offset, [channel], epsilon)
    new_mean, new_variance = (
        _moved(old, squeeze(new, rest), momentum) for old, new in ((mean, own_mean), (variance, own_variance))
    )
    return result, new_mean, new_variance


@operation(arrays=("scale", "offset"))
def layer_norm(x: Any, /, scale: Any = None, offset: Any = None, axes: Axis = -1, epsilon: float = 1e-5) -> Any:
    """(x - mean) / sqrt(variance + epsilon) * scale + offset, with the moments of `axes`, which scale and offset have.

    Raises TILE0203, TILE0212.
    """
    tensor = as_float(x)
    along = sorted(axes_of(axes, tensor.ndim))
    _, variance, centred = _moments(tensor, along)
    return _normalized(tensor, centred, variance, scale, offset, along, epsilon)


@operation(arrays=("scale", "offset"))
def group_norm(
    x: Any,
    /,
    scale: Any = None,
    offset: Any = None,
    groups: int = 32,
    epsilon: float = 1e-5,
    channels_first: bool = False,
) -> Any:
    """Layer normalisation of each group of neighbouring channels by itself, over space too (Wu and He, 2018).

    scale and offset are vectors over the channels. Raises TILE0202, TILE0203, TILE0511.
    """
    tensor = as_float(x)
    channel, count = _channel(tensor, channels_first), whole(groups, "the number of groups")
    shape = tensor.type.shape
    channels = whole(shape[channel], "the number of channels")
    if count < 1 or channels % count:
        raise error("TILE0511", f"{channels} channels are not divisible by {count} groups")
    apart = reshape(tensor, (*shape[:channel], count, channels // count, *shape[channel + 1 :]))
    _, variance, centred = _moments(apart, [a for a in range(1, apart.ndim) if a != channel])
    normal = reshape(_divided(centred, variance, epsilon), shape)
    return _scaled(normal, tensor, scale, offset, [channel])


@operation(arrays=("scale", "offset"))
def instance_norm(
    x: Any, /, scale: Any = None, offset: Any = None, epsilon: float = 1e-5, channels_first: bool = False
) -> Any:
    """Each channel of each image less its mean and over its standard deviation, times scale, plus offset, by channel.

    Raises TILE0202, TILE0203.
    """
    tensor = as_float(x)
    channel = _channel(tensor, channels_first)
    _, variance, centred = _moments(tensor, image_axes(tensor, channels_first))
    return _normalized(tensor, centred, variance, scale, offset, [channel], epsilon)


@operation(arrays=("scale",))
def rms_norm(x: Any, /, scale: Any = None, axes: Axis = -1, epsilon: float = 1e-6) -> Any:
    """x / sqrt(mean(x * x) + epsilon) * scale over `axes`, which scale has (Zhang and Sennrich, 2019).

    Raises TILE0203, TILE0212.
    """
    tensor = as_float(x)
    along = sorted(axes_of(axes, tensor.ndim))
    wide = _wide(tensor)
    square = reductions.mean(apply("mul", wide, wide), along, keepdims=True)
    return _normalized(tensor, wide, square, scale, None, along, epsilon)


@operation
def l2_normalize(x: Any, /, axes: Axis = -1, epsilon: float = 1e-12) -> Any:
    """x over its Euclidean norm along axes, or over epsilon where the norm is less. Raises TILE0210, TILE0212."""
    tensor = as_float(x)
    wide = _wide(tensor)
    square = reductions.sum(apply("mul", wide, wide), axes, keepdims=True)
    least = apply("max", square, float(number(epsilon, "epsilon")) ** 2)
    return as_dtype(apply("mul", wide, apply("recip", apply("sqrt", least))), tensor.type.dtype)


def _wide(x: Tensor) -> Tensor:
    """In at least float32."""
    wide: Tensor = as_dtype(x, F32) if x.type.dtype.bits < 32 else x
    return wide


def _moments(x: Tensor, axes: Sequence[int]) -> tuple[Tensor, Tensor, Tensor]:
    """Mean and variance with all axes kept, and what is left of x without its mean; in at least float32."""
    wide = _wide(x)
    mean = reductions.mean(wide, axes, keepdims=True)
    centred = apply("sub", wide, mean)
    return mean, reductions.mean(apply("mul", centred, centred), axes, keepdims=True), centred


def _normalized(
    x: Tensor, centred: Tensor, variance: Tensor, scale: Any, offset: Any, axes: Sequence[int], epsilon: float
) -> Tensor:
    """centred / sqrt(variance + epsilon) * scale + offset, in the type of x."""
    return _scaled(_divided(centred, variance, epsilon), x, scale, offset, axes)


def _divided(centred: Tensor, variance: Tensor, epsilon: float) -> Any:
    return apply("mul", centred, apply("recip", apply("sqrt", apply("add", variance, epsilon))))


def _scaled(found: Any, x: Tensor, scale: Any, offset: Any, axes: Sequence[int]) -> Tensor:
    """found * scale + offset, in the type of x."""
    if scale is not None:
        found = apply("mul", found, _wide(_spread(scale, x, axes)))
    if offset is not None:
        found = apply("add", found, _wide(_spread(offset, x, axes)))
    result: Tensor = as_dtype(found, x.type.dtype)
    return result


def _spread(value: Any, x: Tensor, axes: Sequence[int]) -> Tensor:
    """A tensor of these axes of x, with axes of size 1 where broadcasting needs them; raises TILE0203."""
    tensor = lift(value)
    wanted = tuple(x.type.shape[a] for a in axes)
    if tensor.type.shape != wanted:
        text = f"the shape {shape_text(tensor.type.shape)} where the normalised axes have {shape_text(wanted)}"
        raise error("TILE0203", text, notes=[f"shape of the data: {shape_text(x.type.shape)}"])
    after = range(axes[0], x.ndim) if axes else range(0)
    found: Tensor = reshape(tensor, tuple(x.type.shape[a] if a in axes else 1 for a in after))
    return found


def _channel(x: Tensor, channels_first: bool) -> int:
    """The axis of channels; raises TILE0202."""
    if x.ndim < 2:
        raise error("TILE0202", f"a batch with channels has at least 2 axes, not the shape {shape_text(x.type.shape)}")
    return 1 if channels_first else x.ndim - 1


def _moved(old: Any, new: Tensor, momentum: float) -> Any:
    """A running statistic, moved towards that of a batch; raises TILE0203."""
    before = lift(old)
    if before.type.shape != new.type.shape:
        text = f"statistics of shape {shape_text(before.type.shape)} for {shape_text(new.type.shape)} channels"
        raise error("TILE0203", text)
    step = apply("add", apply("mul", _wide(before), momentum), apply("mul", new, 1.0 - momentum))
    return as_dtype(step, before.type.dtype)
