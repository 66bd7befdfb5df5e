"""Floor 1: pow on f32 and f64 Values, in double-word arithmetic (T. J. Dekker, 1971).

x^y = exp(y log|x|) needs log|x| to about 12 bits more than a word, for an error of the logarithm grows by |y log x|.
"""

from __future__ import annotations

from typing import NamedTuple

from tilec.mathlib.coefficients import COEFFICIENTS, PARTS
from tilec.mathlib.exponential import ReducedLog, is_irregular, reduce_exp, reduce_log, reduce_log_subnormal
from tilec.mathlib.value import INFINITY, NAN, Value, call, constant, flip_sign, fma, horner, rarely, select, sign_of

_LIMIT = {"f32": 110.0, "f64": 750.0}  # exp overflows or vanishes before it


class Pair(NamedTuple):
    """The unevaluated sum high + low, |low| <= ulp(high) / 2."""

    high: Value
    low: Value


def fast_two_sum(a: Value, b: Value) -> Pair:
    """a + b exactly, for |a| >= |b| or a = 0."""
    s = a + b
    return Pair(s, b - (s - a))


def log_pair(reduced: ReducedLog) -> Pair:
    """The logarithm to almost two words: 2 s + 2/3 s z + s z z T(z), z = s^2, all but the last term in pairs."""
    f, e = reduced
    name = f.dtype.name
    s = _half_quotient(f)
    z = s.high * s.high
    z_low = fma(s.high * 2, s.low, fma(s.high, s.high, -z))
    p = s.high * z
    p_low = fma(s.high, z_low, fma(s.low, z, fma(s.high, z, -p)))
    third, third_low = PARTS["2/3", name]
    cubic = p * third
    last = fma(z, horner(z, COEFFICIENTS["log_tail", name]), third_low)
    cubic_low = fma(p, last, fma(p_low, third, fma(p, third, -cubic)))
    first, second = PARTS["ln2", name]
    head = fast_two_sum(e * first, s.high * 2)
    middle = fast_two_sum(head.high, cubic)
    low = fma(e, second, fma(s.low, 2.0, cubic_low))
    return fast_two_sum(middle.high, head.low + middle.low + low)


def _half_quotient(f: Value) -> Pair:
    """f / (2 + f)."""
    divisor = fast_two_sum(constant(2, f.dtype), f)
    reciprocal = 1 / divisor.high
    q = f * reciprocal
    return Pair(q, fma(-q, divisor.low, fma(-q, divisor.high, f)) * reciprocal)


def power(x: Value, y: Value) -> Value:
    """C99's pow."""
    exponent = _exponent(log_pair(reduce_log(x)), y)
    size = abs(exponent.high)
    unusual = is_irregular(x) | (size >= _LIMIT[x.dtype.name]) | size.differs(size)
    return rarely(unusual, _power_of_any(x, y), reduce_exp(*exponent).value())


def _exponent(logarithm: Pair, y: Value) -> Pair:
    product = y * logarithm.high
    return Pair(product, fma(y, logarithm.low, fma(y, logarithm.high, -product)))


def _power_of_any(x: Value, y: Value) -> Value:
    magnitude = _power_of_magnitude(abs(x), y)
    integral, odd = _parity(y)
    signed = select(odd, flip_sign(magnitude, sign_of(x)), magnitude)
    defined = (x >= 0) | integral | abs(x).equals(INFINITY) | abs(y).equals(INFINITY)
    result = select(defined, signed, NAN)
    result = select(x.equals(x) & y.equals(y), result, x + y)
    one = x.equals(1) | y.equals(0) | (abs(x).equals(1) & abs(y).equals(INFINITY))
    return select(one, 1.0, result)


def _parity(y: Value) -> tuple[Value, Value]:
    """(y is an integer, y is an odd integer)."""
    half = y * 0.5
    integral = call("trunc", y).equals(y)
    return integral, integral & call("trunc", half).differs(half)


def _power_of_magnitude(a: Value, y: Value) -> Value:
    """a^y for a >= 0; any number for a = 1 with infinite y, y = 0 and NaN operands."""
    limit = _LIMIT[a.dtype.name]
    product, product_low = _exponent(log_pair(reduce_log_subnormal(a)), y)
    low = select(abs(product) < limit, product_low, 0.0)
    main = select(product > limit, limit, select(product < -limit, -limit, product))
    regular = (a > 0) & (a < INFINITY) & (abs(y) < INFINITY)
    grows = ((a > 1) & (y > 0)) | ((a < 1) & (y < 0))
    return select(regular, reduce_exp(main, low).value(), select(grows, constant(INFINITY, a.dtype), 0.0))
