"""Floor 1: reduction of angles modulo pi/2 or pi, exact for every finite argument.

Moderate angles: n = round(a 2/pi), a - n pi/2 with pi/2 in three words (Cody and Waite, 1980). Large ones: only those
bits of 2/pi matter that meet the mantissa between weight 2 and the wanted accuracy (M. Payne, R. Hanek, 1983); a
barrel shifter of selects picks that window by the exponent, and 32-bit limbs multiply it.

Large angles take some hundred integer operations: functions put them behind `rarely`.
"""

from __future__ import annotations

from typing import NamedTuple

from tilec.dtypes import F32, F64, I64, U32, U64, DType
from tilec.mathlib.coefficients import PARTS, TWO_OVER_PI
from tilec.mathlib.value import (
    INFINITY,
    Format,
    Value,
    bitcast,
    cast,
    constant,
    fma,
    format_of,
    select,
    split_integer,
    whole,
)

_TWO_OVER_PI_BITS = 1280
_LARGE_EXPONENT = {"f32": 15, "f64": 20}  # angles from 2^this on take the large path
_ONE_OVER_PI = 0.3183098861837907
_WINDOW_WORDS = {"f32": 3, "f64": 6}  # bits of 2/pi used: 24 + 72, 53 + 139


class Reduced(NamedTuple):
    """a = quadrant pi/2 + high + low modulo 2 pi, |high| <= pi/4 and a trifle; quadrant: unsigned, modulo 4."""

    quadrant: Value
    high: Value
    low: Value


class HalfTurn(NamedTuple):
    """a = n pi + high + low, |high| <= pi/2 and a trifle; n in the low bits of the unsigned `turns`."""

    turns: Value
    high: Value
    low: Value


def is_large_angle(a: Value) -> Value:
    """Whether a >= 0 needs `reduce_large`."""
    return a >= 2.0 ** _LARGE_EXPONENT[a.dtype.name]


def reduce_half_turn(a: Value, shift: float) -> HalfTurn:
    """Of 0 <= a, not large, by n = m + shift, m an integer and in `turns`; shift is 0 or 1/2."""
    form = format_of(a)
    first, second, third = (2 * p for p in PARTS["pi/2", a.dtype.name])
    if shift:
        shifted = fma(a, _ONE_OVER_PI, -shift) + form.magic
        n = whole(shifted) + shift
    else:
        n, shifted = split_integer(a, _ONE_OVER_PI)
    rest = fma(n, -first, a)  # exact, but for a below 1 with a shift
    high = rest - n * second
    low = fma(n, -third, fma(n, -second, rest - high))
    return HalfTurn(bitcast(shifted, form.unsigned), high, low)


def _normalised(quadrant: Value, high: Value, low: Value) -> Reduced:
    total = high + low
    return Reduced(quadrant, total, low - (total - high))


def reduce_moderate(a: Value) -> Reduced:
    n, shifted = split_integer(a, 2 * _ONE_OVER_PI)
    first, second, third = PARTS["pi/2", a.dtype.name]
    rest = fma(n, -first, a)  # exact: the product is a multiple of ulp(pi/2) and the difference below 1
    product = n * second
    product_low = fma(n, second, -product)
    high = rest - product
    low = fma(n, -third, ((rest - high) - product) - product_low)
    return _normalised(bitcast(shifted, format_of(a).unsigned), high, low)


