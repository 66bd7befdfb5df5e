"""Floor 5: programs within a budget of memory: values are computed again until the arena is small enough."""

from __future__ import annotations

from dataclasses import replace
from math import prod

from tilec import pipeline
from tilec.errors import Report, TileError, error
from tilec.evaluate.graph import typed
from tilec.exact.boxes import integer
from tilec.exact.domain import must_be_fixed
from tilec.graph import Graph
from tilec.loops import Program
from tilec.measure.memory import memory
from tilec.options import Options
from tilec.passes import fuse, remat
from tilec.target import Target

_BY_RULE = pipeline.Guide()


def budgeted(graph: Graph, target: Target, options: Options) -> Options:
    """Options whose limit for temporary tensors is what arguments, results and constants leave of the budget.

    Raises TileError TILE0210 for open sizes, TILE0416 where nothing is left, or the device has less than the budget.
    """
    if options.budget is None:
        return options
    graph = typed(graph)
    if graph.sizes:
        raise must_be_fixed(graph.sizes[0], "what a call takes besides temporary tensors is known for known sizes only")
    if 0 < target.memory < options.budget:
        text = f"a budget of {options.budget:,} bytes is more than the {target.memory:,} bytes of {target}"
        raise error("TILE0416", text, help="give a smaller one, or take another device: tilec devices")
    types, donated = graph.types(), {result for _, result in graph.aliases}
    results = [types[r] for r in graph.results if r not in donated]
    held = sum(prod(map(integer, t.shape)) * t.dtype.bytes for t in (*(p.type for p in graph.params), *results))
    if held > options.budget:
        raise _above(graph.name, f"arguments, results and constants take {held:,} bytes", held - options.budget)
    return replace(options, memory_limit=options.budget - held, remat="auto")


def check_budget(program: Program, options: Options) -> None:
    """Raises TileError TILE0416 for a program whose temporary tensors, and what is computed before the first call,
    take more than the budget leaves."""
    if options.budget is None or options.memory_limit is None:
        return
    needed = memory(program)
    excess = needed.arena + needed.kept - options.memory_limit
    if excess > 0:
        text = f"temporary tensors take {needed.arena:,} bytes, and what is computed of constants {needed.kept:,}"
        raise _above(program.name, text, excess)


def _above(name: str, what: str, excess: int) -> TileError:
    help = "make the batch smaller, or the budget larger: executable.memory says what takes how much without one"
    return error(
        "TILE0416", f"{name!r} does not keep to its budget: {excess:,} bytes too much", notes=[what], help=help
    )


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
