"""Limits of the text frontend; docs/language.md lists them. Reaching one is a diagnostic, never a crash."""

from __future__ import annotations

from typing import Final

MAX_SOURCE_BYTES: Final = 256 * 1024
"""Length of a source as UTF-8 (TILE0412)."""

MAX_NESTING: Final = 200
"""Open brackets, and levels of an expression tree (TILE0411): later stages may recurse over expressions."""

MAX_STATEMENTS: Final = 10_000
"""Statements of one program, all functions and tests together (TILE0417)."""

MAX_INTEGER: Final = 2**63 - 1
"""Largest integer literal (TILE0415)."""

MAX_FLOAT_LENGTH: Final = 400
"""Characters of a float literal (TILE0007): the largest float64 has 309 digits before the point."""

MAX_DIAGNOSTICS: Final = 20
"""Diagnostics of one run; more help nobody."""
