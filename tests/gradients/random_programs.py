"""Random programs as subjects of differentiation: inputs in float64, finite and not too near to zero."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from tests.fuzz.generate import Case, generate
from tests.gradients.differences import Verdict, both_modes
from tilec.dtypes import from_numpy
from tilec.errors import TileError
from tilec.evaluate.graph import evaluate
from tilec.frontends.tile.elaborate import to_graph
from tilec.frontends.tile.parser import parse
from tilec.graph import Graph, TensorType


@dataclass(frozen=True, slots=True)
class Subject:
    """A program with the names of its float parameters and results; there is at least one of each."""

    case: Case
    graph: Graph
    inputs: dict[str, Any]
    wrt: tuple[str, ...]
    results: tuple[str, ...]


def subject(seed: int) -> Subject | None:
    """The program of a seed; None where it has no meaning, or nothing to differentiate."""
    case = generate(seed)
    inputs = floats(case)
    graph = built(case, inputs)
    if graph is None:
        return None
    types = graph.types()
    wrt = tuple(p.name for p in graph.params if p.type.dtype.is_float)
    results = tuple(r for r in dict.fromkeys(graph.results) if types[r].dtype.is_float)
    return Subject(case, graph, inputs, wrt, results) if wrt and results else None


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


def verdicts(found: Subject, graph: Graph, results: tuple[str, ...]) -> Iterator[tuple[str, str, Verdict]]:
    """Both modes on results of the program, or of a derivative of it."""
    for result in results:
        both = both_modes(graph, found.inputs, found.wrt, result, found.case.seed)
        yield from ((result, mode, verdict) for mode, verdict in zip(("reverse", "forward"), both))
