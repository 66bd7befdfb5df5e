"""Kernels that write over their operands, and donated parameters, against the evaluator's pure meaning."""

from __future__ import annotations

import random

import numpy as np
import pytest

from tilec.affine import Affine
from tilec.dtypes import F32
from tilec.evaluate.graph import evaluate
from tilec.evaluate.loops import evaluate_program
from tilec.expr import read
from tilec.graph import Apply, Contraction, Graph, Let, Param, Sink, Special, TensorType
from tilec.loops import Copy, Program
from tilec.monoid import standard
from tilec.numpy_semantics import Array
from tilec.passes import bounds, fuse, in_place, lower, place
from tilec.pipeline import BACKENDS, backend, lower_graph
from tilec.text.loops_text import parse_program, print_program
from tilec.type_graph import infer_graph
from tilec.verify.loops import verify_program

SQUARE, ROW = (4, 4), (1, 4)


def random_state_program(seed: int) -> Graph:
    """A program of f32[4, 4] tensors whose results may take the memory of any parameters."""
    rng = random.Random(seed)
    params = [Param(f"P{k}", TensorType(F32, SQUARE if k < 3 else ROW)) for k in range(4)]
    known = [p.name for p in params]
    lets: list[Let] = []
    for k in range(rng.randint(2, 9)):
        square = [n for n in known if n != "P3"]
        a, b, any_ = rng.choice(square), rng.choice(square), rng.choice(known)
        lets.append(Let((f"T{k}",), _node(rng.choice("eeeeuutsrr"), a, b, any_)))
        known.append(f"T{k}")
    square = [n for n in known if n != "P3"]
    results = tuple(rng.choice(square[-6:]) for _ in range(rng.randint(1, 4)))
    pairs = zip(rng.sample(["P0", "P1", "P2"], 3), dict.fromkeys(results))
    return infer_graph(Graph("f", tuple(params), tuple(lets), results, (), tuple(pairs)))


def _node(kind: str, a: str, b: str, any_: str) -> Apply | Contraction | Special:
    i, j, k = map(Affine.var, "ijk")
    square = (Sink((i, j), SQUARE),)
    match kind:
        case "e":
            return Apply("add", (a, any_))
        case "u":
            return Apply("sigmoid", (a,))
        case "t":
            return Contraction(("i", "j"), standard("assign", F32), (read(a, (j, i), F32),), square)
        case "s":
            return Contraction(("i", "j", "k"), standard("max", F32), (read(a, (i, k), F32),), square)
        case _:
            return Special("reshape", (b,), (("shape", SQUARE),))


def values(graph: Graph, seed: int) -> dict[str, Array]:
    rng = np.random.default_rng(seed)
    return {p.name: rng.standard_normal([int(str(s)) for s in p.type.shape]).astype(np.float32) for p in graph.params}


def check(program: Program, graph: Graph, inputs: dict[str, Array]) -> None:
    verify_program(program, scheduled=False)
    want, got = evaluate(graph, inputs), evaluate_program(program, inputs)
    for param, result in graph.aliases:
        assert program.results[graph.results.index(result)] == param
    for name, buffer in zip(graph.results, program.results, strict=True):
        np.testing.assert_array_equal(got[buffer], want[name], err_msg=print_program(program))


@pytest.mark.parametrize("fused", [True, False])
def test_random_programs(fused: bool) -> None:
    saved = 0
    for seed in range(300):
        graph = bounds.run(random_state_program(seed))
        before = lower.run(graph, fuse.run(graph) if fused else fuse.trivial(graph))
        after = in_place.run(before)
        inputs = values(graph, seed)
        check(place.run(before), graph, inputs)
        check(place.run(after), graph, inputs)
        assert len(after.buffers) <= len(before.buffers)
        saved += len(before.buffers) - len(after.buffers)
    assert saved > 100


