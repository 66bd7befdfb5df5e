"""Floor 0: source positions, diagnostics and the one exception users see.

A `Diagnostic` is data; `render` turns it into the familiar text with the source line and a caret.
Every code is listed in `tilec.codes.CODES`; raising an unlisted code is a programming error.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from tilec.codes import CODES

Severity = Literal["error", "warning"]


@dataclass(frozen=True, eq=False)
class Source:
    """A named piece of program text; `name` is a path or a pseudo-name such as `<string>`."""

    name: str
    text: str

    @cached_property
    def _line_starts(self) -> list[int]:
        return [0, *(i + 1 for i, c in enumerate(self.text) if c == "\n")]

    def position(self, offset: int) -> tuple[int, int]:
        """1-based (line, column) of a character offset."""
        line = bisect_right(self._line_starts, offset)
        return line, offset - self._line_starts[line - 1] + 1

    def start(self, number: int) -> int:
        """Offset of the 1-based line `number`."""
        return self._line_starts[number - 1]

    def line(self, number: int) -> str:
        """Text of the 1-based line `number`, without its newline."""
        start = self.start(number)
        end = self.text.find("\n", start)
        return self.text[start : end if end >= 0 else len(self.text)].rstrip("\r")


@dataclass(frozen=True, slots=True)
class Span:
    """Half-open range of character offsets in a source."""

    source: Source
    start: int
    end: int

    def __str__(self) -> str:
        line, column = self.source.position(self.start)
        return f"{self.source.name}:{line}:{column}"

    def to(self, other: Span) -> Span:
        """The span from the start of this one to the end of `other`."""
        return Span(self.source, self.start, max(self.end, other.end))


class Note(str):
    """A fact about a place other than the diagnostic's own: the place is shown and underlined with dashes."""

    __slots__ = ("span",)
    span: Span

    def __new__(cls, text: str, span: Span) -> Note:
        note = super().__new__(cls, text)
        note.span = span
        return note

    def __getnewargs__(self) -> tuple[str, Span]:  # type: ignore[override]  # what copying and pickling call __new__ with
        return str(self), self.span


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One finding: what was found (`message`), more facts (`notes`), what to do (`help`)."""

    code: str
    message: str
    span: Span | None = None
    notes: tuple[str, ...] = ()
    help: str | None = None
    severity: Severity = "error"

    def __post_init__(self) -> None:
        if self.code not in CODES:
            raise AssertionError(f"diagnostic code {self.code} is not in tilec/codes.py")

    def render(self) -> str:
        """Plain text: headline, position, source line with carets, notes, help."""
        lines = [f"{self.severity}[{self.code}]: {self.message}"]
        if self.span is not None:
            lines += _excerpts(self.span, [n.span for n in self.notes if isinstance(n, Note)])
        lines += [f"  = note: {note}" for note in self.notes]
        if self.help is not None:
            lines.append(f"  = help: {self.help}")
        return "\n".join(lines)


_EXCERPT_WIDTH = 160


def _excerpts(span: Span, others: Sequence[Span]) -> list[str]:
    """The lines of a place and of others; those that can be seen beside it are underlined in the same excerpt."""
    beside = [o for o in others if o.source is span.source and _shares_excerpt(span, o)]
    lines = _excerpt(span, "^", "-->", beside)
    for other in dict.fromkeys(o for o in others if o not in beside):
        lines += _excerpt(other, "-", ":::", [])
    return lines


def _shares_excerpt(span: Span, other: Span) -> bool:
    same_line = span.source.position(span.start)[0] == span.source.position(other.start)[0]
    return same_line and abs(span.start - other.start) < _EXCERPT_WIDTH // 2


def _excerpt(span: Span, mark: str, arrow: str, beside: Sequence[Span]) -> list[str]:
    number, column = span.source.position(span.start)
    text = span.source.line(number)
    line_start = span.start - column + 1
    first = max(0, column - 1 - _EXCERPT_WIDTH // 2)  # keep the caret in sight on very long lines
    shown = "".join(c if c.isprintable() else " " for c in text[first : first + _EXCERPT_WIDTH])
    marks = [" "] * (len(shown) + 1)
    for place, sign in [*((b, "-") for b in beside), (span, mark)]:
        start = min(max(0, place.start - line_start - first), len(shown))
        stop = max(start + 1, min(place.end - line_start - first, len(shown)))
        marks[start:stop] = sign * (stop - start)
    gutter = " " * len(str(number))
    return [
        f"{gutter}{arrow} {span}",
        f"{gutter} |",
        f"{number} | {shown}".rstrip(),
        f"{gutter} | {''.join(marks)}".rstrip(),
    ]


class TileError(Exception):
    """Everything that is wrong with a program, its arguments or its files.

    Attributes: diagnostics, a non-empty tuple, the first being the main one.
    """

    def __init__(self, diagnostics: Iterable[Diagnostic]) -> None:
        self.diagnostics = tuple(diagnostics)
        super().__init__(self.diagnostics)

    @property
    def code(self) -> str:
        """Code of the first diagnostic."""
        return self.diagnostics[0].code

    def __str__(self) -> str:
        return "\n\n".join(d.render() for d in self.diagnostics)


def error(
    code: str,
    message: str,
    span: Span | None = None,
    *,
    notes: Iterable[str] = (),
    help: str | None = None,
) -> TileError:
    """A `TileError` with a single diagnostic, to be raised by the caller."""
    return TileError([Diagnostic(code, message, span, tuple(notes), help)])


@dataclass(slots=True)
class Report:
    """Collects diagnostics so that one run can show several; passed down as an argument."""

    diagnostics: list[Diagnostic] = field(default_factory=list)

    def error(
        self, code: str, message: str, span: Span | None = None, *, notes: Iterable[str] = (), help: str | None = None
    ) -> None:
        self.diagnostics.append(Diagnostic(code, message, span, tuple(notes), help))

    def warning(
        self, code: str, message: str, span: Span | None = None, *, notes: Iterable[str] = (), help: str | None = None
    ) -> None:
        self.diagnostics.append(Diagnostic(code, message, span, tuple(notes), help, "warning"))

    def errors(self) -> list[Diagnostic]:
        return [d for d in self.diagnostics if d.severity == "error"]

    def warnings(self) -> list[Diagnostic]:
        return [d for d in self.diagnostics if d.severity == "warning"]

    def check(self) -> None:
        """Raises `TileError` if any error was reported."""
        if found := self.errors():
            raise TileError(found)
