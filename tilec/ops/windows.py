"""Floor 5: windows that slide over the axes of images and sequences: padding, strides, dilation, sizes of results.

Padding is no copy: an element beyond the edge of the image is no term of the contraction that reads the window.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from tilec.affine import Affine, Size
from tilec.dtypes import I32
from tilec.errors import error
from tilec.exact.domain import fixed
from tilec.numpy.axes import each_axis, pairs, tabled, whole
from tilec.rules import shape_text
from tilec.tracing.tensor import Tensor

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Window:
    """Windows along one axis: element k of window o is element o * stride + k * dilation - low of the axis."""

    extent: int
    size: int
    stride: int
    dilation: int
    low: int
    high: int

    @property
    def span(self) -> int:
        """How many elements lie between the first and the last of a window, with both."""
        return (self.size - 1) * self.dilation + 1

    @property
    def count(self) -> int:
        return (self.extent + self.low + self.high - self.span) // self.stride + 1

    def form(self, window: Affine, element: Affine) -> Affine:
        return window * self.stride + element * self.dilation - self.low

    def inside(self) -> np.ndarray[Any, np.dtype[np.int64]]:
        """How many elements of each window are not padding."""
        first = np.arange(tabled(self.count, "pooling")) * self.stride - self.low  # the place of element 0
        below = np.clip(-(first // self.dilation), 0, self.size)  # elements before the axis
        upto = np.clip(-((first - self.extent) // self.dilation), 0, self.size)
        counts: np.ndarray[Any, np.dtype[np.int64]] = np.maximum(upto - below, 0)
        return counts


def windows(
    extents: Sequence[Size], sizes: Sequence[int], strides: Any, padding: Any, dilation: Any
) -> tuple[Window, ...]:
    """Windows over the axes of these extents.

    padding: "valid", none; "same", as many windows as strides fit into the axis, the padding shared by both ends, of an
    odd number the larger half at the end; "causal", for one axis, no window reads beyond its own place; or what
    `padding_pairs` takes. Raises TILE0204, TILE0210, TILE0211, TILE0511.
    """
    bare = _bare([slid(n) for n in extents], sizes, strides, dilation)
    found = tuple(
        Window(w.extent, w.size, w.stride, w.dilation, low, high)
        for w, (low, high) in zip(bare, _widths(bare, padding), strict=True)
    )
    for window in found:
        _check(window)
    return found


def _bare(extents: Sequence[int], sizes: Sequence[int], strides: Any, dilation: Any) -> list[Window]:
    """Windows without padding."""
    steps, spread = per_axis(strides, len(extents), "a stride"), per_axis(dilation, len(extents), "a dilation")
    return [Window(*w, 0, 0) for w in zip(extents, sizes, steps, spread, strict=True)]


def transposed_windows(
    counts: Sequence[Size], sizes: Sequence[int], strides: Any, padding: Any, dilation: Any, output_padding: Any
) -> tuple[Window, ...]:
    """Windows over the axes of a transposed convolution's result, of which there are as many as its image has elements.

    padding: what the result loses at its ends. "valid", nothing; "same", so much that it has `stride` elements for each
    of the image, the larger half at the end; or what `padding_pairs` takes. output_padding: elements more at the end,
    a number or one for each axis; with words it is what there is beyond (count - 1) * stride and the span of a window,
    or the parity of that span with "same". Raises TILE0204, TILE0210, TILE0211, TILE0511.
    """
    bare = _bare([slid(n) for n in counts], sizes, strides, dilation)
    more = (
        [None] * len(bare) if output_padding is None else per_axis(output_padding, len(bare), "the output padding", 0)
    )
    given: Sequence[tuple[int, int] | None] = [None] * len(bare)
    if padding == "causal":
        help = "take 'valid' and cut the end off: the first count * stride elements depend on nothing that comes later"
        raise error("TILE0511", "a transposed convolution has no causal padding", help=help)
    if padding not in ("valid", "same"):
        given = padding_pairs(padding, len(bare))
    return tuple(_over_result(w, padding, pair, n) for w, pair, n in zip(bare, given, more, strict=True))


def _over_result(image: Window, padding: Any, pair: tuple[int, int] | None, more: int | None) -> Window:
    """A window over the result from one whose extent is that of the image."""
    reached = (image.extent - 1) * image.stride + image.span
    if pair is not None:
        low, size = pair[0], reached - sum(pair) + (more or 0)
    elif padding == "valid":
        low, size = 0, reached + (max(image.stride - image.span, 0) if more is None else more)
    else:
        size = image.extent * image.stride if more is None else reached - image.span // 2 * 2 + more
        low = halves(max(reached - size, 0))[0]
    if size < 0:
        raise error("TILE0211", f"the size of a transposed convolution's result is negative: {size}")
    return Window(size, image.size, image.stride, image.dilation, low, reached - low - size)


def _widths(bare: Sequence[Window], padding: Any) -> list[tuple[int, int]]:
    match padding:
        case "valid":
            return [(0, 0)] * len(bare)
        case "same":
            return [halves(max((-(-w.extent // w.stride) - 1) * w.stride + w.span - w.extent, 0)) for w in bare]
        case "causal" if len(bare) == 1:
            return [(w.span - 1, 0) for w in bare]
    return padding_pairs(padding, len(bare))


def padding_pairs(padding: Any, count: int) -> list[tuple[int, int]]:
    """A pair for each axis from one number, one pair, or a pair for each axis. Raises TILE0204, TILE0211, TILE0511."""
    if isinstance(padding, str):
        causal = " or 'causal'" if count == 1 else ""
        help = f"'valid', 'same'{causal}, a number, or a pair for each axis: ((1, 1), (0, 2))"
        raise error("TILE0511", f"padding is {padding!r}", help=help)
    found = pairs(padding, count)
    if any(width < 0 for pair in found for width in pair):
        raise error("TILE0211", f"padding of negative width: {padding!r}", help="take a slice to cut elements off")
    if widest := [width for pair in found for width in pair if width > I32.max]:
        raise error("TILE0511", f"padding of {widest[0]} elements; the most are {I32.max}")
    return found


def halves(total: int) -> tuple[int, int]:
    """Padding at both ends, of an odd number the larger half at the end."""
    return total // 2, total - total // 2


def per_axis(given: Any, count: int, what: str, least: int = 1) -> tuple[int, ...]:
    """A number for each axis, from one for all or a sequence. Raises TILE0204, TILE0210, TILE0511."""
    found = tuple(each_axis(given, count, what, whole))
    if any(v < least for v in found):
        raise error("TILE0511", f"{what} is at least {least}, not {min(found)}")
    if max(found, default=0) > I32.max:
        raise error("TILE0511", f"{what} is at most {I32.max}, not {max(found)}")
    return found


def slid(size: Size) -> int:
    """The size of an axis that windows slide over; raises TILE0210 for an open one."""
    return fixed(size, "windows slide over its axis")


def _check(window: Window) -> None:
    if window.size < 1:
        raise error("TILE0211", "a window of no elements")
    padded_extent = window.extent + window.low + window.high
    if padded_extent < window.span and (window.extent or window.count < 0):
        padded = f" with its padding of {window.low} and {window.high}" if window.low or window.high else ""
        text = f"a window spans {window.span} elements, its axis of size {window.extent}{padded} has fewer"
        raise error("TILE0211", text, help="pad the image, padding='same', or take a smaller window")


def image_axes(image: Tensor, channels_first: bool, what: str = "an image") -> tuple[int, ...]:
    """The axes that windows slide over; raises TILE0202."""
    if image.ndim < 3:
        order = "[batch, channels, *space]" if channels_first else "[batch, *space, channels]"
        text = f"{what} has at least 3 axes, {order}, not the shape {shape_text(image.type.shape)}"
        raise error("TILE0202", text)
    return tuple(range(2, image.ndim)) if channels_first else tuple(range(1, image.ndim - 1))


def channel_axis(channels_first: bool) -> int:
    return 1 if channels_first else -1


def arranged(batch: T, space: Sequence[T], channel: T, channels_first: bool) -> list[T]:
    """What belongs to the axes of an image, in their order."""
    return [batch, channel, *space] if channels_first else [batch, *space, channel]
