"""Shapes of lowered programs: views, copies, literals, constants, fused kernels; and whole-tensor operations."""

from __future__ import annotations

import numpy as np
import pytest

from tilec.evaluate.graph import evaluate
from tilec.evaluate.loops import evaluate_program
from tilec.graph import Graph
from tilec.loops import Copy, For, Launch, Program, Store, walk
from tilec.numpy_semantics import Array
from tilec.passes import bounds, fuse, infer, inline, lower, place, recompute
from tilec.text.graph_text import parse_graph
from tilec.text.loops_text import print_program
from tilec.verify.loops import verify_program


def bounded(text: str) -> Graph:
    return bounds.run(recompute.run(inline.run(infer.run(parse_graph(text)))))


def compiled(text: str, fused: bool = True, sequential: bool = False) -> Program:
    graph = bounded(text)
    options = lower.Options(sequential)
    program = place.run(lower.run(graph, fuse.run(graph) if fused else fuse.trivial(graph), options))
    verify_program(program)
    return program


def agree(text: str, sequential: bool = False, /, **inputs: Array) -> Program:
    """Compares with the evaluator, fused and not; returns the fused program."""
    want = list(evaluate(infer.run(parse_graph(text)), inputs).values())
    for fused in (False, True):
        program = compiled(text, fused, sequential)
        got = evaluate_program(program, inputs)
        for value, name in zip(want, program.results, strict=True):
            np.testing.assert_array_equal(got[name], value, strict=True, err_msg=print_program(program))
    return program


X = np.arange(12, dtype=np.float32).reshape(3, 4) - 5


def test_bias_and_relu_share_the_kernel_of_the_product() -> None:
    text = """graph f(A: f32[3, 4], B: f32[4, 5], b: f32[5]) -> (R) {
      C = sum:f32 [m, n, k] { [m, n: 3, 5] <- mul(A[m, k], B[k, n]) }
      D = add(C, b)
      R = relu(D)
    }"""
    program = agree(text, A=X, B=X.reshape(4, 3).repeat(2, 1)[:, :5].copy(), b=X[0, [0, 1, 2, 3, 3]].copy())
    assert len(program.kernels) == 1
    assert [s.buffer for s in walk(program.kernels[0].body) if isinstance(s, Store)] == ["C", "C", "R"]


def test_chain_is_one_kernel_with_one_store() -> None:
    lines = "".join(f"T{k + 1} = neg(T{k})\n" for k in range(300))
    program = agree(f"graph f(T0: f32[3, 4]) -> (T300) {{ {lines} }}", T0=X)
    assert len(program.kernels) == 1
    assert sum(isinstance(s, Store) for s in walk(program.kernels[0].body)) == 1


def test_squaring_chain_does_not_explode() -> None:
    lines = "".join(f"T{k + 1} = mul(T{k}, T{k})\n" for k in range(100))
    program = agree(f"graph f(T0: f32[3, 4]) -> (T100) {{ {lines} }}", T0=X / 8)
    assert len(print_program(program)) < 50_000


def test_expensive_values_are_not_recomputed() -> None:
    text = """graph f(A: f32[3, 4], B: f32[4, 3]) -> (C) {
      E = exp(A)
      C = sum:f32 [m, n, k] { [m, n: 3, 3] <- mul(E[m, k], B[k, n]) }
    }"""
    assert len(agree(text, A=X, B=X.reshape(4, 3)).kernels) == 2
    once = "graph f(A: f32[3, 4]) -> (C) { E = exp(A)  C = sum:f32 [m, k] { [m: 3] <- E[m, k] } }"
    assert len(agree(once, A=X).kernels) == 1


def test_kept_result_of_a_fused_kernel() -> None:
    text = """graph f(A: f32[3, 4]) -> (E, R) {
      E = exp(A)
      R = add(E, A)
    }"""
    program = agree(text, A=X)
    assert len(program.kernels) == 1


def test_definition_is_one_nest_of_plain_stores() -> None:
    program = agree("graph f(A: f32[3, 4]) -> (O) { O = assign:f32 [i, j] { [i, j: 4, 3] <- A[j, i] } }", A=X)
    assert [s.monoid for s in walk(program.kernels[0].body) if isinstance(s, Store)] == [None]


