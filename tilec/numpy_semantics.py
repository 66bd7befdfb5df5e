"""Floor 1: the meaning of every builtin on NumPy arrays: the one place where corner cases are decided.

Each function takes arrays of one dtype (conditions excepted) and returns an array of that dtype, or of bool for
comparisons. No NumPy warning escapes. float16 and bfloat16 round after every operation; a transcendental function of
float32 is computed in float64 and rounded once, of the 16-bit floats it is the float32 result rounded once more.
Conversions to float16 and bfloat16 go by way of float32, which is exact for all sources but float64, int32 and int64.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any, TypeAlias

import numpy as np

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
Function: TypeAlias = Callable[..., Array]

_NARROW = ("float16", "bfloat16")


def quiet(function: Callable[..., Any]) -> Function:
    """The function with NumPy's floating-point warnings off and arrays, never scalars, as its results."""

    def call(*args: Any) -> Array:
        with np.errstate(all="ignore"):
            return np.asarray(function(*(np.asarray(a) for a in args)))

    return call


def is_float(x: Array) -> bool:
    """True for bfloat16 too, whose NumPy kind is not `f`."""
    return x.dtype.kind == "f" or x.dtype.name == "bfloat16"


def _widen(x: Array) -> Array:
    return x.astype(np.float32) if x.dtype.name in _NARROW else x


def exact(function: Callable[..., Any]) -> Function:
    """A function whose float32 result on 16-bit floats, rounded once, is the right one (`+ - * /`, sqrt, floor ...)."""

    @quiet
    def call(*args: Array) -> Any:
        return np.asarray(function(*map(_widen, args))).astype(args[0].dtype)

    return call


def transcendental(function: Callable[..., Any]) -> Function:
    """A float function computed in float64, rounded to float32 and, for 16-bit floats, rounded again."""

    @quiet
    def call(*args: Array) -> Any:
        result = np.asarray(function(*(a.astype(np.float64) for a in args)), np.float64)
        if args[0].dtype.name in _NARROW:
            result = result.astype(np.float32)
        return result.astype(args[0].dtype)

    return call


@quiet
def divide(a: Array, b: Array) -> Any:
    """Quotient; of integers truncated toward zero, x / 0 = 0, MIN / -1 = MIN."""
    if is_float(a):
        return np.divide(_widen(a), _widen(b)).astype(a.dtype)
    divisor = np.where(b == 0, np.ones_like(b), b)
    quotient = (a - np.fmod(a, divisor)) // divisor
    return np.where(b == 0, np.zeros_like(quotient), quotient)


@quiet
def strong_multiply(a: Array, b: Array) -> Any:
    """Product; where a is zero, a."""
    return np.where(a == 0, a, exact(np.multiply)(a, b))


@quiet
def strong_divide(a: Array, b: Array) -> Any:
    """Quotient; where a is zero, a."""
    return np.where(a == 0, a, divide(a, b))


@quiet
def modulo(a: Array, b: Array) -> Any:
    """Remainder with the sign of the divisor; x mod 0 is 0 for integers, NaN for floats."""
    if is_float(a):
        wide, divisor = _widen(a), _widen(b)
        rest = np.fmod(wide, divisor)
        rest = np.where((rest != 0) & ((rest < 0) != (divisor < 0)), rest + divisor, rest)
        return np.where(rest == 0, np.copysign(rest, divisor), rest).astype(a.dtype)
    divisor = np.where(b == 0, np.ones_like(b), b)
    return np.where(b == 0, np.zeros_like(a), np.mod(a, divisor))


@quiet
def remainder(a: Array, b: Array) -> Any:
    """Remainder of the truncating division, with the sign of the dividend; 0 for an integer zero divisor."""
    if is_float(a):
        return np.fmod(_widen(a), _widen(b)).astype(a.dtype)
    return np.where(b == 0, np.zeros_like(a), np.fmod(a, np.where(b == 0, np.ones_like(b), b)))


@quiet
def maximum(a: Array, b: Array) -> Any:
    """Greater value; NaN if either is NaN; max(-0, 0) = 0."""
    if not is_float(a):
        return np.maximum(a, b)
    first = np.isnan(a) | (a > b) | ((a == b) & np.signbit(b))
    return np.where(first, a, b)


@quiet
def minimum(a: Array, b: Array) -> Any:
    """Smaller value; NaN if either is NaN; min(0, -0) = -0."""
    if not is_float(a):
        return np.minimum(a, b)
    first = np.isnan(a) | (a < b) | ((a == b) & np.signbit(a))
    return np.where(first, a, b)


def _valid_shift(a: Array, count: Array) -> tuple[Array, Array]:
    valid = (count >= 0) & (count < a.dtype.itemsize * 8)
    return valid, np.where(valid, count, np.zeros_like(count))


@quiet
def shift_left(a: Array, count: Array) -> Any:
    """a << count, 0 for a count outside [0, width)."""
    valid, safe = _valid_shift(a, count)
    return np.where(valid, np.left_shift(a, safe), np.zeros_like(a))


@quiet
def shift_right(a: Array, count: Array) -> Any:
    """a >> count, arithmetic for signed types; for a count outside [0, width) 0, or -1 for negative `a`."""
    valid, safe = _valid_shift(a, count)
    outside = np.where(a < 0, ~np.zeros_like(a), np.zeros_like(a))
    return np.where(valid, np.right_shift(a, safe), outside)


