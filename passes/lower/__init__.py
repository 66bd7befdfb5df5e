"""Pass `lower`: a bounded Graph and its partition become a Program: one kernel per group, all loops serial.

* A contraction becomes up to three nests: initialise, update, finish (see `contractions`). A fused epilogue is
  another.
* A result or parameter of the Graph is a `param` buffer, every other value with memory a `heap` buffer; a contraction
  that only its own kernel reads is an `Alloc` in that kernel, so that a schedule may shrink it.
* `reshape` is a view of its operand's buffer, or a copy where the result must be the caller's.
* A literal of one value is a constant wherever it is read; a larger one is stored by a kernel. Whatever depends only on
  literals and constant parameters is computed in `init`.
* An access with a boundary mode or a data-dependent index reads a place that is moved into range first (`access`).
* Nodes with sub-Graphs are loops and branches of steps (see `control`); kernels inside are like any other.

Errors: TILE0602 a node that is not lowered; TILE0417 a literal of too many elements; TILE0210 a symbolic size.

Before:
    graph f(A: f32[2, 3]) -> (O) {
      O: f32[2] = sum:f32 [i < 2, k < 3] { [i] <- A[i, k] }
    }
After:
    program f(A) -> (O) {
      buffer A: param f32[2, 3]
      buffer O: param f32[2]
      kernel k0_O(in A: f32[2, 3], out O: f32[2]) {
        for i0 in 2 { O[i0] = 0.0 }
        for i in 2 { for k in 3 { O[i] sum= A[i, k] } }
      }
      run { launch k0_O(A, O) }
    }
"""

from __future__ import annotations

from dataclasses import dataclass

from tilec.graph import Graph
from tilec.loops import Program
from tilec.partition import Partition

from .program import Builder


@dataclass(frozen=True, slots=True)
class Options:
    """sequential: what only one thread at a time does well, as a row is sorted, is left to one, as suits a CPU."""

    sequential: bool = False


def run(graph: Graph, partition: Partition, options: Options = Options()) -> Program:
    """The Program of an inferred, bounded Graph. Raises TileError, see the module's text."""
    builder = Builder(graph, partition, sequential=options.sequential)
    for groups in partition.kernels():
        builder.add(groups)
    return builder.finish()
