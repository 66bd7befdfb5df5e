"""Nodes with sub-Graphs: branches, recomputation, gradients of one's own, loops."""

from __future__ import annotations

import numpy as np
import pytest

from tests.gradients.differences import assert_right, cleaned
from tilec.errors import TileError
from tilec.evaluate.graph import evaluate
from tilec.graph import Graph, Remat
from tilec.passes import recompute
from tilec.passes.differentiate import gradient, jvp
from tilec.text.graph_text import parse_graph
from tilec.type_graph import infer_graph


def built(text: str) -> Graph:
    return infer_graph(parse_graph(text))


COND = """graph f(P: bool, A: f64[3], B: f64[3], N: i32[3]) -> (Y) {
  R, K = if P (A, B, N)
    then graph t(A: f64[3], B: f64[3], N: i32[3]) -> (R, N) { R = mul(A, B) }
    else graph e(A: f64[3], B: f64[3], N: i32[3]) -> (A, N) { }
  F = cast.f64(K)
  G = mul(R, F)
  Y = mul(G, G)
}"""
REMAT = """graph f(A: f64[3], B: f64[3]) -> (Y) {
  R = remat(A, B) do graph g(A: f64[3], B: f64[3]) -> (R) { S = sin(A) R = mul(S, B) }
  Y = mul(R, A)
}"""
SCAN = """graph f(H: f64[2], X: f64[5, 2], W: f64[2, 2], K: i32) -> (Y) {
  L, C, O = scan(H, K) in (X) const (W) length 5 do
  graph step(H: f64[2], C: i32, X: f64[2], W: f64[2, 2]) -> (N, D, E) {
    M: f64[2] = sum:f64 [i, j] { [i] <- mul(W[i, j], H[j]) }
    T = add(M, X)
    N = tanh(T)
    ONE: i32 = literal (1)
    D = add(C, ONE)
    E = mul(N, X)
  }
  S: f64[2] = sum:f64 [t, i] { [i] <- mul(O[t, i], O[t, i]) }
  Y = mul(S, L)
}"""
WHILE = """graph f(A: f64, B: f64) -> (Y) {
  X, N = while(A, Z) const (B)
    test graph c(X: f64, N: i32, B: f64) -> (T) { L: i32 = literal (4) T = cmp_lt(N, L) }
    do graph d(X: f64, N: i32, B: f64) -> (Y, M) { P = mul(X, B) Y = sin(P) O: i32 = literal (1) M = add(N, O) }
  Y = mul(X, X)
}""".replace("{\n  X, N", "{\n  Z: i32 = literal (0)\n  X, N", 1)


@pytest.mark.parametrize("predicate", [True, False])
def test_branches(predicate: bool) -> None:
    graph = built(COND)
    rng = np.random.default_rng(0)
    inputs = {
        "P": np.array(predicate),
        "A": rng.uniform(1, 2, 3),
        "B": rng.uniform(1, 2, 3),
        "N": np.arange(3, dtype="i4"),
    }
    assert_right(graph, inputs, ["A", "B"], "Y")
    assert_right(gradient(graph, ["A"]), inputs, ["A", "B"], "A_grad")


def test_recomputation() -> None:
    graph = built(REMAT)
    rng = np.random.default_rng(0)
    inputs = {n: rng.uniform(1, 2, 3) for n in "AB"}
    assert_right(graph, inputs, ["A", "B"], "Y")
    assert_right(gradient(graph, ["A", "B"]), inputs, ["A", "B"], "A_grad")
    derived = cleaned(gradient(graph, ["A", "B"]))
    assert sum(isinstance(let.node, Remat) for let in derived.lets) == 2
    plain = cleaned(recompute.run(derived))
    assert np.allclose(evaluate(plain, inputs)["A_grad"], evaluate(derived, inputs)["A_grad"])


@pytest.mark.parametrize("reverse", ["", "reverse "])
def test_scan(reverse: str) -> None:
    graph = built(SCAN.replace("length 5 do", f"length 5 {reverse}do"))
    rng = np.random.default_rng(0)
    shapes = {"H": (2,), "X": (5, 2), "W": (2, 2)}
    inputs = {**{n: rng.uniform(-1, 1, s) for n, s in shapes.items()}, "K": np.array(3, np.int32)}
    for wrt in (["H"], ["X"], ["W"], ["H", "X", "W"]):
        assert_right(graph, inputs, wrt, "Y")
    assert_right(gradient(graph, ["W", "H"]), inputs, ["H", "X", "W"], "W_grad")


def test_while() -> None:
    graph = built(WHILE)
    inputs = {"A": np.array(0.7), "B": np.array(1.3)}
    assert_right(graph, inputs, ["A", "B"], "Y")
    assert_right(gradient(graph, ["B"]), inputs, ["A"], "B_grad")


CUSTOM = """graph f(A: f64[3], B: f64[3]) -> (Y) {
  R, I = custom(A, B)
    forward graph g(A: f64[3], B: f64[3]) -> (R, I) { R = mul(A, B) I = cast.i32(A) }
    backward graph h(A: f64[3], B: f64[3], R: f64[3], I: i32[3], G: f64[3], J: i32[3]) -> (X, Y) {
      T: f64 = literal (10.0) X = mul(G, T) Y = mul(G, R) }
  Y = add(R, A)
}"""


def test_a_gradient_of_its_own() -> None:
    graph = built(CUSTOM)
    inputs = {"A": np.array([1.0, 2.0, 3.0]), "B": np.array([4.0, 5.0, 6.0])}
    found = evaluate(cleaned(gradient(graph, ["A", "B"])), inputs)
    assert found["A_grad"].tolist() == [11, 11, 11]
    assert found["B_grad"].tolist() == [4, 10, 18]
    second = gradient(gradient(graph, ["B"]), ["A"])
    assert evaluate(cleaned(second), inputs)[second.results[0]].tolist() == [10, 10, 10]  # of A B, by the custom rule
    with pytest.raises(TileError) as caught:
        jvp(graph, ["A"])
    assert caught.value.code == "TILE0310"
