"""Derivatives of gradients, reverse and forward, of every example and conformance program, against differences.

A gradient, as a program with the cotangent of the result as an input, is differentiated once more in both modes. Where
the gradient has a corner or a jump at the point there is nothing to compare with: `ROUGH` says where.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.gradients.differences import Verdict, both_modes, cleaned
from tests.language.test_conformance import ROWS, make_input
from tests.unparse.test_grad_command import FUNCTIONS, example_inputs
from tilec import api
from tilec.errors import TileError
from tilec.float64 import in_float64
from tilec.frontends.tile.elaborate import to_graph
from tilec.frontends.tile.syntax import Program
from tilec.graph import Graph
from tilec.passes.differentiate import gradient

ELEMENTS = 4000  # of the inputs together: larger programs are left to the first order
WITH_INPUTS = [row for row in ROWS if row["inputs"] is not None]
ROUGH = {"p.fn_log", "p.fn_tan"}  # logarithms of negative numbers, and a tangent close to its pole


def elaborated(program: Program, function: str | None, inputs: Mapping[str, Any]) -> Graph | None:
    """The Graph in float64; None for a program in error, or too large a one."""
    if sum(map(np.size, inputs.values())) > ELEMENTS:
        return None
    try:
        return in_float64(to_graph(program, function, {n: api.signature_entry(n, v) for n, v in inputs.items()}))
    except TileError:
        return None


def verdicts(graph: Graph, inputs: Mapping[str, Any]) -> Iterator[tuple[str, Verdict]]:
    """For each float result, the derivatives of its gradient by each input."""
    types = graph.types()
    wrt = [p.name for p in graph.params if p.type.dtype.is_float]
    point = {n: np.asarray(v, np.float64) if n in wrt else v for n, v in inputs.items()}
    for of in (r for r in dict.fromkeys(graph.results) if wrt and types[r].dtype.is_float):
        first = cleaned(gradient(graph, wrt, of, seed=True))
        seed = np.random.default_rng(5).uniform(0.5, 1.5, [int(str(s)) for s in types[of].shape])
        for result in first.results:
            for verdict in both_modes(first, {**point, first.params[-1].name: seed}, wrt, result):
                yield f"{of}, {result}", verdict


@pytest.mark.parametrize("path, function", FUNCTIONS, ids=[f"{p.stem}.{f}" for p, f in FUNCTIONS])
def test_examples(path: Path, function: str) -> None:
    inputs = example_inputs(path, function)
    graph = elaborated(api.parse_file(path), function, inputs)
    assert graph is not None
    for where, verdict in verdicts(graph, inputs):
        assert verdict.smooth and verdict.right, (where, verdict)


@pytest.mark.skipif(not ROWS, reason="needs ../shared/conformance, which is not part of the project")
@pytest.mark.parametrize("row", WITH_INPUTS, ids=[r["id"] for r in WITH_INPUTS])
def test_conformance(row: dict[str, Any]) -> None:
    inputs = {spec["name"]: make_input(spec) for spec in row["inputs"]} | row["consts"]
    try:
        program = api.parse(row["code"])
    except TileError:
        pytest.skip("the program is in error")
    graph = elaborated(program, None, inputs)
    if graph is None:
        pytest.skip("the program is in error, or large")
    for where, verdict in verdicts(graph, inputs):
        if verdict.smooth or row["id"] not in ROUGH:
            assert verdict.smooth and verdict.right, (where, verdict)
