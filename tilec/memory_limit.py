"""Floor 5: programs within a budget of memory: values are computed again until the arena is small enough."""

from __future__ import annotations

from dataclasses import replace

from tilec import pipeline
from tilec.errors import Report
from tilec.exact.domain import must_be_fixed
from tilec.graph import Graph
from tilec.options import Options
from tilec.passes import fuse, remat
from tilec.target import Target

_BY_RULE = pipeline.Guide()
_ROUNDS = 4  # corrections of the estimate, which knows nothing of what kernels need themselves and share


def within_limit(
    graph: Graph, target: Target, options: Options, report: Report, guide: pipeline.Guide = _BY_RULE
) -> Graph:
    """The optimised Graph, changed so that its temporary tensors take at most `options.memory_limit` bytes.

    Where they do not, the one that takes least; and a warning, TILE0419, says by how much the limit is missed. What a
    Graph with open sizes needs is known only when it is called, and looked at then; `remat` raises TILE0210 for it.
    Schedules, which `guide` knows, have copies of operands among these tensors.
    """
    limit = options.memory_limit
    if graph.sizes and options.remat == "auto":
        raise must_be_fixed(graph.sizes[0], "values are computed again to save memory for known sizes only")
    if limit is None or graph.sizes:
        return graph
    best, least = graph, _arena(graph, target, options, guide)
    wanted, last = limit, graph
    for _ in range(_ROUNDS if options.remat == "auto" else 0):
        if least <= limit:
            break
        found = remat.run(graph, remat.Options(wanted), fuse.run if options.fuse else fuse.trivial)
        if found.lets == last.lets:  # nothing is left to drop
            break
        last, needed = found, _arena(found, target, options, guide)
        if needed < least:
            best, least = found, needed
        wanted = max(0, wanted - max(64, needed - limit))
    if least > limit:
        report.warning(
            "TILE0419",
            f"the temporary tensors of {graph.name!r} need {least:,} bytes, {least - limit:,} more than the limit",
            notes=[f"memory_limit is {limit:,} bytes"],
            help=None if options.remat == "auto" else "remat='auto' computes values again to save memory",
        )
    return best


def _arena(graph: Graph, target: Target, options: Options, guide: pipeline.Guide) -> int:
    quiet = replace(guide, report=Report())  # what is odd about schedules is told once, in the end
    return pipeline.lower_graph(graph, target, replace(options, memory_limit=None), guide=quiet).arena
