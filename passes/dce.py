"""Dead code: drops Lets whose values nobody uses. Assertions and host calls stay, and what they need.

Before:
    graph f(A: f32[3]) -> (C) {
      B: f32[3] = exp(A)
      () = special assert(A) {message = "A"}
      C: f32[3] = neg(A)
    }
After:
    graph f(A: f32[3]) -> (C) {
      () = special assert(A) {message = "A"}
      C: f32[3] = neg(A)
    }

A node with several results stays as long as one of them is used. Sub-Graphs are cleaned inside; their signatures stay.
"""

from __future__ import annotations

from dataclasses import dataclass

from tilec.graph import Graph, Let, operands
from tilec.rewrite import has_effect, map_subgraphs, with_lets


@dataclass(frozen=True, slots=True)
class Options:
    """This pass has no options."""


def run(graph: Graph, options: Options = Options()) -> Graph:
    live = set(graph.results)
    kept: list[Let] = []
    for let in reversed(graph.lets):
        if live.isdisjoint(let.names) and not has_effect(let.node):
            continue
        kept.append(map_subgraphs(let, lambda g: run(g, options)))
        live.update(operands(let.node))
    return with_lets(graph, kept[::-1])
