"""Pass `infer`: fills the types of every Let and inserts the casts that make every operation homogeneous.

Declared result types of contractions are kept; a weak operand takes the type of the others. Sub-Graphs are inferred and
their signatures checked. Raises the TileErrors of `tilec.rules`, `tilec.specials` and `tilec.type_graph`.

Before:

    graph f(A: i32[4], B: f32[4], s: weak f32) -> (D) {
      C = add(A, B)
      D = mul(C, s)
    }

After:

    graph f(A: i32[4], B: f32[4], s: weak f32) -> (D) {
      A.1: f32[4] = cast.f32(A)
      C: f32[4] = add(A.1, B)
      D: f32[4] = mul(C, s)
    }
"""

from __future__ import annotations

from dataclasses import dataclass

from tilec.graph import Graph
from tilec.type_graph import infer_graph


@dataclass(frozen=True, slots=True)
class Options:
    """The pass has no options."""


def run(graph: Graph, options: Options = Options()) -> Graph:
    """The typed graph; the same object where every Let is typed and homogeneous already."""
    return infer_graph(graph)
