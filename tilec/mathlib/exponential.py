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
    rarely,
    scale,
    select,
    split_integer,
    to_float,
)

LOG2_E = 1.4426950408889634
LN2 = 0.6931471805599453
# Beyond these 2 exp(x) is 0 or infinity: clamping keeps the exponent in the range of `scale`.
_RANGE = {"f32": (-104.0, 90.0), "f64": (-746.0, 711.0)}


class ReducedExp(NamedTuple):
    """An exponential as exp(rest) * 2^n: |rest| <= ln(2)/2, and n as a shifted integer. A NaN is in the rest."""

    rest: Value
    shifted: Value

    def tail(self) -> Value:
        """exp(rest) - 1."""
        r = self.rest
        return fma(r * r, self._second_order(), r)

    def mantissa(self) -> Value:
        """exp(rest)."""
        r = self.rest
        return fma(r, fma(r, self._second_order(), 1.0), 1.0)

    def value(self) -> Value:
        """The exponential, which may be subnormal or infinite."""
        return scale(self.mantissa(), self.shifted)

    def _second_order(self) -> Value:
        """(exp(rest) - 1 - rest) / rest^2."""
        return horner(self.rest, COEFFICIENTS["exp", self.rest.dtype.name])


def reduce_exp(x: Value, low: Value | None = None) -> ReducedExp:
    """exp(x + low) for x within `clamp_exp` and |low| far below 1."""
    n, shifted = split_integer(x, LOG2_E)
    first, second = PARTS["ln2", x.dtype.name]
    rest = fma(n, -second, fma(n, -first, x))
    return ReducedExp(rest if low is None else rest + low, shifted)


def reduce_exp_coarsely(x: Value) -> ReducedExp:
    """The same for |x| < 50 in one step: the rest is off by n ulp(ln 2) / 32, too little where 1 is added to exp(x)."""
    n, shifted = split_integer(x, LOG2_E)
    return ReducedExp(fma(n, -LN2, x), shifted)


def clamp_exp(x: Value) -> Value:
    """x limited to where exp is neither 0 nor infinity; NaN stays."""
    low, high = _RANGE[x.dtype.name]
    x = select(x < low, low, x)
    return select(x > high, high, x)


def exp(x: Value) -> Value:
    return reduce_exp(clamp_exp(x)).value()


def expm1(x: Value) -> Value:
    """exp(x) - 1, accurate near 0: 2^n tail + (2^n - 1); from 20 (f64: 40) on the 1 is lost anyway."""
    reduced = reduce_exp(clamp_exp(x))
    power = scale(constant(1, x.dtype), reduced.shifted)
    large = x > (20.0 if x.dtype == F32 else 40.0)
    result = select(large, reduced.value(), scale(reduced.tail(), reduced.shifted) + (power - 1))
    return select(x.equals(0), x, result)  # keeps -0


def sigmoid(x: Value) -> Value:
    """1 / (1 + exp(-x)) = s / (s + 1 + tail) with exp(-x) = (1 + tail) / s, s a power of two: all but one rounding."""
    one, most = (80.0, 104.0) if x.dtype == F32 else (700.0, 746.0)  # the result is 1 from one on, and 0 below -most
    y = -x
    y = select(y < -one, -one, y)
    reduced = reduce_exp(select(y > most, most, y))
    s = scale(constant(1, x.dtype), 2 * format_of(x).magic - reduced.shifted)
    tail, below = reduced.tail(), s < 1
    return s / (s + select(below, tail, 1.0) + select(below, 1.0, tail))


class ReducedLog(NamedTuple):
    """x = 2^exponent * (1 + fraction) for positive finite x; `exponent` is a float."""

    fraction: Value
    exponent: Value


def is_irregular(x: Value) -> Value:
    """Zero, subnormal, negative, infinite or NaN: everything but positive normal numbers."""
    form = format_of(x)
    smallest, infinite = 1 << form.mantissa, (2 * form.bias + 1) << form.mantissa
    return bitcast(x, form.unsigned) - smallest >= infinite - smallest


def reduce_log(x: Value) -> ReducedLog:
    """Splits a positive normal x, 1 + fraction in [2/3, 4/3); any numbers for others."""
    form = format_of(x)
    pattern = bits(x)
    exponent = (pattern - _two_thirds(form)) >> form.mantissa
    fraction = bitcast(pattern - (exponent << form.mantissa), x.dtype) - 1
    return ReducedLog(fraction, to_float(exponent, form))


def reduce_log_subnormal(x: Value) -> ReducedLog:
    """The same for any positive finite x."""
    form = format_of(x)
    subnormal = x < form.smallest_normal
    reduced = reduce_log(select(subnormal, x * 2.0**form.mantissa, x))
    shift = select(subnormal, constant(-form.mantissa, x.dtype), 0.0)
    return ReducedLog(reduced.fraction, reduced.exponent + shift)


def _two_thirds(form: Format) -> int:
    """The representation of 2/3."""
    return ((form.bias - 1) << form.mantissa) + (1 << form.mantissa) // 3


def log(x: Value) -> Value:
    return rarely(is_irregular(x), _log_irregular(x), _log_reduced(reduce_log(x)))


def _log_irregular(x: Value) -> Value:
    result = select(x < INFINITY, _log_reduced(reduce_log_subnormal(x)), x)
    return select(x > 0, result, select(x.equals(0), -INFINITY, select(x < 0, NAN, x)))


def _log_reduced(reduced: ReducedLog) -> Value:
    f, e = reduced
    first, second = PARTS["ln2", f.dtype.name]
    return fma(e, first, f + fma(e, second, _log_tail(f)))


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
