"""Floor 5: elementwise functions that NumPy has beyond the array API."""

from __future__ import annotations

from math import inf, log, pi
from typing import Any

from tilec.dtypes import BOOL, BY_NAME, U8
from tilec.errors import error
from tilec.numpy.elementwise import (
    common,
    is_integral,
    isfinite,
    isnan,
    logaddexp,
    remainder,
    stop_gradient,
    where,
)
from tilec.numpy.reductions import all, any
from tilec.numpy.shapes import reshape
from tilec.tracing.control import while_loop
from tilec.tracing.dispatch import lift, operation
from tilec.tracing.elementwise import apply, as_dtype, as_float


@operation
def cbrt(x: Any, /) -> Any:
    """The cube root, of negative numbers too; by one step of Newton's method behind a power."""
    value = as_float(x)
    size = apply("abs", value)
    usable = apply("bit_and", apply("cmp_gt", size, 0), isfinite(size))
    base = where(usable, size, 1)
    root = apply("pow", base, 1 / 3)
    exact = apply("sub", root, apply("div", apply("sub", root, apply("div", base, apply("mul", root, root))), 3))
    return where(usable, where(apply("cmp_lt", value, 0), apply("neg", exact), exact), value)


@operation
def deg2rad(x: Any, /) -> Any:
    """Degrees as radians."""
    return apply("mul", as_float(x), pi / 180)


@operation
def rad2deg(x: Any, /) -> Any:
    """Radians as degrees."""
    return apply("mul", as_float(x), 180 / pi)


@operation
def fabs(x: Any, /) -> Any:
    """|x| of floats; integers become float32."""
    return apply("abs", as_float(x))


@operation
def fmax(x1: Any, x2: Any, /) -> Any:
    """The larger one, the other one where one is NaN."""
    return where(isnan(x1), x2, where(isnan(x2), x1, apply("max", x1, x2)))


@operation
def fmin(x1: Any, x2: Any, /) -> Any:
    """The smaller one, the other one where one is NaN."""
    return where(isnan(x1), x2, where(isnan(x2), x1, apply("min", x1, x2)))


@operation
def fmod(x1: Any, x2: Any, /) -> Any:
    """What is left of x1 / x2 without its fraction, with the sign of x1; of integers x1 mod 0 is 0."""
    if is_integral(x1) and is_integral(x2):
        rest = remainder(x1, x2)
        opposite = apply("bit_xor", apply("cmp_lt", rest, 0), apply("cmp_lt", x1, 0))
        return where(apply("bit_and", opposite, apply("cmp_ne", rest, 0)), apply("sub", rest, x2), rest)
    rest = remainder(apply("abs", x1), apply("abs", x2))  # which loses no digit
    signed = where(apply("cmp_lt", x1, 0), apply("neg", rest), rest)
    return where(apply("cmp_eq", rest, 0), apply("mul", x1, 0), signed)  # a zero with the sign of x1


@operation
def gcd(x1: Any, x2: Any, /) -> Any:
    """The greatest common divisor of integers, by Euclid's algorithm; gcd(0, 0) is 0."""
    dtype = common(x1, x2)
    both = apply("add", apply("mul", as_dtype(x1, dtype), 0), as_dtype(x2, dtype))  # of the shape of both
    first = apply("add", apply("mul", both, 0), as_dtype(x1, dtype))
    return while_loop(_is_rest, _divided, (apply("abs", first), apply("abs", both)))[0]


def _is_rest(pair: Any) -> Any:
    return any(apply("cmp_ne", pair[1], 0))


def _divided(pair: Any) -> Any:
    a, b = pair
    done = apply("cmp_eq", b, 0)
    return where(done, a, b), where(done, 0, remainder(a, where(done, 1, b)))


@operation
def lcm(x1: Any, x2: Any, /) -> Any:
    """The least common multiple of integers; 0 where one is 0."""
    divisor = gcd(x1, x2)
    part = apply("div", apply("abs", x1), where(apply("cmp_eq", divisor, 0), 1, divisor))
    return apply("abs", apply("mul", part, x2))


@operation
def heaviside(x1: Any, x2: Any, /) -> Any:
    """0 below 0, x2 at 0, 1 above it; NaN stays."""
    value = as_float(x1)
    steps = where(apply("cmp_lt", value, 0), 0, where(apply("cmp_gt", value, 0), 1, stop_gradient(value)))
    return where(apply("cmp_eq", value, 0), x2, steps)


