"""Floor 5: colours of images: red, green and blue as grey, or as hue, saturation and value."""

from __future__ import annotations

from typing import Any

from tilec.errors import error
from tilec.numpy.elementwise import add, divide, floor, maximum, minimum, multiply, remainder, subtract, where
from tilec.numpy.indexing import getitem_of
from tilec.numpy.shapes import stack
from tilec.rules import shape_text
from tilec.tracing.dispatch import lift, operation
from tilec.tracing.elementwise import apply, as_float
from tilec.tracing.tensor import Tensor

GREY = (0.2989, 0.5870, 0.1140)  # ITU-R BT.601


@operation
def rgb_to_grayscale(images: Any, /, *, channels_first: bool = False) -> Any:
    """One channel of three, 0.2989 red + 0.5870 green + 0.1140 blue; integers become float32.

    Raises TILE0202, TILE0208.
    """
    tensor = as_float(lift(images))
    red, green, blue = (multiply(c, weight) for c, weight in zip(_channels(tensor, channels_first), GREY))
    return stack([add(add(red, green), blue)], axis=_axis(channels_first))


@operation
def rgb_to_hsv(images: Any, /, *, channels_first: bool = False) -> Any:
    """Hue, saturation and value, all from 0 to 1, of red, green and blue from 0 to 1, as Python's colorsys has them.

    Raises TILE0202, TILE0208.
    """
    red, green, blue = _channels(as_float(lift(images)), channels_first)
    value = maximum(maximum(red, green), blue)
    spread = subtract(value, minimum(minimum(red, green), blue))
    coloured = apply("cmp_gt", spread, 0)
    divisor = where(coloured, spread, 1)  # so that no derivative is NaN
    sector = where(
        apply("cmp_eq", value, red),
        divide(subtract(green, blue), divisor),
        where(
            apply("cmp_eq", value, green),
            add(divide(subtract(blue, red), divisor), 2),
            add(divide(subtract(red, green), divisor), 4),
        ),
    )
    turn = divide(sector, 6)
    hue = where(coloured, subtract(turn, floor(turn)), 0)
    saturation = where(coloured, divide(spread, where(coloured, value, 1)), 0)
    return stack([hue, saturation, value], axis=_axis(channels_first))


@operation
def hsv_to_rgb(images: Any, /, *, channels_first: bool = False) -> Any:
    """The inverse of `rgb_to_hsv`; a hue counts modulo 1."""
    hue, saturation, value = _channels(as_float(lift(images)), channels_first)
    made = []
    for offset in (5, 3, 1):  # red, green, blue
        place = remainder(add(multiply(hue, 6), offset), 6)
        slope = minimum(maximum(minimum(place, subtract(4, place)), 0), 1)
        made.append(subtract(value, multiply(multiply(value, saturation), slope)))
    return stack(made, axis=_axis(channels_first))


def _axis(channels_first: bool) -> int:
    return -3 if channels_first else -1


def _channels(images: Tensor, channels_first: bool) -> list[Any]:
    """The three of them; raises TILE0202, TILE0208."""
    axis = _axis(channels_first)
    if images.ndim < -axis:
        raise error("TILE0202", f"an image has channels; the shape is {shape_text(images.type.shape)}")
    if images.type.shape[axis] != 3:
        shape = shape_text(images.type.shape)
        raise error("TILE0208", f"axis {axis} of shape {shape} is not the three colours", help="channels_first=")
    after = [slice(None)] * (-axis - 1)
    return [getitem_of(images, [..., c, *after]) for c in range(3)]
