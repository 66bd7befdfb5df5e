"""docs/language.md is true: each of its programs parses, and the tests inside the programs pass."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tilec.api import run
from tilec.evaluate_graph import evaluate
from tilec.frontends.tile.parser import parse
from tilec.frontends.tile.tests_runner import run_tests
from tilec.graph import Graph
from tilec.pipeline import optimise

PAGE = Path(__file__).resolve().parents[2] / "docs" / "language.md"
BLOCKS = {
    f"line {1 + match.string.count(chr(10), 0, match.start())}": match.group(1)
    for match in re.finditer(r"^```tile\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.M | re.S)
}
examples = pytest.mark.parametrize("block", BLOCKS.values(), ids=BLOCKS.keys())


def reference(graph: Graph, data: Mapping[str, Any]) -> Mapping[str, Any]:
    """The evaluator on the Graph as written."""
    return evaluate(graph, data)


def optimised(graph: Graph, data: Mapping[str, Any]) -> Mapping[str, Any]:
    """The evaluator after all Graph passes."""
    return evaluate(optimise(graph), data)


def compiled(graph: Graph, data: Mapping[str, Any]) -> Mapping[str, Any]:
    """Machine code."""
    return run(graph, data, target="llvm")


@examples
def test_example_has_a_test(block: str) -> None:
    program = parse(block)
    assert program.functions
    assert program.tests


@examples
@pytest.mark.parametrize("execute", [reference, optimised, compiled])
def test_example_is_right(block: str, execute: Any) -> None:
    results = run_tests(parse(block), execute)
    assert results
    assert [d.render() for r in results for d in r.diagnostics] == []
    assert all(r.checks for r in results)


def test_there_are_examples() -> None:
    assert len(BLOCKS) >= 20
