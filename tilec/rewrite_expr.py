"""Floor 3: rewrite rules for scalar expressions, as data: a pattern and its replacement.

Patterns are Exprs over placeholders `Var`; the dtype `ANY` stands for one dtype, the same throughout a rule. A rule
says at which kinds of dtype it holds. `rewrite_expr` applies rules bottom-up and returns the same object where none
fits; `apply_rules` with a `look` matches through definitions, so that the same table serves Graphs.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import copysign
from typing import TypeAlias

from tilec.affine import Affine
from tilec.dtypes import BOOL, DType
from tilec.expr import Call, Const, Expr, Read, Var, transform
from tilec.text.expr_text import Scope, parse_expr

_LIMIT = 1000  # replacements of one node: far more than any terminating rule set needs
ANY = DType("any", "any", "float", 64)  # in a pattern: the dtype the rule is applied at
_COMMUTATIVE = frozenset(("add", "mul", "max", "min", "bit_and", "bit_or", "bit_xor", "cmp_eq", "cmp_ne"))


@dataclass(frozen=True, slots=True)
class ExprRule:
    """`pattern` becomes `replacement`, where the dtype bound to `ANY` is of one of `kinds`."""

    pattern: Expr
    replacement: Expr
    kinds: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Bindings:
    """What placeholders and `ANY` stand for in a match."""

    exprs: Mapping[str, Expr] = field(default_factory=dict)
    dtype: DType | None = None


_NOTHING = Bindings()


def expr_rule(pattern: str, replacement: str, *kinds: str) -> ExprRule:
    """A rule from text. The placeholders x, y, z are of dtype ANY; c is a bool."""
    scope = Scope(scalars={"x": ANY, "y": ANY, "z": ANY, "c": BOOL})
    left = parse_expr(pattern, "<rule>", scope, BOOL if pattern.startswith("cmp_") else ANY)
    return ExprRule(left, parse_expr(replacement, "<rule>", scope, left.dtype), kinds)


Look: TypeAlias = Callable[[Expr], Expr]


def _itself(expr: Expr) -> Expr:
    return expr


def match(pattern: Expr, expr: Expr, look: Look = _itself, bound: Bindings | None = None) -> Bindings | None:
    """Bindings that make `pattern` equal to `expr`, or None.

    `look` shows what an expression stands for where the pattern asks for structure: the definition of a name, say.
    """
    bound = bound or _NOTHING
    if pattern.dtype is not ANY:
        if pattern.dtype != expr.dtype:
            return None
    elif bound.dtype is None:
        bound = Bindings(bound.exprs, expr.dtype)
    elif bound.dtype != expr.dtype:
        return None
    if isinstance(pattern, Var):
        known = bound.exprs.get(pattern.name)
        if known is None:
            return Bindings({**bound.exprs, pattern.name: expr}, bound.dtype)
        return bound if same_expr(known, expr) else None
    seen = look(expr)
    if isinstance(pattern, Const):
        return bound if isinstance(seen, Const) and _same_number(pattern.value, seen.value, seen.dtype) else None
    if isinstance(pattern, Call) and isinstance(seen, Call) and pattern.op == seen.op:
        orders = [seen.args, seen.args[::-1]] if pattern.op in _COMMUTATIVE else [seen.args]
        return next((b for args in orders if (b := _match_all(pattern.args, args, look, bound)) is not None), None)
    return None


def _match_all(patterns: Sequence[Expr], exprs: Sequence[Expr], look: Look, bound: Bindings) -> Bindings | None:
    if len(patterns) != len(exprs):
        return None
    found: Bindings | None = bound
    for pattern, expr in zip(patterns, exprs):
        found = match(pattern, expr, look, found)
        if found is None:
            return None
    return found


def same_expr(a: Expr, b: Expr) -> bool:
    """Equality that tells -0.0 from 0.0 and takes NaN for equal to itself; quick where parts are shared."""
    pending: list[tuple[Expr | Affine, Expr | Affine]] = [(a, b)]
    seen: set[tuple[int, int]] = set()
    while pending:
        x, y = pending.pop()
        if x is y or (id(x), id(y)) in seen:
            continue
        seen.add((id(x), id(y)))
        match x, y:
            case (Call(), Call()) if (x.op, x.dtype, len(x.args)) == (y.op, y.dtype, len(y.args)):
                pending += zip(x.args, y.args)
            case (Read(), Read()) if _kind(x) == _kind(y):
                pending += zip(x.access.indices, y.access.indices)
            case (Call() | Read(), _) | (_, Call() | Read()):
                return False
            case _ if x != y or repr(x) != repr(y):
                return False
    return True


def _kind(read: Read) -> tuple[Hashable, ...]:
    access = read.access
    return access.tensor, access.boundary, repr(access.fill), read.dtype, len(access.indices)


def _same_number(pattern: int | float, value: int | float, dtype: DType) -> bool:
    if dtype.is_float and (pattern == 0 == value):
        return copysign(1.0, pattern) == copysign(1.0, value)
    return pattern == value


def instantiate(template: Expr, bound: Bindings) -> Expr:
    """The replacement of a rule with its placeholders filled in."""
    dtype = bound.dtype if template.dtype == ANY else template.dtype
    assert dtype is not None
    match template:
        case Var(name):
            return bound.exprs[name]
        case Const(value):
            return Const(float(value) if dtype.is_float else int(value), dtype)
        case Call(op, args):
            return Call(op, tuple(instantiate(a, bound) for a in args), dtype)
        case _:
            raise AssertionError("a template holds constants, placeholders and calls only")


def apply_rules(expr: Expr, rules: Iterable[ExprRule], look: Look = _itself) -> Expr | None:
    """The result of the first rule that fits the root of `expr`, or None."""
    for rule in rules:
        if rule.pattern.dtype is ANY and expr.dtype.kind not in rule.kinds:
            continue
        bound = match(rule.pattern, expr, look)
        if bound is not None and (bound.dtype is None or bound.dtype.kind in rule.kinds):
            return instantiate(rule.replacement, bound)
    return None


def rewrite_expr(expr: Expr, rules: Sequence[ExprRule]) -> Expr:
    """Applies rules bottom-up until none fits; the same object where none did."""

    def leaf(e: Expr) -> Expr:
        for _ in range(_LIMIT):
            new = apply_rules(e, rules)
            if new is None:
                return e
            e = new
        raise AssertionError(f"rewrite rules run in a circle at {e}")

    return transform(expr, leaf)
