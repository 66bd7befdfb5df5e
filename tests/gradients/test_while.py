"""Reverse mode of While: snapshots on several levels, against central differences and an unbounded tape."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tilec
from tests.gradients.differences import assert_right, cleaned
from tests.gradients.test_compiled_control import TARGETS, compiled, same, slope
from tests.gradients.test_control import built
from tilec.errors import TileError
from tilec.evaluate.graph import evaluate
from tilec.graph import Graph, subgraphs
from tilec.passes.differentiate import gradient, jvp, value_and_gradient, while_loop

STEPS = """graph f(A: f64, B: f64, K: i32) -> (Y) {
  Z: i32 = literal (0)
  X, N = while(A, Z) const (B, K)
    test graph c(X: f64, N: i32, B: f64, K: i32) -> (T) { T = cmp_lt(N, K) }
    do graph d(X: f64, N: i32, B: f64, K: i32) -> (Y, M) {
      P = mul(X, B) S = sin(P) Y = add(S, X) O: i32 = literal (1) M = add(N, O) }
  Y = mul(X, X)
}"""
VECTORS = """graph f(A: f64[3], W: f64[3, 3], K: i32) -> (Y) {
  Z: i32 = literal (0)
  X, N, V = while(A, Z, W) const (W, K)
    test graph c(X: f64[3], N: i32, V: f64[3, 3], W: f64[3, 3], K: i32) -> (T) { T = cmp_lt(N, K) }
    do graph d(X: f64[3], N: i32, V: f64[3, 3], W: f64[3, 3], K: i32) -> (Y, M, U) {
      P: f64[3] = sum:f64 [i, j] { [i] <- mul(V[i, j], X[j]) }
      Q = tanh(P)
      F = cast.f64(N)
      Y = add(Q, F)
      U = mul(V, W)
      O: i32 = literal (1)
      M = add(N, O)
      T = cmp_lt(N, K)
      () = special assert(T) {message = "a step too many"}
    }
  S = sin(X)
  R = add(S, V)
  Y = mul(R, R)
}"""
NESTED = """graph f(A: f64, B: f64, K: i32) -> (Y) {
  Z: i32 = literal (0)
  X, N = while(A, Z) const (B, K)
    test graph c(X: f64, N: i32, B: f64, K: i32) -> (T) { T = cmp_lt(N, K) }
    do graph d(X: f64, N: i32, B: f64, K: i32) -> (Y, M) {
      Z: i32 = literal (0)
      Y, R = while(X, Z) const (B, N)
        test graph c(X: f64, I: i32, B: f64, N: i32) -> (T) { T = cmp_lt(I, N) }
        do graph d(X: f64, I: i32, B: f64, N: i32) -> (Y, J) {
          P = mul(X, B) Y = sin(P) O: i32 = literal (1) J = add(I, O) }
      O: i32 = literal (1)
      M = add(N, O)
    }
  Y = mul(X, X)
}"""


def at(steps: int) -> dict[str, Any]:
    return {"A": np.array(0.7), "B": np.array(0.3), "K": np.array(steps, np.int32)}


def vectors(steps: int) -> dict[str, Any]:
    rng = np.random.default_rng(3)
    return {"A": rng.uniform(-1, 1, 3), "W": rng.uniform(-1, 1, (3, 3)), "K": np.array(steps, np.int32)}


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two snapshots a level: a few steps reach below the last level."""
    monkeypatch.setattr(while_loop, "SNAPSHOTS", 2)


@pytest.mark.parametrize("steps", [0, 1, 2, 3, 4, 5, 11, 16])
def test_every_level(few: None, steps: int) -> None:
    assert_right(built(STEPS), at(steps), ["A", "B"], "Y")
    assert_right(built(VECTORS), vectors(steps), ["A", "W"], "Y")


@pytest.mark.parametrize("levels", [1, 3])
def test_any_number_of_levels(few: None, monkeypatch: pytest.MonkeyPatch, levels: int) -> None:
    monkeypatch.setattr(while_loop, "LEVELS", levels)
    for steps in (0, 1, 7):
        assert_right(built(STEPS), at(steps), ["A", "B"], "Y")


@pytest.mark.parametrize("steps", [0, 1, 4])
def test_loops_in_loops(few: None, steps: int) -> None:
    assert_right(built(NESTED), at(steps), ["A", "B"], "Y")


@pytest.mark.parametrize("steps", [0, 1, 5])
def test_second_derivatives(few: None, steps: int) -> None:
    """Reverse and forward mode of the reverse mode."""
    first = gradient(built(STEPS), ["A", "B"])
    for name in first.results:
        assert_right(first, at(steps), ["A", "B"], name)


def tape(a: float, b: float, steps: int) -> tuple[float, float]:
    """The derivatives of STEPS with all states kept."""
    xs = [a]
    for _ in range(steps):
        xs.append(np.sin(xs[-1] * b) + xs[-1])
    x_bar, b_bar = 2 * xs.pop(), 0.0
    while xs:
        x = xs.pop()
        b_bar += np.cos(x * b) * x_bar * x
        x_bar *= np.cos(x * b) * b + 1
    return x_bar, b_bar


