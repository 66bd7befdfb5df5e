"""Floor 6: what `tilec opt` can run, read and print. Stages turn a Graph into a Graph, a Graph into a Program, or a
Program into a Program."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tilec import api, pipeline
from tilec.cli import sources
from tilec.cli.shapes import signature
from tilec.errors import Report, TileError, error
from tilec.files import write_file
from tilec.frontends.tile.elaborate import to_graph
from tilec.graph import Graph
from tilec.loops import Program
from tilec.passes import fuse, lower, place, prepack, share
from tilec.pins import pinned, pins_given, resolved
from tilec.schedule import parse_file
from tilec.text.graph_text import parse_graph, print_graph
from tilec.text.loops_text import parse_program, print_program
from tilec.type_graph import is_typed
from tilec.verify.graph import verify as verify_graph
from tilec.verify.loops import verify_program

Stage = tuple[str, Callable[[Any], Any]]
LOOPS_STAGES = ("share", "schedule", "prepack", "place")


def select(file: str, names: str, schedule: str | None, target: str) -> list[Stage]:
    """The stages to run: those named, or all that apply to the kind of file; raises TileError TILE0605."""
    known = stages(schedule, target)
    wanted: Sequence[str] = [n.strip() for n in names.split(",") if n.strip()]
    if not names:
        graph_stages = (*(name for name, _ in pipeline.GRAPH_PASSES), "bounds", "lower")
        wanted = LOOPS_STAGES if file.endswith(".loops") else (*graph_stages, *LOOPS_STAGES)
    if unknown := [n for n in wanted if n not in known]:
        raise error("TILE0605", f"unknown pass {unknown[0]!r}", help=f"known: {', '.join(known)}")
    return [(n, known[n]) for n in wanted]


def stages(schedule: str | None, target: str) -> dict[str, Callable[[Any], Any]]:
    """Every stage by name, in pipeline order, each checking that it gets the level of IR it works on."""
    graph_stages: dict[str, Callable[[Any], Any]] = {
        name: _on(Graph, name, run) for name, run in pipeline.passes_by_name().items()
    }
    return {
        **graph_stages,
        "lower": _on(Graph, "lower", lambda g: lower.run(g, fuse.run(g))),
        "share": _on(Program, "share", share.run),
        "schedule": _on(Program, "schedule", lambda p: _schedule(p, schedule, target)),
        "prepack": _on(Program, "prepack", prepack.run),
        "place": _on(Program, "place", place.run),
    }


def _on(kind: type, name: str, run: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def stage(ir: Any) -> Any:
        if not isinstance(ir, kind):
            raise error("TILE0605", f"pass {name!r} works on a {kind.__name__}, not on a {type(ir).__name__}")
        if isinstance(ir, Graph) and name != "infer" and not is_typed(ir):
            raise error("TILE0605", f"pass {name!r} works on a typed Graph", help="run the pass 'infer' first")
        return run(ir)

    return stage


def _schedule(program: Program, file: str | None, target: str) -> Program:
    if file is None:
        return pipeline.schedule(program, pipeline.resolve_target(target))
    pins = resolved(program, pins_given(parse_file(api.read_text(file), file)), Report())
    return pipeline.schedule(pinned(program, pins), pipeline.resolve_target(target), done=frozenset(pins))


def load(file: str, function: str | None, shapes: Sequence[str]) -> Any:
    """The IR of a file, verified: Tile text is elaborated at the given shapes; raises TileError."""
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
    return print_graph(ir) if isinstance(ir, Graph) else print_program(ir)


def verify(ir: Any) -> None:
    verify_graph(ir) if isinstance(ir, Graph) else verify_program(ir)


def write_dump(directory: Path, number: int, name: str, ir: Any) -> None:
    """`03_cse.graph`, `06_lower.loops` ...; raises TileError TILE0702."""
    suffix = "graph" if isinstance(ir, Graph) else "loops"
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as reason:
        raise error("TILE0702", f"cannot write to {str(directory)!r}: {reason.strerror or reason}") from None
    write_file(directory / f"{number:02}_{name}.{suffix}", print_ir(ir).encode())


__all__ = ["Stage", "TileError", "load", "print_ir", "select", "stages", "verify", "write_dump"]
