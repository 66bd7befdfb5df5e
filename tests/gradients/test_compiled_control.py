"""Derivatives of branches, loops and scans as machine code: against the evaluator and central differences."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tilec
from tests.generators.control import arguments, control_graph
from tests.gradients.test_control import COND, SCAN, WHILE, built
from tilec import pipeline
from tilec.dtypes import F64
from tilec.evaluate.graph import evaluate
from tilec.graph import Graph, Scan, While, subgraphs
from tilec.passes import infer
from tilec.passes.differentiate import gradient, jvp

RNG = np.random.default_rng(7)
SCAN_INPUTS = {
    "H": RNG.uniform(-1, 1, 2),
    "X": RNG.uniform(-1, 1, (5, 2)),
    "W": RNG.uniform(-1, 1, (2, 2)),
    "K": np.array(3, np.int32),
}
TARGETS = ("llvm", "opencl")


def compiled(graph: Graph, target: str, inputs: dict[str, Any]) -> dict[str, Any]:
    if not pipeline.backend(target).targets():
        pytest.skip(f"backend {target!r} finds no device on this machine")
    executable = tilec.compile(graph, target=target)
    return dict(zip(graph.results, executable.run((), {n: inputs[n] for n in executable.params}), strict=True))


def same(graph: Graph, target: str, inputs: dict[str, Any]) -> dict[str, Any]:
    """The results, after comparing them with the evaluator's."""
    found, wanted = compiled(graph, target, inputs), evaluate(graph, inputs)
    for name, value in wanted.items():
        np.testing.assert_allclose(found[name], value, 1e-10, 1e-12, err_msg=name)
    return found


def slope(graph: Graph, inputs: dict[str, Any], name: str) -> Any:
    """Central differences of the sum of the first result, in float64."""
    step, found = 1e-6, np.zeros_like(inputs[name])
    for at in np.ndindex(found.shape):
        ends = []
        for sign in (1, -1):
            moved = inputs[name].copy()
            moved[at] += sign * step
            ends.append(evaluate(graph, {**inputs, name: moved})[graph.results[0]].sum())
        found[at] = (ends[0] - ends[1]) / (2 * step)
    return found


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("how", ["", "reverse ", "count N ", "count N reverse "])
def test_scans(how: str, target: str) -> None:
    graph = built(SCAN.replace("length 5 do", f"length 5 {how}do").replace("K: i32)", "K: i32, N: i32)", 1))
    for steps in (3, 9) if "count" in how else (0,):
        inputs = {**SCAN_INPUTS, "N": np.array(steps, np.int32)}
        found = same(gradient(graph, ["H", "X", "W"]), target, inputs)
        for name in "HXW":
            np.testing.assert_allclose(found[f"{name}_grad"], slope(graph, inputs, name), 1e-6, 1e-8)


@pytest.mark.parametrize("target", TARGETS)
def test_gradients_of_gradients_of_scans(target: str) -> None:
    first = gradient(built(SCAN), ["W"])
    found = same(gradient(first, ["H"]), target, SCAN_INPUTS)
    np.testing.assert_allclose(found["H_grad"], slope(first, SCAN_INPUTS, "H"), 1e-6, 1e-8)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("predicate", [True, False])
def test_branches(predicate: bool, target: str) -> None:
    a, b = RNG.uniform(1, 2, (2, 3))
    inputs = {"P": np.array(predicate), "A": a, "B": b, "N": np.arange(3, dtype="i4")}
    found = same(gradient(built(COND), ["A", "B"]), target, inputs)
    for name in "AB":
        np.testing.assert_allclose(found[f"{name}_grad"], slope(built(COND), inputs, name), 1e-6, 1e-8)


@pytest.mark.parametrize("target", TARGETS)
def test_forward_derivatives_of_loops(target: str) -> None:
    inputs = {"A": np.array(0.7), "B": np.array(1.3), "A_dot": np.array(1.0), "B_dot": np.array(0.0)}
    found = same(jvp(built(WHILE), ["A", "B"]), target, inputs)
    at = {n: inputs[n] for n in "AB"}
    np.testing.assert_allclose(found["Y_dot"], slope(built(WHILE), at, "A"), 1e-6)


def has_loop(graph: Graph) -> bool:
    return any(isinstance(let.node, Scan | While) or any(map(has_loop, subgraphs(let.node))) for let in graph.lets)


def test_random_graphs() -> None:
    """All are of small integers, and so are their derivatives: they must be the same to the last bit."""
    checked = 0
    for seed in range(3000, 3160):
        graph = infer.run(control_graph(seed))
        wrt = [p.name for p in graph.params if p.type.dtype == F64]
        derived = gradient(graph, wrt, graph.results[0])
        inputs = arguments(graph, seed)
        found, wanted = compiled(derived, "llvm", inputs), evaluate(derived, inputs)
        for name, value in wanted.items():
            np.testing.assert_array_equal(found[name], value)
        checked += has_loop(derived)
    assert checked > 8