def reduce_large(a: Value) -> Reduced:
    """a = m 2^e, m an integer: the fraction of m (2^e 2/pi mod 4) in fixed point, times pi/2. NaN for infinity."""
    form, name = format_of(a), a.dtype.name
    pattern = bitcast(a, form.unsigned)
    lowest = _LARGE_EXPONENT[name] - form.mantissa
    distance = cast((pattern >> form.mantissa) - (form.bias + form.mantissa + lowest), U32)
    mantissa = cast(pattern & ((1 << form.mantissa) - 1) | (1 << form.mantissa), U64)
    words = _window(distance, form, lowest)
    product = _multiply_modulo(_limbs(mantissa, form), [cast(w, U64) for w in words])
    top = (product[0] << 32) | product[1]  # weight of bit 0: 2^-62
    quadrant = (top + (1 << 61)) >> 62
    whole = bitcast(top - (quadrant << 62), I64)
    high, low = _fraction_to_pair(whole, product[2:4] if a.dtype == F64 else [], a.dtype)
    first, second, _ = PARTS["pi/2", name]
    high = select(a < INFINITY, high, a - a)
    angle = high * (first * 2.0**-62)
    angle_low = fma(high, first * 2.0**-62, -angle) + fma(high, second * 2.0**-62, low * (first * 2.0**-62))
    return _normalised(cast(quadrant, form.unsigned), angle, angle_low)


def _window(distance: Value, form: Format, lowest: int) -> list[Value]:
    """The words of floor(2^(lowest + distance) 2/pi * 2^(32 words - 2)) modulo 2^(32 words), most significant first."""
    count = _WINDOW_WORDS[form.dtype.name]
    levels = ((form.bias - form.mantissa - lowest + 1) >> 5).bit_length()
    total = count + (1 << levels)
    table = TWO_OVER_PI >> (_TWO_OVER_PI_BITS - (lowest - 2 + 32 * total))
    words = [constant(table >> (32 * (total - 1 - i)) & 0xFFFFFFFF, U32) for i in range(total)]
    index = distance >> 5
    for level in reversed(range(levels)):
        step = 1 << level
        chosen = (index & step).equals(step)
        words = [select(chosen, words[i + step], words[i]) for i in range(count + step)]
    shift = distance & 31
    # Right by 32 - shift in two steps, for a shift by 32 is undefined.
    return [(words[i] << shift) | (words[i + 1] >> 1 >> (31 - shift)) for i in range(count)]


def _limbs(mantissa: Value, form: Format) -> list[Value]:
    """32-bit limbs in u64, least significant first."""
    return [mantissa] if form.dtype == F32 else [mantissa & 0xFFFFFFFF, mantissa >> 32]


def _multiply_modulo(limbs: list[Value], words: list[Value]) -> list[Value]:
    """The product of a small number and a window, modulo the window's width, most significant word first."""
    result: list[Value | None] = [None] * len(words)
    for shift, limb in enumerate(limbs):
        carry: Value | None = None
        for i in reversed(range(shift, len(words))):
            total = limb * words[i]
            for addend in (carry, result[i - shift]):
                total = total if addend is None else total + addend  # below 2^64: (2^32-1)^2 + 2 (2^32-1)
            result[i - shift] = total & 0xFFFFFFFF
            carry = total >> 32
    return [word for word in result if word is not None]


def _fraction_to_pair(whole: Value, rest: list[Value], dtype: DType) -> tuple[Value, Value]:
    """An i64, and words of fraction below it, as an unevaluated sum of two floats.

    Of the absolute value, so that nothing cancels (but for one unit of the last word); cut in pieces that convert
    exactly from 32-bit integers: conversions of 64-bit ones are slow or missing.
    """
    ones = whole >> 63  # in all bits the sign
    size, word = whole ^ ones, bitcast(ones, U64) & 0xFFFFFFFF
    if dtype == F32:
        pieces = [size >> 40, (size >> 16) & 0xFFFFFF, size & 0xFFFF]
        weights = [2.0**40, 2.0**16, 1.0]
    else:
        pieces = [size >> 32, size & 0xFFFFFFFF, *(w ^ word for w in rest)]
        weights = [2.0**32, 1.0, 2.0**-32, 2.0**-64]
    sign = select(whole < 0, constant(-1, dtype), 1.0)
    floats = [cast(cast(p, U32), dtype) * sign * w for p, w in zip(pieces, weights, strict=True)]
    low = floats[2] if dtype == F32 else floats[2] + floats[3]
    total = floats[0] + floats[1]
    return total, (floats[1] - (total - floats[0])) + low
