"""Floor 1: builtins written in simpler builtins, for the corner cases that machine instructions leave undefined.

Each function has the signature of `Builtin.expand`: `(args, dtype of the first value operand) -> Expr | None`, None
where the builtin is primitive for that dtype. The raw primitives used here (`div_raw`, `shl_raw` ...) may be undefined
for some operands; every use below is behind a `cond` that replaces such operands first, so nothing ever traps.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from tilec.dtypes import BOOL, F32, I16, I32, I64, DType
from tilec.expr import Call, Const, Expr

Expansion: TypeAlias = Callable[[tuple[Expr, ...], DType], Expr | None]


def number(value: int | float, dtype: DType) -> Const:
    """A constant of `dtype`."""
    return Const(float(value) if dtype.is_float else int(value), dtype)


def op(name: str, *args: Expr) -> Call:
    """A call whose result has the type of its last operand."""
    return Call(name, args, args[-1].dtype)


def test(name: str, *args: Expr) -> Call:
    """A call whose result is bool."""
    return Call(name, args, BOOL)


def cond(condition: Expr, then: Expr, orelse: Expr) -> Call:
    return Call("cond", (condition, then, orelse), then.dtype)


def _safe_divisor(a: Expr, b: Expr, dtype: DType) -> Expr:
    """`b`, or 1 where dividing by it would trap: zero, and for signed types MIN / -1."""
    bad: Expr = test("cmp_eq", b, number(0, dtype))
    if dtype.is_signed:
        overflow = test("bit_and", test("cmp_eq", a, number(dtype.min, dtype)), test("cmp_eq", b, number(-1, dtype)))
        bad = test("bit_or", bad, overflow)
    return cond(bad, number(1, dtype), b)


def div(args: tuple[Expr, ...], dtype: DType) -> Expr | None:
    """Integer division: x / 0 = 0; MIN / -1 becomes MIN / 1."""
    if dtype.is_float:
        return None
    a, b = args
    quotient = op("div_raw", a, _safe_divisor(a, b, dtype))
    return cond(test("cmp_eq", b, number(0, dtype)), number(0, dtype), quotient)


def mod(args: tuple[Expr, ...], dtype: DType) -> Expr | None:
    """Remainder with the divisor's sign, from the truncating one; a float zero takes the divisor's sign too."""
    a, b = args
    zero = number(0, dtype)
    if not dtype.is_float:
        rest = op("rem_raw", a, _safe_divisor(a, b, dtype))
        if not dtype.is_signed:
            return rest
        differ = test("cmp_lt", op("bit_xor", rest, b), zero)
        return cond(test("bit_and", test("cmp_ne", rest, zero), differ), op("add", rest, b), rest)
    rest = op("rem_raw", a, b)
    negative = test("cmp_lt", b, zero)
    moved = cond(test("cmp_ne", test("cmp_lt", rest, zero), negative), op("add", rest, b), rest)
    signed_zero = cond(negative, number(-0.0, dtype), zero)
    return cond(test("cmp_eq", rest, zero), signed_zero, moved)


def _in_width(count: Expr, dtype: DType) -> Expr:
    below = test("cmp_lt", count, number(dtype.bits, dtype))
    return test("bit_and", test("cmp_ge", count, number(0, dtype)), below) if dtype.is_signed else below


def shift_left(args: tuple[Expr, ...], dtype: DType) -> Expr:
    a, count = args
    zero, valid = number(0, dtype), _in_width(count, dtype)
    return cond(valid, op("shl_raw", a, cond(valid, count, zero)), zero)


def shift_right(args: tuple[Expr, ...], dtype: DType) -> Expr:
    """An arithmetic shift by width - 1 already gives the 0 or -1 wanted outside."""
    a, count = args
    valid = _in_width(count, dtype)
    if dtype.is_signed:
        return op("shr_raw", a, cond(valid, count, number(dtype.bits - 1, dtype)))
    zero = number(0, dtype)
    return cond(valid, op("shr_raw", a, cond(valid, count, zero)), zero)


_BITS = {16: I16, 32: I32, 64: I64}


def _extreme(keep: str, bits_of_equal: str) -> Expansion:
    """max / min: NaN from either side wins; of two equal values (only zeros differ) their bits are joined."""

    def expand(args: tuple[Expr, ...], dtype: DType) -> Expr | None:
        a, b = args
        if dtype == BOOL:
            return test("bit_or" if keep == "cmp_gt" else "bit_and", a, b)
        if not dtype.is_float:
            return None
        raw = _BITS[dtype.bits]
        joined = op(bits_of_equal, Call("bitcast", (a,), raw), Call("bitcast", (b,), raw))
        equal = Call("bitcast", (joined,), dtype)
        first = test("bit_or", test(keep, a, b), test("cmp_ne", a, a))
        return cond(test("cmp_eq", a, b), equal, cond(first, a, b))

    return expand


maximum = _extreme("cmp_gt", "bit_and")  # sign bit only where both have it
minimum = _extreme("cmp_lt", "bit_or")


def relu(args: tuple[Expr, ...], dtype: DType) -> Expr:
    return op("max", args[0], number(0, dtype))


def recip(args: tuple[Expr, ...], dtype: DType) -> Expr:
    return op("div", number(1, dtype), args[0])


def strong_mul(args: tuple[Expr, ...], dtype: DType) -> Expr:
    """x * y, but x where x is zero, whatever y is."""
    return _strong(op("mul", *args), args[0], dtype)


def strong_div(args: tuple[Expr, ...], dtype: DType) -> Expr:
    """x / y, but x where x is zero, whatever y is."""
    return _strong(op("div", *args), args[0], dtype)


def _strong(result: Expr, x: Expr, dtype: DType) -> Expr:
    return cond(test("cmp_eq", x, number(0, dtype)), x, result) if dtype.is_float else result


def neg(args: tuple[Expr, ...], dtype: DType) -> Expr | None:
    return None if dtype.is_float else op("sub", number(0, dtype), args[0])


def absolute(args: tuple[Expr, ...], dtype: DType) -> Expr | None:
    if dtype.is_float:
        return None
    if not dtype.is_signed:
        return args[0]
    zero = number(0, dtype)
    return cond(test("cmp_lt", args[0], zero), op("sub", zero, args[0]), args[0])


def bit_not(args: tuple[Expr, ...], dtype: DType) -> Expr:
    """Exclusive or with all ones."""
    return op("bit_xor", args[0], number(-1 if dtype.is_signed else dtype.max, dtype))


def logical_not(args: tuple[Expr, ...], dtype: DType) -> Expr:
    return test("cmp_eq", args[0], number(0, dtype))


def identity(args: tuple[Expr, ...], dtype: DType) -> Expr:
    return args[0]


def round_integer(args: tuple[Expr, ...], dtype: DType) -> Expr | None:
    """floor, ceil, round and trunc of what has no fraction."""
    return None if dtype.is_float else args[0]


def sqrt(args: tuple[Expr, ...], dtype: DType) -> Expr | None:
    """Of 16-bit floats in float32, rounded once; primitive in float32 and float64."""
    if not dtype.is_float or dtype.bits > 16:
        return None
    return Call("cast", (Call("sqrt", (Call("cast", args, F32),), F32),), dtype)
