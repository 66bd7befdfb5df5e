"""`tilec.check_grad`, and Graphs in float64, on which it works."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tilec
from tests.fuzz.generate import generate
from tests.gradients.programs import CONTRACTIONS
from tests.gradients.random_programs import built, floats
from tilec.errors import TileError
from tilec.evaluate.graph import evaluate
from tilec.float64 import in_float64
from tilec.text.graph_text import parse_graph
from tilec.type_graph import infer_graph
from tilec.verify.graph import verify

LOSS = "function loss(X[M, N], W[N]: f32) -> (L) { P[m: M] = +(X[m, n] * W[n]); L[] = +(P[m] * P[m]); }"
WRONG = """graph f(A: f32[3], B: f32[3]) -> (Y) {
  Y = custom (A, B) forward graph g(A: f32[3], B: f32[3]) -> (R) { R = mul(A, B) }
  backward graph h(A: f32[3], B: f32[3], R: f32[3], G: f32[3]) -> (X, Y) { X = mul(G, B) Y = FAULT(G, A) }
}"""


def test_a_right_gradient() -> None:
    inputs = {"X": np.array([[1.0, 2.0], [3.0, 4.0], [0.0, 1.0]], "f4"), "W": np.array([0.5, -1.0], "f4")}
    found = tilec.check_grad(LOSS, inputs)
    assert found.passed
    assert [(i.input, i.of, i.checked, i.rough) for i in found.inputs] == [("X", "L", 6, 0), ("W", "L", 2, 0)]
    assert max(i.error for i in found.inputs) < 1e-9
    assert "dL/dX: right" in str(found)
    assert [i.input for i in tilec.check_grad(LOSS, inputs, wrt="W").inputs] == ["W"]


@pytest.mark.parametrize("name", CONTRACTIONS)
def test_contractions(name: str) -> None:
    text, shapes = CONTRACTIONS[name]
    rng = np.random.default_rng(1)
    inputs = {n: rng.uniform(0.4, 1.6, s) * rng.choice([-1.0, 1.0], s) for n, s in shapes.items()}
    found = tilec.check_grad(f"function {text}", inputs, target="reference")
    assert all(i.verdict == "right" or not i.checked for i in found.inputs), found


@pytest.mark.parametrize("fault, verdict", [("mul", "right"), ("add", "wrong")])
def test_a_wrong_gradient_is_found(fault: str, verdict: str) -> None:
    graph = infer_graph(parse_graph(WRONG.replace("FAULT", fault)))
    found = tilec.check_grad(graph, {"A": np.array([1.0, 2.0, 3.0]), "B": np.ones(3)}, target="reference")
    assert [i.verdict for i in found.inputs] == ["right", verdict]
    assert found.passed == (verdict == "right")


@pytest.mark.parametrize("body", ["abs(X)", "max(X, 0.0)", "floor(X)", "sqrt(X)", "X < 0.0 ? 1.0 : X"])
def test_points_without_a_derivative_are_reported(body: str) -> None:
    found = tilec.check_grad(f"function (X[N]) -> (Y) {{ Y = {body}; }}", {"X": np.array([0.0, 1.5])})
    (check,) = found.inputs
    assert (check.checked, check.rough, check.verdict) == (1, 1, "right")
    nowhere = tilec.check_grad(f"function (X[N]) -> (Y) {{ Y = {body}; }}", {"X": np.array([0.0])})
    assert nowhere.inputs[0].verdict == "unknown" and not nowhere.passed


def test_ties_are_no_derivative() -> None:
    text = "function (X[N]) -> (Y) { Y[] = >(X[n]); }"
    (check,) = tilec.check_grad(text, {"X": np.array([1.0, 2.0, 2.0])}).inputs
    assert (check.checked, check.rough, check.verdict) == (1, 2, "right")


def test_elements_of_different_sizes() -> None:
    found = tilec.check_grad("function (X[N]) -> (Y) { Y = log(X); }", {"X": np.array([1e-5, 1.0, 1e3])})
    assert found.passed and found.inputs[0].checked == 3


def test_of_a_large_input_some_elements_are_checked() -> None:
    x = np.linspace(-1, 1, 1000)
    (check,) = tilec.check_grad("function (X[N]) -> (Y) { Y = X * X; }", {"X": x}).inputs
    assert (check.size, check.checked, check.verdict) == (1000, 64, "right")


def test_numbers_empty_inputs_and_integers() -> None:
    text = "function (X[N], I[N], S, K) -> (Y) { Y[n: K] = +(X[n] * S * I[n]); }"
    found = tilec.check_grad(text, {"X": np.ones(3), "I": np.arange(3), "S": 2.0, "K": 2})
    assert found.passed and [i.input for i in found.inputs] == ["X", "S"]
    assert tilec.check_grad("function (X[N]) -> (Y) { Y = X + X; }", {"X": np.zeros(0)}).passed


@pytest.mark.parametrize(
    "text, inputs, code",
    [
        ("function (X) -> (Y) { Y = X < 1; }", {"X": np.ones(2)}, "TILE0309"),
        ("function (X, Z) -> (Y) { Y = X + Z; }", {"X": np.ones(2)}, "TILE0501"),
        ("function (X) -> (Y) { Y = X + 1; }", {"X": np.ones(2), "Q": 1}, "TILE0502"),
        (infer_graph(parse_graph("graph f(X: f32[2]) -> (Y) { Y = mul(X, X) }")), {"X": np.ones(3)}, "TILE0504"),
        (infer_graph(parse_graph("graph f(X: f32[2]) -> (Y) { Y = mul(X, X) }")), {"Z": np.ones(3)}, "TILE0502"),
        (infer_graph(parse_graph("graph f(X: f32[2]) -> (Y) { Y = mul(X, X) }")), {}, "TILE0501"),
        (infer_graph(parse_graph("graph f(X: f32[1]) -> (Y) { Y = bitcast.i32(X) }")), {"X": np.ones(1)}, "TILE0310"),
        (infer_graph(parse_graph("graph f(X: f64[1]) -> (Y) { Y = bitcast.i64(X) }")), {"X": np.ones(1)}, "TILE0309"),
    ],
)
def test_errors(text: Any, inputs: dict[str, Any], code: str) -> None:
    with pytest.raises(TileError) as caught:
        tilec.check_grad(text, inputs)
    assert caught.value.code == code


@pytest.mark.parametrize("seed", range(200, 260))
def test_graphs_in_float64_mean_what_the_evaluator_means_by_it(seed: int) -> None:
    case = generate(seed)
    inputs = floats(case)
    graph = built(case, inputs)
    if graph is None:
        pytest.skip("the program has no meaning")
    wide = in_float64(graph)
    verify(wide)
    wanted, found = evaluate(graph, inputs, "float64"), evaluate(wide, inputs)
    for name in graph.results:
        np.testing.assert_array_equal(found[name], wanted[name])


def test_random_numbers_stay_what_they_are() -> None:
    text = "graph f(X: f32[2], S: u32[3, 1]) -> (Y) { N, R = special prng_step(S) {shape = (2)}  Y = mul(X, R) }"
    graph = infer_graph(parse_graph(text))
    wide = in_float64(graph)
    verify(wide)
    inputs = {"X": np.ones(2, "f4"), "S": np.full((3, 1), 99, "u4")}
    assert np.array_equal(evaluate(wide, {**inputs, "X": np.ones(2)})["Y"], evaluate(graph, inputs)["Y"])
