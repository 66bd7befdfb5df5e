"""Floor 5: normal numbers."""

from __future__ import annotations

from math import erf, pi, sqrt
from typing import Any

import numpy as np

from tilec.dtypes import BF16, F16, F32, F64, U32, U64, DType
from tilec.errors import error
from tilec.numpy.special import inverse_erf
from tilec.random.streams import blocks, bounds, unit
from tilec.tracing.dispatch import lift, operation
from tilec.tracing.elementwise import apply, as_dtype, dtype_of


@operation(arrays=("offset",))
def normal(key: Any, /, offset: Any = 0, shape: Any = (), dtype: Any = "float32") -> Any:
    """Standard normal, by the transform of Box and Muller (1958): sqrt(-2 log u) cos(2 pi v).

    u and v are the words of a block, 32 bits each: the tails end at 6.7 standard deviations, as far as 2^32 numbers
    reach. In float64 u has 64 bits, and v comes from a second stream; the tails end at 9.4.
    """
    target = dtype_of(dtype)
    if target in (F16, BF16):
        return as_dtype(drawn(key, offset, shape, F32), target)
    return drawn(key, offset, shape, target)


def drawn(key: Any, offset: Any, shape: Any, dtype: DType) -> Any:
    """Standard normal numbers in float32 or float64."""
    block = blocks(key, offset, shape, U64)
    if dtype == F64:
        second = apply("bit_xor", lift(key), np.array([0xB5297A4D, 0x68E31DA4], np.uint32))
        u, v, scale = block, blocks(second, offset, shape, U64), 2.0**-64
    elif dtype == F32:
        u, v, scale = as_dtype(apply("bit_right", block, 32), U32), as_dtype(block, U32), 2.0**-32
    else:
        raise error("TILE0301", f"normal numbers are floats, not {dtype.long}")
    radius = apply("sqrt", apply("log", (as_dtype(u, dtype) + 1.0) * scale) * -2.0)
    return radius * apply("cos", as_dtype(v, dtype) * (2 * pi * scale))


@operation(arrays=("offset",))
def truncated_normal(
    key: Any, /, offset: Any = 0, shape: Any = (), dtype: Any = "float32", low: float = -2.0, high: float = 2.0
) -> Any:
    """Standard normal on the condition that it is in [low, high], by the inverse of the distribution function.

    The tails are cut at 5.4 standard deviations in float32 and 7.9 in float64, where the function tells no values
    apart. Raises TILE0511 of bounds that are both beyond 4, or 7 in float64: little would be left between.
    """
    target = dtype_of(dtype)
    low, high = bounds(low, high)
    wide = F32 if target in (F16, BF16) else target
    farthest = 7.0 if wide == F64 else 4.0
    if low > farthest or high < -farthest:
        text = f"{target.long} numbers cannot be drawn from the tail between {low} and {high}"
        raise error("TILE0511", text, help=f"bounds within {farthest:g} standard deviations, or dtype='float64'")
    first, last = (float(erf(bound / sqrt(2))) for bound in (low, high))
    u = unit(key, offset, shape, wide)
    nearest = 1 - 2.0 ** -(53 if wide == F64 else 24)  # to 1, whose inverse is infinite
    y = apply("max", apply("min", first + u * (last - first), nearest), -nearest)
    x = inverse_erf(y, wide) * sqrt(2)
    return as_dtype(apply("min", apply("max", x, low), high), target)