def test_guards_stand_where_they_are_determined() -> None:
    text = """graph f(A: f32[9], B: f32[3]) -> (O) {
      O = sum:f32 [x, k, i] { [x: 9] <- mul(A[x + k - 1], mul(B[k], A[i])) }
    }"""
    program = agree(text, A=np.ones(9, np.float32), B=np.ones(3, np.float32))
    printed = print_program(program)
    assert printed.index("for k in 3") < printed.index("if ") < printed.index("for i in 9")


def test_reshape_is_a_view() -> None:
    text = """graph f(A: f32[3, 4]) -> (R) {
      V = special reshape(A) {shape = (2, 6)}
      W = special reshape(V) {shape = (12, 1)}
      R = neg(W)
    }"""
    program = agree(text, A=X)
    assert [b.base for b in program.buffers if b.base] == ["A", "A"]
    assert len(program.kernels) == 1


def test_reshape_of_a_result_is_a_copy() -> None:
    text = """graph f(A: f32[3, 4]) -> (N, V) {
      N = neg(A)
      V = special reshape(N) {shape = (4, 3)}
    }"""
    assert any(isinstance(s, Copy) for s in agree(text, A=X).steps)


def test_parameter_as_result_and_result_given_twice() -> None:
    program = compiled("graph f(A: f32[3, 4]) -> (A) { }")
    assert program.results == ("A.1",)
    got = evaluate_program(program, {"A": X})
    np.testing.assert_array_equal(got["A.1"], X)


def test_tensor_literals_are_stored_once_by_init() -> None:
    text = """graph f(A: f32[3, 4]) -> (R) {
      L = literal f32[4] (1.5, 2.5, -3.0, 0.0)
      M = exp(L)
      R = mul(A, M)
    }"""
    program = agree(text, A=X)
    assert len(program.steps) == 1
    assert program.init


def test_literal_result_is_stored_by_every_call() -> None:
    program = agree("graph f() -> (L) { L = literal f32[2, 2] (1.0, 2.0, 3.0, 4.0) }")
    assert not program.init
    assert len(agree("graph f() -> (L) { L = literal i32[2, 2] (7) }").steps) == 1


def test_constant_parameters_are_folded_into_init() -> None:
    text = 'graph f(A: f32[3, 4], W: f32[4] const "abc") -> (R) { M = exp(W)  R = mul(A, M) }'
    program = compiled(text, fused=False)
    assert program.params == ("A",)
    assert program.constants == (("W", "abc"),)
    assert [s.kernel for s in program.init if isinstance(s, Launch)] == ["k0_M"]
    got = evaluate_program(program, {"A": X, "W": X[0]})
    np.testing.assert_allclose(got["R"], X * np.exp(X[0]), rtol=1e-6)


CONSTANT_ONLY = {  # body, launches before the first call, launches of a call
    "a product's operand is scaled": ("S = mul(W, c)  Y = sum:f32 [i, j] { [i: 3] <- mul(A[i, j], S[j]) }", 1, 1),
    "a cast": ("S = cast.f64(W)  B = cast.f64(A)  Y = add(B, S)", 1, 1),
    "part of an elementwise chain": ("S = exp(W)  T = mul(S, c)  U = add(A, T)  Y = relu(U)", 1, 1),
    "a sum, and what follows it": ("S = sum:f32 [j] { [ : ] <- W[j] }  D = div(W, S)  Y = add(A, D)", 2, 1),
    "a reshape between": ("S = exp(W)  V2 = special reshape(S) {shape = (1, 4)}  T = neg(V2)  Y = add(A, T)", 2, 1),
    "nothing but constants": ("Y = exp(W)", 0, 1),
    "cheap, and larger than what it is made of": ("S = add(W, V)  Y = sub(A, S)", 0, 1),
}


