"""Changes of one token that may undo a typo, and how likely each typo is.

A cost below 2 is a usual slip: a sign forgotten or typed twice, one bracket for another, two names run together. A pair
of parentheses that would change nothing costs as much as a slip: nobody writes it on purpose.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from tilec.errors import Span
from tilec.frontends.tile.scanner import CLOSERS, END, OPENERS, Lexicon, Token

BRACKETS = frozenset({*OPENERS, *CLOSERS})
MAX_NAME = 40  # letters of a name that are looked at, and functions that may have been meant

# What may be missing. PLUS stands for every operator, INT for every number.
_SIGNS = (*OPENERS, *CLOSERS, "COMMA", "SEMICOLON", "COLON", "EQUAL", "QUESTION", "PLUS")
_AGGREGATIONS = frozenset({"PLUS", "STAR", "GREATER", "LESS", "EQUAL"})
_BALANCE = {"LPAR": (1, 0), "RPAR": (-1, 0), "LSQB": (0, 1), "RSQB": (0, -1)}


@dataclass(frozen=True, slots=True)
class Edit:
    """`dropped` tokens from `at` on give way to `inserted`."""

    at: int
    dropped: int
    inserted: tuple[Token, ...]
    cost: float

    def apply(self, tokens: Sequence[Token]) -> list[Token]:
        return [*tokens[: self.at], *self.inserted, *tokens[self.at + self.dropped :]]

    def removed(self, tokens: Sequence[Token]) -> Sequence[Token]:
        return tokens[self.at : self.at + self.dropped]


def edits(tokens: Sequence[Token], at: int, lexicon: Lexicon, names: Sequence[str]) -> Iterator[Edit]:
    """Changes at one token; `names` may stand in front of a parenthesis."""
    token = tokens[at]
    here = Span(token.span.source, token.span.start, token.span.start)
    if token.type != END:
        yield Edit(at, 1, (), 1.0 if _doubled(tokens, at) else 2.0)
    yield from _signs(token, at, here, lexicon)
    if token.type in BRACKETS:
        yield Edit(at, 1, (Token("INT", "0", here),), 3.0)
    if token.type == "LPAR":
        yield from (Edit(at, 0, (Token("NAME", name, here),), 2.0) for name in names[:MAX_NAME])
    if token.type == "NAME":
        yield from _apart(token, at, lexicon)
    if at + 2 < len(tokens) and token.text != tokens[at + 1].text:  # END is last
        yield Edit(at, 2, (tokens[at + 1], token), 2.0)


def _signs(token: Token, at: int, here: Span, lexicon: Lexicon) -> Iterator[Edit]:
    """A sign in front of a token, or another one in its place."""
    for kind in _SIGNS:
        inserted = (Token(kind, lexicon.spelling[kind], here),)
        yield Edit(at, 0, inserted, 1.0 if kind in BRACKETS else 1.5)
        if token.type in lexicon.spelling and kind != token.type:
            yield Edit(at, 1, inserted, 1.5 if {kind, token.type} <= BRACKETS else 2.5)


def _apart(token: Token, at: int, lexicon: Lexicon) -> Iterator[Edit]:
    """`AN]` may lack the bracket of `A[N]`, `expX)` the parenthesis of `exp(X)`."""
    text, source = token.text, token.span.source
    for i in range(1, min(len(text), MAX_NAME)):
        if not (text[i].isalpha() or text[i] == "_"):
            continue
        middle = token.span.start + i
        head = Token("NAME", text[:i], Span(source, token.span.start, middle))
        tail = Token("NAME", text[i:], Span(source, middle, token.span.end))
        for kind in ("LPAR", "LSQB"):
            opener = Token(kind, lexicon.spelling[kind], Span(source, middle, middle))
            yield Edit(at, 1, (head, opener, tail), 1.5)


def _doubled(tokens: Sequence[Token], at: int) -> bool:
    return any(0 <= i < len(tokens) and tokens[i].text == tokens[at].text for i in (at - 1, at + 1))


def balance(tokens: Iterable[Token]) -> tuple[int, int]:
    """How many more parentheses, and how many more square brackets, are opened than closed."""
    steps = [_BALANCE[t.type] for t in tokens if t.type in _BALANCE]
    return sum(s[0] for s in steps), sum(s[1] for s in steps)


def superfluous(tokens: Sequence[Token]) -> int:
    """Pairs of parentheses that change nothing: around an operand, or around all that another bracket holds."""
    found, stack = 0, []
    for i, token in enumerate(tokens):
        if token.type in OPENERS:
            stack.append(i)
        elif token.type in CLOSERS and stack:
            start = stack.pop()
            found += token.type == "RPAR" and _changes_nothing(tokens, start, i)
    return found


_BEFORE = frozenset({"LPAR", "COMMA", "LSQB", "COLON", "EQUAL"})
_BEHIND = frozenset({"RPAR", "COMMA", "RSQB", "COLON", "SEMICOLON"})


def _changes_nothing(tokens: Sequence[Token], start: int, end: int) -> bool:
    before = tokens[start - 1].type if start else END
    behind = tokens[end + 1].type if end + 1 < len(tokens) else END
    if before == "NAME" or (before in _AGGREGATIONS and start > 1 and tokens[start - 2].type == "EQUAL"):
        return False  # a call; the body of a contraction
    return (before in _BEFORE and behind in _BEHIND) or _is_operand(tokens[start + 1 : end])


def _is_operand(tokens: Sequence[Token]) -> bool:
    """Whether no operator stands outside of the brackets among the tokens."""
    depth = 0
    for token in tokens:
        depth += (token.type in OPENERS) - (token.type in CLOSERS)
        if depth == 0 and token.type not in ("NAME", "INT", "FLOAT", *CLOSERS):
            return False
    return True
