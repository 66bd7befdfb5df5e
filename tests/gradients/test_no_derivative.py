"""The table "What has no derivative" of docs/gradients.md: each row is a located error or a zero."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tilec
from tilec.errors import TileError
from tilec.graph import Graph
from tilec.text.graph_text import parse_graph
from tilec.type_graph import infer_graph

PAGE = (Path(__file__).parents[2] / "docs" / "gradients.md").read_text(encoding="utf-8")
SECTION = PAGE.split("## What has no derivative")[1].split("\n## ")[0]
TABLE = re.findall(r"^\| (.+?) \| `(\(.+)` \| (\w[\w ]*) \|$", SECTION, re.MULTILINE)
INPUTS = {
    "A": np.array([0.5, 1.25], np.float32),
    "B": np.array([1.5, 2.5, -0.5], np.float32),
    "I": np.array([1, 2, 0], np.int32),
    "K": np.array([1, 2], np.uint32),
}
BOOLS = {"B": np.array([True, False])}


def derivatives(text: str) -> dict[str, Any]:
    """How each mode finds the derivative by the first input, as functions without arguments."""
    names = re.findall(r"(\w)\[\w+\](?:: \w+)?(?=[,)])", text.split("->")[0])
    inputs = {n: BOOLS.get(n, INPUTS[n]) if ": bool" in text else INPUTS[n] for n in names}
    first = names[0]
    along = {f"{first}_dot": np.ones(inputs[first].shape, np.float32)}
    program = f"function f{text}"
    return {
        "reverse": lambda: tilec.grad(program, first, target="reference")(**inputs),
        "forward": lambda: tilec.jvp(program, first, target="reference")(**inputs, **along)[1],
    }


def test_the_table_is_read() -> None:
    assert len(TABLE) == SECTION.count("| `(") >= 18


@pytest.mark.parametrize("case, text, outcome", TABLE, ids=[case for case, _, _ in TABLE])
def test_row(case: str, text: str, outcome: str) -> None:
    code, _, only = outcome.partition(" ")
    for mode, derivative in derivatives(text).items():
        if code == "0":
            assert not np.any(derivative()), mode
        elif mode == (only or mode) and not (case.startswith("several") and mode == "forward"):
            with pytest.raises(TileError) as caught:
                print(derivative())
            (found,) = caught.value.diagnostics
            assert found.code == code and found.span is not None, mode


def graph(node: str) -> Graph:
    return infer_graph(parse_graph(f"graph f(A: f32[2]) -> (Y) {{ {node} }}"))


def test_graphs_that_the_language_cannot_write() -> None:
    bits = graph("I: i32[2] = bitcast.i32(A) Y: f32[2] = cast.f32(I)")
    for derivative in (tilec.grad(bits, "A"), tilec.jvp(bits, "A")):
        given = {"A": INPUTS["A"], "A_dot": INPUTS["A"]}
        with pytest.raises(TileError) as caught:
            derivative(**{n: given[n] for n in derivative._names})
        assert caught.value.code == "TILE0310"
