"""The meaning of programs, rule by rule, through the frontend and the evaluator."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tilec
from tests.language.elaborated import codes, elaborated, f32, result, results, signature
from tilec.errors import TileError
from tilec.frontends.tile.elaborate import elaborate, to_graph
from tilec.frontends.tile.parser import parse
from tilec.graph import Apply, Contraction, TensorType


def same(found: Any, wanted: Any, dtype: str | None = None) -> None:
    wanted = np.asarray(wanted)
    assert found.shape == wanted.shape
    assert found.dtype.name == (dtype or found.dtype.name)
    np.testing.assert_allclose(np.asarray(found, np.float64), np.asarray(wanted, np.float64), rtol=1e-5, atol=1e-6)


A = f32(4, 6, seed=1)
B = f32(6, 3, seed=2)
V = np.arange(1, 6, dtype=np.float32)


# contractions


ASSERTED = """
function f(X[N]) -> (Y) { Ok = assert_is_positive(X > 0.0); Y = X + 0.0; }
function step(H, X) -> (R) { Ok = assert_is_positive(X > 0.0); R = H + X; }
function total(X[N]) -> (Y) { Y = fold(step, 0.0, X); }
"""


@pytest.mark.parametrize("target", ["reference", "llvm"])
@pytest.mark.parametrize("function", ["f", "total"])
def test_assertions_about_data_are_checked_in_every_call(function: str, target: str) -> None:
    made = tilec.compile(ASSERTED, X=(2,), function=function, target=target)
    made(np.array([1.0, 2.0], np.float32))
    with pytest.raises(TileError) as caught:
        made(np.array([1.0, -2.0], np.float32))
    assert caught.value.code == "TILE0405" and "is positive" in str(caught.value)


def test_quotients_of_open_sizes_truncate_in_bodies() -> None:
    text = "function f(X[N]) -> (Y) { Y[i : N] = X[i] * (N / 2 + i); }"
    for target in ("reference", "llvm"):
        made = tilec.compile(text, X="f32[N]", target=target)
        assert made(np.ones(3, np.float32)).tolist() == [1.0, 2.0, 3.0]


def test_matmul_with_sizes_inferred() -> None:
    same(result("function (A[M, K], B[K, N]) -> (C) { C[m, n] = +(A[m, k] * B[k, n]); }", A=A, B=B), A @ B, "float32")


def test_plain_definition_and_sugar() -> None:
    text = "function (A[M, N]) -> (T, S, X, Y, P) { T[j, i] = A[i, j]; S[i] += A[i, j]; X[i] >= A[i, j];"
    found = results(text + " Y[i] <= A[i, j]; P[i] *= A[i, j]; }", A=A)
    same(found["T"], A.T)
    same(found["S"], A.sum(1))
    same(found["X"], A.max(1))
    same(found["Y"], A.min(1))
    same(found["P"], A.prod(1))


def test_body_is_any_expression() -> None:
    text = "function (A[M, K], M0[M]) -> (O) { O[m] = +(exp(A[m, k] - M0[m]) * relu(A[m, k]) / 2); }"
    m = A.max(1)
    same(result(text, A=A, M0=m), (np.exp(A - m[:, None]) * np.maximum(A, 0) / 2).sum(1))


def test_index_values_in_a_body() -> None:
    same(result("function (A[N]) -> (O) { O[i] = +(i * A[i]); }", A=V), np.arange(5) * V, "float32")
    same(result("function (A[N]) -> (O) { O[i : N] = =(2*i + 1); }", A=V), [1, 3, 5, 7, 9], "int32")
    same(result("function (A[N]) -> (O) { O[i : N] = =(i / 2); }", A=V), np.arange(5) / 2, "float32")
    same(result("function (A[N]) -> (O) { O[i : N] = =(i * i); }", A=V), np.arange(5) ** 2, "int32")
    same(result("function (A[N]) -> (O) { O[i : N] = =(i < 2 ? A[i] : 0); }", A=V), [1, 2, 0, 0, 0], "float32")


def test_scalars_and_sizes_in_a_body() -> None:
    text = "function (A[N], S, T) -> (O) { O[i] = +(A[i] * S + N - T[]); }"
    same(result(text, A=V, S=2.5, T=np.float32(1)), V * 2.5 + 4, "float32")


def test_arithmetic_on_scalar_inputs_never_traps() -> None:
    """They are run-time values, even where the same arithmetic on literals is an error."""
    same(result("function (A, N) -> (Y) { Y = A / N; }", A=7, N=0), 0, "int32")
    same(result("function (A, N) -> (Y) { Y = A % N; }", A=7, N=0), 0, "int32")
    same(result("function (A) -> (Y) { Y = A * A * A; }", A=1 << 40), 0, "int64")
    with pytest.raises(TileError, match="TILE0510"):
        result("function (V[K], A, N) -> (Y) { M = A / N; Y[i : M] = +(V[i]); }", V=V, A=7, N=0)


def test_weak_scalars_do_not_widen_a_body() -> None:
    half = V.astype(np.float16)
    found = result("function (A[N], S) -> (O) { O[i] = +(A[i] * S * 0.5 + i); }", A=half, S=2.0)
    same(found, V + np.arange(5), "float16")


def test_conditional_body_without_else_is_zero_elsewhere() -> None:
    text = "function (A[N], C[N]) -> (O) { M[] = >(A[i]); O[i] = +(A[i] == M[] ? C[i]); }"
    same(result(text, A=np.array([1, 3, 2, 3], np.int32), C=f32(4)), f32(4) * [0, 1, 0, 1])


def test_comparison_body_counts_in_int32() -> None:
    x, y = np.array([0, 1, 2, 1], np.int32), np.array([1, 1, 2, 0], np.int32)
    same(result("function (A[N], B[N]) -> (O) { O[] = +(A[i] == B[i]); }", A=x, B=y), 2, "int32")
    same(result("function (A[N], B[N]) -> (O) { O[] = >(A[i] == B[i]); }", A=x, B=y), True, "bool")


def test_fractional_indices_are_exact() -> None:
    same(result("function (A[N]) -> (O) { O[i : 2*N] = +(A[i/2]); }", A=V), [1, 0, 2, 0, 3, 0, 4, 0, 5, 0])
    same(result("function (A[N]) -> (O) { O[i : 2*N] = +(A[1/2*i - 1/2]); }", A=V), [0, 1, 0, 2, 0, 3, 0, 4, 0, 5])


def test_division_between_sizes_truncates() -> None:
    same(result("function (A[N]) -> (O) { O[i : N/2] = +(A[i + N/2]); }", A=V), [3, 4])
    same(result("function (A[N]) -> (O) { H = (2 - N)/2; O[i : 2] = +(A[i - H]); }", A=V), [2, 3])  # -3/2 is -1


def test_implicit_product() -> None:
    same(result("function (A[N]) -> (O) { O[i : 2] = +(A[2i + 1]); }", A=V), [2, 4])


def test_constraints() -> None:
    same(result("function (A[N]) -> (O) { O[i : N/2] = >(A[2*i + j]), j < 2; }", A=V), [2, 4])


def test_default() -> None:
    text = "function (A[N], D) -> (O) { O[2*i : 6] = =(A[i]), i < 3 default D; }"
    d = np.arange(10, 16, dtype=np.float32)
    same(result(text, A=V, D=d), [1, 11, 2, 13, 3, 15])
    same(result(text, A=V, D=np.float32(7)), [1, 7, 2, 7, 3, 7])
    same(result(text, A=V, D=7), [1, 7, 2, 7, 3, 7], "float32")


def test_rank_zero_constant_read_as_tensor() -> None:
    same(result("function (A[N]) -> (O) { X = 1.5; O[i : N] = =(X[]); }", A=V), [1.5] * 5, "float32")


def test_indices_are_ordered_by_first_occurrence() -> None:
    text = "function (A[M, K], B[K, N]) -> (C) { C[z, a : N, M] = +(A[a, k] * B[k, z]), d < 1; }"
    graph = elaborated(text, A=A, B=B).graph
    node = graph.lets[0].node
    assert isinstance(node, Contraction)
    assert node.indices == ("z", "a", "k", "d")


def test_accumulator_types() -> None:
    big = np.full(1000, 100, np.int8)
    same(result("function (A[N]) -> (O) { O[]: i32 += A[i]; }", A=big), 100_000, "int32")
    same(result("function (A[N]) -> (O: i8) { O[] += A[i]; }", A=big), np.int32(100_000).astype(np.int8), "int8")
    ones = np.ones(5000, np.float16)
    same(result("function (A[N]) -> (O) { O[] = +(A[i]); }", A=ones), 5000, "float16")
    narrow = elaborated("function (A[N]) -> (O) { O[] = +:f64(A[i]); }", A=ones).graph.lets[0]
    assert isinstance(narrow.node, Contraction)
    assert [d.name for d in narrow.node.accumulator] == ["f64"]
    assert narrow.types[0].dtype.name == "f16"


# elementwise


def test_broadcast_and_operators() -> None:
    row = f32(6, seed=5)
    same(result("function (A, B) -> (O) { O = -A * 2 + B / 4 - 1; }", A=A, B=row), -A * 2 + row / 4 - 1)
    same(result("function (A, B) -> (O) { O = A < B ? A : B; }", A=A, B=row), np.minimum(A, row))
    x = np.arange(-4, 4, dtype=np.int32)
    same(result("function (X) -> (O) { O = (X & 3) ^ ~X | 8 << 1; }", X=x), (x & 3) ^ ~x | 16, "int32")
    same(result("function (X) -> (O) { O = !(X >= 0); }", X=x), x < 0, "bool")
    same(result("function (X) -> (O) { O = X % 3; }", X=x), x % 3, "int32")


def test_weak_constants() -> None:
    same(result("function (X) -> (O) { O = X + 1; }", X=np.array([255], np.uint8)), [0], "uint8")
    same(result("function (X) -> (O) { O = X * 2.5; }", X=np.array([2], np.int32)), [5], "float32")
    same(result("function (X, S) -> (O) { O = X * S; }", X=np.array([2], np.float16), S=2.5), [5], "float16")
    same(result("function (X[N]) -> (O) { O = X / N; }", X=V.astype(np.float64)), V / 5, "float64")


def test_constants_fold() -> None:
    same(result("function (X[N]) -> (O) { O = (N + 2) / 2 * 1.5; }", X=V), 4.5, "float32")
    same(result("function (X[N]) -> (O) { O = N == 5 ? 10 : 20; }", X=V), 10, "int32")
    same(result("function (X) -> (O) { O = 5000000000; }", X=V), 5_000_000_000, "int64")
    same(result("function (X) -> (O) { O = sqrt(16) + max(1, 2.5); }", X=V), 6.5, "float32")
    same(result("function (X) -> (O) { O = as_int(2.9, 8); }", X=V), 2, "int8")
    same(result("function (X) -> (O) { O = as_uint(0 - 1, 16); }", X=V), 65535, "uint16")


def test_casts() -> None:
    same(result("function (X) -> (O) { O = as_bool(X); }", X=np.array([0.0, 0.5])), [False, True], "bool")
    same(result("function (X) -> (O) { O = as_float(X, 64); }", X=V), V, "float64")
    same(result("function (X) -> (O) { O = as_bfloat(X, 16); }", X=V), V, "bfloat16")


def test_whole_tensor_functions() -> None:
    same(result("function (A) -> (O) { O = shape(A); }", A=A), [4, 6], "int32")
    same(result("function (A) -> (O) { O = index(A, 0); }", A=A), np.indices((4, 6))[0], "int32")
    same(result("function (A[M, N]) -> (O) { O = reshape(A, M / 2, N * 2); }", A=A), A.reshape(2, 12))
    rows = np.array([[3, 0], [9, -1]], np.int64)
    same(result("function (A, I) -> (O) { O = gather(A, I); }", A=A, I=rows), A[np.clip(rows, 0, 3)])
    text = "function (A, I, L) -> (O) { O = scatter(A, I, L); }"
    found = result(text, A=A, I=np.array([1, 1, 5, 0], np.int32), L=np.zeros((3, 6), np.float32))
    same(found, np.stack([A[3], A[0] + A[1], A[0] * 0]))
    same(result("function (A, B) -> (O) { T = tuple(A, B, 3); O = element(T, 1) * element(T, 2); }", A=A, B=B), B * 3)


def test_prng_carries_its_state() -> None:
    state = np.arange(1, 3 * 8 + 1, dtype=np.uint32).reshape(3, 8) * np.uint32(7919)
    text = "function (S) -> (T, X) { P = prng_step(S, 4, 5); T = prng_state(P); X = prng_value(P); }"
    found = results(text, S=state)
    assert found["T"].shape == (3, 8) and found["T"].dtype == np.uint32
    assert found["X"].shape == (4, 5) and found["X"].dtype == np.float32
    assert found["X"].min() >= 0 and found["X"].max() < 1 and len(np.unique(found["X"])) > 10


def test_softmax_is_stable() -> None:
    x = A * 200
    shifted = x.astype(np.float64) - x.max(1, keepdims=True)
    wanted = np.exp(shifted) / np.exp(shifted).sum(1, keepdims=True)
    same(result("function (A[X, Y]) -> (O) { O = builtin_softmax(A, X, Y); }", A=x), wanted)
    same(
        result("function (A[X, Y]) -> (O) { O = builtin_logsoftmax(A, X, Y); }", A=x),
        shifted - np.log(np.exp(shifted).sum(1, keepdims=True)),
    )


def test_binary_crossentropy() -> None:
    p, t = np.array([0.25, 0.5, 0.9], np.float32), np.array([0, 1, 1], np.float32)
    found = result("function (P, T) -> (O) { O = builtin_binary_crossentropy(P, T, 3); }", P=p, T=t)
    same(found, -t * np.log(p) - (1 - t) * np.log(1 - p))


# scalar inputs


def test_scalar_input_is_a_run_time_argument() -> None:
    program = parse("function (A, S) -> (O) { O = A * S; }")
    two, three = (elaborate(program, None, signature({"A": V, "S": s})) for s in (2, 3))
    assert two.constants == frozenset()
    assert two.graph == three.graph


def test_scalar_input_becomes_a_constant_where_a_size_needs_it() -> None:
    text = "function (A[N], S, T) -> (O) { W = 2 * S; P = A * T; O[i : N + W] = +(P[i - S]); }"
    found = elaborated(text, A=V, S=1, T=3)
    assert found.constants == {"S"}
    assert [p.name for p in found.graph.params] == ["A", "S", "T"]
    same(result(text, A=V, S=1, T=3), [0, 3, 6, 9, 12, 15, 0])


def test_weak_parameter_types() -> None:
    params = elaborated("function (A, B, C) -> (O) { O = A + B + C; }", A=2, B=2.5, C=True).graph.params
    assert [(p.type.dtype.name, p.type.weak) for p in params] == [("i32", True), ("f32", True), ("bool", True)]


# functions

LIBRARY = """
/// Matrix product.
function matmul(A[M, K], B[K, N]) -> (C) { C[m, n] = +(A[m, k] * B[k, n]); }
function minmax(A) -> (Lo, Hi) { Lo[] = <(A[i]); Hi[] = >(A[i]); }
function scale(X, S) -> (Y) { Y = X * S; }
function chain(A, B) -> (C) { T = matmul(A, B); C = scale(T, 2) + scale(T, 3); }
function normal(A) -> (O) { (Lo, Hi) = minmax(A); O = (A - Lo) / (Hi - Lo); }
"""


def test_functions_are_inlined() -> None:
    same(result(LIBRARY, "chain", A=A, B=B), A @ B * 5)
    same(result(LIBRARY, "normal", A=V), (V - 1) / 4)
    same(result(LIBRARY + "function (A, B) -> (O) { O = scale(matmul(A, B), 2) + 1; }", A=A, B=B), A @ B * 2 + 1)


def test_constants_pass_into_functions() -> None:
    text = "function head(A[N], K) -> (O) { O[i : K] = =(A[i]); } function (A[N]) -> (O) { O = head(A, N - 2); }"
    same(result(text, A=V), [1, 2, 3])
    text = "function half(N) -> (M) { M = N / 2; } function (A[N]) -> (O) { O[i : half(N)] = =(A[i]); }"
    same(result(text, A=V), [1, 2])


def test_user_functions_shadow_builtins() -> None:
    text = "function exp(A) -> (B) { B = A + 1; } function (A) -> (O) { O = exp(A); }"
    same(result(text, A=V), V + 1)
    assert [d.code for d in elaborated(text, A=V).warnings.diagnostics] == ["TILE0109"]


def test_results_keep_their_names() -> None:
    graph = elaborated("function f(A) -> (X, Y) { X = A; Y = A + 1; } function (A) -> (P, Q) { (P, Q) = f(A); }", A=V)
    assert graph.graph.results == ("P", "Q")
    same(results("function (A) -> (O1, O2) { O1 = A; O2 = O1; }", A=V)["O2"], V)
    found = results("function (A) -> (O1, O2, O3) { T = A + 1; O1 = T; O2 = T; O3 = O2 * T; }", A=V)
    same(found["O1"], V + 1)
    same(found["O2"], V + 1)
    same(found["O3"], (V + 1) ** 2)


def test_outputs_are_not_copied() -> None:
    text = "function f(A: f32) -> (O: f32) { O = A * 2; } function (A: f32) -> (O: f32) { T = f(A); O = T; }"
    graph = elaborated(text, A=V).graph
    assert [(let.names, let.node.op) for let in graph.lets if isinstance(let.node, Apply)] == [(("O",), "mul")]


def test_declared_types() -> None:
    generic = "function <T: float>(A[K]: T, B[K]: T) -> (C: T) { C[] = +(A[k] * B[k]); }"
    same(result(generic, A=V, B=V), 55, "float32")
    same(result(generic, A=V.astype(np.float64), B=V.astype(np.float64)), 55, "float64")
    assert codes(generic, A=V, B=V.astype(np.float64)) == ["TILE0306"]
    assert codes(generic, A=V.astype(np.int32), B=V.astype(np.int32))[0] == "TILE0307"
    same(result("function (A: f64, S: f64) -> (O: f64) { O = A * S; }", A=V.astype(np.float64), S=2), V * 2, "float64")
    same(result("function (A) -> (O: f16) { O = 3; }", A=V), 3, "float16")


# 0.7's traps, now defined


def test_programs_that_aborted_in_0_7_are_defined() -> None:
    same(result("function (A) -> (O) { O = 1.5; }", A=V), 1.5, "float32")
    x = np.array([-7, 0, 7], np.int32)
    same(result("function (A, B) -> (O) { O = A / B; }", A=x, B=np.array([2, 0, 0], np.int32)), [-3, 0, 0])
    same(result("function (A) -> (O) { O = A & 3; }", A=x), x & 3)
    same(result("function (A, B) -> (O) { O = A == B; }", A=x, B=x), [True] * 3, "bool")
    same(result("function (A[N]) -> (O) { O[] = >(A[i]); }", A=V.astype(np.float16)), 5, "float16")
    condition = np.array([0, 2, 0.5, -1, 0], np.float32)
    same(result("function (A, C) -> (O) { O = C ? A : 0; }", A=V, C=condition), [0, 2, 3, 4, 0])
    same(result("function (A[N], D) -> (O) { O[i : 7] = +(A[i]) default D; }", A=V, D=1), [1, 2, 3, 4, 5, 1, 1])


# limits


def chain_of_functions(count: int, twice: bool) -> str:
    body = "f{0}(f{0}(A))" if twice else "f{0}(A)"
    text = "function f0(A) -> (B) { B = A + 1; }\n"
    text += "".join(f"function f{n + 1}(A) -> (B) {{ B = {body.format(n)}; }}\n" for n in range(count))
    return text + f"function (A) -> (O) {{ O = f{count}(A); }}"


def test_inlining_is_bounded() -> None:
    same(result(chain_of_functions(20, twice=False), A=V), V + 1)
    same(result(chain_of_functions(6, twice=True), A=V), V + 64)
    assert codes(chain_of_functions(40, twice=True), A=V) == ["TILE0417"]
    assert codes(chain_of_functions(500, twice=False), A=V) == ["TILE0411"]


def test_huge_sizes_and_constants() -> None:
    assert codes("function (A[N]) -> (O) { O[i : 1 << 63] = =(A[0]); }", A=V) == ["TILE0414"]
    assert codes("function (A[N]) -> (O) { X = 1 << 62; O = A * (X * X); }", A=V) == ["TILE0415"]
    assert codes("function (A) -> (O) { O = reshape(A, 1 << 40, 1 << 40); }", A=V) == ["TILE0414"]


@pytest.mark.parametrize("function", [None, "g"])
def test_choosing_a_function(function: str | None) -> None:
    text = "function f(A) -> (B) { B = A; } function h(A) -> (B) { B = A; }"
    assert codes(text, function, A=V) == [{None: "TILE0111", "g": "TILE0110"}[function]]


def test_to_graph_gives_a_typed_graph() -> None:
    types = {"A": TensorType(elaborated("function (A) -> (B) { B = A; }", A=V).graph.params[0].type.dtype, (5,))}
    graph = to_graph(parse("function (A) -> (B) { B = A + 1; }"), None, types)
    assert all(len(let.types) == len(let.names) for let in graph.lets)


def test_sums_of_narrow_products_are_wide() -> None:
    x = np.full(3, 100, np.int8)
    same(result("function (A[N], B[N]) -> (O) { O[]: i32 += A[i] * B[i]; }", A=x, B=x), 30_000, "int32")
    same(result("function (A[N], B[N]) -> (O) { O[]: i32 += as_int(A[i] * B[i], 8); }", A=x, B=x), 3 * 16, "int32")
    small = np.array([2049, 1], np.float16)
    text = "function (A[N], B[N]) -> (O) { O[]: f32 += A[i] * B[i]; }"
    same(result(text, A=small, B=np.array([2047, 3], np.float16)), 2048 * 2047 + 3, "float32")  # 2049 is 2048 in f16


def test_generic_type_inside_a_body() -> None:
    text = "function <T: float>(A[K]: T) -> (C: T) { S[]: T = +:f64(A[k]); C = S * 2; }"
    same(result(text, A=V), 30, "float32")


def test_scalar_beyond_64_bits() -> None:
    assert codes("function (A, S) -> (O) { O = A * S; }", A=V, S=1 << 70) == ["TILE0415"]


def test_constants_are_written_in_the_type_they_take() -> None:
    """No casts of literals: beside a strong operand a constant is made in that operand's type at once."""
    graph = elaborated("function (A, C) -> (O) { O = C ? A * 2 + 1 : 0; }", A=V.astype(np.float16), C=V > 2).graph
    assert [let.node.op for let in graph.lets if isinstance(let.node, Apply)] == ["mul", "add", "cond"]


