"""Floor 1: erf on f32 and f64 Values: a polynomial below 1 (f32: 27/32), 1 - erfc above."""

from __future__ import annotations

from tilec.dtypes import F32
from tilec.mathlib.coefficients import COEFFICIENTS
from tilec.mathlib.exponential import reduce_exp_coarsely
from tilec.mathlib.value import Value, flip_sign, fma, horner, power_of_two, select, sign_of


def erf(x: Value) -> Value:
    a = abs(x)
    small = fma(a, horner(a * a, COEFFICIENTS["erf", x.dtype.name]), a)
    large = _one_minus_erfc_f32(a) if x.dtype == F32 else _one_minus_erfc_f64(a)
    return flip_sign(select(a < (0.84375 if x.dtype == F32 else 1.0), small, large), sign_of(x))


def _one_minus_erfc_f32(a: Value) -> Value:
    """For a >= 27/32, by a polynomial for log(erfc): no number is subtracted from 1 that needs a high accuracy."""
    u = select(a > 4, 4.0, a) - 0.9765625
    reduced = reduce_exp_coarsely(horner(u, COEFFICIENTS["log_erfc", "f32"]))
    return fma(-reduced.mantissa(), power_of_two(reduced.shifted), 1.0)


def _one_minus_erfc_f64(a: Value) -> Value:
    """For a >= 1, by a polynomial for exp(a^2) erfc(a)."""
    a = select(a > 6, 6.0, a)
    t = (a - 2) / (a + 2)
    reduced = reduce_exp_coarsely(-(a * a))
    erfc = reduced.mantissa() * power_of_two(reduced.shifted)
    return fma(-erfc, horner(t, COEFFICIENTS["scaled_erfc", "f64"]), 1.0)
