"""Gradients of random programs against central differences, in both modes.

    python -m tests.gradients.test_random FIRST LAST      judges the programs of these seeds

A program's inputs are made float64 and finite. Where one is not smooth, nothing can be said.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import pytest

from tests.fuzz.generate import Case, generate
from tests.gradients.differences import Verdict, compare, compare_forward
from tilec.dtypes import from_numpy
from tilec.errors import TileError
from tilec.evaluate.graph import evaluate
from tilec.frontends.tile.elaborate import to_graph
from tilec.frontends.tile.parser import parse
from tilec.graph import Graph, TensorType
from tilec.passes.differentiate import gradient

PROGRAMS, CHUNK = 500, 25


def floats(case: Case) -> dict[str, Any]:
    """The inputs, dense, those of floats in float64 and finite."""
    rng = np.random.default_rng(case.seed)
    found: dict[str, Any] = {}
    for name, value in case.inputs.items():
        array = np.array(value)
        dtype = from_numpy(array.dtype)
        if dtype is not None and dtype.is_float:
            array = array.astype(np.float64)
            array = np.where(np.isfinite(array) & (np.abs(array) > 1e-3), array, rng.uniform(0.3, 1.5, array.shape))
        found[name] = array
    return found


def built(case: Case, inputs: dict[str, Any]) -> Graph | None:
    types: dict[str, TensorType | int | float] = {}
    for name, array in inputs.items():
        dtype = from_numpy(array.dtype)
        assert dtype is not None
        types[name] = TensorType(dtype, array.shape)
    try:
        graph = to_graph(parse(case.text), None, types)
        evaluate(graph, inputs, "float64")
    except TileError:
        return None  # an unbounded index, several writers: the program has no meaning
    return graph


def verdicts(seed: int) -> Iterator[tuple[str, Verdict]]:
    """Both modes on every float result of a program."""
    case = generate(seed)
    inputs = floats(case)
    graph = built(case, inputs)
    if graph is None:
        return
    types = graph.types()
    wrt = [p.name for p in graph.params if p.type.dtype.is_float]
    results = [r for r in graph.results if types[r].dtype.is_float]
    for result in dict.fromkeys(results) if wrt else ():
        yield f"{result}, reverse", compare(graph, inputs, wrt, result, seed)
        yield f"{result}, forward", compare_forward(graph, inputs, wrt, result, seed)


def second_verdicts(seed: int) -> Iterator[tuple[str, Verdict]]:
    """Both modes on the gradient of the last float result of a program."""
    case = generate(seed)
    inputs = floats(case)
    graph = built(case, inputs)
    if graph is None:
        return
    types = graph.types()
    wrt = [p.name for p in graph.params if p.type.dtype.is_float]
    results = [r for r in graph.results if types[r].dtype.is_float]
    if wrt and results:
        first = gradient(graph, wrt, results[-1])
        for result in first.results:
            yield f"{result}, reverse", compare(first, inputs, wrt, result, seed)
            yield f"{result}, forward", compare_forward(first, inputs, wrt, result, seed)


def judge(seeds: range, verdicts: Callable[[int], Iterable[tuple[str, Verdict]]]) -> tuple[int, int]:
    """How many verdicts there were, and how many on smooth points; raises on a wrong one."""
    total = smooth = 0
    for seed in seeds:
        for mode, verdict in verdicts(seed):
            total += 1
            smooth += verdict.smooth
            assert verdict.right or not verdict.smooth, f"seed {seed}, {mode}: {verdict}\n{generate(seed).text}"
    return total, smooth


@pytest.mark.parametrize("first", range(0, PROGRAMS, CHUNK))
def test_programs(first: int) -> None:
    total, smooth = judge(range(first, first + CHUNK), verdicts)
    assert smooth >= total // 2


@pytest.mark.parametrize("first", range(0, 100, CHUNK))
def test_gradients_of_gradients(first: int) -> None:
    total, smooth = judge(range(first, first + CHUNK), second_verdicts)
    assert smooth >= total // 2


if __name__ == "__main__":
    total, smooth = judge(range(int(sys.argv[1]), int(sys.argv[2])), verdicts)
    print(f"{total} verdicts, {smooth} on smooth points, 0 wrong")
