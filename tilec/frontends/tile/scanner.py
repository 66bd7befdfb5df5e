"""Source text -> tokens, by the terminals of grammar/tile.lark.

The scanner is a single regular expression made of the grammar's own terminals, so the grammar stays the only place that
says how a token looks. What no terminal matches becomes a diagnostic and a token of type ERROR, which the parser skips
together with its statement.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from tilec.errors import Report, Source, Span
from tilec.frontends.tile.limits import MAX_FLOAT_LENGTH, MAX_INTEGER, MAX_NESTING

if TYPE_CHECKING:
    from lark.lexer import TerminalDef

ERROR = "ERROR"
END = "$END"  # the name Lark gives to the end of the input
OPENERS = {"LPAR": "RPAR", "LSQB": "RSQB", "LBRACE": "RBRACE"}
CLOSERS = {closer: opener for opener, closer in OPENERS.items()}
_NUMBERS = ("INT", "FLOAT", "COEFFICIENT")


class Token(NamedTuple):
    """`type` is a terminal of the grammar, ERROR or END; `doc` the `///` comment in front of a FUNCTION.

    A named tuple, because a source has up to 250,000 tokens and a frozen dataclass takes three times as long to make.
    """

    type: str
    text: str
    span: Span
    doc: str | None = None


@dataclass(frozen=True)
class Lexicon:
    """The terminals of the grammar as one regular expression; `words` maps a contextual keyword to its terminal."""

    pattern: re.Pattern[str]
    words: Mapping[str, str]
    spelling: Mapping[str, str]  # terminal -> text, of all terminals with a fixed text

    @cached_property
    def ignored(self) -> frozenset[str]:
        return frozenset({"WHITESPACE", "COMMENT"})


def lexicon(terminals: Collection[TerminalDef]) -> Lexicon:
    """The lexicon of a grammar: regular terminals by their priority, then fixed texts, the longest first."""
    fixed = {t.name: str(t.pattern.value) for t in terminals if t.pattern.type == "str"}
    words = {text: name for name, text in fixed.items() if text.isidentifier()}
    regular = sorted((t for t in terminals if t.pattern.type == "re"), key=lambda t: -t.priority)
    signs = sorted((n for n in fixed if fixed[n] not in words), key=lambda n: -len(fixed[n]))
    parts = [(t.name, t.pattern.value) for t in regular] + [(n, re.escape(fixed[n])) for n in signs]
    return Lexicon(re.compile("|".join(f"(?P<{n}>{p})" for n, p in parts)), words, fixed)


def scan(source: Source, lexicon: Lexicon, report: Report) -> list[Token]:
    """All tokens of `source`, END last. Faults go to `report`: TILE0001, 0005, 0007, 0010, 0411, 0415."""
    tokens = list(_tokens(source, lexicon, report))
    tokens.append(Token(END, "", Span(source, len(source.text), len(source.text))))
    return _checked_nesting(tokens, report)


def _tokens(source: Source, lexicon: Lexicon, report: Report) -> Iterator[Token]:
    text, match = source.text, lexicon.pattern.match
    at = 1 if text.startswith("\ufeff") else 0  # a byte order mark
    docs: list[str] = []
    while at < len(text):
        found = match(text, at)
        if found is None or (found.lastgroup == "SLASH" and text.startswith("/*", at)):
            token = _stray(source, at, lexicon, report)
            yield token
            at = token.span.end
            continue
        kind, word, at = str(found.lastgroup), found.group(), found.end()
        if kind in lexicon.ignored:
            if word.startswith("///") and not word.startswith("////"):
                docs.append(word[3:].strip())
            continue
        span = Span(source, found.start(), at)
        if kind == "NAME" and word == "function":  # the one word that is reserved everywhere
            yield Token("FUNCTION", word, span, "\n".join(docs) if docs else None)
        elif kind in _NUMBERS:
            token = _number(kind, span, found, report, lexicon)
            yield token
            at = token.span.end
        else:
            yield Token(kind, word, span)
        docs.clear()


_RADIX = re.compile(r"[xX][0-9a-fA-F]|[bBoO][0-9]")


def _number(kind: str, span: Span, found: re.Match[str], report: Report, lexicon: Lexicon) -> Token:
    """A number token, unless it runs into a letter or another number, is a hexadecimal or out of range."""
    word, text = found.group(), span.source.text
    tail = lexicon.pattern.match(text, span.end)
    follows = tail.lastgroup if tail else None
    glued = follows in _NUMBERS or (follows == "NAME" and kind == "FLOAT")
    if glued or (kind == "COEFFICIENT" and word == "0" and _RADIX.match(text, span.end)):
        assert tail is not None
        wide = Span(span.source, span.start, tail.end())
        shown = _shortened(text[wide.start : wide.end])
        report.error("TILE0007", f"malformed number '{shown}'", wide, help="a number is written 12, 1.5 or 2e-3")
        return Token(ERROR, word, wide)
    if kind == "FLOAT":
        return _float(word, span, report)
    digits = word.lstrip("0") or "0"
    if len(digits) > 19 or int(digits) > MAX_INTEGER:
        message = f"integer literal {_shortened(word)} is larger than {MAX_INTEGER}"
        report.error("TILE0415", message, span, help="write it as a float, with a decimal point")
        return Token(kind, "0", span)
    return Token(kind, digits, span)


_LARGEST = "the largest float64 is about 1.8e308"


def _float(word: str, span: Span, report: Report) -> Token:
    if len(word) > MAX_FLOAT_LENGTH or float(word) == float("inf"):
        report.error("TILE0418", f"float literal {_shortened(word)} does not fit a float64", span, help=_LARGEST)
        return Token("FLOAT", "0.0", span)
    return Token("FLOAT", word, span)


def _shortened(word: str) -> str:
    return word if len(word) <= 40 else f"{word[:20]}... ({len(word)} characters)"


def _stray(source: Source, at: int, lexicon: Lexicon, report: Report) -> Token:
    """Reports what no terminal matches at `at`, and gives the ERROR token that covers it."""
    text = source.text
    if text.startswith("/*", at):
        report.error(
            "TILE0005", "comment is never closed", Span(source, at, at + 2), help="close it with '*/'; they do not nest"
        )
        return Token(ERROR, text[at:], Span(source, at, len(text)))
    if text[at] == '"':
        end = text.find("\n", at)
        end = len(text) if end < 0 else end
        report.error("TILE0010", "string is never closed", Span(source, at, end), help="it has to end on its line")
        return Token(ERROR, text[at:end], Span(source, at, end))
    end = at + 1
    while end < len(text) and text[end] == text[at]:
        end += 1
    help = _LOOKALIKES.get(text[at]) or _lookalike(text[at])
    report.error("TILE0001", f"unexpected character {_described(text[at])}", Span(source, at, end), help=help)
    return Token(ERROR, text[at:end], Span(source, at, end))


def _described(char: str) -> str:
    if " " < char <= "~":
        return f"'{char}'"
    name = unicodedata.name(char, "")
    return f"U+{ord(char):04X} {name}".rstrip()


_LOOKALIKES = {
    "×": "multiplication is written '*'",
    "·": "multiplication is written '*'",
    "÷": "division is written '/'",
    "−": "minus is written '-'",
    "≤": "write '<='",
    "≥": "write '>='",
    "≠": "write '!='",
    "→": "write '->'",
    "$": "'$' stands directly in front of a name",
    "#": "'#' stands directly in front of a name; a comment begins with '//'",
    "'": 'a quote may only end a name; strings are written with "',
    "@": "a matrix product is a contraction: 'C[i, j] += A[i, k] * B[k, j];'; attributes are written '[[name]]'",
    ".": "names have no parts: functions are called by name, 'exp(A)'; a transpose is 'T[j, i] = A[i, j];'",
}


def _lookalike(char: str) -> str | None:
    plain = unicodedata.normalize("NFKC", char)
    if plain.isspace():
        return "write an ordinary space"
    if char.isalpha():
        return "names are made of the letters A to Z, a to z, digits and '_'"
    return f"write '{plain}'" if plain != char and plain.isascii() else None


_LEVELS = (("?",), ("^",), ("|",), ("&",), ("==", "!="), ("<", "<=", ">", ">="), ("<<", ">>"), ("+", "-"), ("*", "/"))
_LEVEL = {sign: level for level, signs in enumerate(_LEVELS) for sign in signs}  # loosest first
_ENDS = frozenset(",;={}")


def _checked_nesting(tokens: list[Token], report: Report) -> list[Token]:
    """`tokens`, cut short (TILE0411) in front of a bracket nested too deep, or an operator in too long a chain.

    A chain of n operators of one level is a tree of n levels: a source of nothing else is refused before it is parsed.
    """
    chains = [[0] * len(_LEVELS)]
    for i, token in enumerate(tokens):
        if token.type in OPENERS:
            chains.append([0] * len(_LEVELS))
            if len(chains) > MAX_NESTING + 2:  # the brace of the function is none of the expression's
                report.error("TILE0411", f"brackets nest deeper than {MAX_NESTING} levels", token.span)
                return [*tokens[:i], Token(ERROR, "", token.span), tokens[-1]]
        elif token.type in CLOSERS and len(chains) > 1:
            chains.pop()
        if token.text in _ENDS:
            chains[-1] = [0] * len(_LEVELS)
        elif (level := _LEVEL.get(token.text)) is not None:
            chains[-1][level:] = [chains[-1][level] + 1] + [0] * (len(_LEVELS) - level - 1)
            if chains[-1][level] > MAX_NESTING:
                help = "compute a part of it in a statement of its own"
                report.error("TILE0411", f"expression nests deeper than {MAX_NESTING} levels", token.span, help=help)
                return [*tokens[:i], Token(ERROR, "", token.span), tokens[-1]]
    return tokens
