"""Floor 2: schedules as data: a printable, parseable tuple of directives, each naming a schedule primitive.

    schedule  ::= { directive }
    directive ::= name "(" argument { "," argument } ")"          e.g.  tile(m, 6, m.0, m.1)
    argument  ::= integer | word                                  word: letters, digits, `_`, `.`, `'`

The primitives themselves are in `passes/schedule/`; this file only knows their textual form.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TypeAlias

from tilec.errors import Source, Span, error

Argument: TypeAlias = int | str


@dataclass(frozen=True, slots=True)
class Directive:
    name: str
    args: tuple[Argument, ...]

    def __str__(self) -> str:
        return f"{self.name}({', '.join(map(str, self.args))})"


Schedule: TypeAlias = tuple[Directive, ...]

_DIRECTIVE = re.compile(r"\s*([a-z_]+)\s*\(([^()]*)\)\s*")
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_.']*\Z")
_INTEGER = re.compile(r"-?[0-9]{1,18}\Z")


def directive(name: str, *args: Argument) -> Directive:
    return Directive(name, args)


def print_schedule(schedule: Schedule) -> str:
    """One directive a line."""
    return "".join(f"{d}\n" for d in schedule)


def parse_schedule(text: str, name: str = "<schedule>") -> Schedule:
    """Inverse of `print_schedule`; raises TileError TILE0603 at the malformed place."""
    source, position, found = Source(name, text), 0, []
    while text[position:].strip():
        match = _DIRECTIVE.match(text, position)
        if match is None:
            raise error("TILE0603", "expected 'name(arguments)'", Span(source, position, position + 1))
        words = [w.strip() for w in match[2].split(",")] if match[2].strip() else []
        for word in words:
            if not (_WORD.match(word) or _INTEGER.match(word)):
                raise error("TILE0603", f"bad argument {word!r}", Span(source, match.start(2), match.end(2)))
        found.append(Directive(match[1], tuple(int(w) if _INTEGER.match(w) else w for w in words)))
        position = match.end()
    return tuple(found)
