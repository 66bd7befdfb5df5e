"""Floor 6: what `tilec opt` can run, read and print. Stages turn a Graph into a Graph, a Graph into a Program by way of
its fusion, or a Program into a Program."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tilec import api, pipeline
from tilec.ahead import PROCESSORS, target_named
from tilec.cli import sources
from tilec.cli.shapes import signature
from tilec.errors import Report, TileError, error
from tilec.files import path_name, write_file
from tilec.frontends.tile.elaborate import to_graph
from tilec.graph import Contraction, Graph, subgraphs
from tilec.loops import Kernel, Program
from tilec.partition import Partition
from tilec.passes import fuse, lower, place, prepack, share
from tilec.passes.schedule.default import planned
from tilec.pins import Pin, pinned, pins_given, pins_of, resolved
from tilec.schedule import Pinned, Schedule, parse_file
from tilec.target import Target
from tilec.text.graph_text import parse_graph, print_graph
from tilec.text.loops_text import parse_program, print_program
from tilec.type_graph import is_typed
from tilec.verify.graph import verify as verify_graph
from tilec.verify.loops import verify_program

Stage = tuple[str, Callable[[Any], Any]]
LOOPS_STAGES = ("share", "schedule", "prepack", "place")


@dataclass(frozen=True, slots=True)
class Fused:
    """A Graph between the passes `fuse` and `lower`."""

    graph: Graph
    partition: Partition


@dataclass(slots=True)
class Work:
    """What the stages of a run share: for what, schedules that someone wrote, and those that kernels got."""

    target: Target
    given: tuple[Pinned, ...] = ()
    pins: tuple[Pin, ...] = ()
    by_kernel: dict[str, Pin] = field(default_factory=dict)
    schedules: dict[str, Schedule] = field(default_factory=dict)
    report: Report = field(default_factory=Report)


def work_for(target: str, schedule: str | None) -> Work:
    """Raises TileError TILE0508, TILE0509, TILE0603, TILE0701. A target may be a processor to compile for."""
    found = target_named(target) if target.removeprefix("llvm:") in PROCESSORS else pipeline.resolve_target(target)
    given = () if schedule is None else parse_file(api.read_text(schedule), path_name(schedule))
    return Work(found, given)


def select(file: str, names: str, work: Work) -> list[Stage]:
    """The stages to run: those named, or all that apply to the kind of file; raises TileError TILE0605."""
    known = stages(work)
    wanted: Sequence[str] = [n.strip() for n in names.split(",") if n.strip()]
    if not names:
        graph_stages = (*(name for name, _ in pipeline.GRAPH_PASSES), "bounds", "forward", "fuse", "lower")
        wanted = LOOPS_STAGES if file.endswith(".loops") else (*graph_stages, *LOOPS_STAGES)
    if unknown := [n for n in wanted if n not in known]:
        raise error("TILE0605", f"unknown pass {unknown[0]!r}", help=f"known: {', '.join(known)}")
    return [(n, known[n]) for n in wanted]


def stages(work: Work) -> dict[str, Callable[[Any], Any]]:
    """Every stage by name, in pipeline order, each checking that it gets the level of IR it works on."""
    graph_stages: dict[str, Callable[[Any], Any]] = {
        name: _on(Graph, name, run) for name, run in pipeline.passes_by_name().items()
    }
    fused = _on(Graph, "lower", lambda g: _fuse(g, work))  # by the pass `lower` itself, where nobody asked for `fuse`
    return {
        **graph_stages,
        "fuse": _on(Graph, "fuse", lambda g: _fuse(g, work)),
        "lower": lambda ir: _lower(ir if isinstance(ir, Fused) else fused(ir), work),
        "share": _on(Program, "share", share.run),
        "schedule": _on(Program, "schedule", lambda p: _schedule(p, work)),
        "prepack": _on(Program, "prepack", prepack.run),
        "place": _on(Program, "place", place.run),
    }


def _on(kind: type, name: str, run: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def stage(ir: Any) -> Any:
        if not isinstance(ir, kind):
            found = "Partition" if isinstance(ir, Fused) else type(ir).__name__
            raise error("TILE0605", f"pass {name!r} works on a {kind.__name__}, not on a {found}")
        if isinstance(ir, Graph) and name != "infer" and not is_typed(ir):
            raise error("TILE0605", f"pass {name!r} works on a typed Graph", help="run the pass 'infer' first")
        if isinstance(ir, Graph) and name in ("forward", "fuse", "lower") and not _is_bounded(ir):
            raise error("TILE0605", f"pass {name!r} works on a bounded Graph", help="run the pass 'bounds' first")
        return run(ir)

    return stage


def _is_bounded(graph: Graph) -> bool:
    """Whether every contraction has the extents of its indices."""
    for let in graph.lets:
        if isinstance(let.node, Contraction) and len(let.node.extents) != len(let.node.indices):
            return False
        if not all(_is_bounded(inner) for inner in subgraphs(let.node)):
            return False
    return True


def _fuse(graph: Graph, work: Work) -> Fused:
    chains = work.target.backend == "llvm"  # as in `pipeline.lower_graph`
    return Fused(graph, fuse.run(graph, fuse.Options(chains=chains)))


def _lower(fused: Fused, work: Work) -> Program:
    sequential = work.target.backend == "llvm"
    program = lower.run(fused.graph, fused.partition, lower.Options(sequential=sequential))
    work.by_kernel, work.pins = resolved(program, work.pins, work.report), ()  # names are still there
    return program


def _schedule(program: Program, work: Work) -> Program:
    """Notes the schedule of each kernel in `work`."""
    pins = work.by_kernel or resolved(program, work.pins, work.report)
    pins = {k.name: pins[k.name] for k in program.kernels if k.name in pins}
    work.schedules = {name: tuple(d for d, _ in pin.steps()) for name, pin in pins.items()}

    def choose(kernel: Kernel, constant: frozenset[str]) -> Kernel:
        plan = planned(kernel, work.target, constant=constant)
        work.schedules[kernel.name] = tuple(plan.directives)
        return plan.kernel

    return pipeline.schedule(pinned(program, pins), work.target, choose, frozenset(pins))


def load(file: str, function: str | None, shapes: Sequence[str], work: Work, scheduled: bool) -> Any:
    """The IR of a file, verified: Tile text is elaborated at the given shapes; raises TileError.

    Where it will be `scheduled`, what it says of schedules is noted in `work`.
    """
    ir = _read(file, function, shapes)
    if scheduled:
        work.pins = pins_of(ir, work.given, work.report) if isinstance(ir, Graph) else pins_given(work.given)
    return ir


def _read(file: str, function: str | None, shapes: Sequence[str]) -> Graph | Program:
    if file.endswith(".graph"):
        graph = parse_graph(api.read_text(file), file)
        verify_graph(graph)
        return graph
    if file.endswith(".loops"):
        program = parse_program(api.read_text(file), file)
        verify_program(program)
        return program
    return to_graph(api.parse(sources.source(file)), function, signature(shapes))


def print_ir(ir: Any) -> str:
    match ir:
        case Graph():
            return print_graph(ir)
        case Fused():
            return f"{ir.partition}"
        case _:
            return print_program(ir)


def verify(ir: Any) -> None:
    match ir:
        case Graph():
            verify_graph(ir)
        case Fused():
            verify_graph(ir.graph)
        case _:
            verify_program(ir)


def write_dump(directory: Path, number: int, name: str, ir: Any) -> None:
    """`03_cse.graph`, `06_lower.loops` ...; raises TileError TILE0702."""
    suffix = "graph" if isinstance(ir, Graph) else "txt" if isinstance(ir, Fused) else "loops"
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as reason:
        raise error("TILE0702", f"cannot write to {str(directory)!r}: {reason.strerror or reason}") from None
    write_file(directory / f"{number:02}_{name}.{suffix}", print_ir(ir).encode())


__all__ = [
    "Fused",
    "Stage",
    "TileError",
    "Work",
    "load",
    "print_ir",
    "select",
    "stages",
    "verify",
    "work_for",
    "write_dump",
]
