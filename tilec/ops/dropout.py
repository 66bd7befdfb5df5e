"""Floor 5: dropout: elements set to zero at random, by a key."""

from __future__ import annotations

from typing import Any

from tilec.errors import error
from tilec.numpy.axes import number
from tilec.numpy.creation import zeros_like
from tilec.numpy.elementwise import where
from tilec.numpy.shapes import broadcast_to
from tilec.random import uniform
from tilec.tracing.dispatch import operation
from tilec.tracing.elementwise import as_float


@operation
def dropout(x: Any, key: Any, /, rate: float = 0.5, *, noise_shape: Any = None) -> Any:
    """x, of which each element is 0 with probability `rate`, in steps of 2^-24, and else divided by 1 - rate.

    One key gives one pattern: a training step takes another, by `tilec.random.fold_in(key, step)`. `noise_shape`, which
    broadcasts to that of x, is the shape of the pattern: size 1 along an axis keeps or drops all of it. Raises TILE0210
    of a rate outside of [0, 1], TILE0301 of what is no key, TILE0203 of a noise_shape that does not broadcast.
    (Srivastava et al. 2014.)
    """
    tensor = as_float(x)
    rate = float(number(rate, "a rate"))
    if not 0 <= rate <= 1:
        raise error("TILE0210", f"a rate of dropout is between 0 and 1, not {rate!r}")
    if rate == 1:
        return zeros_like(tensor)
    shape = tensor.shape if noise_shape is None else noise_shape
    kept = broadcast_to(uniform(key, 0, shape) >= rate, tensor.shape)
    return where(kept, tensor * (1 / (1 - rate)), 0.0)