def test_weak_constants_stay_weak_among_themselves() -> None:
    text = "function (A, C, S) -> (O) { W = C ? S : 1.5; O = A + W * 2; }"
    same(result(text, A=V.astype(np.float16), C=V > 2, S=3), [4, 5, 9, 10, 11], "float16")


def test_fractional_index_values_are_as_precise_as_what_is_beside_them() -> None:
    found = result("function (A[N]) -> (O) { O[i] = A[i] * (i / 3); }", A=np.ones(5))
    np.testing.assert_array_equal(found, np.arange(5) / 3)
    found = result("function (A[N]) -> (O) { O[i] = A[i] * (i / 4 + 1/2); }", A=np.ones(5, np.float16))
    same(found, np.arange(5) / 4, "float16")  # 1/2 stands alone: integers, 0


def test_weak_value_in_a_declared_output() -> None:
    """The conversion, not the unconverted value, has the output's name."""
    text = "function (S) -> (O: f16, P) { O = S * 2; P = O + 1; }"
    found = elaborated(text, S=3)
    names = [n for let in found.graph.lets for n in let.names]
    assert len(names) == len(set(names))
    assert found.graph.results == ("O", "P")
    same(results(text, S=3)["O"], 6, "float16")
    same(results(text, S=3)["P"], 7, "int32")  # the statements see the value before its conversion
    same(result("function (S) -> (O: i64) { O = S * 2.5; }", S=3), 7, "int64")


def test_a_program_that_is_too_large_is_told_once() -> None:
    long = " + ".join(["A"] * 150)
    body = " ".join(f"B{k} = {long};" for k in range(150))
    assert codes(f"function (A) -> (B0) {{ {body} }}", A=V) == ["TILE0417"]
