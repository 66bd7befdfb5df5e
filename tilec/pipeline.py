"""Floor 5: the one place that knows all passes and their order.

    Graph -> infer, inline, simplify, fold, simplify, cse, hoist, cse, recompute, dce, bounds, forward
        -> fuse -> lower
        -> Program -> in_place, slices, share, schedule, prepack, place -> Program -> backend

A `Watcher` is called with (stage, IR) after every stage: dumping, timing, verifying and comparing are watchers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TypeAlias

from tilec.devices import BACKENDS, backend, resolve_target
from tilec.errors import Report
from tilec.graph import Graph
from tilec.loops import Kernel, Program
from tilec.options import Options, Watcher, ignore
from tilec.passes import (
    bounds,
    cse,
    dce,
    fold,
    forward,
    fuse,
    hoist,
    in_place,
    infer,
    inline,
    lower,
    place,
    prepack,
    recompute,
    share,
    simplify,
    slices,
)
from tilec.passes.schedule.default import scheduled
from tilec.pins import Pin, pinned, resolved
from tilec.target import Target

# A kernel and which of its parameters are constant -> the scheduled kernel; None: by default.
Choose: TypeAlias = Callable[[Kernel, frozenset[str]], Kernel | None]
# The program before its kernels are scheduled, and the names of those that are already.
Prepare: TypeAlias = Callable[[Program, frozenset[str]], None]


def by_rule(kernel: Kernel, constant: frozenset[str]) -> None:
    """Leaves every kernel to the default schedule."""


def as_it_is(program: Program, done: frozenset[str]) -> None:
    """Prepares nothing."""


@dataclass(frozen=True, slots=True)
class Guide:
    """What is known of schedules besides the rules: those that someone wrote (`pins`; what is odd about them goes to
    `report`), and what `choose` knows; `prepare` sees the program before any other kernel is scheduled.
    """

    pins: tuple[Pin, ...] = ()
    report: Report | None = None
    choose: Choose = by_rule
    prepare: Prepare = as_it_is


# The reason beside each constraint on the order:
GRAPH_PASSES: tuple[tuple[str, Callable[[Graph], Graph]], ...] = (
    ("infer", infer.run),  # first: every other pass reads types
    ("inline", inline.run),  # before the cleaners: it leaves copies behind
    ("simplify", simplify.run),  # before fold and cse: one form for equal things
    ("fold", fold.run),
    ("simplify", simplify.run),  # folded values are new occasions
    ("cse", cse.run),  # after fold: equal literals meet
    ("hoist", hoist.run),  # after cse: a loop and its derivative have become one where they can
    ("cse", cse.run),  # what two loops need of the same slices is computed once
    ("recompute", recompute.run),  # after cse, which would merge it with the first computation
    ("dce", dce.run),  # last of the cleaners: drops what the others left unused
)


def optimise(
    graph: Graph, watch: Watcher = ignore, report: Report | None = None, options: Options = Options()
) -> Graph:
    """All Graph passes; warnings (an empty contraction, say) go to `report`.

    Where memory is limited, nothing is computed for all steps of a loop at once.
    """
    for name, run in GRAPH_PASSES:
        if name == "hoist" and options.memory_limit is not None:
            graph = hoist.run(graph, hoist.Options(stack=0))
        else:
            graph = run(graph)
        watch(name, graph)
    graph = bounds.run(graph, report=report)  # after the cleaners: they would keep dead contractions alive otherwise
    watch("bounds", graph)
    graph = forward.run(graph)  # after bounds: it is extents that tell which part of a tensor is read
    watch("forward", graph)
    return graph


def lower_graph(
    graph: Graph,
    target: Target,
    options: Options = Options(),
    watch: Watcher = ignore,
    guide: Guide = Guide(),
) -> Program:
    """An optimised Graph as a scheduled, placed Program for `target`; `guide` may know better than the rules."""
    chains = options.schedule and target.backend == "llvm"  # it is the schedule that makes chains of use
    partition = fuse.run(graph, fuse.Options(options.fuse, chains))
    watch("fuse", partition)
    program = lower.run(graph, partition, lower.Options(sequential=target.backend == "llvm"))
    watch("lower", program)
    pins = resolved(program, guide.pins, guide.report or Report()) if options.schedule else {}  # names are still there
    program = in_place.run(program)  # first: each kernel has one launch, and its loops are as the lowering made them
    watch("in_place", program)
    if graph.sizes:
        program = slices.run(program)  # after in_place; below it every kernel has fixed extents
        watch("slices", program)
    program = pinned(program, pins)
    program = share.run(program)  # before scheduling: equal kernels are scheduled and compiled once
    watch("share", program)
    if options.schedule:
        guide.prepare(program, frozenset(pins))
        program = schedule(program, target, guide.choose, frozenset(pins))
        watch("schedule", program)
        program = prepack.run(program)  # after scheduling, which says what is packed
        watch("prepack", program)
    program = place.run(program)
    watch("place", program)
    return program


def schedule(
    program: Program, target: Target, choose: Choose = by_rule, done: frozenset[str] = frozenset()
) -> Program:
    """Schedules every kernel that is not `done`, by default where `choose` does not; constant operands are packed
    wherever that helps.
    """

    def one(kernel: Kernel, constant: frozenset[str]) -> Kernel:
        if kernel.name in done:
            return kernel
        return choose(kernel, constant) or scheduled(kernel, target, constant=constant)

    return replace(program, kernels=tuple(one(k, constant) for k, constant in with_constants(program)))


def with_constants(program: Program) -> list[tuple[Kernel, frozenset[str]]]:
    """Every kernel, and those of its parameters that hold the same in every call."""
    fixed = prepack.fixed_params(program)
    return [(kernel, fixed.get(kernel.name, frozenset())) for kernel in program.kernels]


def passes_by_name() -> Mapping[str, Callable[[Graph], Graph]]:
    """Graph passes that `tilec opt` can run one by one."""
    return {**dict(GRAPH_PASSES), "bounds": bounds.run, "forward": forward.run}


__all__ = [
    "BACKENDS",
    "GRAPH_PASSES",
    "Options",
    "Watcher",
    "backend",
    "ignore",
    "lower_graph",
    "optimise",
    "passes_by_name",
    "resolve_target",
    "schedule",
]
