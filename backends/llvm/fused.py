"""a * b + c rounded once, also where the processor has no instruction for it.

Pairs of words in the mathematical library are built on the exact error of a product: a sum that is rounded twice makes
them worthless. In place of the instruction the exact product is added with rounding to odd, after which a rounding to
fewer bits is as if it were the only one (Boldo and Melquiond, Emulation of a FMA and correctly rounded sums, 2008).
"""

from __future__ import annotations

from tilec.backends.llvm.ops import Ops
from tilec.backends.llvm.target import has, is_x86
from tilec.backends.llvm.types import NARROW, Value
from tilec.dtypes import BOOL, F32, F64, I32, I64

_SPLIT = 2.0**27 + 1  # times a double: its upper 26 bits (Veltkamp)


def fused(ops: Ops, a: Value, b: Value, c: Value) -> Value:
    """a * b + c of one float dtype; float64 without the instruction is rounded twice beyond 2^996 and below 2^-968."""
    a, b, c = ops.alike(a, b, c)
    if a.dtype in NARROW:  # float32 holds their product
        x, y, z = (Value(v.ref, F32, v.lanes) for v in (a, b, c))
        return ops.narrow(_sum_to_odd(ops, ops.binary("fmul", x, y), z), a.dtype)
    if not is_x86(ops.target) or has(ops.target, "fma"):
        return ops.intrinsic("llvm.fma", a, b, c)
    if a.dtype == F32:
        x, y, z = (ops.cast(v, F64) for v in (a, b, c))
        return ops.cast(_sum_to_odd(ops, ops.binary("fmul", x, y), z), F32)
    return _fused_double(ops, a, b, c)


def _fused_double(ops: Ops, a: Value, b: Value, c: Value) -> Value:
    product, low = _product(ops, a, b)
    first, first_error = _sum(ops, c, low)
    second, second_error = _sum(ops, product, first)
    result = ops.binary("fadd", second, _sum_to_odd(ops, first_error, second_error))
    plain = ops.binary("fadd", product, c)  # right for zeros, infinities and NaN, and at least finite beyond the range
    special = ops.binary("fcmp ueq", result, ops.like(0.0, result), BOOL)
    return ops.select(special, plain, result)


def _product(ops: Ops, a: Value, b: Value) -> tuple[Value, Value]:
    """The rounded product of doubles, and its error (Dekker)."""
    product = ops.binary("fmul", a, b)
    (a_high, a_low), (b_high, b_low) = _halves(ops, a), _halves(ops, b)
    error = ops.binary("fsub", ops.binary("fmul", a_high, b_high), product)
    for x, y in ((a_high, b_low), (a_low, b_high), (a_low, b_low)):
        error = ops.binary("fadd", error, ops.binary("fmul", x, y))
    return product, error


def _halves(ops: Ops, x: Value) -> tuple[Value, Value]:
    large = ops.binary("fmul", x, ops.like(_SPLIT, x))
    high = ops.binary("fsub", large, ops.binary("fsub", large, x))
    return high, ops.binary("fsub", x, high)


def _sum(ops: Ops, a: Value, b: Value) -> tuple[Value, Value]:
    """The rounded sum, and its error (Knuth)."""
    total = ops.binary("fadd", a, b)
    part = ops.binary("fsub", total, a)
    lost = ops.binary("fsub", a, ops.binary("fsub", total, part))
    return total, ops.binary("fadd", lost, ops.binary("fsub", b, part))


def _sum_to_odd(ops: Ops, a: Value, b: Value) -> Value:
    """The sum; an inexact one is that of its two neighbours whose last bit is 1."""
    total, error = _sum(ops, a, b)
    bits, error_bits = (ops.convert("bitcast", v, I64 if v.dtype == F64 else I32) for v in (total, error))
    zero, one = ops.like(0, bits), ops.like(1, bits)
    even = ops.binary("icmp eq", ops.binary("and", bits, one), zero, BOOL)
    inexact = ops.binary("fcmp one", error, ops.like(0.0, error), BOOL)
    outwards = ops.binary("icmp sge", ops.binary("xor", bits, error_bits), zero, BOOL)
    neighbour = ops.binary("add", bits, ops.select(outwards, one, ops.like(-1, bits)))
    return ops.convert("bitcast", ops.select(ops.binary("and", even, inexact), neighbour, bits), total.dtype)
