"""Tokens with the comments and blank lines around them, as the formatter needs them.

A comment belongs to the token in front of it where it ends that token's line, else to the token behind it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TypeAlias

from tilec.errors import Report, Source
from tilec.frontends.tile.format_doc import Comment, Doc, Text, concat
from tilec.frontends.tile.parser import _grammar
from tilec.frontends.tile.scanner import END, scan

_COMMENT = re.compile(r"//[^\n]*|/\*(?:[^*]|\*(?!/))*\*/")


@dataclass(frozen=True, slots=True)
class Piece:
    """A token: its terminal, its text as written, its comments.

    gaps: for each of `before`, and for the token itself as the last, whether a blank line stands in front of it.
    """

    type: str
    text: str
    before: tuple[Comment, ...]
    gaps: tuple[bool, ...]
    after: tuple[Comment, ...] = ()

    def doc(self, text: str | None = None) -> Doc:
        """The token with its comments; `text` in the place of its own, with spaces, say."""
        own = Text(self.text if text is None else text)
        return concat(*self.before, own, *self.after) if self.before or self.after else own


def pieces(source: Source) -> list[Piece]:
    """The tokens of a text that parses, the end of the text as the last."""
    _, lexicon = _grammar()
    found: list[Piece] = []
    at, text = 1 if source.text.startswith("\ufeff") else 0, source.text
    for token in scan(source, lexicon, Report()):
        previous = found[-1].type if found else None
        after, before, gaps = _comments(text[at : token.span.start], previous, token.type == END)
        if after:
            found[-1] = replace(found[-1], after=after)
        found.append(Piece(token.type, text[token.span.start : token.span.end], before, gaps))
        at = token.span.end
    return found


_Comments: TypeAlias = tuple[Comment, ...]
_ENDS = ("SEMICOLON", "LBRACE", "RBRACE")


def _comments(gap: str, previous: str | None, last: bool) -> tuple[_Comments, _Comments, tuple[bool, ...]]:
    """Comments of the space between two tokens: of the one in front, of the one behind, and the blank lines there."""
    after: list[Comment] = []
    before: list[Comment] = []
    gaps: list[bool] = []
    end, on_previous_line = 0, previous is not None
    for found in _COMMENT.finditer(gap):
        space, text, end = gap[end : found.start()], _tidy(found.group()), found.end()
        tall = "\n" in text  # never shares a line
        begins_line = tall or "\n" in space or (previous is None and not before)
        on_previous_line = on_previous_line and not begins_line
        ends_line = tall or text.startswith("//") or _ends_line(gap, end, last)
        if on_previous_line and ends_line and (text.startswith("//") or previous in _ENDS):
            after += [*before, Comment(text, "trailing")]
            before, gaps = [], []
        else:
            inline = "inline" if text.startswith("/*") else "trailing"
            before.append(Comment(text, "own" if begins_line and ends_line else inline))  # type: ignore[arg-type]
            gaps.append(space.count("\n") > 1)
    return tuple(after), tuple(before), (*gaps, gap[end:].count("\n") > 1)


def _ends_line(gap: str, at: int, last: bool) -> bool:
    rest = gap[at:].lstrip(" \t\r\f\v")
    return rest.startswith("\n") or (last and not rest)


def _tidy(comment: str) -> str:
    return "\n".join(line.rstrip() for line in comment.splitlines())


def split(listed: list[Piece], terminal: str) -> Iterator[list[Piece]]:
    """Runs of pieces, each with the `terminal` that ends it."""
    run: list[Piece] = []
    for piece in listed:
        run.append(piece)
        if piece.type == terminal:
            yield run
            run = []
