"""The evaluator of the Loops IR: its own rules, checked against numbers worked out by hand or by NumPy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from tests.generators.kernels import contraction, var
from tilec.dtypes import F32
from tilec.errors import TileError
from tilec.evaluate.loops import evaluate_kernel, evaluate_program
from tilec.text.loops_text import parse_kernel, parse_program

Array = np.ndarray[Any, np.dtype[Any]]


def run(text: str, sizes: Mapping[str, int] | None = None, **arrays: Array) -> None:
    evaluate_kernel(parse_kernel(text), arrays, sizes)


def floats(*values: float) -> Array:
    return np.array(values, np.float32)


def fails(text: str, reason: str, **arrays: Array) -> None:
    with pytest.raises(TileError) as caught:
        evaluate_kernel(parse_kernel(text), arrays)
    assert caught.value.code == "TILE0602"
    assert reason in str(caught.value)


def test_matmul() -> None:
    sizes = {"m": 5, "n": 7, "k": 40}
    operands = [("A", var("m", "k"), (5, 40)), ("B", var("k", "n"), (40, 7))]
    kernel = contraction("f", "sum", F32, sizes, var("m", "n"), (5, 7), operands)
    r = np.random.default_rng(0)
    a, b = r.standard_normal((5, 40), np.float32), r.standard_normal((40, 7), np.float32)
    c = np.full((5, 7), np.nan, np.float32)
    evaluate_kernel(kernel, {"A": a, "B": b, "O": c})
    np.testing.assert_allclose(c, a @ b, rtol=1e-5, atol=1e-5)


def test_sums_in_order() -> None:
    """Float sums are the sums of the loop order, term by term."""
    terms = np.random.default_rng(1).standard_normal(1000).astype(np.float32)
    c = floats(0)
    run("kernel f(in A: f32[1000], inout C: f32[1]) { for i in 1000 { C[0] sum= A[i] } }", A=terms, C=c)
    total = np.float32(0)
    for term in terms:
        total += term
    assert c[0] == total


def test_float16_rounds_every_term() -> None:
    c = np.zeros((), np.float16)
    ones = np.ones(3000, np.float16)
    run("kernel f(in A: f16[3000], inout C: f16[]) { for i in 3000 { C[] sum= A[i] } }", A=ones, C=c)
    assert c == 2048


def test_serial_loop_carries_values() -> None:
    a = floats(1, 0, 0, 0)
    run("kernel f(inout A: f32[4]) { for i in 3 { A[i + 1] = add(A[i], 1.0) } }", A=a)
    assert a.tolist() == [1, 2, 3, 4]


def test_vector_loop_reads_before_it_stores() -> None:
    a = floats(1, 2, 3, 4)
    run("kernel f(inout A: f32[4]) { for i in 3 vector { A[i + 1] = A[i] } }", A=a)
    assert a.tolist() == [1, 1, 2, 3]


def test_masked_lanes_touch_nothing() -> None:
    c = floats(9, 9, 9)
    text = "kernel f(in A: f32[3], inout C: f32[3]) { for i in 4 vector { if -i + 2 >= 0 { C[i] = A[i] } } }"
    run(text, A=floats(1, 2, 3), C=c)
    assert c.tolist() == [1, 2, 3]


def test_scalars_and_guards() -> None:
    c = floats(0, 0, 0, 0)
    text = """kernel f(in A: f32[4], inout C: f32[4]) {
      for i in 4 { let x: f32 = mul(A[i], A[i]) if i - 2 >= 0 { C[i] = add(x, $(2*i)) C[i - 1] sum= x } }
    }"""
    run(text, A=floats(1, 2, 3, 4), C=c)
    assert c.tolist() == [0, 9, 13 + 16, 22]


def test_while() -> None:
    a = np.array([27], np.int32)
    n = np.array([0], np.int32)
    text = """kernel f(inout A: i32[1], inout N: i32[1]) {
      while cmp_gt(A[0], 1) { A[0] = cond(cmp_eq(mod.i32(A[0], 2), 0), div(A[0], 2), add(mul(A[0], 3), 1)) N[0] sum= 1 }
    }"""
    run(text, A=a, N=n)
    assert n[0] == 111


def test_allocations_are_garbage_each_time() -> None:
    c = floats(0, 0)
    text = "kernel f(inout C: f32[2]) { for i in 2 { alloc t: thread f32[2] t[i] = 1.0 C[i] = add(t[0], t[1]) } }"
    run(text, C=c)
    assert np.isnan(c).all()


def test_padded_and_view_allocations() -> None:
    c = np.zeros((2, 3), np.float32)
    text = """kernel f(in A: f32[6], out C: f32[2, 3]) {
      alloc t: heap f32[2, 3] strides [5, 1]
      for i in 2 { for j in 3 { t[i, j] = A[3*i + j] } }
      for i2 in 2 { for j2 in 3 { C[i2, j2] = t[i2, j2] } }
    }"""
    run(text, A=floats(*range(6)), C=c)
    assert c.tolist() == [[0, 1, 2], [3, 4, 5]]


def test_data_dependent_index() -> None:
    c = floats(0, 0)
    text = "kernel f(in A: f32[3], in I: i32[2], out C: f32[2]) { for i in 2 { C[i] = A[@I[i]] } }"
    run(text, A=floats(5, 6, 7), I=np.array([2, 0], np.int32), C=c)
    assert c.tolist() == [7, 5]
    fails(text, "accessed at", A=floats(5, 6, 7), I=np.array([3, 0], np.int32), C=c)


def test_named_sizes() -> None:
    c = floats(0, 0, 0)
    text = "kernel f(in A: f32[N], out C: f32[N]) { for i in N { C[i] = add(A[i], 1.0) } }"
    run(text, {"N": 3}, A=floats(1, 2, 3), C=c)
    assert c.tolist() == [2, 3, 4]


@pytest.mark.parametrize(
    "body, reason",
    [
        ("for i in 4 { C[i] = A[0] }", "'C' is accessed at 0 to 3 on axis 0 of extent 3"),
        ("for i in 3 { C[i] = A[i - 1] }", "'A' is accessed at -1"),
        ("C[0, 0] = 1.0", "1 axes"),
        ("instr mma(C[0])", "machine instruction 'mma'"),
    ],
)
def test_faults(body: str, reason: str) -> None:
    fails(f"kernel f(in A: f32[3], inout C: f32[3]) {{ {body} }}", reason, A=floats(1, 2, 3), C=floats(0, 0, 0))


def test_arguments_are_checked() -> None:
    text = "kernel f(in A: f32[3], out C: f32[3]) { }"
    fails(text, "misses its parameter 'C'", A=floats(1, 2, 3))
    fails(text, "not f32[3]", A=floats(1, 2), C=floats(0, 0, 0))


PROGRAM = """program p(X) -> (Y) {
  buffer X: param f32[1, 4]
  buffer Y: param f32[1]
  buffer more: heap bool[]
  buffer n: heap i32[]
  buffer t: heap f32[1, 4]
  kernel start(out N: i32[], in A: f32[1, 4], out B: f32[1, 4]) { N[] = 0 for i in 4 { B[0, i] = A[0, i] } }
  kernel check(in N: i32[], out M: bool[]) { M[] = cmp_lt(N[], 3) }
  kernel step(inout N: i32[], inout B: f32[1, 4]) { N[] sum= 1 for i in 4 { B[0, i] = add(B[0, i], B[0, i]) } }
  run {
    launch start(n, X, t)
    repeat more test { launch check(n, more) } do { launch step(n, t) }
    branch more then { } else { host singular_values(t) -> (Y) }
  }
}
"""


def test_program() -> None:
    x = floats(1, 2, 2, 4).reshape(1, 4)
    result = evaluate_program(parse_program(PROGRAM), {"X": x})
    assert result["Y"].tolist() == [40]
    assert x.tolist() == [[1, 2, 2, 4]]


def test_placed_buffers_share_memory() -> None:
    text = """program p(X) -> (Y) {
      buffer X: param f32[2]
      buffer Y: param f32[2]
      buffer a: heap f32[2]
      buffer b: heap f32[2]
      arena 64
      place a 0
      place b AT
      kernel same(in S: f32[2], out T: f32[2]) { for i in 2 { T[i] = S[i] } }
      kernel sum(in S: f32[2], in T: f32[2], out U: f32[2]) { for i in 2 { U[i] = add(S[i], mul(T[i], 10.0)) } }
      kernel scale(in S: f32[2], out T: f32[2]) { for i in 2 { T[i] = mul(S[i], 2.0) } }
      run { launch same(X, a) launch scale(X, b) launch sum(a, b, Y) }
    }"""
    x = floats(1, 2)
    right = evaluate_program(parse_program(text.replace("AT", "32")), {"X": x})
    wrong = evaluate_program(parse_program(text.replace("AT", "0")), {"X": x})
    assert right["Y"].tolist() == [21, 42]
    assert wrong["Y"].tolist() == [22, 44]  # a placement that overlaps shows


@pytest.mark.parametrize(
    "body",
    ["v[m + 1] = A[m]", "A[m + 1] = v[m]", "v[m + 1] = 7.0 A[m] = 3.0", "let x: f32 = A[m] v[m + 1] = x"],
)
def test_iterations_in_order_where_a_view_shows_what_is_stored(body: str) -> None:
    kernel = parse_kernel(f"kernel f(inout A: f32[5]) {{ alloc v: heap f32[5] base A for m in 4 {{ {body} }} }}")
    a = np.arange(1, 6, dtype=np.float32)
    evaluate_kernel(kernel, {"A": a})
    expected = [3, 3, 3, 3, 7] if "7.0" in body else [1, 1, 1, 1, 1]
    np.testing.assert_array_equal(a, expected)
