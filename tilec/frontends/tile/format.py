"""Tile text -> the same program in the one style.

Two spaces of indentation, a blank line between functions, lines of at most 100 characters where they can be broken,
nothing aligned. Comments stay where they are; of several blank lines between statements one is kept. Only white
space is changed, so the meaning cannot be.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from tilec.errors import Source, Span, error
from tilec.frontends.tile.format_doc import STEP, Comment, Doc, aligned, render
from tilec.frontends.tile.format_statement import header, statement
from tilec.frontends.tile.format_tokens import Piece, pieces, split
from tilec.frontends.tile.limits import MAX_SOURCE_BYTES
from tilec.frontends.tile.parser import parse
from tilec.frontends.tile.scanner import END

WIDTH = 100


def format_text(text: str, name: str = "<string>") -> str:
    """The program formatted; `name` is shown in diagnostics.

    Raises TileError where `text` does not parse, or (TILE0412) where the result would be too long to be parsed again.
    """
    source = parse(text, name).source
    result = _formatted(source)
    for _ in range(_ROUNDS if "//" in text or "/*" in text else 0):
        previous, result = result, _formatted(Source(name, result))
        if result == previous:
            break
    if len(result.encode("utf-8", errors="surrogatepass")) > MAX_SOURCE_BYTES:
        raise error("TILE0412", "the formatted program is longer than 256 KiB", Span(source, 0, 0))
    return result


# A comment in the midst of an expression may come to stand nearer to another token, which moves a line break.
_ROUNDS = 4


def _formatted(source: Source) -> str:
    *tokens, end = pieces(source)
    writer = _Writer()
    for item in split(tokens, "RBRACE"):
        _item(writer, item)
    writer.comments(end, 0, first=not writer.lines)
    return "\n".join(writer.lines) + "\n"


@dataclass(slots=True)
class _Writer:
    """The lines so far."""

    lines: list[str] = field(default_factory=list)

    def doc(self, doc: Doc, depth: int) -> None:
        self.lines.append(" " * depth + render(doc, WIDTH, depth))

    def header(self, doc: Doc, gradient: bool) -> None:
        """The first line of an item; that of a gradient goes on behind the function's brace."""
        if gradient and (self.lines[-1] == "}" or self.lines[-1].endswith(" {}")):
            self.lines[-1] += " " + render(doc, WIDTH, len(self.lines[-1]) + 1)
        else:
            self.doc(doc, 0)

    def blank(self) -> None:
        if self.lines and self.lines[-1]:
            self.lines.append("")

    def comments(self, piece: Piece, depth: int, first: bool) -> Piece:
        """Writes the comments in front of `piece` that have lines of their own; the piece with the others."""
        count = len(piece.before)
        lines = next((i for i in range(count, 0, -1) if piece.before[i - 1].place != "inline"), 0)
        lines = count if piece.type == END else lines
        begun = False
        for comment, gap in zip(piece.before[:lines], piece.gaps):
            self._comment(comment, depth, begun, gap and not first)
            begun, first = comment.place == "inline", False
        if piece.gaps[lines] and not first:
            self.blank()
        return replace(piece, before=piece.before[lines:], gaps=piece.gaps[lines:])

    def _comment(self, comment: Comment, depth: int, begun: bool, gap: bool) -> None:
        if gap:
            self.blank()
        if begun and comment.place != "own":
            self.lines[-1] += ("  " if comment.place == "trailing" else " ") + comment.text
        else:
            self.lines.append(" " * depth + aligned(comment.text, depth))


def _item(writer: _Writer, item: Sequence[Piece]) -> None:
    """Writes a function or a test, with a blank line in front unless it is the first, or the gradient of a function."""
    brace = next(i for i, piece in enumerate(item) if piece.type == "LBRACE")
    gradient = item[0].text == "gradient"
    if not gradient:
        writer.blank()
    first = writer.comments(item[0], 0, first=gradient or not writer.lines)
    *body, closer = item[brace + 1 :]
    opening = [first, *item[1 : brace + 1]]
    if not body and not closer.before and not item[brace].after:
        opening.append(closer)
        writer.header(header(opening, WIDTH), gradient)
        return
    writer.header(header(opening, WIDTH), gradient)
    for number, run in enumerate(split(body, "SEMICOLON")):
        start = writer.comments(run[0], STEP, first=number == 0)
        writer.doc(statement([start, *run[1:]]), STEP)
    _close(writer, closer, first=not body)


def _close(writer: _Writer, closer: Piece, first: bool) -> None:
    """The closing brace; comments in front of it belong to the block, and a blank line there to nothing."""
    rest = writer.comments(replace(closer, gaps=(*closer.gaps[:-1], False)), STEP, first)
    writer.doc(rest.doc(), 0)
