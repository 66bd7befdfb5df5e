"""Floor 6: `tilec tune`: the fastest schedules of a program's kernels on this machine, looked for and kept."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from tilec.loops import Program
    from tilec.target import Target
    from tilec.tune.record import Record
    from tilec.tune.records import Entry, Records
    from tilec.tune.search import Progress, Tell
    from tilec.tune.tuner import Outcome


def command(
    file: str | None = typer.Argument(None, help="A .tile or .graph file; '-' for standard input."),
    function: str | None = typer.Option(None, "-f", "--function", help="The function, where there are several."),
    shapes: list[str] = typer.Option(
        [], "--shape", metavar="NAME=TYPE", help="An input: A=f32[64,64], A=64,64 (float32), A=64, or a number."
    ),
    constants: list[str] = typer.Option(
        [], "--constant", metavar="NAME=VALUE", help="An input to compile in: a .npy, .npz:KEY or number."
    ),
    seconds: float = typer.Option(60.0, "--seconds", min=0.0, max=1e6, metavar="SECONDS", help="How long to look."),
    limit: float = typer.Option(
        10.0, "--limit", min=0.1, max=1e4, metavar="SECONDS", help="How long a schedule may take to be compiled."
    ),
    resume: bool = typer.Option(False, "--resume", metavar="", help="Go on where an earlier search was ended."),
    printed: bool = typer.Option(False, "--print", metavar="", help="Show the schedules, to be kept in a file."),
    listed: bool = typer.Option(
        False, "--list", metavar="", help="List what is known of kernels; with FILE, of its own."
    ),
    cleared: bool = typer.Option(False, "--clear", metavar="", help="Forget what is known of all kernels."),
    as_json: bool = typer.Option(False, "--json", metavar="", help="Report as JSON."),
) -> int:
    """Measure schedules of a function's kernels, and keep the fastest for all later compilations.

    For example: tilec tune examples/softmax.tile --shape X=1000,1000 --seconds 10
    """
    from tilec.errors import error
    from tilec.tune.choice import open_records

    records = open_records()
    if records is None:
        raise error("TILE0702", "there is no place for tuning records", help="set TILEC_CACHE_DIR")
    if cleared:
        if file is not None or listed or resume or printed:
            text = "--clear forgets all records, and takes nothing beside it"
            raise error("TILE0704", text, help="write tilec tune --clear; tilec tune FILE without --resume looks anew")
        count = records.clear()
        print(json.dumps({"deleted": count}) if as_json else f"{count} record{'s' * (count != 1)} deleted")
        return 0
    if file is None and not listed:
        raise error(
            "TILE0704", "there is no file to tune", help="write tilec tune FILE, or --list or --clear without one"
        )
    if file is None:
        return show_entries(list(records.entries()), as_json)
    program, target, pinned = lowered(file, function, shapes, constants)
    if listed:
        return show_outcomes(known(program, target, records, pinned), as_json, printed)
    check_writable(records)
    with bar(quiet=as_json or not sys.stderr.isatty()) as tell:
        found, interrupted = searched(program, target, records, pinned, seconds, resume, tell, limit)
    show_outcomes(found, as_json, printed)
    return 130 if interrupted else 0


def lowered(
    file: str, function: str | None, shapes: list[str], constants: list[str]
) -> tuple[Program, Target, frozenset[str]]:
    """The program of a function before its kernels are scheduled, and those whose schedule the file says; raises
    TileError.
    """
    from tilec import pipeline
    from tilec.cli.compile import graph_of
    from tilec.cli.inputs import read_inputs
    from tilec.errors import error
    from tilec.pins import pins_of
    from tilec.tune.fits import here

    fixed = read_inputs(constants, [], 0)
    target = pipeline.resolve_target("auto")
    if not here(target):
        raise error("TILE0508", f"kernels of the target {target} cannot be tuned", help="known: llvm, opencl")
    met: list[tuple[Program, frozenset[str]]] = []
    graph, _, _ = graph_of(file, function, shapes, fixed)

    def prepare(program: Program, done: frozenset[str]) -> None:
        met.append((program, done))

    guide = pipeline.Guide(pins_of(graph, ()), prepare=prepare)
    pipeline.lower_graph(pipeline.optimise(graph), target, guide=guide)
    program, done = met[0]
    return program, target, done


def searched(
    program: Program,
    target: Target,
    records: Records,
    pinned: frozenset[str],
    seconds: float,
    resume: bool,
    tell: Tell,
    limit: float,
) -> tuple[list[Outcome], bool]:
    """What became of every kernel, and whether Ctrl-C ended the search; what was found until then is kept."""
    from tilec.tune.tuner import tune

    found: list[Outcome] = []
    try:
        found.extend(tune(program, target, records, seconds, resume=resume, tell=tell, done=pinned, patience=limit))
    except KeyboardInterrupt:
        print("interrupted: what was found is kept; --resume goes on", file=sys.stderr)
        met = {o.kernel.name for o in found}
        return [*found, *(o for o in known(program, target, records, pinned) if o.kernel.name not in met)], True
    return found, False


def known(program: Program, target: Target, records: Records, pinned: frozenset[str]) -> list[Outcome]:
    """What records say of a program's kernels."""
    from tilec.tune.tuner import known

    return list(known(program, target, records, pinned))