@operation
def ldexp(x1: Any, x2: Any, /) -> Any:
    """x1 * 2 ** x2 of integers x2."""
    value = as_float(x1)
    half = apply("bit_right", x2, 1)  # in two factors, so that neither overflows before the result does
    dtype = value.type.dtype
    powers = [apply("pow", 2.0, as_dtype(n, dtype)) for n in (half, apply("sub", x2, half))]
    return apply("mul", apply("mul", value, powers[0]), powers[1])


@operation
def logaddexp2(x1: Any, x2: Any, /) -> Any:
    """log2(2 ** x1 + 2 ** x2) without overflow."""
    first, second = (apply("mul", as_float(x), log(2)) for x in (x1, x2))
    return apply("div", logaddexp(first, second), log(2))


@operation
def sinc(x: Any, /) -> Any:
    """sin(pi x) / (pi x), 1 at 0."""
    value = as_float(x)
    zero = apply("cmp_eq", value, 0)
    angle = apply("mul", where(zero, 1, value), pi)
    return where(zero, 1, apply("div", apply("sin", angle), angle))


@operation
def bitwise_count(x: Any, /) -> Any:
    """How many bits of |x| are 1, uint8, of integers. Raises TILE0304."""
    own = common(x)
    if not own.is_integer:
        raise error("TILE0304", f"the bits of integers are counted, not those of {own.long}")
    bits = BY_NAME[f"uint{own.bits}"]
    count: Any = as_dtype(apply("abs", x), bits)
    for step in (1, 2, 4, 8, 16, 32)[: own.bits.bit_length() - 1]:  # counts of pairs, of fours ...
        mask = sum(((1 << step) - 1) << place for place in range(0, own.bits, 2 * step))
        count = apply("add", apply("bit_and", count, mask), apply("bit_and", apply("bit_right", count, step), mask))
    return as_dtype(count, U8)


@operation
def isposinf(x: Any, /) -> Any:
    """Whether x is the positive infinity."""
    return apply("cmp_eq", as_float(x), inf)


@operation
def isneginf(x: Any, /) -> Any:
    """Whether x is the negative infinity."""
    return apply("cmp_eq", as_float(x), -inf)


@operation
def isclose(x1: Any, x2: Any, /, rtol: float = 1e-5, atol: float = 1e-8, *, equal_nan: bool = False) -> Any:
    """Whether |x1 - x2| <= atol + rtol * |x2|; equal infinities are close, NaN to NaN if `equal_nan`."""
    a, b = as_float(x1), as_float(x2)
    near = apply("cmp_le", apply("abs", apply("sub", a, b)), apply("add", apply("mul", apply("abs", b), rtol), atol))
    close = apply("bit_or", apply("bit_and", near, isfinite(b)), apply("cmp_eq", a, b))
    return apply("bit_or", close, apply("bit_and", isnan(a), isnan(b))) if equal_nan else close


@operation
def allclose(x1: Any, x2: Any, /, rtol: float = 1e-5, atol: float = 1e-8, *, equal_nan: bool = False) -> Any:
    """Whether all elements are close; see `isclose`."""
    return all(isclose(x1, x2, rtol, atol, equal_nan=equal_nan))


@operation
def isin(x1: Any, x2: Any, /, *, invert: bool = False) -> Any:
    """Whether each element of x1 is one of x2; all are compared."""
    value, others = lift(x1), reshape(x2, -1)
    found = any(apply("cmp_eq", reshape(value, (*value.shape, 1)), others), -1)
    return apply("logical_not", found) if invert else as_dtype(found, BOOL)


@operation
def nan_to_num(x: Any, /, *, nan: float = 0.0, posinf: float | None = None, neginf: float | None = None) -> Any:
    """x with numbers for NaN and the infinities: 0, and the largest and least of the type by default."""
    if is_integral(x):
        return lift(x)
    value = as_float(x)
    most = _largest(value)
    above, below = most if posinf is None else posinf, -most if neginf is None else neginf
    found = where(apply("cmp_eq", value, inf), above, where(apply("cmp_eq", value, -inf), below, value))
    return where(isnan(value), nan, found)


def _largest(x: Any) -> float:
    from tilec.numpy.types import finfo

    return float(finfo(x.dtype).max)
