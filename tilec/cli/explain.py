"""Floor 6: `tilec explain`."""

from __future__ import annotations

import json
import sys
from typing import Any

import typer

from tilec.cli.color import colored


def codes(start: str) -> list[str]:
    """The codes that begin so, for the shell."""
    from tilec.codes import CODES

    return [code for code in CODES if code.startswith(start)]


def command(
    code: str | None = typer.Argument(
        None, help="A code such as TILE0101, or 101; without one all are listed.", autocompletion=codes
    ),
    as_json: bool = typer.Option(False, "--json", metavar="", help="Report as JSON."),
) -> int:
    """Say what a diagnostic code means, with a wrong program, its message, and the mended program."""
    from tilec.codes import CODES

    if code is None:
        print(json.dumps(CODES) if as_json else "\n".join(f"{c}  {title}" for c, title in CODES.items()))
        return 0
    from tilec.explain import markdown, page, plain

    found = page(code)
    if as_json:
        print(json.dumps(as_value(found)))
    elif colored(sys.stdout):
        from rich.console import Console
        from rich.markdown import Markdown

        Console(force_terminal=True).print(Markdown(markdown(found)))
    else:
        print(plain(found), end="")
    return 0


def as_value(page: Any) -> dict[str, Any]:
    """A page as a JSON value."""
    value = {name: getattr(page, name) for name in ("code", "title", "what", "why", "message")}
    for name in ("wrong", "mended"):
        block = getattr(page, name)
        value[name] = {"kind": block.kind, "inputs": block.inputs, "text": block.text}
    return value