def check_writable(records: Records) -> None:
    """Raises TileError TILE0702 before the work, not after it."""
    from tilec.errors import error

    try:
        records.check()
    except OSError as reason:
        text = f"cannot write to {str(records.directory)!r}: {reason.strerror or reason}"
        raise error("TILE0702", text, help="set TILEC_CACHE_DIR to a directory of your own") from None


@contextmanager
def bar(quiet: bool) -> Iterator[Tell]:
    """A progress bar on standard error, which shows what it is told."""
    from tilec.tune.tuner import ignore

    if quiet:
        yield ignore
        return
    from rich.console import Console
    from rich.progress import Progress as Bar
    from rich.progress import SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn()
    with Bar(*columns, console=Console(file=sys.stderr), transient=True) as shown:
        task = shown.add_task("", total=None)

        def tell(progress: Progress) -> None:
            lost = f", {progress.lost} lost" if progress.lost else ""
            text = f"{progress.kernel}: {progress.stage}, {progress.tried} tried{lost}, best {progress.speedup:.2f}x"
            shown.update(task, description=text)

        yield tell


# outcome -----------------------------------------------------------------------------------------------------------


def show_outcomes(found: Sequence[Outcome], as_json: bool, printed: bool) -> int:
    """What is known of a program's kernels, or their schedules in the form that is read back."""
    if as_json:
        print(json.dumps({"kernels": [outcome_value(o) for o in found]}))
    elif printed:
        from tilec.schedule import print_file

        print(print_file({o.kernel.name: o.schedule for o in found if o.record is not None}), end="")
    else:
        for outcome in found:
            print(outcome_line(outcome))
    return 0


def outcome_value(outcome: Outcome) -> dict[str, Any]:
    """What became of a kernel as a JSON value."""
    record = None if outcome.record is None else record_value(outcome.record)
    return {"kernel": outcome.kernel.name, "problem": outcome.problem, "record": record}


def record_value(record: Record) -> dict[str, Any]:
    """A record as a JSON value."""
    return {
        "kernel": record.kernel,
        "name": record.name,
        "schedule": [str(d) for d in record.schedule],
        "default": record.default,
        "milliseconds": {"default": record.default_milliseconds, "best": record.best_milliseconds},
        "speedup": record.speedup,
        "state": record.state,
        "verified": list(record.verified),
        "tilec": record.tilec,
        "date": record.date,
    }


def outcome_line(outcome: Outcome) -> str:
    """What became of a kernel, for people."""
    if outcome.record is None:
        return f"{outcome.kernel.name}: not tuned: {outcome.problem}"
    note = f" ({outcome.problem})" if outcome.problem else ""
    return f"{outcome.kernel.name}: {facts(outcome.record)}{note}"


def facts(record: Record) -> str:
    """A record in a line."""
    best = f"{record.best_milliseconds:.4g} ms"
    gain = "the default schedule is the fastest" if record.default else f"{record.speedup:.2f} times as fast"
    state = "" if record.state == "complete" else ", search not finished"
    return f"{best}, {gain}{state}"


def show_entries(entries: Sequence[Entry], as_json: bool) -> int:
    """All records, with the reason why one does not count."""
    if as_json:
        print(json.dumps({"records": [entry_value(e) for e in entries]}))
        return 0
    for entry in entries:
        r = entry.record
        text = entry.problem if r is None else f"{r.name}: {facts(r)}; tilec {r.tilec}, {r.date}"
        print(f"{entry.path.name}  {text}")
    print(f"{len(entries)} record" + "s" * (len(entries) != 1))
    return 0


def entry_value(entry: Entry) -> Mapping[str, Any]:
    """A file of records as a JSON value."""
    record = None if entry.record is None else record_value(entry.record)
    return {"file": str(entry.path), "problem": entry.problem, "record": record}
