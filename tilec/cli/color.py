"""Floor 6: whether a command shows colour, and diagnostics in colour."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from tilec.errors import Diagnostic

_RED, _YELLOW, _BLUE, _CYAN = ("\x1b[1;31m", "\x1b[1;33m", "\x1b[1;34m", "\x1b[36m")
_PARTS = (  # of a line of a rendered diagnostic, and their colours; a line has at most one of them
    (re.compile(r"error(?=\[TILE\d{4}\]: )"), _RED),
    (re.compile(r"warning(?=\[TILE\d{4}\]: )"), _YELLOW),
    (re.compile(r" *(?:-->|:::)(?= )"), _BLUE),
    (re.compile(r" *\d* \|(?= [^-^ ]|  *[^-^ ]|$)"), _BLUE),
    (re.compile(r"  = (?:note|help):"), _CYAN),
)
_MARKS = re.compile(r"( *\|)([ ^-]*)$")


def colored(stream: TextIO) -> bool:
    """As the setting `color` says; by itself on a terminal only. A wrong setting is another command's news."""
    from tilec.configuration import config
    from tilec.errors import TileError

    try:
        wanted = config.color
    except TileError:
        wanted = "auto"
    return wanted == "always" or (wanted == "auto" and stream.isatty())


def shown(diagnostic: Diagnostic, stream: TextIO) -> str:
    """A diagnostic as text for a stream: with colours where it shows them."""
    text = diagnostic.render()
    return "\n".join(map(_painted, text.split("\n"))) if colored(stream) else text


def _painted(line: str) -> str:
    if marks := _MARKS.fullmatch(line):
        signs = re.sub(r"\^+|-+", lambda m: _in(_RED if m[0][0] == "^" else _BLUE, m[0]), marks[2])
        return _in(_BLUE, marks[1]) + signs
    for part, color in _PARTS:
        if found := part.match(line):
            return _in(color, found[0]) + line[found.end() :]
    return line


def _in(color: str, text: str) -> str:
    return f"{color}{text}\x1b[0m"
