"""Floor 6: `tilec profile`."""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING, Any

import typer

from tilec.cli.budget import SCHEDULE
from tilec.cli.color import shown

if TYPE_CHECKING:
    from tilec.errors import Span
    from tilec.executable import Executable
    from tilec.measure.profiling import Part, Profile

Stages = list[tuple[str, float, float]]  # name, start and end in seconds from the start of the compilation


def command(
    file: str = typer.Argument(..., help="A .tile file, or - for standard input."),
    function: str | None = typer.Option(None, "-f", "--function", help="The function, where there are several."),
    inputs: list[str] = typer.Option([], "-i", "--input", metavar="NAME=VALUE", help="FILE.npy, FILE.npz:KEY, number."),
    random: list[str] = typer.Option([], "--random", metavar="NAME:TYPE", help="Random values, e.g. A:f32[64,64]."),
    seed: int = typer.Option(0, "--seed", min=0, metavar="NUMBER", help="Seed of --random."),
    seconds: float = typer.Option(
        0.2, "--seconds", min=0.0, max=60.0, metavar="SECONDS", help="How long to time each kernel."
    ),
    trace: str | None = typer.Option(None, "--trace", metavar="FILE.json", help="Write a Chrome trace (for Perfetto)."),
    roofline: str | None = typer.Option(None, "--roofline", metavar="FILE.svg", help="Write a roofline picture."),
    schedule: str | None = SCHEDULE,
    as_json: bool = typer.Option(False, "--json", metavar="", help="Report as JSON."),
) -> int:
    """Time each kernel and compare it with what this machine can do at best.

    For example: tilec profile examples/softmax.tile --random X:f32[1000,1000] --roofline roofline.svg
    """
    from tilec.cli.inputs import inputs_given_by, read_inputs
    from tilec.cli.interrupt import interruptible
    from tilec.files import write_file
    from tilec.measure.peaks import measure
    from tilec.measure.profiling import profile

    values = read_inputs(inputs, random, seed)
    with inputs_given_by("-i NAME=FILE.npy, -i NAME=NUMBER or --random NAME:f32[64,64]"):
        executable, stages = _compiled(file, function, values, schedule)
    arguments = {n: v for n, v in values.items() if n in executable.params}
    found = interruptible(lambda: profile(executable, arguments, measure(executable.target), seconds))
    if trace is not None:
        write_file(trace, json.dumps(chrome_trace(found, stages)).encode())
    if roofline is not None:
        write_file(roofline, picture(found, executable.name).encode())
    for warning in executable.warnings:
        print(shown(warning, sys.stderr), file=sys.stderr)
    print(json.dumps(as_value(found, executable)) if as_json else table(found, executable))
    return 0


def _compiled(
    file: str, function: str | None, values: dict[str, Any], schedule: str | None
) -> tuple[Executable, Stages]:
    """Compiles anew, so that every tensor knows its source, and notes when each stage ended."""
    from tilec import api
    from tilec.cli import sources
    from tilec.options import Options

    started = last = time.perf_counter()
    stages: Stages = []

    def watch(stage: str, _: object) -> None:
        nonlocal last
        now = time.perf_counter()
        stages.append((stage, last - started, now - started))
        last = now

    options = api.with_schedules(Options(), None, schedule)
    program = api.parse_text(sources.read(file), sources.shown(file))
    watch("parse", None)
    executable = api.compile_for(program, "llvm", function, values, options=options, watch=watch)
    watch("machine code", None)
    return executable, stages


# outcome -----------------------------------------------------------------------------------------------------------


def as_value(found: Profile, executable: Executable) -> dict[str, Any]:
    """The profile as a JSON value; seconds, bytes a second, operations a second."""
    return {
        "function": executable.name,
        "target": str(executable.target),
        "threads": executable.target.threads,
        "run_seconds": {"median": found.seconds, "min": min(found.times), "count": len(found.times)},
        "peaks": {
            "flops": {d.name: v for d, v in found.peaks.flops.items()},
            "bytes_per_second": found.peaks.bandwidth,
        },
        "kernels": [_part_value(part, found) for part in found.parts],
    }


def _part_value(part: Part, found: Profile) -> dict[str, Any]:
    return {
        "name": part.name,
        "seconds": part.seconds,
        "runs": len(part.times),
        "flops": part.cost.operations,
        "bytes_read": part.cost.read,
        "bytes_written": part.cost.written,
        "flops_per_second": part.cost.operations / part.seconds,
        "bytes_per_second": part.cost.bytes / part.seconds,
        "share_of_peak": part.share(found.peaks),
        "bound": part.bound(found.peaks),
        "in_loop": part.in_loop,
        "sources": [{"file": s.source.name, "line": number(s), "text": line(s)} for s in part.spans],
    }


