"""Floor 1: pow on f32 and f64 Values, in double-word arithmetic (T. J. Dekker, 1971; with fma, Joldes et al., 2017).

x^y = exp(y log|x|) needs log|x| to about 12 bits more than a word, for an error of the logarithm grows by |y log x|.
"""

from __future__ import annotations

from typing import NamedTuple

from tilec.dtypes import F32
from tilec.mathlib.coefficients import COEFFICIENTS, PARTS
from tilec.mathlib.exponential import reduce_exp, reduce_log
from tilec.mathlib.value import INFINITY, NAN, Value, call, constant, flip_sign, fma, horner, scale, select, sign_of


class Pair(NamedTuple):
    """The unevaluated sum high + low, |low| <= ulp(high) / 2."""

    high: Value
    low: Value


def fast_two_sum(a: Value, b: Value) -> Pair:
    """a + b exactly, for |a| >= |b| or a = 0."""
    s = a + b
    return Pair(s, b - (s - a))


def multiply(a: Pair, b: Pair) -> Pair:
    p = a.high * b.high
    error = fma(a.high, b.high, -p)
    return fast_two_sum(p, fma(a.high, b.low, fma(a.low, b.high, error)))


def _quotient(a: Value, b: Pair) -> Pair:
    q = a / b.high
    return Pair(q, fma(-q, b.low, fma(-q, b.high, a)) / b.high)


def log_pair(x: Value) -> Pair:
    """log x to almost two words, x positive and finite: 2 s + s z (2/3 + z T(z)), z = s^2, all but T in pairs."""
    name = x.dtype.name
    f, e = reduce_log(x)
    s = _quotient(f, fast_two_sum(constant(2, x.dtype), f))
    z = multiply(s, s)
    third, third_low = PARTS["2/3", name]
    inner = fast_two_sum(constant(third, x.dtype), z.high * horner(z.high, COEFFICIENTS["log_tail", name]))
    cubic = multiply(multiply(s, z), Pair(inner.high, inner.low + third_low))
    first, second = PARTS["ln2", name]
    head = fast_two_sum(e * first, s.high * 2)
    middle = fast_two_sum(head.high, cubic.high)
    low = fma(e, second, fma(s.low, 2.0, cubic.low))
    return fast_two_sum(middle.high, head.low + middle.low + low)


def power(x: Value, y: Value) -> Value:
    """C99's pow."""
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
    logarithm = log_pair(a)
    limit = 110.0 if a.dtype == F32 else 750.0  # exp of it overflows
    product = y * logarithm.high
    low = select(abs(product) < limit, fma(y, logarithm.high, -product) + y * logarithm.low, 0.0)
    main = select(product > limit, limit, select(product < -limit, -limit, product))
    tail, exponent = reduce_exp(main, low)
    regular = (a > 0) & (a < INFINITY) & (abs(y) < INFINITY)
    grows = ((a > 1) & (y > 0)) | ((a < 1) & (y < 0))
    return select(regular, scale(tail + 1, exponent), select(grows, constant(INFINITY, a.dtype), 0.0))
