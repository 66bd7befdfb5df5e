"""Floor 3: the rewrite driver of Graphs (that of expressions is `tilec.rewrite_expr`).

`rewrite(graph, rules)` walks the Lets in order, operands before users, so a rule sees operands that are already
in normal form. A rule maps a Let to the Lets that replace it, or to None; replacements are tried again until no rule
fires. A replacement `x = ident(y)` of equal type disappears: users of x read y (results keep their names).

The same object comes back where nothing changed. Rules must make progress; a set of rules that runs in a circle is a
programming error and stops with an AssertionError.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from tilec.expr import Expr, Read, transform
from tilec.fresh import FreshNames
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

_LIMIT = 1000  # replacements of one Let: far more than any terminating rule set needs


@dataclass(slots=True)
class Context:
    """What a rule may ask: types and definitions of the names in sight, and for fresh names."""

    types: dict[str, TensorType] = field(default_factory=dict)
    definitions: dict[str, Let] = field(default_factory=dict)
    names: FreshNames = field(default_factory=FreshNames)

    def definition(self, name: str) -> Node | None:
        """The node that alone defines a name, None for parameters and members of tuples."""
        let = self.definitions.get(name)
        return let.node if let is not None and len(let.names) == 1 else None

    def fresh(self, stem: str) -> str:
        """A name that the Graph does not use."""
        return self.names.numbered(stem)

    def add(self, let: Let) -> None:
        self.types.update(zip(let.names, let.types))
        self.definitions.update((n, let) for n in let.names)


Rule: TypeAlias = Callable[[Let, Context], Sequence[Let] | None]


def rewrite(graph: Graph, rules: Sequence[Rule]) -> Graph:
    """Applies rules to every Let, sub-Graphs included, until none fires."""
    context = Context({p.name: p.type for p in graph.params}, {}, FreshNames(names(graph)))
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


def applied(body: Graph, args: Sequence[str], outer: Let, fresh: FreshNames) -> list[Let]:
    """The Lets of a closed Graph with its parameters bound to `args`; they bind what `outer` binds, others are fresh.

    A result that is a parameter, or was a result before, is copied.
    """
    new = {p.name: a for p, a in zip(body.params, args, strict=True)}
    own = {n for let in body.lets for n in let.names}
    bound: dict[str, tuple[str, TensorType]] = {}
    copies: list[Let] = []
    for name, type_, result in zip(outer.names, outer.types, body.results, strict=True):
        if result in own and result not in bound:
            bound[result] = name, type_
        else:
            copies.append(Let((name,), Apply("ident", (result,)), (type_,), span=outer.span))
    lets = []
    for let in body.lets:
        node = rename_operands(let.node, new)
        pairs = [bound.get(n) or (fresh.like(n), t) for n, t in zip(let.names, let.types, strict=True)]
        new.update((n, name) for n, (name, _) in zip(let.names, pairs))
        lets.append(replace(let, names=tuple(n for n, _ in pairs), node=node, types=tuple(t for _, t in pairs)))
    return [*lets, *(rename_uses(copy, new) for copy in copies)]


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
            count = node.count and new.get(node.count, node.count)
            return replace(
                node, init=each(node.init), inputs=each(node.inputs), captures=each(node.captures), count=count
            )
        case _:
            return node


def rename_reads(expr: Expr, new: Mapping[str, str]) -> Expr:
    """The expression reading other tensors."""

    def leaf(e: Expr) -> Expr:
        if isinstance(e, Read) and e.access.tensor in new:
            return Read(replace(e.access, tensor=new[e.access.tensor]), e.dtype)
        return e

    return transform(expr, leaf)
