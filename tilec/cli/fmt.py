"""Floor 6: `tilec fmt`."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from typing import Any

import typer

from tilec.cli import sources
from tilec.cli.color import shown


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a file: its text formatted, or why it could not be."""

    file: str
    before: str
    after: str
    diagnostics: tuple[Any, ...] = ()

    @property
    def changed(self) -> bool:
        return self.before != self.after


def command(
    files: list[str] = typer.Argument(..., help="Tile files, directories of them, or - for standard input."),
    check: bool = typer.Option(False, "--check", metavar="", help="Write nothing; list the files that would change."),
    as_json: bool = typer.Option(False, "--json", metavar="", help="Report as JSON."),
) -> int:
    """Format programs in place; standard input goes to standard output.

    A program that has errors is left as it is.
    """
    outcomes = [_format(file) for file in sources.expand(files)]
    if not check:
        outcomes = [_written(outcome, quiet=as_json) for outcome in outcomes]
    if as_json:
        print(json.dumps({sources.shown(o.file): _as_value(o, check) for o in outcomes}))
    else:
        _report(outcomes, check)
    failed = any(o.diagnostics for o in outcomes)
    return 1 if failed or (check and any(o.changed for o in outcomes)) else 0


def _format(file: str) -> Outcome:
    from tilec.errors import TileError
    from tilec.frontends.tile.format import format_text

    try:
        before = sources.read(file)
        return Outcome(file, before, format_text(before, sources.shown(file)))
    except TileError as problem:
        return Outcome(file, "", "", problem.diagnostics)


def _written(outcome: Outcome, quiet: bool) -> Outcome:
    """Writes the result where it belongs; that of standard input into a JSON report that is asked for."""
    from tilec.errors import TileError
    from tilec.files import write_file

    if outcome.diagnostics:
        return outcome
    if outcome.file == sources.STDIN:
        if not quiet:
            sys.stdout.buffer.write(outcome.after.encode())  # UTF-8 whatever the terminal's encoding, as it was read
        return outcome
    try:
        if outcome.changed:
            write_file(outcome.file, outcome.after.encode())
        return outcome
    except TileError as problem:
        return Outcome(outcome.file, "", "", problem.diagnostics)


def _as_value(outcome: Outcome, check: bool) -> dict[str, Any]:
    from tilec.cli.check import as_value

    value: dict[str, Any] = {"changed": outcome.changed, "diagnostics": [as_value(d) for d in outcome.diagnostics]}
    if outcome.file == sources.STDIN and not check and not outcome.diagnostics:
        value["text"] = outcome.after
    return value


def _report(outcomes: list[Outcome], check: bool) -> None:
    """Diagnostics and a summary go to standard error, which leaves standard output to the text or the list of files."""
    for outcome in outcomes:
        for diagnostic in outcome.diagnostics:
            print(shown(diagnostic, sys.stderr) + "\n", file=sys.stderr)
    changed = [o for o in outcomes if o.changed]
    if check:
        for outcome in changed:
            print(f"would reformat {sources.shown(outcome.file)}")
    files = [o for o in outcomes if o.file != sources.STDIN]
    if files:
        word = "to be formatted" if check else "formatted"
        failed = sum(bool(o.diagnostics) for o in outcomes)
        also = f", {failed} with errors" if failed else ""
        print(f"{len(changed)} of {_files(len(outcomes))} {word}{also}", file=sys.stderr)


def _files(count: int) -> str:
    return f"{count} file" if count == 1 else f"{count} files"
