"""Floor 5: elementwise functions of the signs and bits of floats, and of points in the plane."""

from __future__ import annotations

from math import inf, pi
from typing import Any

from tilec.dtypes import F32, F64, I16, I32, I64, DType
from tilec.numpy.elementwise import (
    common,
    floor_divide,
    is_integral,
    isfinite,
    isinf,
    isnan,
    remainder,
    stop_gradient,
    where,
)
from tilec.tracing.dispatch import operation
from tilec.tracing.elementwise import apply, as_dtype


def _as_floats(*operands: Any) -> tuple[Any, ...]:
    """Operands of one float type."""
    dtype = common(*operands)
    wanted = dtype if dtype.is_float else F32
    return tuple(apply("cast", x, dtype=wanted) for x in operands)


def _bits_of(dtype: DType) -> DType:
    return I64 if dtype == F64 else I32 if dtype == F32 else I16


@operation
def signbit(x: Any, /) -> Any:
    """Whether the sign of x is minus, that of -0.0 and of NaNs included."""
    if is_integral(x):
        return apply("cmp_lt", x, 0)
    value = stop_gradient(*_as_floats(x))  # a sign has no derivative, and need not have one
    return apply("cmp_lt", apply("bitcast", value, dtype=_bits_of(common(x))), 0)


@operation
def copysign(x1: Any, x2: Any, /) -> Any:
    """x1 with the sign of x2."""
    a, b = _as_floats(x1, x2)
    return where(apply("cmp_ne", signbit(a), signbit(b)), apply("neg", a), a)


@operation
def nextafter(x1: Any, x2: Any, /) -> Any:
    """The next float after x1 in the direction of x2; it has no derivative."""
    a, b = _as_floats(x1, x2)
    whole = _bits_of(common(x1, x2))
    bits = apply("bitcast", a, dtype=whole)
    outward = apply("cmp_eq", apply("cmp_lt", a, b), apply("cmp_gt", a, 0))
    moved = apply("bitcast", apply("add", bits, where(outward, 1, -1)), dtype=common(a))
    least = apply("bitcast", apply("add", apply("mul", bits, 0), 1), dtype=common(a))  # the smallest above 0
    moved = where(apply("cmp_eq", a, 0), copysign(least, b), moved)
    moved = where(apply("cmp_eq", a, b), b, moved)
    return where(apply("bit_or", isnan(a), isnan(b)), apply("add", a, b), moved)


@operation
def hypot(x1: Any, x2: Any, /) -> Any:
    """sqrt(x1 * x1 + x2 * x2) without overflow."""
    a, b = _as_floats(x1, x2)
    top = stop_gradient(apply("max", apply("abs", a), apply("abs", b)))
    usable = apply("bit_and", apply("cmp_gt", top, 0), apply("logical_not", isinf(top)))
    scale = where(usable, top, 1)
    a, b = apply("div", a, scale), apply("div", b, scale)
    length = apply("mul", apply("sqrt", apply("add", apply("mul", a, a), apply("mul", b, b))), scale)
    return where(apply("bit_or", isinf(a), isinf(b)), inf, length)


@operation
def atan2(x1: Any, x2: Any, /) -> Any:
    """The angle of the point (x2, x1), in [-pi, pi]."""
    y, x = _as_floats(x1, x2)
    steep = apply("cmp_gt", apply("abs", y), apply("abs", x))
    endless = apply("bit_and", isinf(x), isinf(y))
    y, x = where(endless, copysign(1, y), y), where(endless, copysign(1, x), x)
    above, below = where(steep, x, y), where(steep, y, x)
    angle = apply("atan", apply("div", above, where(apply("cmp_eq", below, 0), 1, below)))
    turned = apply("sub", copysign(pi / 2, y), angle)
    return where(steep, turned, where(signbit(x), apply("add", angle, copysign(pi, y)), angle))


@operation
def modf(x: Any, /) -> Any:
    """The pair of the fraction and the whole part of floats, both with the sign of x; integers become float32."""
    (value,) = _as_floats(x)
    whole = apply("trunc", value)
    rest = where(isinf(value), 0, apply("sub", value, whole))
    return copysign(rest, value), whole


@operation
def divmod(x1: Any, x2: Any, /) -> Any:
    """The pair (x1 // x2, x1 % x2)."""
    return floor_divide(x1, x2), remainder(x1, x2)


@operation
def frexp(x: Any, /) -> Any:
    """The pair (m, e) with x = m * 2 ** e, of |m| from 0.5 to 1 and of int32 e; e is 0 of 0, infinities and NaN."""
    (given,) = _as_floats(x)
    narrow = common(given)
    value = as_dtype(given, narrow if narrow.bits >= 32 else F32)
    dtype = common(value)
    digits, bias = (52, 1022) if dtype == F64 else (23, 126)
    scale = 2.0 ** (digits + 1)  # numbers below the smallest normal one are made larger
    small = apply("cmp_lt", apply("abs", value), 2.0 ** (1 - bias))
    bits = apply("bitcast", stop_gradient(where(small, apply("mul", value, scale), value)), dtype=_bits_of(dtype))
    field = apply("bit_and", apply("bit_right", bits, digits), 2 * bias + 3)
    exponent = apply("sub", field, where(small, bias + digits + 1, bias))
    usable = apply("bit_and", apply("cmp_ne", value, 0), isfinite(value))
    exponent = as_dtype(where(usable, exponent, 0), I32)
    return as_dtype(scaled(value, apply("neg", exponent)), narrow), exponent


def scaled(x: Any, exponent: Any) -> Any:
    """x * 2 ** exponent of a float32 or float64 tensor, exact unless the result is not normal."""
    dtype = common(x)
    digits, bias, most = (52, 1023, 2200) if dtype == F64 else (23, 127, 300)
    held = apply("min", apply("max", as_dtype(exponent, I32), -most), most)
    found, rest = x, held
    for left in (3, 2, 1):  # in three factors, none of which overflows before the result does
        part = apply("div", rest, left)
        rest = apply("sub", rest, part)
        bits = apply("bit_left", as_dtype(apply("add", part, bias), _bits_of(dtype)), digits)
        found = apply("mul", found, apply("bitcast", bits, dtype=dtype))
    return found


@operation
def spacing(x: Any, /) -> Any:
    """The distance to the next float away from 0, with the sign of x."""
    (value,) = _as_floats(x)
    return apply("sub", nextafter(value, copysign(inf, value)), value)


@operation
def float_power(x1: Any, x2: Any, /) -> Any:
    """x1 to the power x2 in floats; integers become float32."""
    return apply("pow", *_as_floats(x1, x2))
