"""Floor 3: the rewrite drivers.

Graphs: `rewrite(graph, rules)` walks the Lets in order, operands before users, so a rule sees operands that are already
in normal form. A rule maps a Let to the Lets that replace it, or to None; replacements are tried again until no rule
fires. A replacement `x = ident(y)` of equal type disappears: users of x read y (results keep their names).

Expressions: `rewrite_expr(expr, rules)` applies rules given as data, a pattern and its replacement, bottom-up. Patterns
are Exprs over placeholders `Var`; the dtype `ANY` stands for one dtype, the same throughout a rule.

Both return the same object where nothing changed. Rules must make progress; a set of rules that runs in a circle is a
programming error and stops with an AssertionError.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from math import copysign
from typing import TypeAlias

from tilec.dtypes import BOOL, DType
from tilec.expr import Call, Const, Expr, Read, Var, transform
from tilec.graph import (
    Apply,
    Cond,
    Contraction,
    Custom,
    Graph,
    Let,
    Node,
    Remat,
    Scan,
    Special,
    TensorType,
    While,
    operands,
    subgraphs,
    with_subgraphs,
)
from tilec.specials import SPECIALS
from tilec.text.expr_text import Scope, parse_expr

_LIMIT = 1000  # replacements of one Let or one expression node: far more than any terminating rule set needs


@dataclass(slots=True)
class Context:
    """What a rule may ask: types and definitions of the names in sight, and for fresh names."""

    types: dict[str, TensorType] = field(default_factory=dict)
    definitions: dict[str, Let] = field(default_factory=dict)
    used: set[str] = field(default_factory=set)

    def definition(self, name: str) -> Node | None:
        """The node that alone defines a name, None for parameters and members of tuples."""
        let = self.definitions.get(name)
        return let.node if let is not None and len(let.names) == 1 else None

    def fresh(self, stem: str) -> str:
        """A name that the Graph does not use."""
        name = next(n for i in count(1) if (n := f"{stem}.{i}") not in self.used)
        self.used.add(name)
        return name

    def add(self, let: Let) -> None:
        self.types.update(zip(let.names, let.types))
        self.definitions.update((n, let) for n in let.names)


Rule: TypeAlias = Callable[[Let, Context], Sequence[Let] | None]


def rewrite(graph: Graph, rules: Sequence[Rule]) -> Graph:
    """Applies rules to every Let, sub-Graphs included, until none fires."""
    context = Context({p.name: p.type for p in graph.params}, {}, names(graph))
    renamed: dict[str, str] = {}
    lets: list[Let] = []
    for let in graph.lets:
        for new in _normal_form(_rewrite_nested(rename_uses(let, renamed), rules), rules, context, renamed):
            if not _is_copy(new, graph.results, context):
                lets.append(new)
                context.add(new)
            else:
                assert isinstance(new.node, Apply)
                renamed[new.names[0]] = new.node.args[0]
    return with_lets(graph, lets)


def with_lets(graph: Graph, lets: Sequence[Let]) -> Graph:
    """The Graph with other Lets; the same object if they are the same."""
    if len(lets) == len(graph.lets) and all(a is b for a, b in zip(lets, graph.lets)):
        return graph
    return replace(graph, lets=tuple(lets))


def map_subgraphs(let: Let, change: Callable[[Graph], Graph]) -> Let:
    """Applies `change` to the sub-Graphs of a Let."""
    old = subgraphs(let.node)
    new = tuple(map(change, old))
    return let if all(a is b for a, b in zip(old, new)) else replace(let, node=with_subgraphs(let.node, new))


def _rewrite_nested(let: Let, rules: Sequence[Rule]) -> Let:
    return map_subgraphs(let, lambda g: rewrite(g, rules))


def _normal_form(let: Let, rules: Sequence[Rule], context: Context, renamed: dict[str, str]) -> Iterable[Let]:
    """Yields the Lets that stand for `let` in the end; the caller adds each to the context before asking on."""
    pending, steps = deque([let]), 0
    while pending:
        current = rename_uses(pending.popleft(), renamed)
        replacement = next((r for rule in rules if (r := rule(current, context)) is not None), None)
        if replacement is None:
            yield current
            continue
        pending.extendleft(reversed(replacement))
        steps += 1
        assert steps < _LIMIT, f"rewrite rules run in a circle at {let.names}"


def _is_copy(let: Let, results: Sequence[str], context: Context) -> bool:
    """Whether the users of `let` may as well read its operand."""
    match let.node:
        case Apply("ident", (source,)):
            same = context.types.get(source) == let.types[0] if let.types else False
            return same and let.names[0] not in results and not let.attributes
        case _:
            return False


def names(graph: Graph) -> set[str]:
    """Every name that a Graph binds."""
    return {p.name for p in graph.params} | {n for let in graph.lets for n in let.names}


def has_effect(node: Node) -> bool:
    """Whether a node does something besides computing its results, perhaps in a sub-Graph."""
    if isinstance(node, Special):
        entry = SPECIALS.get(node.op)
        return entry is None or entry.effect
    return any(has_effect(let.node) for graph in subgraphs(node) for let in graph.lets)


def rename_uses(let: Let, new: Mapping[str, str]) -> Let:
    """The Let reading other names."""
    if not any(o in new for o in operands(let.node)):
        return let
    return replace(let, node=rename_operands(let.node, new))


def rename_operands(node: Node, new: Mapping[str, str]) -> Node:
    """The node with operands renamed; names that are not in `new` stay."""

    def each(old: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(new.get(n, n) for n in old)

    match node:
        case Contraction():
            body = tuple(rename_reads(b, new) for b in node.body)
            return replace(node, body=body, defaults=tuple(d and new.get(d, d) for d in node.defaults))
        case Apply() | Special() | Custom() | Remat():
            return replace(node, args=each(node.args))
        case Cond():
            return replace(node, predicate=new.get(node.predicate, node.predicate), args=each(node.args))
        case While():
            return replace(node, init=each(node.init), captures=each(node.captures))
        case Scan():
            return replace(node, init=each(node.init), inputs=each(node.inputs), captures=each(node.captures))
        case _:
            return node


def rename_reads(expr: Expr, new: Mapping[str, str]) -> Expr:
    """The expression reading other tensors."""

    def leaf(e: Expr) -> Expr:
        if isinstance(e, Read) and e.access.tensor in new:
            return Read(replace(e.access, tensor=new[e.access.tensor]), e.dtype)
        return e

    return transform(expr, leaf)


ANY = DType("any", "any", "float", 64)  # in a pattern: the dtype the rule is applied at
_COMMUTATIVE = frozenset(("add", "mul", "max", "min", "bit_and", "bit_or", "bit_xor", "cmp_eq", "cmp_ne"))


@dataclass(frozen=True, slots=True)
class ExprRule:
    """`pattern` becomes `replacement`, where the dtype bound to `ANY` is of one of `kinds`."""

    pattern: Expr
    replacement: Expr
    kinds: tuple[str, ...]


@dataclass(slots=True)
class Bindings:
    """What placeholders and `ANY` stand for in a match."""

    exprs: dict[str, Expr] = field(default_factory=dict)
    dtype: DType | None = None

    def copy(self) -> Bindings:
        return Bindings(dict(self.exprs), self.dtype)


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
    bound = bound or Bindings()
    if pattern.dtype != ANY and pattern.dtype != expr.dtype:
        return None
    if pattern.dtype == ANY and bound.dtype not in (None, expr.dtype):
        return None
    bound = Bindings(bound.exprs, expr.dtype if pattern.dtype == ANY else bound.dtype)
    if isinstance(pattern, Var):
        if same_expr(bound.exprs.get(pattern.name, expr), expr):
            return Bindings({**bound.exprs, pattern.name: expr}, bound.dtype)
        return None
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
    """Equality that tells -0.0 from 0.0 and takes NaN for equal to itself."""
    return a is b or (a == b and repr(a) == repr(b))


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
