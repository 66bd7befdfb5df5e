"""Floor 5: positions as rotations."""

from __future__ import annotations

from typing import Any

import numpy as np

from tilec.errors import error
from tilec.numpy.axes import positive
from tilec.numpy.creation import arange
from tilec.numpy.elementwise import cos, sin
from tilec.numpy.precision import widened
from tilec.numpy.shapes import concat, reshape, stack
from tilec.rules import shape_text
from tilec.tracing.dispatch import lift, operation
from tilec.tracing.elementwise import as_dtype
from tilec.tracing.tensor import Tensor


@operation(arrays=("positions",))
def rotary_embedding(x: Any, /, positions: Any = None, *, base: float = 10000.0, interleaved: bool = False) -> Any:
    """`x[..., length, features]`, pairs of features turned by an angle that grows with the position (Su et al. 2021).

    Pair i turns by position * base^(-2 i / features): so products of two such vectors know the distance of their
    positions. Pairs are (i, i + features / 2), or neighbours with `interleaved`. `positions` are numbers that broadcast
    to `[..., length]`, by default 0, 1, 2 and so on. Raises TILE0202 of a vector, TILE0204 of an odd number of
    features, TILE0210 of a base of 0 or less, TILE0203 of positions that do not fit.
    """
    wide, dtype = widened(x)
    if wide.ndim < 2:
        raise error("TILE0202", f"rotary_embedding takes x[..., length, features], not a tensor of rank {wide.ndim}")
    length, features = wide.shape[-2:]
    if features % 2:
        raise error("TILE0204", f"rotary_embedding turns pairs, but there are {features} features")
    base = positive(base, "a base")
    place = as_dtype(arange(length) if positions is None else lift(positions), wide.type.dtype)
    speed = (base ** (-2 * np.arange(features // 2) / features)).astype(wide.dtype)
    first, second = _turned(*_pairs(wide, interleaved), place[..., None] * speed)
    if interleaved:
        return as_dtype(reshape(stack([first, second], axis=-1), wide.shape), dtype)
    return as_dtype(concat([first, second], axis=-1), dtype)


def _pairs(x: Tensor, interleaved: bool) -> tuple[Any, Any]:
    half = x.shape[-1] // 2
    if not interleaved:
        return x[..., :half], x[..., half:]
    pairs = reshape(x, (*x.shape[:-1], half, 2))
    return pairs[..., 0], pairs[..., 1]


def _turned(first: Any, second: Any, angle: Any) -> tuple[Any, Any]:
    c, s = cos(angle), sin(angle)
    turned = first * c - second * s
    if turned.type.shape != first.type.shape:
        shapes = shape_text(angle.type.shape[:-1]), shape_text(first.type.shape[:-1])
        raise error("TILE0203", f"positions of shape {shapes[0]} for vectors of shape {shapes[1]}")
    return turned, second * c + first * s
