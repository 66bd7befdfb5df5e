"""Pass `inline`: nodes that are only a Graph applied to arguments, Remat and the forward Graph of Custom, become Lets.

It runs after differentiation, for which these nodes exist, and before `bounds`.

Before:
    graph f(A: f32[2]) -> (R) {
      R: f32[2] = remat(A) do graph g(X: f32[2]) -> (Y) { Y: f32[2] = neg(X) }
    }
After:
    graph f(A: f32[2]) -> (R) {
      Y: f32[2] = neg(A)
      R: f32[2] = ident(Y)
    }
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from tilec.graph import Apply, Custom, Graph, Let, Remat
from tilec.rewrite import rename_operands


@dataclass(frozen=True, slots=True)
class Options:
    """No choices."""


def run(graph: Graph, options: Options = Options()) -> Graph:
    """The Graph without Remat and Custom nodes; the same object where there were none."""
    if not any(isinstance(let.node, Remat | Custom) for let in graph.lets):
        return graph
    taken = {p.name for p in graph.params} | {n for let in graph.lets for n in let.names}
    lets: list[Let] = []
    for let in graph.lets:
        match let.node:
            case Remat(body=body, args=args) | Custom(forward=body, args=args):
                lets.extend(_instance(run(body), args, let, taken))
            case _:
                lets.append(let)
    return replace(graph, lets=tuple(lets))


def _instance(body: Graph, args: tuple[str, ...], outer: Let, taken: set[str]) -> list[Let]:
    """The Lets of `body` with its parameters bound and every other name fresh; they bind what `outer` bound."""
    names = {p.name: a for p, a in zip(body.params, args, strict=True)}
    lets = []
    for let in body.lets:
        node = rename_operands(let.node, names)
        for n in let.names:
            names[n] = _fresh(n, taken)
        lets.append(replace(let, names=tuple(names[n] for n in let.names), node=node))
    for name, result, type_ in zip(outer.names, body.results, outer.types, strict=True):
        lets.append(Let((name,), Apply("ident", (names[result],)), (type_,), span=outer.span))
    return lets


def _fresh(name: str, taken: set[str]) -> str:
    found, n = name, 1
    while found in taken:
        n += 1
        found = f"{name}.{n}"
    taken.add(found)
    return found
