"""Floor 2: schedules as data: a printable, parseable tuple of directives, each naming a schedule primitive.

    schedule  ::= { directive }
    directive ::= name "(" argument { "," argument } ")"          e.g.  tile(m, 6, m.0, m.1)
    argument  ::= integer | word                                  word: letters, digits, `_`, `.`, `'`
    file      ::= { "schedule" name "{" schedule "}" } | schedule

Between them there may be blanks and comments, from `//` to the end of a line. In a file, the name is that of a tensor
or kernel that the schedule is for; without names it is for the only kernel there is.
The primitives themselves are in `passes/schedule/`; this file only knows their textual form.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
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

_BLANK = re.compile(r"(?:\s|//[^\n]*)*")
_DIRECTIVE = re.compile(r"([a-z_]+)\s*\(([^()]*)\)")
_HEAD = re.compile(r"schedule\s+([^\s{}]+)\s*\{")
_BODY = re.compile(r"(?:[^}/]+|//[^\n]*|/)*")
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_.']*\Z")
_INTEGER = re.compile(r"-?[0-9]{1,18}\Z")


def directive(name: str, *args: Argument) -> Directive:
    return Directive(name, args)


def print_schedule(schedule: Schedule) -> str:
    """One directive a line."""
    return "".join(f"{d}\n" for d in schedule)


def print_file(schedules: Mapping[str, Schedule]) -> str:
    """A file of schedules, by name."""
    lines = {name: "".join(f"  {d}\n" for d in schedule) for name, schedule in schedules.items()}
    return "\n".join(f"schedule {name} {{\n{text}}}\n" for name, text in lines.items())


def parse_schedule(text: str, name: str = "<schedule>") -> Schedule:
    """Inverse of `print_schedule`; raises TileError TILE0603 at the malformed place."""
    return tuple(d for d, _ in Pinned("", name, text, 0, len(text)).directives())


@dataclass(frozen=True, slots=True)
class Pinned:
    """A schedule that someone wrote: from `start` to `end` of the `text` of a file, for what is called `name`."""

    name: str
    file: str
    text: str
    start: int
    end: int

    def directives(self) -> tuple[tuple[Directive, Span], ...]:
        """Each with its place; raises TileError TILE0603 at the malformed one."""
        source, found = Source(self.file, self.text), []
        position = self._skipped(self.start)
        while position < self.end:
            match = _DIRECTIVE.match(self.text, position, self.end)
            if match is None:
                raise error("TILE0603", "expected 'name(arguments)'", Span(source, position, position + 1))
            words = [w.strip() for w in match[2].split(",")] if match[2].strip() else []
            for word in words:
                if not (_WORD.match(word) or _INTEGER.match(word)):
                    at, help = Span(source, match.start(2), match.end(2)), None
                    if "=" in word:
                        help = "arguments go by position, without their names"
                    raise error("TILE0603", f"bad argument {word!r}", at, help=help)
            directive = Directive(match[1], tuple(int(w) if _INTEGER.match(w) else w for w in words))
            found.append((directive, Span(source, *match.span())))
            position = self._skipped(match.end())
        return tuple(found)

    @property
    def place(self) -> Span:
        return Span(Source(self.file, self.text), self.start, self.end)

    def _skipped(self, position: int) -> int:
        skipped = _BLANK.match(self.text, position, self.end)
        return skipped.end() if skipped else position


def parse_file(text: str, name: str) -> tuple[Pinned, ...]:
    """The schedules of a file; raises TileError TILE0603. What they say is looked at when they are applied."""
    position, found = _blank_end(text, 0), []
    if not _HEAD.match(text, position):
        return (Pinned("", name, text, 0, len(text)),) if position < len(text) else ()
    while position < len(text):
        head = _HEAD.match(text, position)
        if head is None:
            raise error("TILE0603", "expected 'schedule NAME {'", Span(Source(name, text), position, position + 1))
        body = _BODY.match(text, head.end())
        end = body.end() if body else head.end()
        if end == len(text):
            raise error("TILE0603", "the schedule is never closed", Span(Source(name, text), *head.span()))
        found.append(Pinned(head[1], name, text, head.end(), end))
        position = _blank_end(text, end + 1)
    return tuple(found)


def _blank_end(text: str, position: int) -> int:
    skipped = _BLANK.match(text, position)
    return skipped.end() if skipped else position
