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
from importlib.util import find_spec
from pathlib import Path

import pytest

from tilec.codes import CODES
from tilec.dtypes import BY_NAME
from tilec.errors import Report, TileError
from tilec.frontends.tile.parser import parse
from tilec.frontends.tile.syntax import Program

HERE = Path(__file__).parent
MARK = "//// expected\n"
FILES = sorted(HERE.glob("**/*.tile"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(HERE).as_posix())
def test_diagnostics(path: Path, update: bool) -> None:
    program, _, expected = path.read_text(encoding="utf-8").partition(MARK)
    found = diagnostics(program, path.name)
    if update:
        path.write_text(f"{program}{MARK}{found}\n", encoding="utf-8")
    else:
        assert expected.rstrip("\n") == found


def test_there_are_enough_files() -> None:
    assert len(FILES) >= 25


def test_every_syntax_code_has_a_file() -> None:
    """Codes 00xx all come from text; 0006, 0411, 0412, 0417 need bytes or sizes that no file should have."""
    seen = {code for path in FILES for code in re.findall(r"^error\[(TILE\d{4})\]", path.read_text("utf-8"), re.M)}
    assert {code for code in CODES if code < "TILE0100"} - seen == {"TILE0006"}


def diagnostics(text: str, name: str) -> str:
    """All that is said about a program, errors and warnings, as the user sees it."""
    try:
        program = parse(text, name)
        inputs = re.search(r"^//// inputs (.*)$", text, re.M)
        return "nothing" if inputs is None else _compile(program, inputs.group(1))
    except TileError as found:
        return str(found)


def _compile(program: Program, inputs: str) -> str:
    """Warnings of the compilation at the types of `inputs`; raises its errors."""
    if find_spec("tilec.frontends.tile.elaborate") is None:
        pytest.skip("the elaborator is absent")
    from tilec.frontends.tile.elaborate import to_graph
    from tilec.graph import TensorType
    from tilec.pipeline import optimise

    signature: dict[str, TensorType | int | float] = {}
    for name, dtype, shape, number in re.findall(r"([\w']+): (?:([a-z]\w+)\[([\d, ]*)\]|([-\d.e]+))", inputs):
        if dtype:
            signature[name] = TensorType(BY_NAME[dtype], tuple(map(int, re.findall(r"\d+", shape))))
        else:
            signature[name] = float(number) if re.search("[.e]", number) else int(number)
    report = Report()
    optimise(to_graph(program, None, signature), report=report)
    report.check()
    return "\n\n".join(d.render() for d in report.diagnostics) or "nothing"
