"""Floor 6: `tilec check`."""

from __future__ import annotations

import json
import sys
from typing import Any

import typer

from tilec.cli import sources
from tilec.cli.color import shown


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
            print("\n\n".join(shown(d, sys.stdout) for d in listed) if listed else f"{file}: no errors")
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
    """A diagnostic as a JSON value; line and column are 1-based. `places` are those that notes are about."""
    return {
        "code": diagnostic.code,
        "severity": diagnostic.severity,
        "message": diagnostic.message,
        **_place(diagnostic.span),
        "notes": [str(note) for note in diagnostic.notes],
        "places": [{"note": k, **_place(n.span)} for k, n in enumerate(diagnostic.notes) if hasattr(n, "span")],
        "help": diagnostic.help,
    }


def _place(span: Any) -> dict[str, Any]:
    if span is None:
        return {}
    line, column = span.source.position(span.start)
    return {"file": span.source.name, "line": line, "column": column}
