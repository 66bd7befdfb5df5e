"""Floor 1: arithmetic on expressions, so that the formulas of this package read like formulas.

A `Value` wraps one `Expr` object; `a * b + 1` builds `Call`s, numbers take the other operand's dtype. Nothing is folded
or copied: a Value used twice is one shared Expr object, so the result is a DAG. Whoever evaluates, prints or emits it
must remember what it did by `id()` of the node, or the work grows exponentially.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from tilec.dtypes import BOOL, F32, F64, I32, I64, U32, U64, DType
from tilec.expr import Call, Const, Expr

Operand: TypeAlias = "Value | int | float"


@dataclass(frozen=True, slots=True, eq=False)
class Value:
    """An expression with operators; comparisons give Values of bool."""

    expr: Expr

    @property
    def dtype(self) -> DType:
        return self.expr.dtype

    def __add__(self, other: Operand) -> Value:
        return self._call("add", other)

    def __sub__(self, other: Operand) -> Value:
        return self._call("sub", other)

    def __mul__(self, other: Operand) -> Value:
        return self._call("mul", other)

    def __truediv__(self, other: Operand) -> Value:
        return self._call("div", other)

    def __radd__(self, other: float) -> Value:
        return constant(other, self.dtype) + self

    def __rsub__(self, other: float) -> Value:
        return constant(other, self.dtype) - self

    def __rmul__(self, other: float) -> Value:
        return constant(other, self.dtype) * self

    def __rtruediv__(self, other: float) -> Value:
        return constant(other, self.dtype) / self

    def __neg__(self) -> Value:
        return call("neg", self)

    def __abs__(self) -> Value:
        return call("abs", self)

    def __and__(self, other: Operand) -> Value:
        return self._call("bit_and", other)

    def __or__(self, other: Operand) -> Value:
        return self._call("bit_or", other)

    def __xor__(self, other: Operand) -> Value:
        return self._call("bit_xor", other)

    def __lshift__(self, count: Operand) -> Value:
        """Raw shift: 0 <= count < width."""
        return self._call("shl_raw", count)

    def __rshift__(self, count: Operand) -> Value:
        """Raw shift, 0 <= count < width; arithmetic for signed integers, logical for unsigned ones."""
        return self._call("shr_raw", count)

    def __lt__(self, other: Operand) -> Value:
        return self._call("cmp_lt", other, BOOL)

    def __le__(self, other: Operand) -> Value:
        return self._call("cmp_le", other, BOOL)

    def __gt__(self, other: Operand) -> Value:
        return self._call("cmp_gt", other, BOOL)

    def __ge__(self, other: Operand) -> Value:
        return self._call("cmp_ge", other, BOOL)

    def equals(self, other: Operand) -> Value:
        return self._call("cmp_eq", other, BOOL)

    def differs(self, other: Operand) -> Value:
        return self._call("cmp_ne", other, BOOL)

    def _call(self, op: str, other: Operand, dtype: DType | None = None) -> Value:
        return Value(Call(op, (self.expr, _expr(other, self.dtype)), dtype or self.dtype))


def _expr(operand: Operand, dtype: DType) -> Expr:
    return operand.expr if isinstance(operand, Value) else constant(operand, dtype).expr


def constant(value: float, dtype: DType) -> Value:
    """A number, rounded to `dtype`."""
    if not dtype.is_float:
        return Value(Const(int(value), dtype))
    value = float(value)
    if dtype == F32:
        value = struct.unpack("<f", struct.pack("<f", value))[0]
    return Value(Const(value, dtype))


def call(op: str, *args: Value) -> Value:
    """A builtin whose result has its operands' dtype."""
    return Value(Call(op, tuple(a.expr for a in args), args[0].dtype))


def fma(a: Value, b: Operand, c: Operand) -> Value:
    """a * b + c, rounded once."""
    return Value(Call("fma", (a.expr, _expr(b, a.dtype), _expr(c, a.dtype)), a.dtype))


def select(condition: Value, then: Operand, orelse: Operand) -> Value:
    """Per lane; both sides are evaluated. At least one side is a Value."""
    dtype = then.dtype if isinstance(then, Value) else orelse.dtype  # type: ignore[union-attr]
    return Value(Call("cond", (condition.expr, _expr(then, dtype), _expr(orelse, dtype)), dtype))


def cast(value: Value, dtype: DType) -> Value:
    return Value(Call("cast", (value.expr,), dtype))


