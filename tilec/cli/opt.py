"""Floor 6: `tilec opt`: run named passes on Tile text or on printed IR, and look at what each one does."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import typer


def command(
    file: str = typer.Argument(..., help="A .tile, .graph or .loops file; '-' for a program on standard input."),
    passes: str = typer.Option("", "-p", "--passes", help="Names, comma-separated; default: the whole pipeline."),
    function: str | None = typer.Option(None, "-f", "--function", help="The function of a .tile file."),
    shapes: list[str] = typer.Option([], "--shape", metavar="NAME=TYPE", help="An input's type or value: A=f32[8,8]."),
    schedule: str | None = typer.Option(None, "--schedule", help="A file of schedules, for pass 'schedule'."),
    target: str = typer.Option("auto", "--target", help="auto, llvm, opencl[:N], or a processor as for compile."),
    print_after: str = typer.Option("", "--print-after", help="Show the IR after this pass; 'all' for each."),
    dump_dir: Path | None = typer.Option(None, "--dump-dir", help="Write the IR after each pass to numbered files."),
    print_schedule: bool = typer.Option(
        False, "--print-schedule", metavar="", help="Show the schedules of the kernels, to be kept in a file."
    ),
    verify_each: bool = typer.Option(False, "--verify-each", metavar="", help="Verify the IR after each pass."),
) -> int:
    """Run compiler passes one by one; prints the resulting IR.

    For example: tilec opt examples/softmax.tile --shape X=f32[4,1000] --print-after all
    """
    from tilec.cli.color import shown
    from tilec.cli.inputs import inputs_given_by
    from tilec.cli.opt_stages import load, print_ir, select, work_for, write_dump
    from tilec.schedule import print_file

    work = work_for(target, schedule)
    stages = select(file, passes, work)
    names = [name for name, _ in stages]
    _check_name(print_after, names)
    _check_schedule("schedule" in names, print_schedule)
    with inputs_given_by("--shape NAME=TYPE, as in --shape A=f32[64,64]"):
        ir = load(file, function, shapes, work, "schedule" in names)
    for number, (name, run) in enumerate(stages):
        ir = _verified(name, run(ir)) if verify_each else run(ir)
        if print_after in (name, "all"):
            print(f"// after {name}\n{print_ir(ir)}", file=sys.stderr)
        if dump_dir is not None:
            write_dump(dump_dir, number, name, ir)
    for warning in work.report.warnings():
        print(shown(warning, sys.stderr), file=sys.stderr)
    print(print_file(work.schedules) if print_schedule else print_ir(ir), end="")
    return 0


def _check_schedule(runs: bool, wanted: bool) -> None:
    from tilec.errors import error

    if wanted and not runs:
        raise error("TILE0605", "--print-schedule is of the pass 'schedule', which is not among those that run")


def _check_name(print_after: str, names: Sequence[str]) -> None:
    from tilec.errors import error

    if print_after and print_after not in (*names, "all"):
        text = f"--print-after names {print_after!r}, which is not among the passes that run"
        raise error("TILE0605", text, help=f"write one of: {', '.join(dict.fromkeys(names))}, all")


def _verified(name: str, ir: Any) -> Any:
    from tilec.cli.opt_stages import verify
    from tilec.errors import Diagnostic, TileError

    try:
        verify(ir)
    except TileError as problem:
        note = Diagnostic("TILE0602", f"the IR does not verify after pass {name!r}")
        raise TileError([note, *problem.diagnostics]) from None
    return ir
