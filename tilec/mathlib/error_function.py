"""Floor 1: erf on f32 and f64 Values: a polynomial below 1 (f32: 29/32), 1 - erfc above."""

from __future__ import annotations

from tilec.dtypes import F32
from tilec.mathlib.coefficients import COEFFICIENTS
from tilec.mathlib.exponential import reduce_exp
from tilec.mathlib.value import Value, flip_sign, fma, horner, scale, select, sign_of


def erf(x: Value) -> Value:
    a = abs(x)
    small = fma(a, horner(a * a, COEFFICIENTS["erf", x.dtype.name]), a)
    return flip_sign(select(a < (0.90625 if x.dtype == F32 else 1.0), small, 1 - _erfc(a)), sign_of(x))


def _erfc(a: Value) -> Value:
    """erfc(a) for a >= 29/32, to an absolute accuracy: where erf is 1 it stays what it was there."""
    if a.dtype == F32:
        u = select(a > 4, 4.0, a) - 0.9765625
        return _exp(horner(u, COEFFICIENTS["log_erfc", "f32"]))
    a = select(a > 6, 6.0, a)
    t = (a - 2) / (a + 2)
    return _exp(-(a * a)) * horner(t, COEFFICIENTS["scaled_erfc", "f64"])


def _exp(x: Value) -> Value:
    tail, exponent = reduce_exp(x)
    return scale(tail + 1, exponent)
