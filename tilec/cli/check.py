"""Floor 6: `tilec check`."""

from __future__ import annotations

import json
import sys
from typing import Any

import typer

from tilec.cli import sources


def command(
    files: list[str] = typer.Argument(..., help="Tile files, directories of them, or - for standard input."),
    as_json: bool = typer.Option(False, "--json", metavar="", help="Report as JSON."),
) -> int:
    """Say what is wrong with programs, as far as it shows without the shapes of the inputs."""
    found = {sources.shown(file): diagnostics(file) for file in sources.expand(files)}
    bad = any(d.severity == "error" for listed in found.values() for d in listed)
    if as_json:
        print(json.dumps({file: [as_value(d) for d in listed] for file, listed in found.items()}))
    else:
        for file, listed in found.items():
            print("\n\n".join(d.render() for d in listed) if listed else f"{file}: no errors")
        if sys.stdout.isatty() and (codes := {d.code: None for listed in found.values() for d in listed}):
            print("\nmore about them: " + ", ".join(f"tilec explain {code}" for code in codes))
    return 1 if bad else 0


def diagnostics(file: str) -> list[Any]:
    """All diagnostics of one file."""
    from tilec import api
    from tilec.errors import TileError
    from tilec.frontends.tile.elaborate import check

    try:
        return list(check(api.parse_text(sources.read(file), sources.shown(file))).diagnostics)
    except TileError as problem:
        return list(problem.diagnostics)


def as_value(diagnostic: Any) -> dict[str, Any]:
    """A diagnostic as a JSON value; line and column are 1-based."""
    place: dict[str, Any] = {}
    if diagnostic.span is not None:
        line, column = diagnostic.span.source.position(diagnostic.span.start)
        place = {"file": diagnostic.span.source.name, "line": line, "column": column}
    return {
        "code": diagnostic.code,
        "severity": diagnostic.severity,
        "message": diagnostic.message,
        **place,
        "notes": list(diagnostic.notes),
        "help": diagnostic.help,
    }
