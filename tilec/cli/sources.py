"""Floor 6: programs from files and from standard input (`-`), read without NumPy."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tilec.errors import Source

STDIN = "-"


def read(file: str) -> str:
    """The text of a program; raises TileError TILE0006, TILE0701."""
    from tilec.files import read_file
    from tilec.frontends.tile.parser import decode

    return decode(_standard_input() if file == STDIN else read_file(file), shown(file))


def _standard_input() -> bytes:
    from tilec.errors import error
    from tilec.files import read_stream

    try:
        return read_stream(sys.stdin.buffer, shown(STDIN))
    except (OSError, ValueError, AttributeError) as reason:  # closed, or not there at all
        detail = getattr(reason, "strerror", None) or reason
        raise error("TILE0701", f"cannot read standard input: {detail}") from None


def source(file: str) -> Source:
    """A program's text with its name; raises TileError TILE0006, TILE0701."""
    from tilec.errors import Source

    return Source(shown(file), read(file))


def shown(file: str) -> str:
    """The name of a file in diagnostics."""
    return "<stdin>" if file == STDIN else file


def expand(files: Iterable[str]) -> list[str]:
    """The files, each once, with the .tile files below it in the place of a directory."""
    found: dict[str, None] = {}
    for file in files:
        if file != STDIN and os.path.isdir(file):
            found.update(dict.fromkeys(str(path) for path in sorted(Path(file).rglob("*.tile")) if path.is_file()))
        else:
            found[file] = None
    return list(found)
