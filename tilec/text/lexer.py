"""Floor 3: tokens of IR text, and the cursor that every IR parser is built on.

    token ::= name | "quoted name or string" | number | punctuation            // a comment runs to the end of the line

A name is letters, digits, `_`, `.` and `'`, not starting with a digit. Any other name, and one that is a reserved word
here, is written as a JSON string wherever a name may stand.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, NoReturn, TypeVar

from tilec.errors import Source, Span, error

TokenKind = Literal["name", "string", "number", "punctuation", "end"]
T = TypeVar("T")

NESTING = 200  # levels of parentheses, blocks and sub-Graphs together
DIGITS = 400  # of one number: far beyond any dtype, far below Python's own limit on conversion

# fmt: off
RESERVED = frozenset((
    "_", "aliases", "alloc", "arena", "barrier", "branch", "buffer", "captures", "const", "constant",
    "copy", "custom", "default", "do", "else", "for", "forward", "graph", "host", "if", "in", "inf", "init",
    "inout", "inputs", "instr", "kernel", "launch", "length", "let", "literal", "monoid", "nan", "out",
    "place", "program", "remat", "repeat", "reverse", "run", "scan", "special", "test", "then", "weak",
    "where", "while",
))
# fmt: on

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.']*\Z")
_TOKEN = re.compile(
    r"""(?P<skip>(?:[ \t\r\n]+|//[^\n]*)+)
      | (?P<name>[A-Za-z_][A-Za-z0-9_.']*)
      | (?P<number>[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)
      | (?P<string>"(?:[^"\\\n]|\\.)*")
      | (?P<punctuation>->|<-|<=|>=|[-+*/()\[\]{},;:=<@$])""",
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class Token:
    """`text` is the spelling, for a string its decoded value."""

    kind: TokenKind
    text: str
    start: int
    end: int


def name_text(name: str) -> str:
    """A name as it is written: plain where possible, else quoted."""
    return name if _NAME.match(name) and name not in RESERVED else json.dumps(name)


def names_text(names: tuple[str, ...]) -> str:
    return ", ".join(map(name_text, names))


def tokenize(source: Source) -> list[Token]:
    """All tokens, the last of kind `end`. Raises TILE0601 at the first character that starts none."""
    tokens: list[Token] = []
    position, text = 0, source.text
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise error("TILE0601", f"unexpected character {text[position]!r}", Span(source, position, position + 1))
        if match.lastgroup != "skip":
            tokens.append(_token(match, source))
        position = match.end()
    tokens.append(Token("end", "", len(text), len(text)))
    return tokens


def _token(match: re.Match[str], source: Source) -> Token:
    kind: TokenKind = match.lastgroup  # type: ignore[assignment]  # the groups are named after the kinds
    text = match[0]
    if kind == "string":
        try:
            text = json.loads(text)
        except ValueError:
            raise error("TILE0601", "malformed string", Span(source, match.start(), match.end())) from None
    return Token(kind, text, match.start(), match.end())


class Cursor:
    """A position in a list of tokens; base of the recursive-descent parsers. All errors are TILE0601, located."""

    def __init__(self, text: str, name: str) -> None:
        self.source = Source(name, text)
        self.tokens = tokenize(self.source)
        self.position = 0
        self.depth = 0

    @property
    def token(self) -> Token:
        return self.tokens[self.position]

    def span(self, token: Token | None = None) -> Span:
        token = token or self.token
        return Span(self.source, token.start, token.end)

    def fail(self, message: str, token: Token | None = None) -> NoReturn:
        raise error("TILE0601", message, self.span(token))

    def expected(self, what: str) -> NoReturn:
        token = self.token
        found = "the end of the text" if token.kind == "end" else repr(token.text)
        self.fail(f"expected {what}, found {found}")

    @contextmanager
    def nested(self, levels: int = 1) -> Iterator[None]:
        """Guards a recursion; `levels` weighs constructs that take more frames of the parser than one list."""
        self.depth += levels
        if self.depth > NESTING:
            raise error("TILE0411", f"nesting deeper than {NESTING} levels", self.span())
        yield
        self.depth -= levels

    def advance(self) -> Token:
        token = self.token
        self.position += token.kind != "end"
        return token

    def at(self, text: str, ahead: int = 0) -> bool:
        """Whether a coming token is this punctuation or word (a quoted name never is)."""
        token = self.tokens[min(self.position + ahead, len(self.tokens) - 1)]
        return token.text == text and token.kind in ("punctuation", "name")

    def accept(self, text: str) -> bool:
        if self.at(text):
            self.position += 1
            return True
        return False

    def expect(self, text: str) -> None:
        if not self.accept(text):
            self.expected(f"'{text}'")

    def at_name(self) -> bool:
        token = self.token
        return token.kind == "string" or (token.kind == "name" and token.text not in RESERVED)

    def name(self, what: str = "a name") -> str:
        if not self.at_name():
            self.expected(what)
        return self.advance().text

    def word(self, words: tuple[str, ...], what: str) -> str:
        """One of a closed list of words."""
        if self.token.kind != "name" or self.token.text not in words:
            self.expected(what)
        return self.advance().text

    def string(self) -> str:
        if self.token.kind != "string":
            self.expected("a string")
        return self.advance().text

    def natural(self) -> int:
        token = self.token
        if token.kind != "number" or not token.text.isdecimal():
            self.expected("an integer")
        if len(token.text) > DIGITS:
            self.fail(f"number has more than {DIGITS} digits")
        self.advance()
        return int(token.text)

    def items(self, item: Callable[[], T], close: str) -> tuple[T, ...]:
        """`{item ","} close`: a possibly empty list; a trailing comma is allowed."""
        found: list[T] = []
        while not self.accept(close):
            found.append(item())
            if not self.at(close):
                self.expect(",")
        return tuple(found)

    def name_list(self) -> tuple[str, ...]:
        """`"(" names ")"`."""
        self.expect("(")
        return self.items(self.name, ")")

    def end(self) -> None:
        if self.token.kind != "end":
            self.expected("the end of the text")
