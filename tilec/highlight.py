"""Floor 4: the one table of how Tile text is coloured, and its use in HTML and on terminals.

The Pygments lexer (`tilec.highlight_pygments`) and the TextMate grammar (editors/tile.tmLanguage.json) are made from
the same table. Patterns keep to what Python and Oniguruma, the engine of TextMate, have in common. Names are coloured
by their spelling and neighbours, without parsing, so that a program half typed has its colours too.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from tilec.dtypes import BY_NAME
from tilec.frontends.tile.functions import CASTS, CHECK_GRADIENT, CONTROL, ELEMENTWISE, TEST_DATA, WHOLE
from tilec.frontends.tile.names import CATEGORIES

if TYPE_CHECKING:
    from rich.text import Text


@dataclass(frozen=True, slots=True)
class TokenClass:
    """A kind of token.

    pattern: what it looks like. begin, end: of tokens that go over several lines, which TextMate matches by their ends.
    pygments: a token type, `Name.Function`; scope: a TextMate scope without its ending `.tile`.
    colour: CSS, for light and dark backgrounds alike; style: how Rich calls it.
    """

    name: str
    pattern: str
    pygments: str
    scope: str
    colour: str = ""
    style: str = ""
    begin: str = ""
    end: str = ""


def _words(words: Iterable[str]) -> str:
    """A pattern of any of the words, the longest first."""
    return f"(?:{'|'.join(sorted(map(re.escape, words), key=lambda w: (-len(w), w)))})"


_TYPES = _words({*BY_NAME, *CATEGORIES})
_BUILTINS = _words({*ELEMENTWISE, *CASTS, *WHOLE, *CONTROL, *TEST_DATA})
_CHECKS = rf"\b(?:assert_[A-Za-z0-9_]*|{CHECK_GRADIENT})(?=\s*\()"
_FLOAT = r"(?:[0-9]+\.[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|[0-9]+[eE][+-]?[0-9]+"
_GREEN, _GREY, _RED, _BLUE, _VIOLET, _TEAL = "#3a8a3a", "#808080", "#b3543a", "#2f7fc1", "#9058b8", "#1e8f8f"

# Where several match, the first does.
CLASSES: tuple[TokenClass, ...] = (
    TokenClass("doc", r"///(?!/)[^\n]*", "String.Doc", "comment.line.documentation", _GREEN, "green"),
    TokenClass("comment", r"//[^\n]*", "Comment.Single", "comment.line.double-slash", _GREY, "bright_black"),
    TokenClass(
        "block",
        r"/\*(?:[^*]|\*(?!/))*\*/",
        "Comment.Multiline",
        "comment.block",
        _GREY,
        "bright_black",
        begin=r"/\*",
        end=r"\*/",
    ),
    TokenClass("string", r'"(?:[^"\\\n]|\\["\\])*"', "String", "string.quoted.double", _GREEN, "green"),
    TokenClass("float", _FLOAT, "Number.Float", "constant.numeric.float", _RED, "cyan"),
    TokenClass("integer", r"[0-9]+", "Number.Integer", "constant.numeric.integer", _RED, "cyan"),
    TokenClass(
        "keyword",
        r"""\b(?:function\b|test(?=\s*")|gradient(?=\s*\{)|no_defract\b|default(?=\s+[#A-Z_]))""",
        "Keyword",
        "keyword.control",
        _VIOLET,
        "magenta",
    ),
    TokenClass("type", rf"(?:(?<=:)|(?<=: )){_TYPES}\b", "Keyword.Type", "storage.type", _TEAL, "cyan"),
    TokenClass("check", _CHECKS, "Name.Builtin", "support.function.check", _BLUE, "blue"),
    TokenClass("builtin", rf"\b{_BUILTINS}(?=\s*\()", "Name.Builtin", "support.function.builtin", _BLUE, "blue"),
    TokenClass(
        "function",
        r"(?<=function )\s*[a-z_][A-Za-z0-9_]*'?|\b_*[a-z][A-Za-z0-9_]*'?(?=\()",
        "Name.Function",
        "entity.name.function",
        _BLUE,
        "blue",
    ),
    TokenClass("tensor", r"#[A-Za-z_][A-Za-z0-9_]*'?|_*[A-Z][A-Za-z0-9_]*'?", "Name.Variable", "variable.other.tensor"),
    TokenClass(
        "index",
        r"\$[A-Za-z_][A-Za-z0-9_]*'?|[a-z_][A-Za-z0-9_]*'?",
        "Name",
        "variable.parameter.index",
        style="italic",
    ),
    TokenClass(
        "operator", r"->|<<|>>|[-+*/%<>=!]=|[-+*/%<>=!~^|&?]", "Operator", "keyword.operator", _VIOLET, "magenta"
    ),
    TokenClass("punctuation", r"[()\[\]{},;:]", "Punctuation", "punctuation"),
)


@cache
def _pattern() -> re.Pattern[str]:
    return re.compile("|".join(f"(?P<{c.name}>{c.pattern})" for c in CLASSES))


def tokens(text: str) -> Iterator[tuple[TokenClass | None, str]]:
    """The text in pieces with their classes; None for white space and what no class matches."""
    by_name, end = {c.name: c for c in CLASSES}, 0
    for found in _pattern().finditer(text):
        if found.start() > end:
            yield None, text[end : found.start()]
        yield by_name[str(found.lastgroup)], found.group()
        end = found.end()
    if end < len(text):
        yield None, text[end:]


def to_html(text: str) -> str:
    """The coloured text as HTML that needs no style sheet."""
    parts = []
    for kind, piece in tokens(text):
        escaped = html.escape(piece)
        parts.append(f'<span style="color: {kind.colour}">{escaped}</span>' if kind and kind.colour else escaped)
    return f"<pre>{''.join(parts)}</pre>"


def to_rich(text: str) -> Text:
    """The coloured text for a terminal."""
    from rich.text import Text

    return Text.assemble(*((piece, kind.style if kind else "") for kind, piece in tokens(text)))


def textmate() -> dict[str, Any]:
    """The TextMate grammar of Tile as a JSON value."""
    return {
        "name": "Tile",
        "scopeName": "source.tile",
        "fileTypes": ["tile"],
        "patterns": [_textmate(c) for c in CLASSES],
    }


def _textmate(kind: TokenClass) -> dict[str, str]:
    scope = f"{kind.scope}.tile"
    if kind.begin:
        return {"name": scope, "begin": kind.begin, "end": kind.end}
    return {"name": scope, "match": kind.pattern}
