"""Floor 6: `tilec memory`: what memory a call of a function needs, and for which tensors."""

from __future__ import annotations

import json
import sys

import typer

from tilec.cli.budget import LIMIT, REMAT, SCHEDULE, budget


def command(
    file: str = typer.Argument(..., help="A .tile file, or - for standard input."),
    function: str | None = typer.Option(None, "-f", "--function", help="The function, where there are several."),
    shapes: list[str] = typer.Option(
        [], "--shape", metavar="NAME=TYPE", help="An input: A=f32[64,64], A=64,64 (float32), A=64, or a number."
    ),
    sizes: list[str] = typer.Option([], "--size", metavar="NAME=NUMBER", help="What an open size is in the call."),
    donated: list[str] = typer.Option([], "--donate", metavar="NAME=RESULT", help="An input that a result overwrites."),
    limit: int | None = LIMIT,
    remat: str = REMAT,
    schedule: str | None = SCHEDULE,
    as_json: bool = typer.Option(False, "--json", metavar="", help="Report as JSON, all tensors included."),
) -> int:
    """Show the memory that a call needs: the largest live set, the arena, and the largest tensors.

    For example: tilec memory examples/softmax.tile --shape X=N,1000 --size N=64
    """
    from tilec import api
    from tilec.cli import sources
    from tilec.cli.compile import pairs
    from tilec.cli.inputs import inputs_given_by
    from tilec.cli.shapes import numbers, signature
    from tilec.open_sizes import Limit

    known = numbers(sizes)
    options = api.with_schedules(budget(limit, remat), None, schedule)
    program = api.parse_text(sources.read(file), sources.shown(file))
    with inputs_given_by("--shape NAME=f32[64,64] or --shape NAME=64,64 (float32)"):
        found = api.compile_for(program, "llvm", function, signature(shapes), options=options, donate=pairs(donated))
    for warning in found.warnings:
        print(warning.render(), file=sys.stderr)
    needed = found.memory_for(**known)
    print(json.dumps(needed.as_value()) if as_json else needed)
    if limit is not None and known:
        Limit(found.name, limit, found.ir).check(known)
    return 0
