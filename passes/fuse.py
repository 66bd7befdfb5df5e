"""Pass `fuse`: decides which Lets share a kernel. Fusion is data: the Graph stays as it is.

A `Partition` lists the kernels in execution order, each by the Lets it computes (a Let is called by its first name).
A Let in `inlined` has no kernel and no memory: its expression is put where its value is read.
"""

from __future__ import annotations

from dataclasses import dataclass

from tilec.graph import Graph, Literal
from tilec.partition import Partition


@dataclass(frozen=True, slots=True)
class Options:
    """`enabled` False gives each Let a kernel of its own."""

    enabled: bool = True


def run(graph: Graph, options: Options = Options()) -> Partition:
    """The partition of an inferred, bounded Graph."""
    return trivial(graph)


def trivial(graph: Graph) -> Partition:
    """One kernel per Let; only scalar literals are inlined."""
    results = set(graph.results)
    inlined = {
        let.names[0]
        for let in graph.lets
        if isinstance(let.node, Literal) and len(let.node.values) == 1 and let.names[0] not in results
    }
    groups = tuple(let.names[:1] for let in graph.lets if let.names[:1] and let.names[0] not in inlined)
    return Partition(groups, tuple(sorted(inlined)))