@pytest.mark.parametrize("target", TARGETS)
def test_many_steps(target: str) -> None:
    derived = gradient(built(STEPS), ["A", "B"])
    for steps in (0, 1, 63, 65) if target == "opencl" else (0, 1, 63, 64, 65, 4095, 4096, 4097, 9000):
        inputs = {"A": np.array(0.7), "B": np.array(-1e-3), "K": np.array(steps, np.int32)}
        found = compiled(derived, target, inputs)
        wanted = tape(0.7, -1e-3, steps)
        np.testing.assert_allclose([found["A_grad"], found["B_grad"]], wanted, 1e-11, err_msg=str(steps))


@pytest.mark.parametrize("target", TARGETS)
def test_compiled(few: None, target: str) -> None:
    graph = built(VECTORS)
    for steps in (0, 7):
        found = same(value_and_gradient(graph, ["A", "W"]), target, vectors(steps))
        for name in "AW":
            np.testing.assert_allclose(found[f"{name}_grad"], slope(graph, vectors(steps), name), 1e-6, 1e-8)


@pytest.mark.parametrize("target", TARGETS)
def test_second_derivatives_compiled(few: None, target: str) -> None:
    first = gradient(built(STEPS), ["B"])
    found = same(gradient(first, ["A"]), target, at(7))
    np.testing.assert_allclose(found["A_grad"], slope(first, at(7), "A"), 1e-6)
    turned = same(jvp(first, ["A"]), target, {**at(7), "A_dot": np.array(1.0)})
    np.testing.assert_allclose(turned["B_grad_dot"], found["A_grad"], 1e-10)


def test_assertions_are_checked_once_and_kept() -> None:
    derived = cleaned(value_and_gradient(built(VECTORS), ["A"]))
    assert str(derived).count("assert") == 1
    wrong = VECTORS.replace("cmp_lt(N, K)\n      ()", "cmp_lt(K, N)\n      ()")
    broken = cleaned(gradient(built(wrong), ["A"]))
    with pytest.raises(TileError) as caught:
        evaluate(broken, vectors(2))
    assert caught.value.code == "TILE0405"


def test_memory_does_not_grow_with_the_steps() -> None:
    """No value of the gradient has more rows than there are snapshots: the number of steps is not known."""
    assert {64} == set(_rows(cleaned(gradient(built(STEPS), ["A", "B"]))))


def _rows(graph: Graph) -> list[int]:
    sizes = [int(str(s)) for let in graph.lets for t in let.types for s in t.shape]
    return sizes + [s for let in graph.lets for inner in subgraphs(let.node) for s in _rows(inner)]


HOST = """graph f(A: f64[1], M: f64[1, 1]) -> (X) {
  X = while(A) const (M)
    test graph c(X: f64[1], M: f64[1, 1]) -> (T) {
      L: f64 = literal (9.0) S: f64 = sum:f64 [i] { [] <- X[i] } T = cmp_lt(S, L)
    }
    do graph d(X: f64[1], M: f64[1, 1]) -> (Y) {
      H = special host_call(M) {function = "singular_values", types = ((f64, 1),)} Y = mul(X, H)
    }
}"""


def test_host_functions_may_be_called_again() -> None:
    """They are pure, so that the steps of a loop can be computed anew."""
    graph = cleaned(gradient(built(HOST), ["A"]))
    assert evaluate(graph, {"A": np.ones(1), "M": np.full((1, 1), 3.0)})["A_grad"] == [9]
    with pytest.raises(TileError) as caught:
        gradient(built(HOST), ["M"])
    assert caught.value.code == "TILE0310"


def test_newton() -> None:
    """The derivatives of sqrt, through all steps of Newton's iteration."""

    def root(a: Any) -> Any:
        def better(state: Any) -> Any:
            x, _ = state
            return (x + a / x) / 2, x

        x = tilec.while_loop(lambda s: abs(s[0] - s[1]) > 1e-9, better, (a, 0.0 * a))[0]
        return (x + a / x) / 2  # derivatives converge a step later than values

    for target in ("auto", "reference"):
        slope = tilec.jit(tilec.grad(root), target=target)
        for a in (0.25, 2.0, 1e4):
            assert float(slope(np.array(a))) == pytest.approx(0.5 / a**0.5, rel=1e-9)
    assert float(tilec.grad(tilec.grad(root))(np.array(4.0))) == pytest.approx(-1 / 32, rel=1e-6)


def test_a_loop_of_a_traced_number_of_steps() -> None:
    def power(x: Any, n: Any) -> Any:
        return tilec.fori_loop(0, n, lambda _, y: y * x, 1.0 + 0.0 * x)

    assert float(tilec.grad(power)(np.float64(1.5), np.int32(5))) == pytest.approx(5 * 1.5**4)
    assert float(tilec.grad(power)(np.float64(1.5), np.int32(0))) == 0