@pytest.mark.parametrize("name", CONSTANT_ONLY)
def test_what_constants_decide_is_computed_before_the_first_call(name: str) -> None:
    body, once, always = CONSTANT_ONLY[name]
    text = f'''graph f(A: f32[3, 4], W: f32[4] const "1", V: f32[3, 1] const "2") -> (Y) {{
      c = literal f32 (0.5)  {body} }}'''
    program = agree(text, A=X, W=X[0], V=X[:, :1])
    assert [sum(isinstance(s, Launch) for s in steps) for steps in (program.init, program.steps)] == [once, always]


@pytest.mark.parametrize("dtype", ["i32", "u8", "i64", "u64", "i8"])
def test_gather_clamps_and_scatter_drops(dtype: str) -> None:
    index = np.array([[0, 2, 1, 1], [3, -1, -100, 200]]).astype({"u": "uint", "i": "int"}[dtype[0]] + dtype[1:])
    gather = f"graph f(A: f32[3, 4], I: {dtype}[2, 4]) -> (G) {{ G = special gather(A, I) }}"
    agree(gather, A=X, I=index)
    scatter = f"graph f(U: f32[2, 4, 4], I: {dtype}[2, 4], L: f32[3, 4]) -> (S) {{ S = special scatter(U, I, L) }}"
    agree(scatter, U=np.arange(32, dtype=np.float32).reshape(2, 4, 4), I=index, L=X)


@pytest.mark.parametrize("shape", ["5, 3", "4, 2", "1, 1", "20, 3"])
def test_random_numbers(shape: str) -> None:
    step = f"graph f(S: u32[3, 7]) -> (T, V) {{ T, V = special prng_step(S) {{shape = ({shape})}} }}"
    state = np.random.default_rng(1).integers(128, 1 << 32, (3, 7), np.uint32)
    agree(step, S=state)
    agree(step.replace("(T, V) {", "(V) {", 1), S=state)
    for op in ("random_bits", "random_bits64"):
        bits = f"graph f(K: u32[2], o: u64) -> (R) {{ B = special {op}(K, o) {{shape = ({shape})}} R = bit_not(B) }}"
        program = agree(bits, K=np.array([12345, 0xFFFFFFFF], np.uint32), o=np.array(2**64 - 4, np.uint64))
        assert len(program.kernels) == 1


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("dtype", ["f32", "i8", "bool", "f16"])
def test_sort(axis: int, dtype: str) -> None:
    numpy = {"f32": np.float32, "i8": np.int8, "bool": np.bool_, "f16": np.float16}[dtype]
    values: Array = np.array([[3, 1, 2, 1, 0], [0, 0, 5, 5, -1], [2, 7, 2, 2, 2]]).astype(numpy)
    if dtype[0] == "f":
        values[0, 1], values[1, 4], values[2, 0] = np.nan, -np.inf, np.nan
    text = f"graph f(A: {dtype}[3, 5]) -> (S, O) {{ S, O = special sort(A) {{axis = {axis}}} }}"
    agree(text, A=values)
    agree(text.replace("(S, O) {", "(O) {", 1), A=values)


@pytest.mark.parametrize("sequential", [False, True])
@pytest.mark.parametrize("shape, axis", [((65,), 0), ((2, 130), 1), ((100, 3), 0), ((128,), 0)])
@pytest.mark.parametrize("dtype", ["f32", "u64", "i8"])
def test_long_axes_are_sorted_by_merging(shape: tuple[int, ...], axis: int, dtype: str, sequential: bool) -> None:
    rng = np.random.default_rng(len(shape))
    values: Array = rng.integers(0, 40, shape).astype({"f32": "f4", "u64": "u8", "i8": "i1"}[dtype])
    if dtype == "f32":
        values[values == 7], values[values == 9] = np.nan, -np.inf
    sizes = ", ".join(map(str, shape))
    for results in ("S, O", "O"):
        text = f"graph f(A: {dtype}[{sizes}]) -> ({results}) {{ S, O = special sort(A) {{axis = {axis}}} }}"
        agree(text, sequential, A=values)


