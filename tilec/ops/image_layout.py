"""Floor 5: images cut out, framed and mirrored: every pixel keeps its value."""

from __future__ import annotations

from typing import Any

from tilec.errors import error
from tilec.exact.domain import fixed
from tilec.numpy.axes import whole
from tilec.numpy.indexing import getitem_of
from tilec.numpy.padding import pad
from tilec.numpy.shapes import flip
from tilec.ops.image_resize import image_axes, image_size
from tilec.rules import shape_text
from tilec.tracing.dispatch import lift, operation
from tilec.tracing.tensor import Tensor


@operation
def flip_left_right(images: Any, /, *, channels_first: bool = False) -> Any:
    """Images [height, width, channels], or a batch of them, mirrored: the first column last. Raises TILE0202."""
    tensor = lift(images)
    return flip(tensor, axis=image_axes(tensor, channels_first)[1])


@operation
def flip_up_down(images: Any, /, *, channels_first: bool = False) -> Any:
    """Images [height, width, channels], or a batch of them, upside down: the first row last. Raises TILE0202."""
    tensor = lift(images)
    return flip(tensor, axis=image_axes(tensor, channels_first)[0])


@operation
def crop(images: Any, /, top: int, left: int, height: int, width: int, *, channels_first: bool = False) -> Any:
    """The part of images [height, width, channels], or of a batch of them, that begins at (top, left).

    Raises TILE0202, TILE0210, and TILE0225 where the part is not inside of the images.
    """
    tensor = lift(images)
    spans = {}
    for axis, start, count in zip(image_axes(tensor, channels_first), (top, left), (height, width)):
        size, start, count = _fixed(tensor, axis), whole(start, "an offset"), whole(count, "a size")
        if min(start, count) < 0 or start + count > size:
            raise error("TILE0225", f"pixels {start} to {start + count} of axis {axis}, whose size is {size}")
        spans[axis] = slice(start, start + count)
    return getitem_of(tensor, [spans.get(a, slice(None)) for a in range(tensor.ndim)])


@operation
def central_crop(images: Any, /, size: Any, *, channels_first: bool = False) -> Any:
    """The middle of images, of (height, width) = `size`; where as much cannot be left on both sides, it begins with the
    lower index. Raises TILE0202, TILE0204, TILE0210, TILE0225.
    """
    tensor = lift(images)
    wanted = image_size(size)
    rows, columns = (_fixed(tensor, a) for a in image_axes(tensor, channels_first))
    if wanted[0] > rows or wanted[1] > columns:
        text = f"the middle {wanted[0]} x {wanted[1]} of images of shape {shape_text(tensor.type.shape)}"
        raise error("TILE0225", text, help="pad_to adds a margin")
    top, left = (rows - wanted[0]) // 2, (columns - wanted[1]) // 2
    return crop(tensor, top, left, *wanted, channels_first=channels_first)


@operation(arrays=("value",))
def pad_to(images: Any, /, size: Any, mode: str = "constant", *, value: Any = 0, channels_first: bool = False) -> Any:
    """Images in the middle of larger ones, of (height, width) = `size`, in a margin of `value`, or in one of the modes
    of `tilec.numpy.pad`. An odd margin has its larger half below, and on the right.

    Raises TILE0202, TILE0204, TILE0210, TILE0511, and TILE0211 where `size` is the smaller one.
    """
    tensor = lift(images)
    wanted = image_size(size)
    widths = [(0, 0)] * tensor.ndim
    for axis, count in zip(image_axes(tensor, channels_first), wanted):
        spare = count - _fixed(tensor, axis)
        if spare < 0:
            text = f"images of shape {shape_text(tensor.type.shape)} do not fit into {wanted[0]} x {wanted[1]}"
            raise error("TILE0211", text, help="central_crop cuts out their middle")
        widths[axis] = (spare // 2, spare - spare // 2)
    return pad(tensor, widths, mode, constant_values=value)


def _fixed(x: Tensor, axis: int) -> int:
    return fixed(x.type.shape[axis], "pixels are counted along an axis of that size")
