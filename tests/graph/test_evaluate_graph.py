"""Elementwise nodes, literals, control flow, named sizes and argument checks of the evaluator."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

from tests.graph.programs import data, graph, run, whole
from tilec.errors import TileError
from tilec.evaluate.expr import Mode
from tilec.evaluate.graph import evaluate


def test_broadcasting() -> None:
    a, b = data(3, 1, 4), data(5, 1)
    np.testing.assert_array_equal(run("A: f32[3, 1, 4], B: f32[5, 1]", "O = mul(A, B)", A=a, B=b), a * b)


def test_softmax() -> None:
    a = data(4, 6)
    body = """
      M = max:f32 [i, j] { [i, 0 : 4, 1] <- A[i, j] }
      D = sub(A, M)
      E = exp(D)
      S = sum:f32 [i, j] { [i, 0 : 4, 1] <- E[i, j] }
      O = div(E, S)
    """
    o = run("A: f32[4, 6]", body, A=a)
    e = np.exp(a.astype(np.float64) - a.max(1, keepdims=True))
    np.testing.assert_allclose(o, e / e.sum(1, keepdims=True), rtol=1e-6)


def test_float16_rounds_after_every_operation() -> None:
    body = "P = mul(A, A)\nO = sub(P, A)"
    a = np.array([1.001, 3.14159, 100.1], np.float16)
    np.testing.assert_array_equal(run("A: f16[3]", body, A=a), (a * a) - a)
    wide = run("A: f16[3]", body, "float64", A=a)
    np.testing.assert_array_equal(wide, a.astype(np.float64) ** 2 - a.astype(np.float64))


def test_bfloat16() -> None:
    a = np.array([1.0, 2.5, -3.0], ml_dtypes.bfloat16)
    o = run("A: bf16[3]", "P = add(A, A)\nO = max(P, A)", A=a)
    assert o.dtype == ml_dtypes.bfloat16 and o.astype(float).tolist() == [2, 5, -3]


def test_integers_wrap_in_both_modes() -> None:
    a = np.array([200, 100], np.uint8)
    modes: tuple[Mode, ...] = ("typed", "float64")
    for mode in modes:
        assert run("A: u8[2]", "O = add(A, A)", mode, A=a).tolist() == [144, 200]


def test_float64_twin_truncates_the_float64_value() -> None:
    a = np.array([16777216.0], np.float32)
    body = "B = add(A, C)\nO = cast.i32(B)"
    one = np.array([1.0], np.float32)
    assert run("A: f32[1], C: f32[1]", body, A=a, C=one).tolist() == [16777216]
    assert run("A: f32[1], C: f32[1]", body, "float64", A=a, C=one).tolist() == [16777217]


def test_literals() -> None:
    a = whole(2, 2)
    body = "L = literal f32[2, 2] (1.0, 2.0, 3.0, 4.0)\nK = literal weak f32 (0.5)\nB = mul(A, K)\nO = add(B, L)"
    np.testing.assert_array_equal(run("A: f32[2, 2]", body, A=a), a * 0.5 + [[1, 2], [3, 4]])
    assert run("A: f32[2, 2]", "O = literal i64[3] (9223372036854775807)", A=a).tolist() == [2**63 - 1] * 3


def test_weak_scalar_arguments() -> None:
    a = np.array([1, 2], np.float16)
    o = run("A: f16[2], s: weak f32", "O = mul(A, s)", A=a, s=0.1)
    assert o.dtype == np.float16
    np.testing.assert_array_equal(o, a * np.float16(0.1))


IF = """
O = if P (A, B) then graph t(X: f32[3], Y: f32[3]) -> (Z) {
  Z = add(X, Y)
} else graph e(X: f32[3], Y: f32[3]) -> (Z) {
  Z = sub(X, Y)
}
"""


def test_cond() -> None:
    a, b = whole(3), whole(3, seed=1)
    for p, wanted in ((2, a + b), (0, a - b)):
        np.testing.assert_array_equal(run("P: i32, A: f32[3], B: f32[3]", IF, P=p, A=a, B=b), wanted)


WHILE = """
N, O = while (Z, A) const (L) test graph c(n: i32, X: f32[2], l: i32) -> (R) {
  R = cmp_lt(n, l)
} do graph b(n: i32, X: f32[2], l: i32) -> (m, Y) {
  o = literal weak i32 (1)
  m = add(n, o)
  Y = add(X, X)
}
"""


@pytest.mark.parametrize("rounds", [0, 1, 5])
def test_while(rounds: int) -> None:
    a = whole(2)
    o = run("Z: i32, L: i32, A: f32[2]", WHILE, Z=0, L=rounds, A=a)
    np.testing.assert_array_equal(o, a * 2**rounds)


SCAN = """
C, O = scan (I) in (X) const (D) length {length} {reverse}do graph b(c: f32[2], x: f32[2], d: f32) -> (n, y) {{
  m = mul(c, d)
  n = add(m, x)
  y = mul(n, n)
}}
"""


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("length", [0, 1, 6])
def test_scan(length: int, reverse: bool) -> None:
    x = whole(length, 2)
    body = SCAN.format(length=length, reverse="reverse " if reverse else "")
    g = graph(f"I: f32[2], X: f32[{length}, 2], D: f32", "C, O", body)
    r = evaluate(g, {"I": np.ones(2, np.float32), "X": x, "D": 0.5})
    carried, outputs = np.ones(2, np.float32), np.zeros_like(x)
    for step in reversed(range(length)) if reverse else range(length):
        carried = carried * np.float32(0.5) + x[step]
        outputs[step] = carried * carried
    np.testing.assert_array_equal(r["C"], carried)
    np.testing.assert_array_equal(r["O"], outputs)


def test_remat_and_custom() -> None:
    a = whole(3)
    double = "graph g(X: f32[3]) -> (Y) {\n Y = add(X, X)\n}"
    back = "graph h(X: f32[3], Y: f32[3], G: f32[3]) -> (D) {\n D = mul(G, X)\n}"
    np.testing.assert_array_equal(run("A: f32[3]", f"O = remat (A) do {double}", A=a), a + a)
    o = run("A: f32[3]", f"O = custom (A) forward {double} backward {back}", A=a)
    np.testing.assert_array_equal(o, a + a)


def test_named_sizes() -> None:
    body = "O = sum:f32 [i, k] { [i : 2*M] <- A[k] } where 0 <= i - k < N"
    g = graph("A: f32[N], B: f32[M]", "O", body, "[N, M]")
    a = whole(5)
    o = evaluate(g, {"A": a, "B": whole(3)})["O"]
    assert o.tolist() == [sum(a[k] for k in range(5) if 0 <= i - k < 5) for i in range(6)]
    with pytest.raises(TileError) as caught:
        evaluate(graph("A: f32[N], B: f32[N]", "A", "", "[N]"), {"A": whole(2), "B": whole(3)})
    assert caught.value.code == "TILE0504"


ARGUMENTS = [
    ({}, "TILE0501"),
    ({"A": whole(2), "B": whole(2)}, "TILE0502"),
    ({"A": whole(2).astype(np.float64)}, "TILE0503"),
    ({"A": np.array(["x", "y"])}, "TILE0503"),
    ({"A": whole(3)}, "TILE0504"),
    ({"A": whole(2, 1)}, "TILE0504"),
    ({"A": 1.0}, "TILE0504"),
]


@pytest.mark.parametrize("arguments, code", ARGUMENTS)
def test_arguments_are_checked(arguments: dict[str, object], code: str) -> None:
    with pytest.raises(TileError) as caught:
        evaluate(graph("A: f32[2]", "O", "O = add(A, A)"), arguments)
    assert caught.value.code == code
