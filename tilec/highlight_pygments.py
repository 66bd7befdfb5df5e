"""Floor 5: the Pygments lexer of Tile, found by its entry point: `pygmentize -l tile`, Sphinx and MkDocs.

Only this module needs Pygments.
"""

from __future__ import annotations

from typing import Any, ClassVar

from pygments.lexer import RegexLexer
from pygments.token import Whitespace, string_to_tokentype

from tilec.highlight import CLASSES


class TileLexer(RegexLexer):  # type: ignore[misc, unused-ignore]  # Pygments has no types of its own
    """Lexer of the Tile language."""

    name = "Tile"
    aliases: ClassVar[list[str]] = ["tile"]
    filenames: ClassVar[list[str]] = ["*.tile"]
    mimetypes: ClassVar[list[str]] = ["text/x-tile"]
    tokens: ClassVar[dict[str, Any]] = {
        "root": [(r"\s+", Whitespace), *((c.pattern, string_to_tokentype(c.pygments)) for c in CLASSES)]
    }
