"""Floor 1: exp, expm1, log, log1p, sigmoid on f32 and f64 Values.

exp: x = n ln 2 + r with |r| <= ln(2)/2 (Cody and Waite, 1980), exp(x) = 2^n (1 + r + r^2 q(r)).
log: x = 2^e m with m in [2/3, 4/3); in f32 a polynomial in m - 1, in f64 the series of 2 atanh(s), s = f / (2 + f).
"""

from __future__ import annotations

from typing import NamedTuple

from tilec.dtypes import F32
from tilec.mathlib.coefficients import COEFFICIENTS, PARTS
from tilec.mathlib.value import (
    INFINITY,
    NAN,
    Format,
    Value,
    bitcast,
    bits,
    constant,
    fma,
    format_of,
    horner,
    scale,
    select,
    split_integer,
    to_float,
)

LOG2_E = 1.4426950408889634
# Beyond these 2 exp(x) is 0 or infinity: clamping keeps the exponent in the range of `scale`.
_RANGE = {"f32": (-104.0, 90.0), "f64": (-746.0, 711.0)}


class ReducedExp(NamedTuple):
    """exp(x) = (1 + tail) * 2^exponent; a NaN is in the tail."""

    tail: Value
    exponent: Value


def reduce_exp(x: Value, low: Value | None = None) -> ReducedExp:
    """exp(x + low) for x within `clamp_exp` and |low| far below 1."""
    name = x.dtype.name
    n, exponent = split_integer(x, LOG2_E)
    first, second = PARTS["ln2", name]
    r = fma(n, -second, fma(n, -first, x))
    if low is not None:
        r = r + low
    return ReducedExp(fma(r * r, horner(r, COEFFICIENTS["exp", name]), r), exponent)


def clamp_exp(x: Value) -> Value:
    """x limited to where exp is neither 0 nor infinity; NaN stays."""
    low, high = _RANGE[x.dtype.name]
    x = select(x < low, low, x)
    return select(x > high, high, x)


def exp(x: Value) -> Value:
    tail, exponent = reduce_exp(clamp_exp(x))
    return scale(tail + 1, exponent)


def expm1(x: Value) -> Value:
    """exp(x) - 1, accurate near 0: 2^n tail + (2^n - 1); from 20 (f64: 40) on the 1 is lost anyway."""
    tail, exponent = reduce_exp(clamp_exp(x))
    power = scale(constant(1, x.dtype), exponent)
    large = x > (20.0 if x.dtype == F32 else 40.0)
    result = select(large, scale(tail + 1, exponent), scale(tail, exponent) + (power - 1))
    return select(x.equals(0), x, result)  # keeps -0


def sigmoid(x: Value) -> Value:
    """1 / (1 + exp(-x)), by way of exp(-|x|), which cannot overflow and keeps small results accurate."""
    e = exp(-abs(x))
    return select(x < 0, e, 1.0) / (e + 1)


class ReducedLog(NamedTuple):
    """x = 2^exponent * (1 + fraction) for positive finite x; `exponent` is a float."""

    fraction: Value
    exponent: Value


def reduce_log(x: Value) -> ReducedLog:
    """Splits x with 1 + fraction in [2/3, 4/3); subnormal x are scaled first. Any numbers for x <= 0, inf or NaN."""
    form = format_of(x)
    subnormal = x < form.smallest_normal
    pattern = bits(select(subnormal, x * 2.0**form.mantissa, x))
    exponent = (pattern - _two_thirds(form)) >> form.mantissa
    fraction = bitcast(pattern - (exponent << form.mantissa), x.dtype) - 1
    shift = select(subnormal, constant(-form.mantissa, x.dtype), 0.0)
    return ReducedLog(fraction, to_float(exponent, form) + shift)


def _two_thirds(form: Format) -> int:
    """The representation of 2/3."""
    return ((form.bias - 1) << form.mantissa) + (1 << form.mantissa) // 3


def log(x: Value) -> Value:
    f, e = reduce_log(x)
    first, second = PARTS["ln2", x.dtype.name]
    result = fma(e, first, f + fma(e, second, _log_tail(f)))
    result = select(x < INFINITY, result, x)
    return select(x > 0, result, select(x.equals(0), -INFINITY, select(x < 0, NAN, x)))


def _log_tail(f: Value) -> Value:
    """log(1 + f) - f, |f| <= 1/3."""
    if f.dtype == F32:
        square = f * f
        return fma(square, -0.5, square * f * horner(f, COEFFICIENTS["log", "f32"]))
    # 2 atanh(s) = 2 s + s z R(z), and 2 s = f - s f = f - (f^2/2 - s f^2/2): an error of s only meets small terms.
    s = f / (f + 2)
    z, half = s * s, f * f * 0.5
    return s * fma(z, horner(z, COEFFICIENTS["log", "f64"]), half) - half


def log1p(x: Value) -> Value:
    """log(1 + x) with the rounding error c of u = 1 + x put back: log(u) + c / u."""
    u = x + 1
    lost = select(x > 1, 1 - (u - x), x - (u - 1))
    correction = select((u > 0) & (u < INFINITY), lost / u, 0.0)
    return select(u.equals(1), x, log(u) + correction)
