"""Every code has a page; its wrong program gives exactly the message shown, and the mended one gives none.

`pytest tests/explain --update` rewrites the messages.
"""

from __future__ import annotations

import linecache
import re
import shlex
from pathlib import Path

import numpy as np
import pytest

from tests.errors.said import diagnostics, signature_of
from tilec.api import compile_for
from tilec.cli.inputs import random_array
from tilec.cli.main import call
from tilec.codes import CODES
from tilec.errors import Diagnostic, TileError
from tilec.executable import Executable
from tilec.explain import Block, markdown, normalise, page, plain, read
from tilec.frontends.tile.parser import parse
from tilec.graph import TensorType

ROOT = Path(__file__).parents[2]
PAGES = ROOT / "tilec" / "explain" / "pages"
every_code = pytest.mark.parametrize("code", CODES)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder with the repository's examples in it, as the present directory."""
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_there_are_enough_codes() -> None:
    assert len(CODES) >= 80


def test_no_page_without_a_code() -> None:
    assert {path.stem for path in PAGES.glob("*.md")} <= set(CODES)


@every_code
def test_form(code: str) -> None:
    found = page(code)
    assert (found.code, found.title) == (code, CODES[code])
    assert f"[{code}]: " in found.message
    assert len(found.what.split()) >= 8 and len(found.why.split()) >= 8
    own = found.text.replace(found.message, "")  # the excerpt of a very long line is 160 characters wide
    assert max(map(len, own.splitlines())) <= 120
    assert plain(found).startswith(f"{code}: ")


@every_code
@pytest.mark.usefixtures("folder")
def test_wrong_program(code: str, update: bool, capsys: pytest.CaptureFixture[str]) -> None:
    found = page(code)
    message = said(found.wrong, capsys)
    if update:
        text = re.sub(
            r"(?<=^## Message\n).*?(?=^## Mended)",
            lambda _: f"\n```text\n{message}\n```\n\n",
            read(code),
            count=1,
            flags=re.M | re.S,
        )
        (PAGES / f"{code}.md").write_text(text, encoding="utf-8")
    else:
        assert message == found.message


@every_code
@pytest.mark.usefixtures("folder")
def test_mended_program(code: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = page(code)
    assert said(found.mended, capsys) == ""
    if found.mended.kind == "tile" and found.mended.inputs is not None:
        compiled(found.mended)


def said(block: Block, capsys: pytest.CaptureFixture[str]) -> str:
    """What a user is told when the block is compiled, executed, or typed at a prompt."""
    match block.kind:
        case "tile":
            return tile(block)
        case "python":
            return python(block.text)
        case "console":
            return console(block.text, capsys)
        case _:
            raise AssertionError(f"no way to run a block of kind {block.kind}")


def tile(block: Block) -> str:
    try:
        return shown(diagnostics(block.text, "example.tile", block.inputs))
    except TileError as problem:
        return str(problem)


def shown(found: list[Diagnostic]) -> str:
    return "\n\n".join(d.render() for d in found)


def python(text: str) -> str:
    """The error that the lines raise, or the warnings of the executables that they make."""
    names: dict[str, object] = {}
    linecache.cache["example.py"] = (len(text), None, text.splitlines(keepends=True), "example.py")
    try:
        exec(compile(text, "example.py", "exec"), names)
    except TileError as problem:
        return str(problem)
    return shown([w for found in names.values() if isinstance(found, Executable) for w in found.warnings])


def console(text: str, capsys: pytest.CaptureFixture[str]) -> str:
    capsys.readouterr()
    codes = [call(shlex.split(line)[2:]) for line in text.splitlines() if line.startswith("$ tilec ")]
    told = capsys.readouterr().err.rstrip("\n")
    assert ("[TILE" in told) >= any(codes)
    return told if "[TILE" in told else ""  # a command may say what it has written


def compiled(block: Block) -> None:
    """The mended program runs as machine code."""
    assert block.inputs is not None
    generator = np.random.default_rng(0)
    types = signature_of(block.inputs)
    values = {n: random_array(t, generator) if isinstance(t, TensorType) else t for n, t in types.items()}
    executable = compile_for(parse(block.text), "llvm", None, values)
    assert all(array.size >= 0 for array in executable.run((), values))


@pytest.mark.parametrize("text", ["TILE0101", "tile0101", "101", "0101", " error[TILE0101]"[6:]])
def test_codes_may_be_short(text: str) -> None:
    assert normalise(text) == "TILE0101"


def test_inputs_are_shown() -> None:
    found = page("TILE0203")
    assert "Wrong\n-----\nwith A: f32[4, 6], B: f32[4]\n\n    function add_to_rows" in plain(found)
    assert "with `A: f32[4, 6], B: f32[4]`\n\n```tile\nfunction add_to_rows" in markdown(found)


def test_every_page_is_read_without_its_marks() -> None:
    assert all("```" not in plain(page(code)) for code in CODES)


def test_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["explain", "101"]) == 0
    told = capsys.readouterr().out
    assert told.startswith("TILE0101: undefined name\n") and "\x1b" not in told and "```" not in told
    assert call(["explain", "--json", "TILE0101"]) == 0
    assert '"code": "TILE0101"' in capsys.readouterr().out
    assert call(["explain"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == len(CODES)
    assert call(["explain", "--json"]) == 0
    assert capsys.readouterr().out.startswith('{"TILE0001": ')
    assert call(["explain", "TILE0100"]) == 1
    assert "the nearest is TILE0101, undefined name" in capsys.readouterr().err
