"""Pass `inline`: nodes that are only a Graph applied to arguments, Remat and the forward Graph of Custom, become Lets.

It runs after differentiation, for which these nodes exist, and before `bounds`.

Before:
    graph f(A: f32[2]) -> (R) {
      R: f32[2] = remat(A) do graph g(X: f32[2]) -> (Y) { Y: f32[2] = neg(X) }
    }
After:
    graph f(A: f32[2]) -> (Y) {
      Y: f32[2] = neg(A)
    }
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from tilec.expr import Expr, Read, transform
from tilec.graph import Apply, Contraction, Custom, Graph, Let, Node, Remat, Special


@dataclass(frozen=True, slots=True)
class Options:
    """No choices."""


def run(graph: Graph, options: Options = Options()) -> Graph:
    """The Graph without Remat and Custom nodes; the same object where there were none."""
    if not any(isinstance(let.node, Remat | Custom) for let in graph.lets):
        return graph
    taken = {p.name for p in graph.params} | {n for let in graph.lets for n in let.names}
    renamed: dict[str, str] = {}
    lets: list[Let] = []
    for let in graph.lets:
        let = replace(let, node=rename_node(let.node, renamed))
        match let.node:
            case Remat(body=body, args=args) | Custom(forward=body, args=args):
                inner, results = _instance(run(body), args, taken)
                lets.extend(inner)
                renamed.update(zip(let.names, results, strict=True))
            case _:
                lets.append(let)
    results = tuple(renamed.get(r, r) for r in graph.results)
    aliases = tuple((p, renamed.get(r, r)) for p, r in graph.aliases)
    return replace(graph, lets=tuple(lets), results=results, aliases=aliases)


def _instance(body: Graph, args: tuple[str, ...], taken: set[str]) -> tuple[list[Let], tuple[str, ...]]:
    """A copy of the Lets of `body` with its parameters bound and every other name fresh; its results' names."""
    names = {p.name: a for p, a in zip(body.params, args, strict=True)}
    lets = []
    for let in body.lets:
        node = rename_node(let.node, names)
        for n in let.names:
            names[n] = _fresh(n, taken)
        lets.append(replace(let, names=tuple(names[n] for n in let.names), node=node))
    return lets, tuple(names[r] for r in body.results)


def _fresh(name: str, taken: set[str]) -> str:
    found, n = name, 1
    while found in taken:
        n += 1
        found = f"{name}.{n}"
    taken.add(found)
    return found


def rename_node(node: Node, names: Mapping[str, str]) -> Node:
    """The node with the names it uses replaced."""
    if not names:
        return node

    def leaf(e: Expr) -> Expr:
        if isinstance(e, Read) and e.access.tensor in names:
            return replace(e, access=replace(e.access, tensor=names[e.access.tensor]))
        return e

    match node:
        case Contraction():
            body = tuple(transform(b, leaf) for b in node.body)
            return replace(node, body=body, defaults=tuple(d and names.get(d, d) for d in node.defaults))
        case Apply() | Special() | Custom() | Remat():
            return replace(node, args=tuple(names.get(a, a) for a in node.args))
        case _:
            return node
