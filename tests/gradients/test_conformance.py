"""The gradients of the shared conformance programs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.gradients.differences import cleaned
from tests.language.test_conformance import ROWS, compare, make_input
from tilec.dtypes import BY_NAME
from tilec.evaluate.graph import evaluate
from tilec.frontends.tile.elaborate import to_graph
from tilec.frontends.tile.parser import parse
from tilec.graph import TensorType
from tilec.passes.differentiate import gradient

WITH_GRADIENTS = [r for r in ROWS if r.get("grad")]
pytestmark = pytest.mark.skipif(not ROWS, reason="needs ../shared/conformance, which is not part of the project")


@pytest.mark.parametrize("row", WITH_GRADIENTS, ids=[r["id"] for r in WITH_GRADIENTS])
def test_gradient(row: dict[str, Any]) -> None:
    arrays = {spec["name"]: make_input(spec) for spec in row["inputs"]}
    types: dict[str, Any] = {n: TensorType(BY_NAME[a.dtype.name], a.shape) for n, a in arrays.items()}
    graph = to_graph(parse(row["code"]), None, {**types, **row["consts"]})
    first = graph.results[0]
    wrt = list(row["grad"]["values"])
    derived = cleaned(gradient(graph, wrt, first, seed=True))
    shape = [int(str(s)) for s in graph.types()[first].shape]
    seed = make_input({"shape": shape, "dtype": "float32", "seed": 99, "kind": "sym"})
    found = evaluate(derived, {**arrays, **row["consts"], derived.params[-1].name: seed})
    for name, result in zip(wrt, derived.results, strict=True):
        wanted = row["grad"]["values"][name]
        compare(found[result], {"dtype": "float32", **wanted})
    assert np.isfinite(seed).all()
