"""Floor 5: convolutions, each one contraction of an image and a kernel.

An image is `[batch, *space, channels]`, or `[batch, channels, *space]` with `channels_first=True`; space has one axis
or more. A kernel is `[*window, channels, features]` in either case. Kernels are not flipped, as in Keras and torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from tilec.affine import Affine, Size
from tilec.errors import error
from tilec.graph import Constraint
from tilec.numpy.axes import whole
from tilec.ops.windows import Window, arranged, channel_axis, image_axes, transposed_windows, windows
from tilec.rules import call, shape_text
from tilec.tracing.contraction import contraction, element, variables
from tilec.tracing.dispatch import lift, operation
from tilec.tracing.tensor import Tensor

BATCH, CHANNEL, GROUP, FEATURE = (Affine.var(name) for name in "ncgf")


@operation
def conv(
    x: Any,
    kernel: Any,
    /,
    strides: int | Sequence[int] = 1,
    padding: Any = "valid",
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
    channels_first: bool = False,
) -> Any:
    """Sums of products of a kernel `[*window, channels / groups, features]` and each window of an image: convolution.

    strides, dilation: a number, or one for each axis of space. padding: "valid", "same", "causal" where there is one
    axis, a number of zeros at each end, or pairs of such numbers. Each group of features reads its own channels. Floats
    of 16 bits and narrow integers are added up in 32. Raises TILE0202, TILE0204, TILE0208, TILE0211, TILE0511.
    """
    image, weights = lift(x), lift(kernel)
    space = _space(image, weights, channels_first)
    per_group = _grouped(image, weights, groups, channels_first)
    sliding = _windows(image, weights, space, strides, padding, dilation)
    features = weights.type.shape[-1]
    outputs = whole(features, "the number of features") // groups if groups > 1 else features
    at, within = variables(len(space), "o"), variables(len(space), "k")
    group = GROUP if groups > 1 else Affine.constant(0)
    source, target = group * per_group + CHANNEL, group * outputs + FEATURE
    read = [w.form(o, k) for w, o, k in zip(sliding, at[1], within[1], strict=True)]
    body = call(
        "mul",
        element(image, arranged(BATCH, read, source, channels_first)),
        element(weights, [*within[1], CHANNEL, target]),
    )
    return contraction(
        "sum",
        ["n", *at[0], *("g" if groups > 1 else ""), "f", *within[0], "c"],
        body,
        arranged(BATCH, at[1], target, channels_first),
        arranged(image.type.shape[0], [w.count for w in sliding], features, channels_first),
        constraints=[Constraint(GROUP, groups), Constraint(FEATURE, outputs)] if groups > 1 else [],
        stem="conv",
    )


@operation
def depthwise_conv(
    x: Any,
    kernel: Any,
    /,
    strides: int | Sequence[int] = 1,
    padding: Any = "valid",
    dilation: int | Sequence[int] = 1,
    channels_first: bool = False,
) -> Any:
    """The convolution of each channel with kernels of its own, `[*window, channels, multiplier]`.

    Feature c * multiplier + m of the result is channel c with its kernel m. The rest as for `conv`.
    """
    image, weights = lift(x), lift(kernel)
    space = _space(image, weights, channels_first)
    channels, multiplier = weights.type.shape[-2:]
    _check_channels(image, channels, channels_first)
    sliding = _windows(image, weights, space, strides, padding, dilation)
    at, within = variables(len(space), "o"), variables(len(space), "k")
    times = whole(multiplier, "the multiplier of channels")
    feature = Affine.constant(0) if times == 1 else FEATURE
    target = CHANNEL * times + feature
    read = [w.form(o, k) for w, o, k in zip(sliding, at[1], within[1], strict=True)]
    body = call(
        "mul",
        element(image, arranged(BATCH, read, CHANNEL, channels_first)),
        element(weights, [*within[1], CHANNEL, feature]),
    )
    return contraction(
        "sum",
        ["n", *at[0], "c", *("f" if times != 1 else ""), *within[0]],
        body,
        arranged(BATCH, at[1], target, channels_first),
        arranged(image.type.shape[0], [w.count for w in sliding], cast(Size, channels * times), channels_first),
        stem="depthwise",
    )


@operation
def separable_conv(
    x: Any,
    depthwise_kernel: Any,
    pointwise_kernel: Any,
    /,
    strides: int | Sequence[int] = 1,
    padding: Any = "valid",
    dilation: int | Sequence[int] = 1,
    channels_first: bool = False,
) -> Any:
    """A depthwise convolution, then one of single elements: its kernel is `[1, ..., channels * multiplier, features]`.

    The rest as for `conv`.
    """
    apart = depthwise_conv(x, depthwise_kernel, strides, padding, dilation, channels_first)
    return conv(apart, pointwise_kernel, channels_first=channels_first)


@operation
def conv_transpose(
    x: Any,
    kernel: Any,
    /,
    strides: int | Sequence[int] = 1,
    padding: Any = "valid",
    output_padding: int | Sequence[int] | None = None,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
    channels_first: bool = False,
) -> Any:
    """The transposed convolution: each element of the image adds a multiple of the kernel to the result, strides apart.

    The kernel is `[*window, features / groups, channels]`. It is the derivative of `conv`, with this kernel, by its
    image. padding, what the result loses: "valid", nothing, and "same", which leaves `stride` elements for each of the
    image, are those of Keras, also with output_padding; a number or pairs are those of torch, where output_padding
    gives elements more at the end. Raises TILE0202, TILE0204, TILE0208, TILE0211, TILE0511.
    """
    image, weights = lift(x), lift(kernel)
    space = _space(image, weights, channels_first, "[*window, features, channels]")
    features, channels = weights.type.shape[-2:]
    _check_channels(image, channels, channels_first)
    parts = _count(groups, image.type.shape[channel_axis(channels_first)], "channels")
    sizes = [whole(n, "the size of a kernel's window") for n in weights.type.shape[:-2]]
    counts = [image.type.shape[a] for a in space]
    sliding = transposed_windows(counts, sizes, strides, padding, dilation, output_padding)
    at, within = variables(len(space), "o"), variables(len(space), "k")
    group = GROUP if parts > 1 else Affine.constant(0)
    inputs = whole(channels, "the number of channels") // parts if parts > 1 else channels
    source, target = group * inputs + CHANNEL, group * features + FEATURE
    written = [w.form(o, k) for w, o, k in zip(sliding, at[1], within[1], strict=True)]
    body = call(
        "mul",
        element(image, arranged(BATCH, at[1], source, channels_first)),
        element(weights, [*within[1], FEATURE, source]),
    )
    return contraction(
        "sum",
        ["n", *at[0], *("g" if parts > 1 else ""), "f", *within[0], "c"],
        body,
        arranged(BATCH, written, target, channels_first),
        arranged(image.type.shape[0], [w.extent for w in sliding], cast(Size, features * parts), channels_first),
        constraints=[Constraint(GROUP, parts), Constraint(CHANNEL, inputs)] if parts > 1 else [],
        stem="conv_transpose",
    )


def _space(
    image: Tensor, kernel: Tensor, channels_first: bool, order: str = "[*window, channels, features]"
) -> tuple[int, ...]:
    """The axes of the image that windows slide over, as many as the kernel has."""
    space = image_axes(image, channels_first)
    if kernel.ndim != image.ndim:
        text = f"a kernel of shape {shape_text(kernel.type.shape)} for an image of shape {shape_text(image.type.shape)}"
        raise error("TILE0202", text, help=f"a kernel is {order}, of as many axes as the image")
    return space


def _windows(
    image: Tensor, kernel: Tensor, space: Sequence[int], strides: Any, padding: Any, dilation: Any
) -> tuple[Window, ...]:
    sizes = [whole(n, "the size of a kernel's window") for n in kernel.type.shape[:-2]]
    return windows([image.type.shape[a] for a in space], sizes, strides, padding, dilation)


def _grouped(image: Tensor, kernel: Tensor, groups: Any, channels_first: bool) -> Any:
    """How many channels a group has; raises TILE0208, TILE0511."""
    inputs, features = kernel.type.shape[-2:]
    _check_channels(image, inputs * _count(groups, features, "features"), channels_first)
    return inputs


def _count(groups: Any, size: Size, what: str) -> int:
    """The number of groups; raises TILE0511."""
    count = whole(groups, "the number of groups")
    if count < 1:
        raise error("TILE0511", f"a convolution has at least one group, not {count}")
    if count > 1 and whole(size, f"the number of {what}") % count:
        raise error("TILE0511", f"{size} {what} are not divisible by {count} groups")
    return count


def _check_channels(image: Tensor, wanted: Any, channels_first: bool) -> None:
    channels = image.type.shape[channel_axis(channels_first)]
    if channels != wanted:
        order = "[batch, channels, *space]" if channels_first else "[batch, *space, channels]"
        text = f"the image has {channels} channels, and the kernel is for {wanted}"
        raise error("TILE0208", text, notes=[f"shape of the image, {order}: {shape_text(image.type.shape)}"])
