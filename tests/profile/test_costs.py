"""Operations and bytes of kernels: known programs, and the scheduled against the unscheduled ones."""

from __future__ import annotations

import pytest

import tilec
from tests.profile.exact import exact_cost
from tilec import pipeline
from tilec.affine import Affine
from tilec.api import parse_type
from tilec.dtypes import F32, F64
from tilec.frontends.tile.elaborate import to_graph
from tilec.loops import Program
from tilec.measure.costs import Cost, cost, iterations
from tilec.measure.programs import cases
from tilec.options import Options
from tilec.target import Target
from tilec.text.loops_text import parse_kernel

WIDE = Target("llvm", "host", 64, 32, 2)
MATMUL = "function (A[M, K], B[K, N]) -> (C) { C[m, n : M, N] = +(A[m, k] * B[k, n]); }"
SAME = "function (I[H, C], K[R, C]) -> (O) { O[y : H] = +(I[y + r - 1, c] * K[r, c]); }"
SOFTMAX = """function (X[M, N]) -> (Y) {
  T[m : M] = >(X[m, n]); E[m, n : M, N] = exp(X[m, n] - T[m]); S[m : M] = +(E[m, n]); Y[m, n : M, N] = E[m, n] / S[m];
}"""


def program(text: str, scheduled: bool = True, **shapes: str) -> Program:
    signature = {n: parse_type(n, t) for n, t in shapes.items()}
    graph = pipeline.optimise(to_graph(tilec.parse(text), None, signature))
    return pipeline.lower_graph(graph, WIDE, Options(schedule=scheduled))


def costs(text: str, scheduled: bool = True, **shapes: str) -> list[Cost]:
    return [cost(k) for k in program(text, scheduled, **shapes).kernels]


@pytest.mark.parametrize("m", [1, 3, 13, 64, 65])
@pytest.mark.parametrize("scheduled", [True, False])
def test_matrix_product(m: int, scheduled: bool) -> None:
    found = costs(MATMUL, scheduled, A=f"f32[{m}, 37]", B="f32[37, 50]")
    assert sum(c.operations for c in found) == 2 * m * 37 * 50
    assert {c.dtype for c in found} == {F32}
    assert sum(c.written for c in found) >= 4 * m * 50
    assert sum(c.read for c in found) >= 4 * 37 * (m + 50)


def test_bytes_of_a_product() -> None:
    (found,) = costs(MATMUL, A="f64[64, 64]", B="f64[64, 64]")
    assert found.written == 8 * 64 * 64
    assert found.read in (2 * 8 * 64 * 64, 3 * 8 * 64 * 64)  # with or without its own result
    assert found.flops == {F64: 2 * 64**3}


@pytest.mark.parametrize("scheduled", [True, False])
def test_elementwise_reads_every_byte_once(scheduled: bool) -> None:
    text = "function (A[M, N], B[N]) -> (C) { C = max(A + B, A) * 2.0; }"
    (found,) = costs(text, scheduled, A="f32[10, 33]", B="f32[33]")
    assert found == Cost({F32: 3 * 330}, 4 * (330 + 33), 4 * 330)


def test_padding_does_no_work() -> None:
    for scheduled in (True, False):
        found = costs(SAME, scheduled, I="f32[20, 3]", K="f32[3, 3]")
        inside = 3 * (20 * 3 - 2)
        assert sum(c.operations for c in found) == pytest.approx(2 * inside, rel=0.1)


def test_schedules_add_no_work_but_the_combination_of_partial_results() -> None:
    combined = 37 * 2 * 64  # per row a maximum and a sum, each of 64 partial results
    softmax, matmul = {"X": "f32[37, 100]"}, {"A": "f32[50, 20]", "B": "f32[20, 70]"}
    results = {SOFTMAX: 4 * 37 * 100, MATMUL: 4 * 50 * 70}  # bytes: rows of temporaries stay in the caches
    for text, shapes, more in ((SOFTMAX, softmax, combined), (MATMUL, matmul, 0)):
        plain, fast = costs(text, False, **shapes), costs(text, True, **shapes)
        assert sum(c.operations for c in plain) + more == sum(c.operations for c in fast)
        assert sum(c.written for c in plain) >= sum(c.written for c in fast) == results[text]


def test_integers_are_no_flops() -> None:
    (found,) = costs("function (A, B) -> (C) { C = A * B + A; }", A="i32[9]", B="i32[9]")
    assert found == Cost({}, 72, 36)
    assert found.dtype is None


@pytest.mark.parametrize(
    ("body", "read"),
    [
        ("for i in 5 { B[i] = A[2*i] }", 5),
        ("for i in 5 { B[i] = A[i + 3] }", 5),
        ("for i in 5 { for j in 2 { B[i] = A[i + j] } }", 6),
        ("for i in 5 { B[i] = add(A[i], A[i + 1]) }", 6),
        ("for i in 5 { B[i] = add(A[i], A[i]) }", 5),
        ("for i in 5 { B[i] = A[0] }", 1),
        ("for i in 0 { B[i] = A[i] }", 0),
    ],
)
def test_reach(body: str, read: int) -> None:
    kernel = parse_kernel(f"kernel k(in A: f32[10], out B: f32[10]) {{ {body} }}")
    assert cost(kernel).read == 4 * read


def test_diagonal() -> None:
    kernel = parse_kernel("kernel k(in A: f32[10, 10], out B: f32[10]) { for i in 10 { B[i] = A[i, i] } }")
    assert cost(kernel).read == 40


def test_iterations() -> None:
    i, j = Affine.var("i"), Affine.var("j")
    loops = (("i", 10), ("j", 10))
    assert iterations(loops, ()) == 100
    assert iterations(loops, (i - 5,)) == 50
    assert iterations(loops, (i - j,)) == 55
    assert iterations(loops, (i - 5, j - 5)) == 25
    assert iterations(loops, (i - 100,)) == 0
    assert iterations((("i", 0),), (i,)) == 0
    wide = (("i", 1000), ("j", 1000))
    assert iterations(wide, (i - j,)) == pytest.approx(500_500, rel=0.05)


def test_lets_count() -> None:
    body = "let x: f32 = exp(A[i])  B[i] = mul(x, x)"
    kernel = parse_kernel(f"kernel k(in A: f32[4], out B: f32[4]) {{ for i in 4 {{ {body} }} }}")
    assert cost(kernel).flops == {F32: 8}


@pytest.mark.parametrize("scheduled", [True, False])
def test_counts_are_those_of_walking_every_iteration(scheduled: bool) -> None:
    compared = equal = 0
    for case in cases(150):
        graph = pipeline.optimise(to_graph(tilec.parse(case.text), None, case.inputs))
        for kernel in pipeline.lower_graph(graph, WIDE, Options(schedule=scheduled)).kernels:
            exact, found = exact_cost(kernel), cost(kernel)
            if exact is None:
                continue
            compared, equal = compared + 1, equal + (exact == found)
            assert exact.flops == found.flops, case
            assert exact.bytes <= found.bytes <= 1.1 * exact.bytes, case
    assert compared > 100
    assert equal >= 0.98 * compared
