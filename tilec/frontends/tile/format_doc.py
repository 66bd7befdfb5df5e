"""Pretty printing: documents of text, breakable spaces and groups, laid out in a given width.

A group is printed on one line if that fits, else each of its own lines is broken; what it contains decides for itself.
The method is Wadler's (A prettier printer, 2003) in the greedy form of Oppen (Prettyprinting, TOPLAS 1980): a group has
to fit only up to the next place where the text behind it may break. Nothing here recurses, whatever the depth.

Comments are documents too. One that needs a line of its own, or ends one, breaks every group around it, so that it
stays between the same two tokens.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeAlias


@dataclass(frozen=True, slots=True)
class Text:
    text: str


@dataclass(frozen=True, slots=True)
class Line:
    """A line break where the group around it is broken, else `flat`."""

    flat: str = " "


@dataclass(frozen=True, slots=True)
class Comment:
    """`inline`: between two tokens of a line; `trailing`: ends its line; `own`: on a line of its own."""

    text: str
    place: Literal["inline", "trailing", "own"]


@dataclass(frozen=True, slots=True)
class Concat:
    parts: tuple[Doc, ...]
    broken: bool


@dataclass(frozen=True, slots=True)
class Indent:
    content: Doc
    broken: bool


@dataclass(frozen=True, slots=True)
class Group:
    content: Doc
    broken: bool


Doc: TypeAlias = Text | Line | Comment | Concat | Indent | Group

SPACE = Text(" ")
SOFT = Line("")
LINE = Line()
EMPTY = Concat((), False)


def is_broken(doc: Doc) -> bool:
    """Whether a comment inside makes it impossible to print `doc` on one line."""
    match doc:
        case Comment(text, place):
            return place != "inline" or "\n" in text
        case Concat() | Indent() | Group():
            return doc.broken
        case Text() | Line():
            return False


def concat(*parts: Doc) -> Concat:
    return Concat(parts, any(map(is_broken, parts)))


def indent(*parts: Doc) -> Indent:
    inner = concat(*parts)
    return Indent(inner, inner.broken)


def group(*parts: Doc, broken: bool = False) -> Group:
    inner = concat(*parts)
    return Group(inner, inner.broken or broken)


def flat_width(doc: Doc) -> int:
    """Characters of `doc` on a single line, comments at its end not counted."""
    width, stack = 0, [doc]
    while stack:
        match stack.pop():
            case Text(text) | Line(text):
                width += len(text)
            case Comment(text, "inline"):
                width += len(text) + 1
            case Concat(parts):
                stack.extend(parts)
            case Indent(content) | Group(content):
                stack.append(content)
            case Comment():
                pass
    return width


_Item: TypeAlias = tuple[int, bool, Doc]  # indentation, whether lines break, document

STEP = 2


def render(doc: Doc, width: int, start: int = 0) -> str:
    """The text of `doc`, its first line not indented, every other by at least `start` spaces."""
    printer = _Printer(width)
    breaks = is_broken(doc) or start + flat_width(doc) > width
    stack: list[_Item] = [(start, breaks, doc)]
    printer.column = start
    while stack:
        depth, breaks, node = stack.pop()
        match node:
            case Text(text):
                printer.text(text, depth)
            case Line(flat):
                if breaks:
                    printer.newline(depth)
                else:
                    printer.text(flat, depth)
            case Comment():
                printer.comment(node, depth)
            case Concat(parts):
                stack.extend((depth, breaks, part) for part in reversed(parts))
            case Indent(content):
                stack.append((depth + STEP, breaks, content))
            case Group(content, broken):
                flat_item = (depth, False, content)
                fits = not breaks or (not broken and _fits(flat_item, stack, width - printer.column))
                stack.append(flat_item if fits else (depth, True, content))
    return "".join(printer.out)


def _fits(item: _Item, rest: list[_Item], room: int) -> bool:
    """Whether `item`, and what follows up to the first possible line break, takes no more than `room` columns."""
    stack, behind = [item], len(rest)
    while room >= 0:
        if not stack:
            if behind == 0:
                return True
            behind -= 1
            stack.append(rest[behind])
        depth, breaks, node = stack.pop()
        match node:
            case Text(text):
                room -= len(text)
            case Line(flat):
                if breaks:
                    return True
                room -= len(flat)
            case Comment(text, place):
                if place != "inline" or "\n" in text:
                    return True
                room -= len(text) + 1
            case Concat(parts):
                stack.extend((depth, breaks, part) for part in reversed(parts))
            case Indent(content) | Group(content):
                stack.append((depth, breaks, content))
    return False


def aligned(comment: str, depth: int) -> str:
    """A comment whose further lines that begin with `*` have it below the star of `/*`."""
    first, *others = comment.split("\n")
    shifted = [" " * (depth + 1) + line.strip() if line.lstrip().startswith("*") else line for line in others]
    return "\n".join([first, *shifted])


@dataclass(slots=True)
class _Printer:
    """The text so far; a line break that a comment asked for is made when the next text comes."""

    width: int
    out: list[str] = field(default_factory=list)
    column: int = 0
    pending: Literal["", "space", "newline"] = ""

    def text(self, text: str, depth: int) -> None:
        if self.pending:
            text = self._after_comment(text, depth)
        if text:
            self._put(text)

    def _after_comment(self, text: str, depth: int) -> str:
        stripped = text.lstrip(" ")
        if not stripped:
            return ""
        if self.pending == "newline":
            self.newline(depth)
        elif stripped[0] not in ",;)]":
            self._put(" ")
        self.pending = ""
        return stripped

    def newline(self, depth: int) -> None:
        if self.out and self.out[-1].endswith("\n" + " " * depth) and self.column == depth:
            return  # an own-line comment has just begun this line
        while self.out and not self.out[-1].strip(" "):
            self.out.pop()
        if self.out:
            self.out[-1] = self.out[-1].rstrip(" ")
        self.out.append("\n" + " " * depth)
        self.column, self.pending = depth, ""

    def comment(self, node: Comment, depth: int) -> None:
        if node.place == "own" or self.pending == "newline":
            self.newline(depth)
        elif self.out and self.out[-1][-1] not in " ([\n":
            self._put("  " if node.place == "trailing" else " ")
        self._put(aligned(node.text, depth) if node.place == "own" else node.text)
        self.pending = "space" if node.place == "inline" else "newline"

    def _put(self, text: str) -> None:
        self.out.append(text)
        _, found, tail = text.rpartition("\n")
        self.column = len(tail) if found else self.column + len(text)
