"""Pass `recompute`: what is to be computed again becomes Lets, without meeting what was computed before.

A Remat is a Graph applied to arguments; the gradient of one holds the computation once more. Its Lets stand where it
stood, so that a value is computed again at the place where it is needed, and not kept until then.

It runs after `cse`, which would merge the second computation with the first. Lets that repeat an earlier one are marked
`again`: no later pass merges them, or moves them ahead to where the earlier one is.

Before:
    graph f(A: f32[2]) -> (R) {
      B: f32[2] = exp(A)
      C: f32[2] = remat(A, B) do graph g(X: f32[2], Z: f32[2]) -> (Y) { E: f32[2] = exp(X) Y: f32[2] = mul(E, Z) }
      R: f32[2] = neg(C)
    }
After:
    graph f(A: f32[2]) -> (R) {
      B: f32[2] = exp(A)
      [[again]]
      E: f32[2] = exp(A)
      C: f32[2] = mul(E, B)
      R: f32[2] = neg(C)
    }
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from tilec.fresh import FreshNames
from tilec.graph import AGAIN, Graph, Let, Remat
from tilec.numbering import Values
from tilec.rewrite import applied, has_effect, map_subgraphs, names, rename_operands, with_lets


@dataclass(frozen=True, slots=True)
class Options:
    """No choices."""


def run(graph: Graph, options: Options = Options()) -> Graph:
    """The Graph without Remat, in its sub-Graphs too; the same object where there was none."""
    lets = _applied(graph, FreshNames(names(graph)))
    return with_lets(graph, _marked(lets) if any(isinstance(let.node, Remat) for let in graph.lets) else lets)


def _applied(graph: Graph, fresh: FreshNames) -> list[Let]:
    lets: list[Let] = []
    for let in graph.lets:
        match let.node:
            case Remat(body=body, args=args):
                lets.extend(applied(run(body), args, let, fresh))
            case _:
                lets.append(map_subgraphs(let, run))
    return lets


def _marked(lets: Sequence[Let]) -> list[Let]:
    """Lets with those marked that compute what an earlier one computes."""
    values = Values()
    same: dict[str, str] = {}
    found = []
    for let in lets:
        node = rename_operands(let.node, same)
        earlier = let if has_effect(node) else values.first(replace(let, node=node), let)
        same.update(zip(let.names, earlier.names))
        again = earlier is not let and AGAIN not in let.attributes
        found.append(replace(let, attributes=(*let.attributes, AGAIN)) if again else let)
    return found
