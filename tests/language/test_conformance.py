"""The shared conformance programs through the frontend and the evaluator: their values, or a located diagnostic."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tilec.dtypes import BY_NAME
from tilec.errors import TileError
from tilec.evaluate.graph import evaluate
from tilec.frontends.tile.elaborate import check, to_graph
from tilec.frontends.tile.parser import parse
from tilec.graph import TensorType

DATA = Path(__file__).parents[2].parent / "shared" / "conformance"
ROWS = [json.loads(line) for line in (DATA / "tile_programs.jsonl").read_text().splitlines()] if DATA.is_dir() else []
TOLERANCE = {"float16": 4e-3, "float32": 1e-5, "float64": 1e-5}

pytestmark = pytest.mark.skipif(not ROWS, reason="needs ../shared/conformance, which is not part of the project")


def make_input(spec: dict[str, Any]) -> Any:
    module_spec = importlib.util.spec_from_file_location("conformance_inputs", DATA / "inputs.py")
    assert module_spec is not None and module_spec.loader is not None
    module = importlib.util.module_from_spec(module_spec)
    module_spec.loader.exec_module(module)
    return module.make_input(tuple(spec["shape"]), spec["dtype"], spec["seed"], spec["kind"])


def run_row(row: dict[str, Any]) -> dict[str, Any]:
    arrays = {spec["name"]: make_input(spec) for spec in row["inputs"]}
    types: dict[str, Any] = {n: TensorType(BY_NAME[a.dtype.name], a.shape) for n, a in arrays.items()}
    graph = to_graph(parse(row["code"]), None, {**types, **row["consts"]})
    return evaluate(graph, {**arrays, **row["consts"]})


def compare(found: Any, wanted: dict[str, Any]) -> None:
    assert list(found.shape) == wanted["shape"]
    assert found.dtype.name == wanted["dtype"]
    rtol = TOLERANCE.get(wanted["dtype"], 0.0)
    flat = np.asarray(found, np.float64).reshape(-1)
    atol = rtol * max(1.0, float(np.max(np.abs(flat), initial=0.0)))
    if "values" in wanted:
        np.testing.assert_allclose(flat, np.asarray(wanted["values"], np.float64), rtol, atol)
        return
    first, sample = wanted["first"], wanted["stride_sample"]
    np.testing.assert_allclose(flat[: len(first)], first, rtol, atol)
    np.testing.assert_allclose(flat[:: max(1, flat.size // len(sample))][: len(sample)], sample, rtol, atol)
    total = float(np.sum(np.abs(flat)))
    assert abs(total - wanted["abssum"]) <= 1e-5 * max(1.0, total)
    assert abs(float(np.sum(flat)) - wanted["sum"]) <= 1e-5 * max(1.0, total)


@pytest.mark.parametrize("row", ROWS, ids=[r["id"] for r in ROWS])
def test_program(row: dict[str, Any]) -> None:
    expected = row["expect"]
    match expected["kind"]:
        case "parses":
            assert check(parse(row["code"])).errors() == []
        case "error":
            with pytest.raises(TileError) as caught:
                run_row(row)
            assert all(d.span is not None for d in caught.value.diagnostics)
        case "unclear":
            try:
                run_row(row)
            except TileError as problem:
                assert problem.diagnostics[0].span is not None
        case _:
            found = run_row(row)
            for name, wanted in expected["outputs"].items():
                compare(found[name], wanted)
