"""Scalar expressions to SSA values: one value for all lanes, or a vector of them."""

from __future__ import annotations

from collections.abc import Mapping

from tilec.affine import Affine
from tilec.backends.llvm import memory
from tilec.backends.llvm.address import Form, scalar_value, split
from tilec.backends.llvm.frame import Frame, Mask
from tilec.backends.llvm.fused import fused
from tilec.backends.llvm.types import Value, constant, constant_vector, ssa_type
from tilec.builtins import BUILTINS
from tilec.dtypes import BOOL, F32, F64, I32, I64, DType
from tilec.errors import error
from tilec.expr import Call, Const, Expr, IndexValue, Read, Var, postorder
from tilec.loops import Store
from tilec.monoid import Monoid

_INT32 = range(-(2**31), 2**31)


def emit(frame: Frame, expr: Expr, known: Mapping[int, Value] | None = None) -> Value:
    """The value of an expression of any depth; raises TileError TILE0602 for a builtin without any spelling.

    Values are kept by identity of the term, so that one shared within an expansion is computed once; `known` are those
    that terms around this one have.
    """
    terms = frame.orders.get(id(expr))
    if terms is None:  # written out again and again where loops are unrolled
        terms = frame.orders[id(expr)] = postorder(expr, _parts)
    values = dict(known or {})
    for term in terms:
        if id(term) not in values:
            values[id(term)] = _compute(frame, term, values)
    return values[id(expr)]


def _parts(expr: Expr) -> tuple[Expr, ...]:
    """Terms that must be computed before this one."""
    match expr:
        case Call(op="rarely"):
            return expr.args[0], expr.args[2]
        case Call():
            return expr.args
        case Read():
            return tuple(i for i in expr.access.indices if not isinstance(i, Affine))
        case _:
            return ()


def _compute(frame: Frame, expr: Expr, values: dict[int, Value]) -> Value:
    match expr:
        case Const():
            return constant(expr.value, expr.dtype)
        case Var():
            return frame.lets[expr.name]
        case IndexValue():
            return index_value(frame, split(expr.form, frame.indices), expr.dtype)
        case Read(access):
            places = {
                axis: frame.ops.cast(values[id(i)], I64)
                for axis, i in enumerate(access.indices)
                if not isinstance(i, Affine)
            }
            return memory.load(frame, access.tensor, access.indices, places)
        case Call(op="rarely"):
            return _rarely(frame, expr, values)
        case Call():
            return _call(frame, expr, tuple(values[id(a)] for a in expr.args))


def dynamic(frame: Frame, indices: tuple[Affine | Expr, ...]) -> dict[int, Value]:
    """Values (i64) of the data-dependent indices, by axis."""
    return {
        axis: frame.ops.cast(emit(frame, index), I64)
        for axis, index in enumerate(indices)
        if not isinstance(index, Affine)
    }


def _call(frame: Frame, expr: Call, args: tuple[Value, ...]) -> Value:
    if expr.op == "fma":
        return fused(frame.ops, *args)
    native = frame.ops.builtin(expr.op, args, expr.dtype)
    if native is not None:
        return native
    key = expr.op, tuple(a.dtype for a in args)
    simpler = frame.expansions.get(key)
    if simpler is None:
        simpler = frame.expansions[key] = _expansion(expr.op, args)
    outer = frame.lets
    frame.lets = {**outer, **{_argument(i): a for i, a in enumerate(args)}}
    result = emit(frame, simpler)
    frame.lets = outer
    return result


def _expansion(op: str, args: tuple[Value, ...]) -> Expr:
    """A builtin in terms of simpler ones and of its arguments, as variables."""
    entry = BUILTINS.get(op)
    dtype = _subject(op, args)
    variables = tuple(Var(_argument(i), a.dtype) for i, a in enumerate(args))
    simpler = entry.expand(variables, dtype) if entry is not None and entry.expand is not None else None
    if simpler is None:
        raise error("TILE0602", f"no LLVM spelling of builtin {op!r} for {dtype}")
    return simpler


def _argument(number: int) -> str:
    return f"${number}"


