"""Floor 1: sin, cos, tan and their inverses on f32 and f64 Values.

sin and cos: |x| = n pi + r with |r| <= pi/2, then a polynomial in r^2; tan and large angles: |x| = q pi/2 + r with
|r| <= pi/4, then two. The inverses reduce to t <= 1/2 (asin), |t| <= tan(pi/8)
(atan). Odd functions work on |x| and copy the sign, which keeps -0.
"""

from __future__ import annotations

from tilec.mathlib.coefficients import COEFFICIENTS, PARTS
from tilec.mathlib.reduction import (
    HalfTurn,
    Reduced,
    is_large_angle,
    reduce_half_turn,
    reduce_large,
    reduce_moderate,
)
from tilec.mathlib.value import Value, call, constant, flip_sign, fma, format_of, horner, rarely, select, sign_of

_TAN_PI_8 = 0.41421356237309503
_COT_PI_8 = 2.414213562373095


def _sin_kernel(r: Value, low: Value) -> Value:
    """sin(r + low), |r| <= pi/4."""
    z = r * r
    correction = fma(z, low * -0.5, low)  # low cos(r)
    return r + fma(r * z, horner(z, COEFFICIENTS["sin", r.dtype.name]), correction)


def _cos_kernel(r: Value, low: Value) -> Value:
    """cos(r + low), |r| <= pi/4; the rounding error of 1 - z/2 is put back."""
    z = r * r
    half = z * 0.5
    head = 1 - half
    lost = (1 - head) - half
    return head + fma(z * z, horner(z, COEFFICIENTS["cos", r.dtype.name]), lost - r * low)


class _Circle:
    """sin, cos and tan of an angle that is reduced to a quadrant."""

    def __init__(self, angle: Reduced) -> None:
        self.quadrant = angle.quadrant
        self.odd = (angle.quadrant & 1).equals(1)
        self.first = _sin_kernel(angle.high, angle.low)
        self.second = _cos_kernel(angle.high, angle.low)

    def sin(self) -> Value:
        return _negate(select(self.odd, self.second, self.first), self.quadrant, bit=1)

    def cos(self) -> Value:
        return _negate(select(self.odd, self.first, self.second), self.quadrant + 1, bit=1)

    def tan(self) -> Value:
        return select(self.odd, -self.second, self.first) / select(self.odd, self.first, self.second)


def _negate(value: Value, number: Value, bit: int) -> Value:
    """-value where that bit of the number is set."""
    sign = format_of(value).dtype.bits - 1
    return flip_sign(value, number << sign if bit == 0 else (number & (1 << bit)) << (sign - bit))


def _sin_half_turn(angle: HalfTurn) -> Value:
    """sin(high + low), negated where n is odd: one polynomial for all, where quadrants need two."""
    r = angle.high
    z = r * r
    correction = fma(z, angle.low * -0.5, angle.low)
    tail = fma(z, r * horner(z, COEFFICIENTS["sin_half_turn", r.dtype.name]), correction)
    return _negate(r + tail, angle.turns, bit=0)


def sin(x: Value) -> Value:
    a = abs(x)
    usual = _sin_half_turn(reduce_half_turn(a, 0.0))
    return flip_sign(rarely(is_large_angle(a), _Circle(reduce_large(a)).sin(), usual), sign_of(x))


def cos(x: Value) -> Value:
    """sin(a + pi/2), that is -sin(a - (m + 1/2) pi) for an even m."""
    a = abs(x)
    usual = -_sin_half_turn(reduce_half_turn(a, 0.5))
    return rarely(is_large_angle(a), _Circle(reduce_large(a)).cos(), usual)


def tan(x: Value) -> Value:
    a = abs(x)
    usual = _Circle(reduce_moderate(a)).tan()
    return flip_sign(rarely(is_large_angle(a), _Circle(reduce_large(a)).tan(), usual), sign_of(x))


def _asin_kernel(t: Value) -> Value:
    """asin(t), 0 <= t <= 1/2."""
    z = t * t
    return fma(t * z, horner(z, COEFFICIENTS["asin", t.dtype.name]), t)


def _asin_argument(a: Value) -> tuple[Value, Value]:
    """(a > 1/2, t): asin(a) = pi/2 - 2 asin(t) with t = sqrt((1 - a)/2) for large a, else t = a."""
    large = a > 0.5
    return large, select(large, call("sqrt", (1 - a) * 0.5), a)


def asin(x: Value) -> Value:
    large, t = _asin_argument(abs(x))
    kernel = _asin_kernel(t)
    high, low, _ = PARTS["pi/2", x.dtype.name]
    return flip_sign(select(large, high - fma(kernel, 2.0, -low), kernel), sign_of(x))


def acos(x: Value) -> Value:
    """pi/2 - asin x; for |x| > 1/2 from asin(sqrt((1 - |x|)/2)), which is accurate near 1."""
    large, t = _asin_argument(abs(x))
    kernel = _asin_kernel(t)
    high, low, _ = PARTS["pi/2", x.dtype.name]
    outer = select(x < 0, 2 * high - fma(kernel, 2.0, -2 * low), kernel * 2)
    return select(large, outer, high - (flip_sign(kernel, sign_of(x)) - low))


def atan(x: Value) -> Value:
    """atan a = base + atan(t): t = a; (a - 1)/(a + 1) with base pi/4; or -1/a with base pi/2."""
    a = abs(x)
    middle, outer = a > _TAN_PI_8, a > _COT_PI_8
    one = constant(1, x.dtype)
    t = select(outer, -one, select(middle, a - 1, a)) / select(outer, a, select(middle, a + 1, one))
    high, low, _ = PARTS["pi/2", x.dtype.name]
    base = select(outer, high, select(middle, constant(high / 2, x.dtype), 0.0))
    base_low = select(outer, low, select(middle, constant(low / 2, x.dtype), 0.0))
    z = t * t
    return flip_sign(base + (t + fma(t * z, horner(z, COEFFICIENTS["atan", x.dtype.name]), base_low)), sign_of(x))