@quiet
def select(condition: Array, then: Array, orelse: Array) -> Any:
    """`then` where the condition is non-zero (NaN counts as non-zero), else `orelse`."""
    return np.where(condition.astype(bool), then, orelse)


@quiet
def relu(x: Array) -> Any:
    return maximum(x, np.zeros_like(x))


@quiet
def first(x: Array, other: Array) -> Any:
    """x, in the shape of both together."""
    return np.broadcast_arrays(x, other)[0].copy()


@quiet
def logical_not(x: Array) -> Any:
    return x == np.zeros_like(x)


@quiet
def negate(x: Array) -> Any:
    return np.negative(x)


@quiet
def absolute(x: Array) -> Any:
    return np.abs(x)


@quiet
def bit_not(x: Array) -> Any:
    return np.invert(x)


def rounding(function: Callable[..., Any]) -> Function:
    """floor, ceil ...: the identity on integers and bool."""
    on_floats = exact(function)
    return lambda x: on_floats(x) if is_float(np.asarray(x)) else np.asarray(x)


def erf(x: Array) -> Any:
    """Error function, elementwise (NumPy has none)."""
    return np.frompyfunc(math.erf, 1, 1)(x)


def sigmoid(x: Array) -> Any:
    return 1.0 / (1.0 + np.exp(-x))


def power(a: Array, b: Array) -> Any:
    """C99 pow; NumPy's agrees with it."""
    return np.power(a, b)


@quiet
def scaled(x: Array, shifted: Array) -> Any:
    """x * 2^n, rounded once; n is an integer to which 1.5 * 2^23 (float64: 1.5 * 2^52) was added."""
    wide = x.dtype == np.float64
    magic, kind = (1.5 * 2.0**52, np.int64) if wide else (1.5 * 2.0**23, np.int32)
    exponent = shifted.view(kind) - np.asarray(magic, x.dtype).view(kind)
    return np.ldexp(x, np.clip(exponent, -4096, 4096).astype(np.int32))


@quiet
def fused(a: Array, b: Array, c: Array) -> Any:
    """a * b + c, rounded once."""
    if a.dtype == np.float64:
        return np.asarray(np.frompyfunc(_fused64, 3, 1)(a, b, c), np.float64)
    product, addend = a.astype(np.float64) * b.astype(np.float64), c.astype(np.float64)  # the product is exact
    total = _add_to_odd(product, addend)
    return (_narrow_to_odd(total) if a.dtype.name in _NARROW else total).astype(a.dtype)


def _add_to_odd(a: Array, b: Array) -> Array:
    """Sum in float64, an inexact one to the neighbour with an odd last bit, so that rounding it again is right.

    Boldo and Melquiond, Emulation of a FMA and correctly rounded sums: proved algorithms using rounding to odd (2008).
    """
    total = np.asarray(a + b)
    back = total - a
    lost = (a - (total - back)) + (b - back)  # Knuth's two-sum: a + b = total + lost, exactly
    fix = np.isfinite(total) & (lost != 0) & (total.view(np.int64) % 2 == 0)
    toward = np.where(lost > 0, np.inf, -np.inf)
    return np.where(fix, np.nextafter(total, toward), total)


def _narrow_to_odd(x: Array) -> Array:
    """To float32, an inexact value to the neighbour with an odd last bit: casts to 16 bits go by way of float32."""
    near = x.astype(np.float32)
    fix = np.isfinite(near) & (near != x) & (near.view(np.int32) % 2 == 0)
    toward = np.where(x > near, np.float32(np.inf), np.float32(-np.inf))
    return np.where(fix, np.nextafter(near, toward), near)


def _fused64(a: float, b: float, c: float) -> float:
    if math.isfinite(a) and math.isfinite(b) and not math.isfinite(c):
        return c  # whatever the product: it may overflow in float64, to the other infinity
    if not (math.isfinite(a) and math.isfinite(b) and math.isfinite(c)) or ((a == 0 or b == 0) and c == 0):
        return a * b + c
    exact = Fraction(a) * Fraction(b) + Fraction(c)
    try:
        return float(exact)
    except OverflowError:
        return math.inf if exact > 0 else -math.inf


def cast(x: Any, dtype: np.dtype[Any]) -> Array:
    """Conversion to `dtype`: integers wrap, floats to integers truncate and saturate (NaN gives 0), bool is x != 0."""
    x = np.asarray(x)
    if x.dtype == dtype:
        return np.asarray(x)
    with np.errstate(all="ignore"):
        if dtype.kind == "b":
            return np.asarray(x != np.zeros_like(x))
        if dtype.kind in "iu" and is_float(x):
            return _saturate(x.astype(np.float64), dtype)
        if dtype.name in _NARROW:
            x = x.astype(np.float32)
        return np.asarray(x.astype(dtype))


def _saturate(x: Array, dtype: np.dtype[Any]) -> Array:
    limits = np.iinfo(dtype)
    whole = np.trunc(np.where(np.isnan(x), 0.0, x))
    low, high = float(limits.min), float(int(limits.max) + 1)  # both exact in float64
    inside = (whole >= low) & (whole < high)
    result = np.where(inside, whole, 0.0).astype(dtype)
    result = np.where(whole >= high, np.array(limits.max, dtype), result)
    return np.asarray(np.where(whole < low, np.array(limits.min, dtype), result))


def bitcast(x: Any, dtype: np.dtype[Any]) -> Array:
    """The same bits as another type of the same width."""
    return np.asarray(np.ascontiguousarray(x).view(dtype).reshape(np.shape(x)))
