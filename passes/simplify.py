"""Algebraic simplification, exact for every dtype: NaN, infinities, -0.0 and wrapping integers included.

Before:
    graph f(A: f32[3], B: i32[3]) -> (C, D) {
      one: f32 = literal (1.0)
      X: f32[3] = mul(A, one)
      Y: f32[3] = neg(X)
      C: f32[3] = neg(Y)
      D: i32[3] = sub(B, B)
    }
After:
    graph f(A: f32[3], B: i32[3]) -> (C, D) {
      one: f32 = literal (1.0)
      Y: f32[3] = neg(A)
      C: f32[3] = ident(A)
      D: i32[3] = literal (0)
    }

The algebra is the table `RULES`, one rule a line; it serves Lets (through the definitions of their operands) and the
bodies of contractions alike. What the rules leave unused, `dce` drops. Needs types, so runs after `infer`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from tilec.affine import Size
from tilec.dtypes import BOOL, DType
from tilec.expr import Call, Const, Expr, Var, reads, transform
from tilec.graph import Apply, Contraction, Graph, Let, Literal, Special, TensorType
from tilec.rewrite import Context, rewrite
from tilec.rewrite_expr import ExprRule, Look, apply_rules, expr_rule, same_expr
from tilec.rules import broadcast, rounded

INTEGERS = ("int", "uint")
NUMBERS = ("int", "uint", "float")
ANYTHING = ("int", "uint", "float", "bool")
BITS = ("int", "uint", "bool")

# pattern, replacement, kinds of dtype at which it is exact. x, y, z: one dtype; c: bool; operands of sums, products,
# extrema, bit operations and equalities match in both orders. A float's x + 0.0 is not x where x is -0.0; x - x and
# 0 * x are not 0 where x is NaN or infinite.
_TABLE: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("add(x, 0)", "x", INTEGERS),
    ("add(x, -0.0)", "x", ("float",)),
    ("add(x, neg(y))", "sub(x, y)", NUMBERS),
    ("sub(x, neg(y))", "add(x, y)", NUMBERS),
    ("sub(x, 0)", "x", NUMBERS),
    ("sub(x, x)", "0", INTEGERS),
    ("sub(0, x)", "neg(x)", INTEGERS),
    ("mul(x, 1)", "x", NUMBERS),
    ("mul(x, 0)", "0", INTEGERS),
    ("mul(x, -1)", "neg(x)", ("int",)),
    ("mul(neg(x), neg(y))", "mul(x, y)", NUMBERS),
    ("div(x, 1)", "x", NUMBERS),
    ("div(neg(x), neg(y))", "div(x, y)", ("float",)),
    ("mod(x, 1)", "0", INTEGERS),
    ("neg(neg(x))", "x", NUMBERS),
    ("neg(sub(x, y))", "sub(y, x)", INTEGERS),
    ("abs(neg(x))", "abs(x)", ("int", "float")),
    ("abs(abs(x))", "abs(x)", NUMBERS),
    ("relu(relu(x))", "relu(x)", ANYTHING),
    ("relu(x)", "x", ("uint", "bool")),
    ("abs(x)", "x", ("uint",)),
    ("floor(floor(x))", "floor(x)", NUMBERS),
    ("ceil(ceil(x))", "ceil(x)", NUMBERS),
    ("round(round(x))", "round(x)", NUMBERS),
    ("floor(x)", "x", BITS),
    ("ceil(x)", "x", BITS),
    ("round(x)", "x", BITS),
    ("max(x, x)", "x", ANYTHING),
    ("min(x, x)", "x", ANYTHING),
    ("max(x, max(x, y))", "max(x, y)", ANYTHING),
    ("min(x, min(x, y))", "min(x, y)", ANYTHING),
    ("cond(1:bool, x, y)", "x", ANYTHING),
    ("cond(0:bool, x, y)", "y", ANYTHING),
    ("cond(c, x, x)", "x", ANYTHING),
    ("cond(c, 1, 0)", "c", ("bool",)),
    ("cond(logical_not(c), x, y)", "cond(c, y, x)", ANYTHING),
    ("cond(c, cond(c, x, y), z)", "cond(c, x, z)", ANYTHING),
    ("cond(c, x, cond(c, y, z))", "cond(c, x, z)", ANYTHING),
    ("bit_and(x, x)", "x", BITS),
    ("bit_and(x, 0)", "0", BITS),
    ("bit_or(x, x)", "x", BITS),
    ("bit_or(x, 0)", "x", BITS),
    ("bit_xor(x, x)", "0", BITS),
    ("bit_xor(x, 0)", "x", BITS),
    ("bit_not(bit_not(x))", "x", BITS),
    ("bit_left(x, 0)", "x", INTEGERS),
    ("bit_right(x, 0)", "x", INTEGERS),
    ("cmp_eq(x, x)", "1", BITS),
    ("cmp_ne(x, x)", "0", BITS),
    ("cmp_lt(x, x)", "0", ANYTHING),
    ("cmp_gt(x, x)", "0", ANYTHING),
    ("cmp_le(x, x)", "1", BITS),
    ("cmp_ge(x, x)", "1", BITS),
    ("logical_not(logical_not(c))", "c", ("bool",)),
    ("ident(x)", "x", ANYTHING),
)
RULES: tuple[ExprRule, ...] = tuple(expr_rule(p, r, *kinds) for p, r, kinds in _TABLE)
_RULES_OF: dict[str, list[ExprRule]] = {}  # by the operation at the root, in the order of the table
for _rule in RULES:
    assert isinstance(_rule.pattern, Call)
    _RULES_OF.setdefault(_rule.pattern.op, []).append(_rule)


@dataclass(frozen=True, slots=True)
class Options:
    """This pass has no options."""


def run(graph: Graph, options: Options = Options()) -> Graph:
    return rewrite(graph, (_apply, _reshape, _body))


def simplify_expr(expr: Expr) -> Expr:
    """A scalar expression in simplest form; the same object where it already is."""
    return transform(expr, _simplest)


def _simplest(expr: Expr) -> Expr:
    while (new := _step(expr)) is not None:
        expr = new
    return expr


def _itself(expr: Expr) -> Expr:
    return expr


def _step(expr: Expr, look: Look = _itself) -> Expr | None:
    """One simplification at the root."""
    if not isinstance(expr, Call):
        return None
    if expr.op == "cast":
        return _cast(expr, look)
    if expr.op == "div":
        return _divide(expr, look) or apply_rules(expr, _RULES_OF["div"], look)
    if expr.op in _STRONG:
        return _weakened(expr, look)
    return apply_rules(expr, _RULES_OF.get(expr.op, ()), look)


_STRONG = {"strong_mul": "mul", "strong_div": "div"}


def _weakened(expr: Call, look: Look) -> Expr | None:
    """A plain product or quotient, where a constant says that it is the same: beside it zero stays what it is."""
    x, y = map(look, expr.args)
    plain = (isinstance(x, Const) and x.value != 0) or (isinstance(y, Const) and 0 < y.value < math.inf)
    return Call(_STRONG[expr.op], expr.args, expr.dtype) if plain or not expr.dtype.is_float else None


def _cast(expr: Call, look: Look) -> Expr | None:
    """A cast to the own type is none; of two casts the first is none where it loses nothing."""
    value = expr.args[0]
    if value.dtype == expr.dtype:
        return value
    inner = look(value)
    if isinstance(inner, Const):
        return exact_constant(rounded(inner), expr.dtype)
    if isinstance(inner, Call) and inner.op == "cast" and _superfluous(inner.args[0].dtype, inner.dtype, expr.dtype):
        return Call("cast", inner.args, expr.dtype)
    return None


def _superfluous(source: DType, middle: DType, target: DType) -> bool:
    """Whether a cast from `source` to `middle` to `target` is the cast from `source` to `target`."""
    saturates = middle.is_float and target.is_integer and not source.is_float  # where the direct cast would wrap
    return holds(middle, source) and (not saturates or holds(target, source))


def holds(wide: DType, narrow: DType) -> bool:
    """Whether every value of `narrow` is a value of `wide`."""
    if wide == narrow:
        return True
    if wide == BOOL or (narrow.is_float and not wide.is_float):
        return False
    if narrow == BOOL:
        return True
    if wide.is_float:
        return _precision(narrow) <= _precision(wide) and (not narrow.is_float or narrow.bits < wide.bits)
    return narrow.min >= wide.min and narrow.max <= wide.max


def _precision(dtype: DType) -> int:
    """Bits of the largest integer up to which all are values."""
    floats = {"f16": 11, "bf16": 8, "f32": 24, "f64": 53}
    return floats[dtype.name] if dtype.is_float else dtype.bits - (dtype.kind == "int")


def exact_constant(value: int | float, dtype: DType) -> Const | None:
    """`value` as a constant of `dtype`, where the conversion is exact."""
    if dtype == BOOL:
        return Const(int(value != 0), BOOL)
    if not dtype.is_float:
        exact = not isinstance(value, float) or value.is_integer()
        return Const(int(value), dtype) if exact and dtype.min <= value <= dtype.max else None
    if math.isnan(value) or math.isinf(value):
        return Const(float(value), dtype)
    with np.errstate(over="ignore"):
        if value != float(dtype.numpy.type(value)):
            return None
    return Const(float(value), dtype)


def _divide(expr: Call, look: Look) -> Expr | None:
    """Division by a power of two is a multiplication: both round the same real number."""
    divisor = look(expr.args[1])
    if not (expr.dtype.is_float and isinstance(divisor, Const)) or divisor.value in (0, 1):
        return None
    mantissa, exponent = math.frexp(divisor.value)
    if abs(mantissa) != 0.5 or not -13 <= exponent <= 13:  # the reciprocal is a normal number of every float type
        return None
    return Call("mul", (expr.args[0], Const(1.0 / divisor.value, expr.dtype)), expr.dtype)


def _body(let: Let, context: Context) -> Sequence[Let] | None:
    node = let.node
    if not isinstance(node, Contraction):
        return None
    body = tuple(map(simplify_expr, node.body))
    if all(a is b for a, b in zip(body, node.body)) or not _same_reads(body, node.body):
        return None
    return [replace(let, node=replace(node, body=body))]


def _same_reads(new: Sequence[Expr], old: Sequence[Expr]) -> bool:
    """A read bounds the domain of a contraction even where its value does not matter, so none may vanish."""
    accesses = [[repr(r.access) for b in body for r in reads(b)] for body in (new, old)]
    return set(accesses[0]) == set(accesses[1])


def _apply(let: Let, context: Context) -> Sequence[Let] | None:
    """The algebra on an elementwise Let, seen as an expression over its operands."""
    node = let.node
    if not (isinstance(node, Apply) and len(let.types) == 1 and all(a in context.types for a in node.args)):
        return None
    if node.op == "ident":
        return None  # copies are the driver's
    call = Call(node.op, _operands(node.args, context), let.types[0].dtype)
    new = _step(call, lambda e: _definition(e, context))
    return None if new is None or same_expr(new, call) else _bind(let, new, context)


def _operands(args: Sequence[str], context: Context) -> tuple[Expr, ...]:
    return tuple(Var(a, context.types[a].dtype) for a in args)


def _definition(expr: Expr, context: Context) -> Expr:
    """What a name stands for, one level deep: a constant or an elementwise operation of names."""
    if not isinstance(expr, Var):
        return expr
    match context.definition(expr.name):
        case Literal(type, (value,)):
            return Const(value, type.dtype)
        case Apply(op, args) if all(a in context.types for a in args):
            return Call(op, _operands(args, context), expr.dtype)
        case _:
            return expr


def _bind(let: Let, expr: Expr, context: Context) -> Sequence[Let] | None:
    """Lets that bind the value of `expr` to the name of `let`; None where its type would differ."""
    (name,), (type,) = let.names, let.types
    match expr:
        case Var(source):
            return [replace(let, node=Apply("ident", (source,)))] if context.types[source] == type else None
        case Const(value):
            return [replace(let, node=Literal(type, (value,)))]
        case Call(_, args):
            lets: list[Let] = []
            names = [_operand(a, name, lets, context) for a in args]
            same = _shape(names, lets, context) == type.shape
            return [*lets, replace(let, node=_node(expr, names))] if same else None
        case _:
            return None


def _node(call: Call, args: Sequence[str]) -> Apply:
    return Apply(call.op, tuple(args), call.dtype if call.op in ("cast", "bitcast") else None)


def _operand(expr: Expr, stem: str, lets: list[Let], context: Context) -> str:
    """The name that holds an operand; binds new ones, of calls and constants, in `lets`."""
    if isinstance(expr, Var):
        return expr.name
    name = context.fresh(stem)
    if isinstance(expr, Const):
        type = TensorType(expr.dtype)
        lets.append(Let((name,), Literal(type, (expr.value,)), (type,)))
        return name
    assert isinstance(expr, Call)
    args = [_operand(a, stem, lets, context) for a in expr.args]
    type = TensorType(expr.dtype, _shape(args, lets, context))
    lets.append(Let((name,), _node(expr, args), (type,)))
    return name


def _shape(args: Sequence[str], lets: Sequence[Let], context: Context) -> tuple[Size, ...]:
    own = {n: t for let in lets for n, t in zip(let.names, let.types)}
    return broadcast([(own.get(a) or context.types[a]).shape for a in args])


def _reshape(let: Let, context: Context) -> Sequence[Let] | None:
    """A reshape to the own shape is a copy; of two reshapes the first is none."""
    node = let.node
    if not (isinstance(node, Special) and node.op == "reshape" and len(let.types) == 1):
        return None
    (source,) = node.args[:1]
    if context.types.get(source) == let.types[0]:
        return [replace(let, node=Apply("ident", (source,)))]
    inner = context.definition(source)
    if isinstance(inner, Special) and inner.op == "reshape":
        return [replace(let, node=replace(node, args=(inner.args[0], *node.args[1:])))]
    return None