def _rarely(frame: Frame, expr: Call, values: Mapping[int, Value]) -> Value:
    """A choice per lane, behind a branch that is taken where any lane needs the seldom used way."""
    emitter, ops = frame.emitter, frame.ops
    condition, usual = values[id(expr.args[0])], values[id(expr.args[2])]
    test = memory.any_of(frame, condition)
    before, then, join = emitter.block, emitter.fresh("rare"), emitter.fresh("join")
    emitter.branch(test, then, join)
    emitter.label(then)
    with emitter.scope():
        chosen = ops.select(condition, emit(frame, expr.args[1], values), usual)
    after = emitter.block
    emitter.jump(join)
    emitter.label(join)
    ref = emitter.emit(f"phi {chosen.type} [ {usual.ref}, %{before} ], [ {chosen.ref}, %{after} ]")
    return Value(ref, expr.dtype, chosen.lanes)


def _subject(op: str, args: tuple[Value, ...]) -> DType:
    """Type of the first value operand: the condition of a selection does not count."""
    return args[1 if op in ("cond", "select") else 0].dtype


def index_value(frame: Frame, form: Form, dtype: DType) -> Value:
    """The value of an affine form converted to `dtype`; computed in 32 bits where its range allows."""
    low, high = form.range(frame.lanes)
    small = low in _INT32 and high in _INT32
    middle = I32 if small or (dtype.is_integer and dtype.bits <= 32) else I64
    value = Value(scalar_value(frame.emitter, Form(form.const, form.terms)), I64)
    if form.is_constant and not small and middle == I32:
        value = constant(form.const, I32)
    elif form.terms and middle == I32:
        value = Value(frame.emitter.pure(f"trunc i64 {value.ref} to i32"), I32)
    value = Value(value.ref, middle)
    if form.lane:
        steps = constant_vector([lane * form.lane for lane in range(frame.lanes)], ssa_type(middle))
        ref = frame.emitter.pure(f"add <{frame.lanes} x {ssa_type(middle)}> {frame.ops.splat(value).ref}, {steps}")
        value = Value(ref, middle, frame.lanes)
    return frame.ops.cast(value, dtype)


def combined(frame: Frame, monoid: Monoid, old: Value, new: Value) -> Value:
    """One step of an aggregation."""
    outer = frame.lets
    frame.lets = {**outer, "a0": old, "b0": new}
    result = emit(frame, monoid.combine[0])
    frame.lets = outer
    return result


def product_factors(store: Store) -> tuple[Expr, Expr] | None:
    """Factors of a float sum of products: contracted to fused multiply-adds."""
    value = store.value
    if store.monoid is None or store.monoid.name != "sum" or not isinstance(value, Call) or value.op != "mul":
        return None
    return (value.args[0], value.args[1]) if value.dtype in (F32, F64) else None


def condition(frame: Frame, form: Form) -> bool | Value:
    """`form >= 0`: known, one bool for all lanes, or a bool per lane."""
    low, high = form.range(frame.lanes)
    if low >= 0:
        return True
    if high < 0:
        return False
    if not form.lane:
        value = scalar_value(frame.emitter, form)
        return Value(frame.emitter.pure(f"icmp sge i64 {value}, 0"), BOOL)
    wide = I32 if all(x in _INT32 for x in (low, high, high - low)) else I64
    scalar = index_value(frame, Form(form.const, form.terms), wide)
    bound = constant_vector([-lane * form.lane for lane in range(frame.lanes)], ssa_type(wide))
    text = f"icmp sge <{frame.lanes} x {ssa_type(wide)}> {frame.ops.splat(scalar).ref}, {bound}"
    return Value(frame.emitter.pure(text), BOOL, frame.lanes)


def both(frame: Frame, a: Mask | None, b: Mask | None) -> Mask | None:
    """Lanes that are on in both masks."""
    if a is None or b is None:
        return b if a is None else a
    if not isinstance(a, str) and not isinstance(b, str):
        return tuple(x and y for x, y in zip(a, b))
    with frame.masked(a):
        first = frame.mask_ref()
    with frame.masked(b):
        second = frame.mask_ref()
    return frame.emitter.pure(f"and <{frame.lanes} x i1> {first}, {second}")
