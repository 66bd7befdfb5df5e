"""Gradients as machine code against the evaluator."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tilec
from tests.gradients.build import random_arrays
from tests.gradients.differences import cleaned
from tests.gradients.programs import CONTRACTIONS
from tests.gradients.random_programs import subject
from tilec.dtypes import F32
from tilec.evaluate.graph import evaluate
from tilec.frontends.tile.elaborate import to_graph
from tilec.frontends.tile.parser import parse
from tilec.graph import Graph, TensorType
from tilec.passes.differentiate import gradient, value_and_gradient

SEEDS = range(0, 12)


def same(derived: Graph, inputs: dict[str, Any], rtol: float) -> None:
    wanted = evaluate(derived, inputs)
    found = tilec.compile(derived, target="llvm").run((), inputs)
    for name, result in zip(derived.results, found, strict=True):
        finite = wanted[name][np.isfinite(wanted[name])].astype(np.float64)
        scale = float(np.max(np.abs(finite), initial=1e-30))
        np.testing.assert_allclose(result, wanted[name], rtol, rtol * scale, err_msg=name)


@pytest.mark.parametrize("name", CONTRACTIONS)
def test_programs_of_float32(name: str) -> None:
    text, shapes = CONTRACTIONS[name]
    inputs = {n: a.astype(np.float32) for n, a in random_arrays(name, shapes).items()}
    graph = to_graph(parse(f"function {text}"), None, {n: TensorType(F32, s) for n, s in shapes.items()})
    same(cleaned(value_and_gradient(graph, list(shapes), graph.results[0])), inputs, 1e-5)


@pytest.mark.parametrize("seed", SEEDS)
def test_random_programs(seed: int) -> None:
    found = subject(seed)
    if found is None:
        pytest.skip("the program has no meaning, or computes with integers")
    same(gradient(found.graph, found.wrt, found.results[-1]), found.inputs, 1e-5)
