"""Floor 5: pooling: the largest elements and the means of windows, each one contraction.

An image is `[batch, *space, channels]`, or `[batch, channels, *space]` with `channels_first=True`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Any

import numpy as np

from tilec.affine import Affine
from tilec.dtypes import F32, DType
from tilec.errors import error
from tilec.graph import Constraint
from tilec.numpy import reductions
from tilec.numpy.axes import tabled
from tilec.ops.windows import Window, arranged, channel_axis, image_axes, per_axis, slid, windows
from tilec.rules import shape_text
from tilec.tracing.contraction import contraction, element, variables
from tilec.tracing.dispatch import lift, operation
from tilec.tracing.elementwise import apply, as_dtype, as_float
from tilec.tracing.tensor import Tensor

BATCH, CHANNEL = (Affine.var(name) for name in "nc")


@operation
def max_pool(
    x: Any,
    /,
    size: int | Sequence[int],
    strides: int | Sequence[int] | None = None,
    padding: Any = "valid",
    dilation: int | Sequence[int] = 1,
    channels_first: bool = False,
) -> Any:
    """The largest element of each window; padding counts as less than any element.

    size, strides, dilation: a number, or one for each axis of space; strides are the size by default. padding: "valid",
    "same", a number of elements at each end, or pairs of such numbers. Raises TILE0202, TILE0204, TILE0211, TILE0511.
    """
    image = lift(x)
    sliding = _windows(image, size, strides, padding, dilation, channels_first)
    default = None
    if any(np.any(w.inside() == 0) for w in sliding):  # a window of nothing but padding
        default = as_dtype(lift(np.array(image.type.dtype.min, image.type.dtype.numpy)), image.type.dtype)
    return _aggregated("max", image, sliding, channels_first, default=default)


@operation
def average_pool(
    x: Any,
    /,
    size: int | Sequence[int],
    strides: int | Sequence[int] | None = None,
    padding: Any = "valid",
    count_padding: bool = False,
    channels_first: bool = False,
) -> Any:
    """The mean of each window; integers become float32.

    The padding's zeros count as elements with `count_padding=True`, as torch counts them; by default they do not, as in
    Keras. The rest as for `max_pool`.
    """
    image = as_float(x)
    sliding = _windows(image, size, strides, padding, 1, channels_first)
    wide = image.type.dtype if image.type.dtype.bits > 32 else F32
    total = _aggregated("sum", image, sliding, channels_first, dtype=wide)
    count = _counts(sliding, count_padding, channels_first)
    return as_dtype(apply("div", total, count), image.type.dtype)


@operation
def global_max_pool(x: Any, /, keepdims: bool = False, channels_first: bool = False) -> Any:
    """The largest element of each channel: `[batch, channels]`, or with the axes of space as 1. Raises TILE0202."""
    image = lift(x)
    return reductions.max(image, image_axes(image, channels_first), keepdims=keepdims)


@operation
def global_average_pool(x: Any, /, keepdims: bool = False, channels_first: bool = False) -> Any:
    """The mean of each channel: `[batch, channels]`, or with the axes of space as 1. Raises TILE0202."""
    image = lift(x)
    return reductions.mean(image, image_axes(image, channels_first), keepdims=keepdims)


@operation
def adaptive_max_pool(x: Any, /, size: int | Sequence[int], channels_first: bool = False) -> Any:
    """The largest elements of `size` windows along each axis, which cover it evenly.

    size: a number, or one for each axis of space. Window o of m along an axis of n reads floor(o * n / m) up to
    ceil((o + 1) * n / m), as in torch and Keras. Raises TILE0202, TILE0204, TILE0211, TILE0511.
    """
    image = lift(x)
    return _adapted("max", image, _parts(image, size, channels_first), channels_first)


@operation
def adaptive_average_pool(x: Any, /, size: int | Sequence[int], channels_first: bool = False) -> Any:
    """The means of the windows of `adaptive_max_pool`; integers become float32."""
    image = as_float(x)
    parts = _parts(image, size, channels_first)
    wide = image.type.dtype if image.type.dtype.bits > 32 else F32
    total = _adapted("sum", image, parts, channels_first, wide)
    windows = [(np.arange(tabled(m, "adaptive pooling")), n, m) for n, m in parts]
    sizes = [-(-(o + 1) * n // m) - o * n // m for o, n, m in windows]
    return as_dtype(apply("div", total, _spread(reduce(np.multiply.outer, sizes), channels_first)), image.type.dtype)


def _parts(image: Tensor, size: Any, channels_first: bool) -> list[tuple[int, int]]:
    """The extent of each axis of space and into how many windows it is parted."""
    space = image_axes(image, channels_first)
    counts = per_axis(size, len(space), "a number of windows")
    extents = [slid(image.type.shape[a]) for a in space]
    if 0 in extents:
        raise error("TILE0211", f"an axis without elements has no windows: the shape is {shape_text(image.type.shape)}")
    return list(zip(extents, counts, strict=True))


def _adapted(
    monoid: str, image: Tensor, parts: Sequence[tuple[int, int]], channels_first: bool, dtype: DType | None = None
) -> Tensor:
    """Aggregates of windows that cover each axis evenly; where they do not overlap, of common windows."""
    if all(n % m == 0 for n, m in parts):
        sliding = [Window(n, n // m, n // m, 1, 0, 0) for n, m in parts]
        return _aggregated(monoid, image, sliding, channels_first, dtype)
    at, read = variables(len(parts), "o"), variables(len(parts), "i")
    batch, channels = image.type.shape[0], image.type.shape[channel_axis(channels_first)]
    # o * n / m - 1 < i < (o + 1) * n / m, times m
    inside = [
        Constraint(i * m - o * n + (m - 1), n + m - 1) for (n, m), o, i in zip(parts, at[1], read[1], strict=True)
    ]
    return contraction(
        monoid,
        ["n", *at[0], "c", *read[0]],
        element(image, arranged(BATCH, read[1], CHANNEL, channels_first)),
        arranged(BATCH, at[1], CHANNEL, channels_first),
        arranged(batch, [m for _, m in parts], channels, channels_first),
        dtype=dtype,
        constraints=inside,
        stem=f"adaptive_{monoid}",
    )


def _windows(
    image: Tensor, size: Any, strides: Any, padding: Any, dilation: Any, channels_first: bool
) -> tuple[Window, ...]:
    space = image_axes(image, channels_first)
    sizes = per_axis(size, len(space), "the size of a window")
    steps = sizes if strides is None else strides
    return windows([image.type.shape[a] for a in space], sizes, steps, padding, dilation)


def _aggregated(
    monoid: str,
    image: Tensor,
    sliding: Sequence[Window],
    channels_first: bool,
    dtype: DType | None = None,
    default: Tensor | None = None,
) -> Tensor:
    at, within = variables(len(sliding), "o"), variables(len(sliding), "k")
    read = [w.form(o, k) for w, o, k in zip(sliding, at[1], within[1], strict=True)]
    batch, channels = image.type.shape[0], image.type.shape[channel_axis(channels_first)]
    return contraction(
        monoid,
        ["n", *at[0], "c", *within[0]],
        element(image, arranged(BATCH, read, CHANNEL, channels_first)),
        arranged(BATCH, at[1], CHANNEL, channels_first),
        arranged(batch, [w.count for w in sliding], channels, channels_first),
        dtype=dtype,
        constraints=[Constraint(k, w.size) for w, k in zip(sliding, within[1], strict=True)],
        default=default,
        stem=f"{monoid}_pool",
    )


def _counts(sliding: Sequence[Window], count_padding: bool, channels_first: bool) -> Any:
    """By how many elements the sum of each window is divided: a number, or an array over space."""
    inside = [w.inside() for w in sliding]
    whole = np.prod([w.size for w in sliding])
    if count_padding or all(np.all(n == w.size) for w, n in zip(sliding, inside, strict=True)):
        return float(whole)
    return _spread(np.maximum(reduce(np.multiply.outer, inside), 1), channels_first)


def _spread(counts: Any, channels_first: bool) -> Any:
    """Numbers over space, for all channels."""
    found = np.asarray(counts, np.float32)
    return found if channels_first else found[..., None]
