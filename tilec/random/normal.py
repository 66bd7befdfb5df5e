"""Floor 5: normal numbers."""

from __future__ import annotations

from math import erf, pi, sqrt
from typing import Any

import numpy as np

from tilec.dtypes import BF16, F16, F32, F64, U32, U64, DType
from tilec.errors import error
from tilec.numpy import where
from tilec.random.streams import blocks, bounds, unit
from tilec.tracing.dispatch import lift, operation
from tilec.tracing.elementwise import apply, as_dtype, dtype_of
from tilec.tracing.tensor import Tensor


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
    x = _inverse_erf(y, wide) * sqrt(2)
    return as_dtype(apply("min", apply("max", x, low), high), target)


# M. Giles, Approximating the erfinv function, GPU Computing Gems 2 (2010): polynomials in w - 2.5 and sqrt(w) - 3.
_NEAR = (2.81022636e-08, 3.43273939e-07, -3.5233877e-06, -4.39150654e-06, 0.00021858087, -0.00125372503,
         -0.00417768164, 0.246640727, 1.50140941)  # fmt: skip
_FAR = (-0.000200214257, 0.000100950558, 0.00134934322, -0.00367342844, 0.00573950773, -0.0076224613,
        0.00943887047, 1.00167406, 2.83297682)  # fmt: skip


def _inverse_erf(y: Tensor, dtype: DType) -> Any:
    """The x with erf x = y; in float64 by two steps of Halley's method more."""
    w = -apply("log", (1.0 - y) * (1.0 + y))
    near = apply("cmp_lt", w, 5.0)
    t = where(near, w - 2.5, apply("sqrt", w) - 3.0)
    p: Any = where(near, _NEAR[0], _FAR[0])
    for a, b in zip(_NEAR[1:], _FAR[1:]):
        p = where(near, a, b) + as_dtype(p, dtype) * t
    x = as_dtype(p, dtype) * y
    for _ in range(2 if dtype == F64 else 0):
        newton = (apply("erf", x) - y) * apply("exp", x * x) * (sqrt(pi) / 2)
        x = x - newton / (1.0 + x * newton)
    return x
