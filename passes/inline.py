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

from tilec.fresh import FreshNames
from tilec.graph import Apply, Custom, Graph, Let, Remat
from tilec.rewrite import map_subgraphs, names, rename_operands, with_lets


@dataclass(frozen=True, slots=True)
class Options:
    """No choices."""


def run(graph: Graph, options: Options = Options()) -> Graph:
    """The Graph without Remat and Custom nodes, in its sub-Graphs too; the same object where there were none."""
    fresh = FreshNames(names(graph))
    lets: list[Let] = []
    for let in graph.lets:
        match let.node:
            case Remat(body=body, args=args) | Custom(forward=body, args=args):
                lets.extend(_instance(run(body), args, let, fresh))
            case _:
                lets.append(map_subgraphs(let, lambda g: run(g, options)))
    return with_lets(graph, lets)


def _instance(body: Graph, args: tuple[str, ...], outer: Let, fresh: FreshNames) -> list[Let]:
    """The Lets of `body` with its parameters bound and every other name fresh; they bind what `outer` bound."""
    new = {p.name: a for p, a in zip(body.params, args, strict=True)}
    lets = []
    for let in body.lets:
        node = rename_operands(let.node, new)
        new.update((n, fresh.like(n)) for n in let.names)
        lets.append(replace(let, names=tuple(new[n] for n in let.names), node=node))
    for name, result, type_ in zip(outer.names, body.results, outer.types, strict=True):
        lets.append(Let((name,), Apply("ident", (new[result],)), (type_,), span=outer.span))
    return lets
