"""Floor 5: the one place that knows all passes and their order.

    Graph -> infer, inline, simplify, fold, simplify, cse, dce, bounds -> fuse -> lower
        -> Program -> share, schedule, place -> Program -> backend

A `Watcher` is called with (stage, IR) after every stage: dumping, timing, verifying and comparing are watchers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from importlib import import_module
from typing import Any, TypeAlias

from tilec.backend import Backend
from tilec.errors import Report, error
from tilec.graph import Graph
from tilec.loops import Program
from tilec.passes import bounds, cse, dce, fold, fuse, infer, inline, lower, place, share, simplify
from tilec.passes.schedule import apply
from tilec.passes.schedule.default import default_schedule
from tilec.target import Target

Watcher: TypeAlias = Callable[[str, Any], None]

# The reason beside each constraint on the order:
GRAPH_PASSES: tuple[tuple[str, Callable[[Graph], Graph]], ...] = (
    ("infer", infer.run),  # first: every other pass reads types
    ("inline", inline.run),  # before the cleaners: it leaves copies behind
    ("simplify", simplify.run),  # before fold and cse: one form for equal things
    ("fold", fold.run),
    ("simplify", simplify.run),  # folded values are new occasions
    ("cse", cse.run),  # after fold: equal literals meet
    ("dce", dce.run),  # last of the cleaners: drops what the others left unused
)

# Every backend by name: module and class. Imported only when asked for.
BACKENDS: dict[str, tuple[str, str]] = {
    "llvm": ("tilec.backends.llvm.backend", "LLVMBackend"),
    "opencl": ("tilec.backends.opencl.backend", "OpenCLBackend"),
}


@dataclass(frozen=True, slots=True)
class Options:
    """What may be chosen per compilation. `fuse` and `schedule` off give the plainest code, for finding faults."""

    fuse: bool = True
    schedule: bool = True


def ignore(stage: str, ir: Any) -> None:
    """The watcher that does nothing."""


def optimise(graph: Graph, watch: Watcher = ignore, report: Report | None = None) -> Graph:
    """All Graph passes; warnings (an empty contraction, say) go to `report`."""
    for name, run in GRAPH_PASSES:
        graph = run(graph)
        watch(name, graph)
    graph = bounds.run(graph, report=report)  # after the cleaners: they would keep dead contractions alive otherwise
    watch("bounds", graph)
    return graph


def lower_graph(graph: Graph, target: Target, options: Options = Options(), watch: Watcher = ignore) -> Program:
    """An optimised Graph as a scheduled, placed Program for `target`."""
    partition = fuse.run(graph) if options.fuse else fuse.trivial(graph)
    watch("fuse", partition)
    program = lower.run(graph, partition)
    watch("lower", program)
    program = share.run(program)  # before scheduling: equal kernels are scheduled and compiled once
    watch("share", program)
    if options.schedule:
        program = schedule(program, target)
        watch("schedule", program)
    program = place.run(program)
    watch("place", program)
    return program


def schedule(program: Program, target: Target) -> Program:
    """Applies the default schedule to every kernel."""
    return replace(program, kernels=tuple(apply(k, default_schedule(k, target)) for k in program.kernels))


def backend(name: str) -> Backend:
    """A backend by name; raises TileError TILE0508."""
    if name not in BACKENDS:
        raise error("TILE0508", f"unknown target {name!r}", help=f"known: auto, {', '.join(BACKENDS)}, reference")
    module, attribute = BACKENDS[name]
    found: Backend = getattr(import_module(module), attribute)()
    return found


def resolve_target(name: str | Target) -> Target:
    """The Target that a name such as `auto`, `llvm`, `opencl` or `opencl:1` stands for; raises TILE0508, TILE0509."""
    if isinstance(name, Target):
        return name
    if not isinstance(name, str):
        raise error("TILE0508", f"a target is a name or a Target, not an object of type {type(name).__name__}")
    if name == "reference":
        return Target("reference")
    kind, _, device = ("llvm" if name == "auto" else name).partition(":")
    targets = backend(kind).targets()
    if not targets:
        raise error("TILE0509", f"target {kind!r} is not available on this machine", help=_recipe(kind))
    for target in targets:
        if device in ("", target.device):
            return target
    raise error("TILE0509", f"no device {device!r} of {kind!r}", notes=[f"found: {', '.join(map(str, targets))}"])


def _recipe(kind: str) -> str | None:
    recipes = {"opencl": "install pyopencl and an OpenCL driver: pip install 'tilec[opencl]' pocl-binary-distribution"}
    return recipes.get(kind)


def passes_by_name() -> Mapping[str, Callable[[Graph], Graph]]:
    """Graph passes that `tilec opt` can run one by one."""
    return {**dict(GRAPH_PASSES), "bounds": bounds.run}
