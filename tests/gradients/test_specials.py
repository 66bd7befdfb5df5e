"""gather, scatter, reshape, sort; what has no derivative."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from tests.gradients.differences import assert_right, cleaned
from tilec.errors import TileError
from tilec.evaluate.graph import evaluate
from tilec.graph import Graph
from tilec.passes.differentiate import gradient
from tilec.specials import SPECIALS
from tilec.text.graph_text import parse_graph
from tilec.type_graph import infer_graph

GATHER = "special gather(X, I)"
SCATTER = "special scatter(X, I, Z)"
CASES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "gather": ("X: f64[4, 3], I: i32[5]", GATHER, {"I": np.array([0, 3, 3, 9, -2], np.int32)}),
    "gather by two axes": ("X: f64[4], I: i64[2, 2]", GATHER, {"I": np.array([[0, 3], [2, -1]])}),
    "gather by a scalar": ("X: f64[4, 2], I: i32", GATHER, {"I": np.array(2, np.int32)}),
    "gather by bytes": ("X: f64[300], I: u8[3]", GATHER, {"I": np.array([0, 255, 255], np.uint8)}),
    "gather by few bytes": ("X: f64[3], I: u8[3]", GATHER, {"I": np.array([0, 2, 255], np.uint8)}),
    "gather nothing": ("X: f64[0, 2], I: i32[0]", GATHER, {"I": np.zeros(0, np.int32)}),
    "scatter": ("X: f64[5, 2], I: i32[5], Z: f64[4, 2]", SCATTER, {"I": np.array([0, 3, 3, 9, -2], np.int32)}),
    "scatter by two axes": ("X: f64[2, 2], I: i32[2, 2], Z: f64[3]", SCATTER, {"I": np.array([[0, 2], [2, 5]], "i4")}),
    "scatter a scalar": ("X: f64[2], I: i32, Z: f64[4, 2]", SCATTER, {"I": np.array(-1, np.int32)}),
    "scatter by bytes": ("X: f64[3], I: u8[3], Z: f64[256]", SCATTER, {"I": np.array([0, 255, 255], np.uint8)}),
    "scatter into nothing": ("X: f64[3], I: i32[3], Z: f64[0]", SCATTER, {"I": np.array([0, 1, 2], np.int32)}),
    **{
        f"scatter {word}": (
            "X: f64[7, 2], I: i32[7], Z: f64[4, 2]",
            f"special scatter_{word}(X, I, Z)",
            {"I": np.array([0, 3, 3, 9, -2, 1, 2], np.int32)},
        )
        for word in ("max", "min", "prod")
    },
    "scatter prod of zeros": (
        "X: f64[3, 3], I: i32[3, 3], Z: f64[3]",
        "special scatter_prod(X, I, Z)",
        {
            "X": np.array([[0.0, 2.0, 3.0], [0.0, 0.0, 5.0], [4.0, 7.0, 0.5]]),
            "I": np.array([[0, 0, 0], [1, 1, 1], [2, 5, 2]], np.int32),
        },
    ),
    "scatter max of a scalar": (
        "X: f64[2], I: i32, Z: f64[1, 2]",
        "special scatter_max(X, I, Z)",
        {"I": np.array(0, "i4")},
    ),
    "reshape": ("X: f64[4, 3]", "special reshape(X) {shape = (2, 6)}", {}),
    "reshape to a scalar": ("X: f64[1, 1]", "special reshape(X) {shape = ()}", {}),
}


def graph_of(params: str, call: str, results: str = "Y") -> Graph:
    """The square of a call's first result, so that the second derivative is not zero."""
    return infer_graph(parse_graph(f"graph f({params}) -> (S) {{ {results} = {call} S = mul(Y, Y) }}"))


def inputs_of(graph: Graph, given: dict[str, Any]) -> dict[str, Any]:
    rng = np.random.default_rng(5)
    return {p.name: given.get(p.name, rng.uniform(-2, 2, [int(str(s)) for s in p.type.shape])) for p in graph.params}


@pytest.mark.parametrize("name", CASES)
def test_against_differences(name: str) -> None:
    params, call, given = CASES[name]
    graph = graph_of(params, call)
    inputs = inputs_of(graph, given)
    wrt = [p.name for p in graph.params if p.type.dtype.is_float]
    assert_right(graph, inputs, wrt, "S")
    assert_right(gradient(graph, wrt), inputs, wrt, "X_grad")


@pytest.mark.parametrize("shape, axis", [((5,), 0), ((3, 4), 0), ((3, 4), 1), ((2, 3, 4), 1)])
def test_sort(shape: tuple[int, ...], axis: int) -> None:
    graph = graph_of(f"X: f64{list(shape)}", f"special sort(X) {{axis = {axis}}}", "Y, K")
    inputs = inputs_of(graph, {})
    assert_right(graph, inputs, ["X"], "S")
    assert_right(gradient(graph, ["X"]), inputs, ["X"], "X_grad")


def test_a_clamped_index_gives_to_the_cell_that_was_read() -> None:
    graph = infer_graph(parse_graph("graph f(X: f64[3], I: i32[3]) -> (Y) { Y = special gather(X, I) }"))
    found = evaluate(cleaned(gradient(graph, ["X"])), {"X": np.zeros(3), "I": np.array([-7, 7, 8], np.int32)})
    assert found["X_grad"].tolist() == [1, 0, 2]


def test_random_numbers_are_constants() -> None:
    text = """graph f(X: f64[2], K: u32[2], o: u64) -> (Y) {
      B = special random_bits(K, o) {shape = (2)}  R = cast.f64(B)  Y = mul(X, R) }"""
    graph = infer_graph(parse_graph(text))
    inputs = {"X": np.ones(2), "K": np.array([1, 2], np.uint32), "o": np.uint64(3)}
    found = evaluate(cleaned(gradient(graph, ["X"])), inputs)["X_grad"]
    assert np.array_equal(found, evaluate(graph, inputs)["Y"])
    with pytest.raises(TileError) as caught:
        gradient(graph, ["K"])
    assert caught.value.code == "TILE0309"


def test_a_host_function_has_no_derivative() -> None:
    call = 'special host_call(X) {function = "singular_values", types = ((f64, 2))}'
    graph = infer_graph(parse_graph(f"graph f(X: f64[2, 2], W: f64[2]) -> (Y) {{ H = {call} Y = mul(H, W) }}"))
    with pytest.raises(TileError) as caught:
        gradient(graph, ["X"])
    assert caught.value.code == "TILE0310"
    found = evaluate(gradient(graph, ["W"]), {"X": 3 * np.eye(2), "W": np.ones(2)})
    assert found["W_grad"].tolist() == [3, 3]


def test_the_table_is_whole() -> None:
    """Every operation on whole tensors is differentiated here, or has no derivative and says so, or is constant."""
    tested = {re.findall(r"special (\w+)", call)[0] for _, call, _ in CASES.values()} | {"sort"}
    assert set(SPECIALS) == tested | {"host_call", "prng_step", "random_bits", "random_bits64", "assert"}
