"""Floor 3: dtype rules, weak operands and broadcasting: how elementwise operations are typed.

A *weak* operand (a literal, a size, a Python number bound to a scalar input) takes the type of the others within its
category: `u8 + 1` is u8, `f16 * 2.5` is f16, `i32 * 2.5` is f32 and `i64 * 2.5` too. An integer literal that the type
cannot hold wraps: `u8 + (-1)` adds 255. Only a shift count never wraps into range: `u8 << 256` is 0. Among weak
operands only, literals are i32 (i64 beyond its range) and f32, and the result is weak again; a cast makes a value
strong.

The rules of the single builtins are named in `tilec.builtins`. Errors raised: TILE0105 unknown operation, TILE0106
wrong number of operands, TILE0203 shapes do not broadcast, TILE0301 operation not defined for a type, TILE0302 bitcast
to another width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np

from tilec.affine import Affine, Size, size_text
from tilec.builtins import ALIASES, BUILTINS, Builtin
from tilec.dtypes import BOOL, F32, I32, I64, DType, promote
from tilec.errors import Span, error
from tilec.expr import Call, Const, Expr, IndexValue
from tilec.graph import TensorType
from tilec.numpy_semantics import cast as convert


@dataclass(frozen=True, slots=True)
class Typed:
    """A scalar operand with its weakness: what `call_typed` takes and returns."""

    expr: Expr
    weak: bool = False


def builtin(op: str, count: int, span: Span | None = None) -> Builtin:
    """The entry of an operation applied to `count` operands; aliases are accepted."""
    found = BUILTINS.get(ALIASES.get(op, op))
    if found is None:
        raise error("TILE0105", f"there is no elementwise operation '{op}'", span)
    if found.arity != count:
        raise error("TILE0106", f"'{op}' takes {found.arity} operands, {count} given", span)
    return found


def weak_dtype(value: int | float) -> DType:
    """Type of a literal that stands alone."""
    if isinstance(value, bool):
        return BOOL
    if isinstance(value, float):
        return F32
    return I32 if I32.min <= value <= I32.max else I64


def wrap(value: int, dtype: DType) -> int:
    """`value` modulo 2^bits in the range of an integer type; of bool, whether it is non-zero."""
    if dtype == BOOL:
        return int(value != 0)
    low = value & ((1 << dtype.bits) - 1)
    return low - (1 << dtype.bits) if low > dtype.max else low


def constant(value: int | float, dtype: DType) -> Const:
    """A literal as a constant of `dtype`; a float becomes an integer by truncation, saturated."""
    if dtype.is_float:
        return Const(float(value), dtype)
    if not isinstance(value, float):
        return Const(wrap(int(value), dtype), dtype)
    if dtype == BOOL:
        return Const(int(value != 0), dtype)
    if value != value:
        return Const(0, dtype)
    return Const(int(max(min(value, dtype.max), dtype.min)), dtype)


def common_type(types: Sequence[TensorType]) -> TensorType:
    """Rank-0 type to which all operands are promoted, weak if all are."""
    strong = [t.dtype for t in types if not t.weak]
    weak = [t.dtype for t in types if t.weak]
    if not strong:
        return TensorType(reduce(promote, weak), weak=True)
    dtype = reduce(promote, strong)
    if weak:
        adapted = reduce(promote, weak)
        if _category(adapted) > _category(dtype):
            dtype = adapted
    return TensorType(dtype)


def _category(dtype: DType) -> int:
    return 2 if dtype.is_float else 0 if dtype == BOOL else 1


def apply_type(
    op: str, types: Sequence[TensorType], dtype: DType | None = None, span: Span | None = None
) -> tuple[tuple[DType, ...], TensorType]:
    """Dtype wanted of each operand, and the result's type with the broadcast shape.

    `dtype` is the target of `cast` and `bitcast`, None for all other operations.
    """
    entry = builtin(op, len(types), span)
    wanted, result, weak = _dtypes(entry, types, dtype, span)
    return wanted, TensorType(result, broadcast([t.shape for t in types], span), weak)


def _dtypes(
    entry: Builtin, types: Sequence[TensorType], dtype: DType | None, span: Span | None
) -> tuple[tuple[DType, ...], DType, bool]:
    if entry.rule in ("cast", "bitcast"):
        return _conversion(entry, types[0].dtype, dtype, span)
    if entry.rule == "raw":
        return tuple(t.dtype for t in types), types[0].dtype, False
    values = types[1:] if entry.rule == "select" else types
    common = common_type(values)
    operand = _operand_type(entry, common.dtype, types, span)
    wanted = (operand,) * len(values)
    match entry.rule:
        case "select":
            return (BOOL, *wanted), operand, common.weak
        case "compare":
            return wanted, BOOL, common.weak
        case _:
            return wanted, operand, common.weak


def _conversion(
    entry: Builtin, source: DType, dtype: DType | None, span: Span | None
) -> tuple[tuple[DType, ...], DType, bool]:
    if dtype is None:
        raise error("TILE0301", f"'{entry.name}' needs a target type", span)
    if entry.rule == "bitcast" and source.bits != dtype.bits:
        raise error("TILE0302", f"bitcast of {source.long} to {dtype.long}: the widths differ", span)
    return (source,), dtype, False


def _operand_type(entry: Builtin, common: DType, types: Sequence[TensorType], span: Span | None) -> DType:
    match entry.rule:
        case "arithmetic":
            return I32 if common == BOOL else common
        case "shift":
            _no_floats(entry, common, types, span)
            return I32 if common == BOOL else common
        case "bits":
            _no_floats(entry, common, types, span)
            return common
        case "float":
            return common if common.is_float else F32
        case _:
            return common


def _no_floats(entry: Builtin, common: DType, types: Sequence[TensorType], span: Span | None) -> None:
    if common.is_float:
        names = ", ".join(t.dtype.long for t in types)
        help = "bit operations take integers and bool; convert with as_int(x, 32)"
        raise error("TILE0301", f"'{entry.name}' is not defined for {names}", span, help=help)


def broadcast(shapes: Sequence[tuple[Size, ...]], span: Span | None = None) -> tuple[Size, ...]:
    """NumPy broadcasting from the right. Sizes agree if equal as integers or polynomials, or if one is 1."""
    rank = max((len(s) for s in shapes), default=0)
    padded = [(1,) * (rank - len(s)) + s for s in shapes]
    return tuple(_join([p[axis] for p in padded], shapes, span) for axis in range(rank))


def _join(sizes: Sequence[Size], shapes: Sequence[tuple[Size, ...]], span: Span | None) -> Size:
    wide = [s for s in sizes if s != 1]
    if any(s != wide[0] for s in wide):
        texts = " and ".join(shape_text(s) for s in shapes)
        help = "shapes are aligned at their last axes; only an axis of size 1, or a missing one, is repeated"
        notes = [f"{wide[0]} is not {wide[-1]}"]
        raise error("TILE0203", f"shapes {texts} do not broadcast", span, notes=notes, help=help)
    return wide[0] if wide else 1


def shape_text(shape: tuple[Size, ...]) -> str:
    return f"[{', '.join(map(size_text, shape))}]"


def cast(expr: Expr, dtype: DType) -> Expr:
    """The expression converted to `dtype`: constants at once, from their value as rounded to their own type."""
    if expr.dtype == dtype:
        return expr
    if isinstance(expr, Const):
        return constant(rounded(expr), dtype)
    if isinstance(expr, IndexValue) and (expr.dtype, dtype) == (I64, I32):
        return IndexValue(expr.form, dtype)  # wraps the same way
    if dtype == BOOL:
        return Call("cmp_ne", (expr, constant(0, expr.dtype)), BOOL)
    return Call("cast", (expr,), dtype)


def rounded(value: Const) -> int | float:
    """The value that a constant has: a literal such as 0.1 is kept with more digits than its type holds."""
    if not value.dtype.is_float:
        return value.value
    return float(convert(np.float64(value.value), value.dtype.numpy))


def _adapt(arg: Typed, dtype: DType) -> Expr:
    """An operand in the type wanted of it. A weak number never had its own type: f64 * 0.1 takes the nearest f64."""
    if arg.weak and isinstance(arg.expr, Const):
        return constant(arg.expr.value, dtype)
    if arg.weak and isinstance(arg.expr, IndexValue) and dtype == I64:
        return IndexValue(arg.expr.form, I64)
    return cast(arg.expr, dtype)


def call(op: str, *args: Expr | int | float, span: Span | None = None, dtype: DType | None = None) -> Expr:
    """A typed call with the casts that it needs. Python numbers are weak, expressions are not."""
    return call_typed(op, [_operand(a) for a in args], span=span, dtype=dtype).expr


def _operand(arg: Expr | int | float) -> Typed:
    return literal(arg) if isinstance(arg, int | float) else Typed(arg)


def literal(value: int | float) -> Typed:
    """A weak constant."""
    return Typed(constant(value, weak_dtype(value)), weak=True)


def index_value(form: Affine) -> Typed:
    """The value of an affine form: an int32 that adapts like a literal."""
    return Typed(IndexValue(form, I32), weak=True)


def call_typed(op: str, args: Sequence[Typed], *, span: Span | None = None, dtype: DType | None = None) -> Typed:
    """As `call`, for operands whose weakness is known, such as reads of weak scalars; the result may be weak."""
    entry = builtin(op, len(args), span)
    types = [TensorType(a.expr.dtype, (), a.weak) for a in args]
    wanted, result, weak = _dtypes(entry, types, dtype, span)
    if entry.rule == "cast":
        return Typed(_adapt(args[0], result))
    if is_shift(op):
        args = [args[0], _count(args[1], wanted[1])]
    operands = tuple(_adapt(a, d) for a, d in zip(args, wanted, strict=True))
    return Typed(Call(entry.name, operands, result), weak)


def is_shift(op: str) -> bool:
    return BUILTINS[ALIASES.get(op, op)].rule == "shift"


def shift_count(value: int | float, dtype: DType) -> int | float:
    """A literal count that means the same in `dtype`: all counts outside [0, bits) do."""
    return max(-1, min(value, dtype.bits))


def narrows(source: DType, target: DType) -> bool:
    """Whether a shift count of type `source` could wrap to another one in `target`, and must be clamped before."""
    return source.is_integer and source.bits > target.bits


def _count(count: Typed, dtype: DType) -> Typed:
    """A weak shift count, clamped so that it means the same in `dtype`: X << 256 is 0 for u8 too."""
    if not count.weak or not narrows(count.expr.dtype, dtype):
        return count
    if isinstance(count.expr, Const):
        return Typed(constant(shift_count(count.expr.value, dtype), dtype))
    source = count.expr.dtype
    least = call("max", count.expr, constant(-1, source)) if source.is_signed else count.expr
    return Typed(call("min", least, constant(dtype.bits, source)))
