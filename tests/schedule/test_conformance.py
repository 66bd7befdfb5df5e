"""The shared conformance programs, lowered and scheduled, run by the evaluators: the same values, bit for bit.

Where the schedule sums in another order (`rfactor`), the inputs are whole numbers, whose sums are exact in any order.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.generators.targets import EAGER
from tests.language.test_conformance import ROWS, make_input
from tilec.dtypes import BY_NAME
from tilec.evaluate.loops import evaluate_program
from tilec.frontends.tile.elaborate import to_graph
from tilec.frontends.tile.parser import parse
from tilec.graph import TensorType
from tilec.loops import Program
from tilec.passes import fuse, lower
from tilec.passes.schedule import apply
from tilec.passes.schedule.default import default_schedule
from tilec.pipeline import optimise
from tilec.target import Target
from tilec.verify.loops import verify_program

RUN = [row for row in ROWS if row["expect"]["kind"] == "values"]
TARGETS = (
    Target("llvm", vector_bytes=64, registers=32, threads=2, l1=256, l2=1024),
    Target("llvm", threads=4, l1=256, l2=1024),
)

pytestmark = pytest.mark.skipif(not ROWS, reason="needs ../shared/conformance, which is not part of the project")


def lowered(row: dict[str, Any]) -> tuple[Program, dict[str, Any]]:
    arrays = {spec["name"]: make_input(spec) for spec in row["inputs"]}
    types: dict[str, Any] = {n: TensorType(BY_NAME[a.dtype.name], a.shape) for n, a in arrays.items()}
    graph = optimise(to_graph(parse(row["code"]), None, {**types, **row["consts"]}))
    given = {**arrays, **row["consts"]}
    inputs = {p.name: np.asarray(given[p.name], p.type.dtype.numpy) for p in graph.params}
    return lower.run(graph, fuse.run(graph)), inputs


def whole(inputs: dict[str, Any]) -> dict[str, Any]:
    return {n: np.rint(4 * a) if a.dtype.kind == "f" else a for n, a in inputs.items()}


@pytest.mark.parametrize("row", RUN, ids=[r["id"] for r in RUN])
def test_program(row: dict[str, Any]) -> None:
    program, inputs = lowered(row)
    for target in TARGETS:
        schedules = [default_schedule(k, target, EAGER) for k in program.kernels]
        kernels = tuple(apply(k, s) for k, s in zip(program.kernels, schedules, strict=True))
        scheduled = replace(program, kernels=kernels)
        verify_program(scheduled)
        given = whole(inputs) if any(d.name == "rfactor" for s in schedules for d in s) else inputs
        plain = evaluate_program(program, given)
        for name, value in evaluate_program(scheduled, given).items():
            np.testing.assert_array_equal(value, plain[name], err_msg=name)
