"""Floor 6: programs from files and from standard input (`-`), read without NumPy, and written back."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tilec.errors import Source

STDIN = "-"


def read(file: str) -> str:
    """The text of a program; raises TileError TILE0006, TILE0701."""
    from tilec.errors import error
    from tilec.frontends.tile.parser import decode

    try:
        data = sys.stdin.buffer.read() if file == STDIN else Path(file).read_bytes()
    except (OSError, ValueError, AttributeError) as reason:
        raise error("TILE0701", f"cannot read {file!r}: {getattr(reason, 'strerror', None) or reason}") from None
    return decode(data, shown(file))


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
            found.update(dict.fromkeys(str(path) for path in sorted(Path(file).rglob("*.tile"))))
        else:
            found[file] = None
    return list(found)


def replace(file: str, text: str) -> None:
    """Writes a file anew, whole or not at all; its permissions and links to it stay. Raises TileError TILE0702."""
    from tilec.errors import error
    from tilec.files import write_whole

    path = Path(os.path.realpath(file))
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        if not os.access(path, os.W_OK):
            raise PermissionError(None, "it is read-only")
        write_whole(path, text.encode(), mode)
        path.chmod(mode)  # what the umask took from it
    except OSError as reason:
        raise error("TILE0702", f"cannot write {file!r}: {reason.strerror or reason}") from None
