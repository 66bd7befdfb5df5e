"""Pass `recompute`: what is to be computed again becomes Lets, without meeting what was computed before.

A Remat is a Graph applied to arguments; the gradient of one holds the computation once more. Its Lets stand where it
stood, so that a value is computed again at the place where it is needed, and not kept until then.

It runs after `cse`, which would merge the second computation with the first, and nothing after it merges Lets.

Before:
    graph f(A: f32[2]) -> (R) {
      B: f32[2] = exp(A)
      C: f32[2] = remat(A, B) do graph g(X: f32[2], Z: f32[2]) -> (Y) { E: f32[2] = exp(X) Y: f32[2] = mul(E, Z) }
      R: f32[2] = neg(C)
    }
After:
    graph f(A: f32[2]) -> (R) {
      B: f32[2] = exp(A)
      E: f32[2] = exp(A)
      C: f32[2] = mul(E, B)
      R: f32[2] = neg(C)
    }
"""

from __future__ import annotations

from dataclasses import dataclass

from tilec.fresh import FreshNames
from tilec.graph import Graph, Let, Remat
from tilec.rewrite import applied, map_subgraphs, names, with_lets


@dataclass(frozen=True, slots=True)
class Options:
    """No choices."""


def run(graph: Graph, options: Options = Options()) -> Graph:
    """The Graph without Remat, in its sub-Graphs too; the same object where there was none."""
    fresh = FreshNames(names(graph))
    lets: list[Let] = []
    for let in graph.lets:
        match let.node:
            case Remat(body=body, args=args):
                lets.extend(applied(run(body), args, let, fresh))
            case _:
                lets.append(map_subgraphs(let, lambda g: run(g, options)))
    return with_lets(graph, lets)
