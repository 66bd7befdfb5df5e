"""Floor 1: sinh, cosh, tanh and their inverses on f32 and f64 Values. Odd functions work on |x| and copy the sign."""

from __future__ import annotations

from tilec.dtypes import F32
from tilec.mathlib.coefficients import COEFFICIENTS
from tilec.mathlib.exponential import LN2, clamp_exp, expm1, log1p, reduce_exp, reduce_exp_coarsely
from tilec.mathlib.value import NAN, Value, call, constant, flip_sign, fma, horner, power_of_two, scale, select, sign_of


def _half_exp(a: Value) -> Value:
    """exp(a) / 2, which is finite a little longer than exp(a)."""
    reduced = reduce_exp(clamp_exp(a))
    return scale(reduced.mantissa(), reduced.shifted - 1)


def sinh(x: Value) -> Value:
    a = abs(x)
    half, m = _half_exp(a), expm1(a)
    return flip_sign(select(a < 1, (m + m / (m + 1)) * 0.5, half - 0.25 / half), sign_of(x))


def cosh(x: Value) -> Value:
    half = _half_exp(abs(x))
    return half + 0.25 / half


def tanh(x: Value) -> Value:
    """A polynomial below 1, where 1 - 2/(exp(2a) + 1) would amplify the error of exp."""
    a = abs(x)
    z = a * a
    small = fma(a * z, horner(z, COEFFICIENTS["tanh", x.dtype.name]), a)
    doubled = a * 2
    limit = 20.0 if x.dtype == F32 else 40.0  # tanh is 1 from there on
    reduced = reduce_exp_coarsely(select(doubled > limit, limit, doubled))
    large = 1 - 2 / fma(reduced.mantissa(), power_of_two(reduced.shifted), 1.0)
    return flip_sign(select(a < 1, small, large), sign_of(x))


def _is_huge(a: Value) -> Value:
    """Where 1 + a = a in this precision; a^2 may overflow from there on."""
    return a > (2.0**25 if a.dtype == F32 else 2.0**54)


def _log1p_or_double(huge: Value, a: Value, argument: Value) -> Value:
    """log(1 + argument), or log(2 a) for huge a."""
    return log1p(select(huge, a, argument)) + select(huge, constant(LN2, a.dtype), 0.0)


def asinh(x: Value) -> Value:
    """log(a + sqrt(a^2 + 1)) as log1p(a + a^2 / (1 + sqrt(a^2 + 1)))."""
    a = abs(x)
    square = a * a
    argument = a + square / (call("sqrt", square + 1) + 1)
    return flip_sign(_log1p_or_double(_is_huge(a), a, argument), sign_of(x))


def acosh(x: Value) -> Value:
    """log(x + sqrt(x^2 - 1)) as log1p(t + sqrt(t (t + 2))), t = x - 1; NaN below 1."""
    t = x - 1
    argument = t + call("sqrt", t * (t + 2))
    return select(x < 1, NAN, _log1p_or_double(_is_huge(x), x, argument))


def atanh(x: Value) -> Value:
    """log1p(2a / (1 - a)) / 2."""
    a = abs(x)
    return flip_sign(log1p(a * 2 / (1 - a)) * 0.5, sign_of(x))