@pytest.mark.parametrize("name", BACKENDS)
def test_random_programs_compiled(name: str) -> None:
    if not (targets := backend(name).targets()):
        pytest.skip(f"there is no {name} device")
    target = targets[0]
    for seed in range(300, 316):
        graph = bounds.run(random_state_program(seed))
        program = lower_graph(graph, target)
        inputs = values(graph, seed)
        want = evaluate(graph, inputs)
        arrays = {n: x.copy() for n, x in inputs.items()}
        results = [arrays[r] if r in arrays else np.zeros(SQUARE, np.float32) for r in program.results]
        backend(name).build(program, target, {})([arrays[p] for p in program.params], results)
        for result, found in zip(graph.results, results, strict=True):
            np.testing.assert_allclose(found, want[result], rtol=3e-6, atol=1e-6, err_msg=print_program(program))


KERNELS = {
    "another cell": "for i in 4 { B[i] = neg(A[-i + 3]) }",
    "read again by a later iteration": "for i in 4 { for j in 4 { B[i] = A[i] } }",
    "read by another nest": "for i in 4 { B[i] = A[i] } for j in 4 { C[j] = A[j] }",
    "aggregated": "for i in 4 { B[i] sum= A[i] }",
    "behind a condition": "for i in 4 { if -i + 2 >= 0 { B[i] = A[i] } }",
    "stored twice": "for i in 4 { B[i] = A[i] } for j in 4 { B[j] = A[j] }",
}


@pytest.mark.parametrize("name", KERNELS)
def test_kernels_that_cannot_store_in_place(name: str) -> None:
    body = KERNELS[name]
    other, use = (", out C: f32[4]", ", C") if "C[" in body else ("", "")
    text = f"""program p(X) -> (Y) {{
      buffer X: param f32[4] buffer A: heap f32[4] buffer B: heap f32[4] buffer C: heap f32[4] buffer Y: param f32[4]
      kernel make(in X: f32[4], out A: f32[4]) {{ for i in 4 {{ A[i] = X[i] }} }}
      kernel k(in A: f32[4], out B: f32[4]{other}) {{ {body} }}
      run {{ launch make(X, A) launch k(A, B{use}) copy B -> Y }} }}"""
    program = parse_program(text)
    assert in_place.run(program) is program


def test_a_kernel_launched_twice_is_left_alone() -> None:
    text = """program p(X, Z) -> (Y) {
      buffer X: param f32[4] buffer Z: param f32[4] buffer A: heap f32[4] buffer B: heap f32[4] buffer Y: param f32[4]
      kernel k(in A: f32[4], out B: f32[4]) { for i in 4 { B[i] = neg(A[i]) } }
      run { launch k(X, A) launch k(A, B) copy B -> Y } }"""
    program = parse_program(text)
    assert in_place.run(program) is program


def test_adam_updates_all_its_state_without_copies_or_memory_of_its_own() -> None:
    from tilec.frontends.tile.elaborate import elaborate
    from tilec.frontends.tile.parser import parse

    code = """function adam(W[N], M[N], V[N], G[N]) -> (W2, M2, V2) {
      M2 = 0.9 * M + 0.1 * G;  V2 = 0.99 * V + 0.01 * G * G;  W2 = W - 0.001 * M2 / (sqrt(V2) + 1e-8);
    }"""
    found = elaborate(parse(code, "adam"), None, {n: TensorType(F32, (1000,)) for n in "WMVG"}).graph
    graph = bounds.run(infer_graph(found))
    graph = Graph(graph.name, graph.params, graph.lets, graph.results, (), (("W", "W2"), ("M", "M2"), ("V", "V2")))
    program = in_place.run(lower.run(graph, fuse.run(graph)))
    assert program.results == ("W", "M", "V")
    assert not any(isinstance(s, Copy) for s in program.steps)
    assert [b.name for b in program.buffers] == ["W", "M", "V", "G"]
    assert [p.mode for k in program.kernels for p in k.params].count("inout") == 3
    rng = np.random.default_rng(0)
    inputs = {n: rng.random(1000, np.float32) for n in "WMVG"}
    want, got = evaluate(graph, inputs), evaluate_program(place.run(program), inputs)
    for name, buffer in zip(graph.results, program.results):
        np.testing.assert_array_equal(got[buffer], want[name])