def test_host_calls_are_steps() -> None:
    text = """graph f(A: f32[3, 3]) -> (R) {
      H = special host_call(A) {function = "inv", types = ((f32, 3, 3),)}
      R = neg(H)
    }"""
    program = compiled(text)
    a = np.diag(np.array([1, 2, 4], np.float32))
    got = evaluate_program(program, {"A": a})
    np.testing.assert_array_equal(got["R"], -np.linalg.inv(a))


def test_arg_max_has_two_components() -> None:
    """A monoid over (value, place): ties go to the smallest place."""
    text = """graph f(A: f32[3, 4]) -> (V, P) {
      V: f32[3], P: i32[3] = monoid argmax(-inf:f32, 0:i32) (
        max(a0, b0), cond(cmp_ge(a0, b0), a1, b1)) [i, j] {
        [i] <- A[i, j]; [i] <- $(j):i32 }
    }"""
    agree(text, A=np.array([[1, 5, 5, 2], [-3, -4, -3, -9], [0, 0, 0, 0]], np.float32))


def test_remat_and_custom_are_inlined() -> None:
    text = """graph f(A: f32[3, 4]) -> (R) {
      B = remat(A) do graph g(T: f32[3, 4]) -> (R) { A = neg(T)  R = exp(A) }
      R = add(B, A)
    }"""
    agree(text, A=X)


def test_empty_domain_and_empty_tensors() -> None:
    text = "graph f(A: f32[3, 4], D: f32[3]) -> (O) { O = max:f32 [i, j] { [i: 3] <- A[i, j + 10] } default D }"
    agree(text, A=X, D=X[:, 0].copy())
    agree("graph f(A: f32[0, 4]) -> (O) { O = sum:f32 [i, j] { [j: 4] <- A[i, j] } }", A=X[:0])
    agree("graph f(A: f32[0, 4]) -> (O) { O = neg(A) }", A=X[:0])
    agree("graph f(A: f32) -> (O) { O = sum:f32 [] { [1: 2] <- A[] } }", A=np.array(3, np.float32))


def test_loops_are_serial_and_their_names_differ() -> None:
    text = """graph f(A: f16[3, 4], B: f16[4, 5]) -> (C) {
      C: f16[3, 5] = sum:f32 [m, n, k] { [m, n] <- mul(cast.f32(A[m, k]), cast.f32(B[k, n])) }
    }"""
    (kernel,) = compiled(text).kernels
    loops = [s for s in walk(kernel.body) if isinstance(s, For)]
    assert len({s.index for s in loops}) == len(loops) == 7
    assert {s.kind for s in loops} == {"serial"}
    assert [s.index for s in loops[2:5]] == ["m", "n", "k"]


def test_long_chains_of_what_costs_nothing() -> None:
    """Transpositions are inlined into one another, but not without end."""
    lines = "".join(f"T{k + 1} = assign:f32 [i, j] {{ [i, j : 2, 2] <- T{k}[j, i] }}\n" for k in range(1500))
    graph = bounds.run(infer.run(parse_graph(f"graph f(T0: f32[2, 2]) -> (T1500) {{ {lines} }}")))
    program = lower.run(graph, fuse.run(graph))
    x = np.arange(4, dtype=np.float32).reshape(2, 2)
    np.testing.assert_array_equal(evaluate_program(program, {"T0": x})["T1500"], x)


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize(
    "lets",
    [
        "L = literal f32 (3.0)  V = special reshape(L) {shape = (1, 1)}  R = add(V, A)",
        "L = literal f32[4] (3.0)  V, W = special sort(L) {axis = 0}  R = add(V, A)",
        "L = literal u32[2] (7)  o = literal u64 (3)  V = special random_bits(L, o) {shape = (4)}  R = cast.f32(V)",
        "L = literal u32[3, 2] (3)  W, V = special prng_step(L) {shape = (4)}  R = add(V, A)",
    ],
)
def test_specials_read_literals_from_memory(lets: str, fused: bool) -> None:
    text = f"graph f(A: f32[4]) -> (R) {{ {lets} }}"
    inputs = {"A": np.arange(4, dtype=np.float32)}
    want = evaluate(bounded(text), inputs)["R"]
    np.testing.assert_array_equal(evaluate_program(compiled(text, fused), inputs)["R"], want)
