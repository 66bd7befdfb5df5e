"""Every fenced block of the README and of docs/ is run. `tests/docs/pages.py` says how, and how a page opts out."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.docs.execute import Difference, Page
from tests.docs.pages import PAGES, ROOT, Block, agrees, blocks
from tilec import configuration
from tilec.api import run
from tilec.evaluate.graph import evaluate
from tilec.frontends.tile.elaborate import check
from tilec.frontends.tile.parser import parse
from tilec.frontends.tile.tests_runner import run_tests
from tilec.gradient_check import wrong_gradients
from tilec.graph import Graph
from tilec.pipeline import optimise

LANGUAGES = ("tile", "python", "console", "text")
PROGRAMS = {
    f"{page}:{b.line}": b.text for page in PAGES for b in blocks(page) if b.language == "tile" and not b.not_run
}
each_program = pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS.keys())
each_page = pytest.mark.parametrize("page", PAGES)


def reference(graph: Graph, data: Mapping[str, Any]) -> Mapping[str, Any]:
    """The evaluator on the Graph as written."""
    return evaluate(graph, data)


def optimised(graph: Graph, data: Mapping[str, Any]) -> Mapping[str, Any]:
    """The evaluator after all Graph passes."""
    return evaluate(optimise(graph), data)


def compiled(graph: Graph, data: Mapping[str, Any]) -> Mapping[str, Any]:
    """Machine code."""
    return run(graph, data, target="llvm")


@each_program
@pytest.mark.parametrize("execute", [reference, optimised, compiled])
def test_program_is_right(program: str, execute: Any) -> None:
    parsed = parse(program)
    assert parsed.functions
    assert [d.render() for d in check(parsed).diagnostics if d.severity == "error"] == []
    results = run_tests(parsed, execute, differences=wrong_gradients)
    assert [d.render() for r in results for d in r.diagnostics] == []
    assert all(r.checks for r in results)


@pytest.mark.parametrize("program", [p for k, p in PROGRAMS.items() if k.startswith("docs/language.md")])
def test_specification_is_tested(program: str) -> None:
    assert parse(program).tests, "each program of the specification carries a test"


@each_page
def test_page_is_true(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, update: bool) -> None:
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setattr(configuration, "user_file", lambda: tmp_path / "config" / "config.toml")  # for `tilec setup`
    state = Page(tmp_path)
    found = [d for block in blocks(page) if block.title or not block.not_run for d in state.run(block)]
    if update and found:
        _rewrite(PAGES[page], found)
    else:
        assert not found, "\n\n".join(f"{page}, {d}" for d in found)


def _rewrite(path: Path, differences: list[Difference]) -> None:
    text = path.read_text(encoding="utf-8")
    for d in reversed(differences):
        text = text[: d.start] + d.got + text[d.end :]
    path.write_text(text, encoding="utf-8")


@each_page
def test_every_block_is_accounted_for(page: str) -> None:
    listed = blocks(page)
    assert PAGES[page].read_text(encoding="utf-8").count("```") == 2 * len(listed), "a fence is indented or not closed"
    for before, block in zip([None, *listed], listed):
        assert _has_use(block, before), (
            f"{page}:{block.line}: nothing runs this block; say why in <!-- not run: ... --> on the line above"
        )


def _has_use(block: Block, before: Block | None) -> bool:
    if block.not_run is not None or block.title is not None:
        return True
    if block.language == "text":
        return before is not None and before.language == "python" and block.follows
    return block.language in LANGUAGES


def test_there_are_programs() -> None:
    assert sum(k.startswith("docs/language.md") for k in PROGRAMS) >= 20
    assert sum(k.startswith("docs/tutorial") for k in PROGRAMS) >= 10


def test_ellipsis() -> None:
    assert agrees("a ... c\n", "a b\n c")
    assert agrees("a  \nb", "a\nb   \n")
    assert not agrees("a ... c", "a b d")
    assert not agrees("a.c", "abc")


def test_a_wrong_page_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    text = "x = 2\nx + 1  # -> 4\nprint(x)\n"
    code = Block("python", None, text, 1, 0, False, None)
    shown = Block("text", None, "5\n", 9, 0, True, None)
    shell = Block("console", None, "$ echo a \\\n  b\na c\n$ exit 3\n$ tilec nonsense\n", 20, 0, False, None)
    state = Page(tmp_path)
    (wrong,) = state.run(code)
    assert (wrong.line, wrong.shown, wrong.got, text[wrong.start : wrong.end]) == (3, "4\n", "3", "4")
    assert [d.got for d in state.run(shown)] == ["2\n"]
    assert [d.got.splitlines()[-1] for d in state.run(shell)] == ["a b", "(exit code 3)", "(exit code 2)"]
