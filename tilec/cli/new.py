"""Floor 6: `tilec new`."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import typer


def command(name: str = typer.Argument("program.tile", metavar="[NAME.tile]", help="The file to write.")) -> int:
    """Write a commented program to start from, with a test; an existing file is left alone."""
    from tilec.errors import error

    path = Path(name if name.endswith(".tile") else f"{name}.tile")
    try:
        with path.open("x", encoding="utf-8", newline="\n") as file:
            file.write(starter())
    except FileExistsError:
        raise error("TILE0702", f"{str(path)!r} exists already", help="give another name") from None
    except (OSError, ValueError) as reason:
        detail = getattr(reason, "strerror", None) or reason
        raise error("TILE0702", f"cannot write {str(path)!r}: {detail}") from None
    print(f"{path} written; try: tilec test {path}")
    return 0


def starter() -> str:
    """The program that is written."""
    return files("tilec.cli").joinpath("starter.tile").read_text(encoding="utf-8")