def bitcast(value: Value, dtype: DType) -> Value:
    return Value(Call("bitcast", (value.expr,), dtype))


def horner(x: Value, coefficients: Sequence[float]) -> Value:
    """c[0] + c[1] x + c[2] x^2 + ..., at least two coefficients."""
    *rest, top = coefficients
    result: Operand = constant(top, x.dtype)
    for c in reversed(rest):
        result = fma(x, result, c)
    assert isinstance(result, Value)
    return result


@dataclass(frozen=True, slots=True)
class Format:
    """Layout of an IEEE format: same-width integers, bits of the stored mantissa, exponent bias.

    Adding `magic` (1.5 * 2^mantissa) to a small number rounds it to an integer, which then is in the low bits.
    """

    dtype: DType
    integer: DType
    unsigned: DType
    mantissa: int
    bias: int

    @property
    def magic(self) -> float:
        return 1.5 * 2.0**self.mantissa

    @property
    def magic_bits(self) -> int:
        return (self.bias + self.mantissa << self.mantissa) | 1 << (self.mantissa - 1)

    @property
    def sign_bit(self) -> int:
        return 1 << (self.dtype.bits - 1)

    @property
    def smallest_normal(self) -> float:
        return 2.0 ** (1 - self.bias)


_FORMATS = {F32: Format(F32, I32, U32, 23, 127), F64: Format(F64, I64, U64, 52, 1023)}


def format_of(value: Value) -> Format:
    """The Format of an f32 or f64 Value."""
    return _FORMATS[value.dtype]


def bits(value: Value) -> Value:
    """The representation of a float as a signed integer."""
    return bitcast(value, format_of(value).integer)


def sign_of(value: Value) -> Value:
    """The sign bit of a float, alone, as an unsigned integer."""
    form = format_of(value)
    return bitcast(value, form.unsigned) & form.sign_bit


def flip_sign(value: Value, sign: Value) -> Value:
    """`value` negated where `sign`, made by `sign_of`, is set: how odd functions keep the sign of zero."""
    return bitcast(bitcast(value, format_of(value).unsigned) ^ sign, value.dtype)


def to_float(integer: Value, form: Format) -> Value:
    """A small integer (|i| < 2^(mantissa - 1)) as a float; many processors convert no 64-bit integers."""
    if form.dtype == F32:
        return cast(integer, F32)
    return bitcast(integer + form.magic_bits, form.dtype) - form.magic


def split_integer(value: Value, factor: float) -> tuple[Value, Value]:
    """round(value * factor) twice: as a float, and shifted, the integer in the low bits of a float.

    |value * factor| < 2^(mantissa - 2); any integer for NaN.
    """
    shifted = fma(value, factor, format_of(value).magic)
    return whole(shifted), shifted


def whole(shifted: Value) -> Value:
    """A shifted integer as a float."""
    return shifted - format_of(shifted).magic


def integer(shifted: Value) -> Value:
    """A shifted integer as a signed one."""
    return bits(shifted) - format_of(shifted).magic_bits


def scale(value: Value, shifted: Value) -> Value:
    """value * 2^n of a shifted integer n, rounded once: right for subnormal results and overflow.

    About 1 for |value|, |n| < 2 * bias. A builtin, because some processors have an instruction for it.
    """
    return call("scale2", value, shifted)


def expand_scale(args: tuple[Expr, ...], dtype: DType) -> Expr | None:
    """Two exact powers, because 2^n itself may be out of range."""
    value, shifted = map(Value, args)
    form, exponent = format_of(value), integer(shifted)
    first = exponent >> 1
    return (value * _power_of_two(first, form) * _power_of_two(exponent - first, form)).expr


def _power_of_two(exponent: Value, form: Format) -> Value:
    return bitcast((exponent << form.mantissa) + (form.bias << form.mantissa), form.dtype)


def power_of_two(shifted: Value) -> Value:
    """2^n of a shifted integer n, where that is a normal number."""
    form = format_of(shifted)
    return _power_of_two(bits(shifted), form)  # the shift drops what the magic number adds


def rarely(condition: Value, then: Value, orelse: Value) -> Value:
    """Per lane like `select`, but a backend may leave out `then` where no lane needs it: for long, seldom used ways."""
    return Value(Call("rarely", (condition.expr, then.expr, orelse.expr), then.dtype))


NAN = float("nan")
INFINITY = float("inf")