def number(span: Span) -> int:
    """The number of its line."""
    return span.source.position(span.start)[0]


def line(span: Span) -> str:
    """The text of its line."""
    return span.source.line(number(span)).strip()


def table(found: Profile, executable: Executable) -> str:
    """The profile for people: a row for each kernel, and under it the lines that it came from."""
    header = ("kernel", "time", "of sum", "GFLOP", "MB", "GFLOP/s", "GB/s", "of peak")
    total = sum(p.seconds for p in found.parts) or 1.0
    rows = [_row(part, total, found) for part in found.parts]
    widths = [max(len(r[i]) for r in (header, *rows)) for i in range(len(header))]
    lines = [_aligned(header, widths)]
    for part, row in zip(found.parts, rows):
        lines.append(_aligned(row, widths))
        lines += dict.fromkeys(f"    {s.source.name}:{number(s)}: {line(s)}" for s in part.spans)
    arithmetic = ", ".join(f"{v / 1e9:.4g} GFLOP/s {d.name}" for d, v in found.peaks.flops.items())
    lines += [
        "",
        f"a whole call: {_time(found.seconds)}, the sum above: {_time(total)}",
        f"peak of {executable.target.threads} threads: {arithmetic}, memory {found.peaks.bandwidth / 1e9:.4g} GB/s",
    ]
    if any(part.share(found.peaks) > 1 for part in found.parts):
        lines.append("above 100 %: data came from a cache, which is faster than memory")
    if any(part.in_loop for part in found.parts):
        lines.append("* in a loop or branch of the program: the time of one launch")
    return "\n".join(lines)


def _row(part: Part, total: float, found: Profile) -> tuple[str, ...]:
    rates = part.cost.operations / part.seconds / 1e9, part.cost.bytes / part.seconds / 1e9
    share = f"{part.share(found.peaks):.0%} {part.bound(found.peaks)}"
    amounts = f"{part.cost.operations / 1e9:.4g}", f"{part.cost.bytes / 1e6:.4g}"
    name = part.name + "*" * part.in_loop
    return name, _time(part.seconds), f"{part.seconds / total:.0%}", *amounts, *(f"{r:.4g}" for r in rates), share


def _aligned(cells: tuple[str, ...], widths: list[int]) -> str:
    """The name to the left, the last column as it is, numbers to the right."""
    middle = [cell.rjust(width) for cell, width in zip(cells[1:-1], widths[1:-1])]
    return "  ".join([cells[0].ljust(widths[0]), *middle, cells[-1]])


def _time(seconds: float) -> str:
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if seconds >= size:
            return f"{seconds / size:.4g} {unit}"
    return f"{seconds * 1e9:.3g} ns"


def chrome_trace(found: Profile, stages: Stages) -> dict[str, Any]:
    """Compilation and one run in the trace event format of Chrome, which Perfetto opens; times in microseconds."""
    events: list[dict[str, Any]] = [_process(0, "compilation"), _process(1, "one run, kernel by kernel")]
    events += [_event(0, name, start, end - start, {}) for name, start, end in stages]
    clock = 0.0
    for part in found.parts:
        value = _part_value(part, found)
        events.append(_event(1, part.name, clock, part.seconds, {k: v for k, v in value.items() if k != "name"}))
        clock += part.seconds
    return {"traceEvents": events, "displayTimeUnit": "ns"}


def _process(number: int, name: str) -> dict[str, Any]:
    return {"name": "process_name", "ph": "M", "pid": number, "tid": 0, "args": {"name": name}}


def _event(process: int, name: str, start: float, seconds: float, details: dict[str, Any]) -> dict[str, Any]:
    times = {"ts": start * 1e6, "dur": seconds * 1e6}
    return {"name": name, "ph": "X", "pid": process, "tid": 0, **times, "args": details}


def picture(found: Profile, name: str) -> str:
    """The roofline picture, for the element type of most operations."""
    from tilec.dtypes import F32, F64
    from tilec.measure.roofline import Point, roofline

    wide = sum(p.cost.flops.get(F64, 0) for p in found.parts)
    dtype = F64 if wide > sum(p.cost.operations for p in found.parts) / 2 else F32
    points = [
        Point(
            part.name,
            part.cost.operations / max(part.cost.bytes, 1),
            part.cost.operations / part.seconds,
            " | ".join([f"{part.name}: {_time(part.seconds)}", *(line(s) for s in part.spans)]),
        )
        for part in found.parts
    ]
    return roofline(points, found.peaks.flops[dtype], found.peaks.bandwidth, f"{name}: kernels under the {dtype} roof")
