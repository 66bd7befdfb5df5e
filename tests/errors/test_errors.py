"""Golden diagnostics: each *.tile file here is a bad program, followed by exactly what is said about it.

    function (A) -> (B) { B = A }
    //// expected
    error[TILE0004]: ...

A program that parses, but is wrong at particular arguments, names them in a line of its own: a type, or a number.

    //// inputs A: f32[3, 4], N: 5

`pytest tests/errors --update` rewrites the expected parts.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.errors.said import diagnostics
from tilec.codes import CODES
from tilec.errors import TileError

HERE = Path(__file__).parent
MARK = "//// expected\n"
FILES = sorted(HERE.glob("**/*.tile"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(HERE).as_posix())
def test_diagnostics(path: Path, update: bool) -> None:
    program, _, expected = path.read_text(encoding="utf-8").partition(MARK)
    found = found_in(program, path.name)
    if update:
        path.write_text(f"{program}{MARK}{found}\n", encoding="utf-8")
    else:
        assert expected.rstrip("\n") == found


# Codes below 0500 that Tile text can raise, but that no file here should: bytes that are no text, texts of 256 KiB or
# with thousands of statements, a program that needs more memory than there is, what is asked for in Python alone.
NO_FILE = {"TILE0006", "TILE0225", "TILE0309", "TILE0310", "TILE0412", "TILE0416", "TILE0417", "TILE0419", "TILE0420"}


def test_every_code_of_tile_text_has_a_file() -> None:
    texts = [path.read_text(encoding="utf-8") for path in FILES]
    seen = {code for text in texts for code in re.findall(r"^(?:error|warning)\[(TILE\d{4})\]", text, re.M)}
    assert {code for code in CODES if code < "TILE0500"} - seen == NO_FILE


def test_every_file_says_something() -> None:
    assert [path.name for path in FILES if path.read_text(encoding="utf-8").rstrip().endswith("nothing")] == []


def found_in(text: str, name: str) -> str:
    """All that is said about a program, errors and warnings, as the user sees it."""
    inputs = re.search(r"^//// inputs (.*)$", text, re.M)
    try:
        found = diagnostics(text, name, inputs and inputs.group(1))
    except TileError as problem:
        found = list(problem.diagnostics)
    return "\n\n".join(d.render() for d in found) or "nothing"
