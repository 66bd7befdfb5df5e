"""Kernels that write over their operands, and donated parameters, against the evaluator's pure meaning."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest

import tilec
from tests.generators.control import arguments, control_graph
from tilec.affine import Affine, Poly, Size, named_size
from tilec.dtypes import F32
from tilec.evaluate.graph import evaluate
from tilec.evaluate.loops import evaluate_program
from tilec.expr import read
from tilec.graph import Apply, Contraction, Graph, Let, Param, Sink, Special, TensorType
from tilec.loops import Copy, Program
from tilec.monoid import standard
from tilec.numpy_semantics import Array
from tilec.passes import bounds, fuse, in_place, lower, place, slices
from tilec.pipeline import BACKENDS, backend, lower_graph
from tilec.text.loops_text import parse_program, print_program
from tilec.type_graph import infer_graph
from tilec.verify.loops import verify_program


def random_state_program(seed: int, size: Size = 4) -> Graph:
    """A program of f32[size, size] tensors whose results may take the memory of any parameters."""
    rng = random.Random(seed)
    params = [Param(f"P{k}", TensorType(F32, (size if k < 3 else 1, size))) for k in range(4)]
    known = [p.name for p in params]
    lets: list[Let] = []
    for k in range(rng.randint(2, 9)):
        square = [n for n in known if n != "P3"]
        a, b, any_ = rng.choice(square), rng.choice(square), rng.choice(known)
        lets.append(Let((f"T{k}",), _node(rng.choice("eeeeuutsrr"), a, b, any_, size)))
        known.append(f"T{k}")
    square = [n for n in known if n != "P3"]
    results = tuple(rng.choice(square[-6:]) for _ in range(rng.randint(1, 4)))
    pairs = zip(rng.sample(["P0", "P1", "P2"], 3), dict.fromkeys(results))
    sizes = tuple(size.names()) if isinstance(size, Poly) else ()
    return infer_graph(Graph("f", tuple(params), tuple(lets), results, sizes, tuple(pairs)))


def _node(kind: str, a: str, b: str, any_: str, size: Size) -> Apply | Contraction | Special:
    i, j, k = map(Affine.var, "ijk")
    square = (Sink((i, j), (size, size)),)
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
            return Special("reshape", (b,), (("shape", (size, size)),))


def values(graph: Graph, seed: int) -> dict[str, Array]:
    rng = np.random.default_rng(seed)
    return {p.name: rng.standard_normal([int(str(s)) for s in p.type.shape]).astype(np.float32) for p in graph.params}


def check(program: Program, graph: Graph, inputs: dict[str, Array], sizes: Mapping[str, int] | None = None) -> None:
    verify_program(program, scheduled=False)
    want, got = evaluate(graph, inputs), evaluate_program(program, inputs, sizes=sizes)
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


@pytest.mark.parametrize("fused", [True, False])
def test_random_loops_and_branches(fused: bool) -> None:
    saved = 0
    for seed in range(2000, 2060):
        graph = bounds.run(infer_graph(control_graph(seed)))
        before = lower.run(graph, fuse.run(graph) if fused else fuse.trivial(graph))
        after = in_place.run(before)
        check(place.run(after), graph, arguments(graph, seed))
        saved += len(before.buffers) - len(after.buffers)
    assert saved > 60


BODY = """
program f(A) -> (A) {
  buffer A: param f32[4]
  buffer B: heap f32[4]
  buffer C: heap f32[4]
  buffer D: heap f32[4]
  kernel first(in a: f32[4], out b: f32[4]) { for i in 4 { b[i] = exp(a[i]) } }
  kernel second(in b: f32[4], out c: f32[4]) { for i in 4 { c[i] = neg(b[i]) } }
  kernel third(in c: f32[4], out d: f32[4]) { for i in 4 { d[i] = sqrt(c[i]) } }
  kernel last(in x: f32[4], inout a: f32[4]) { for i in 4 { a[i] sum= x[i] } }
  run { STEPS }
}
"""
LOOP = "iterate t in 3 do { launch first(A, B) launch second(B, C) launch third(C, D) launch last(D, A) }"


def buffers(steps: str) -> list[str]:
    return [b.name for b in in_place.run(parse_program(BODY.replace("STEPS", steps))).buffers]


def test_temporaries_of_a_body_are_stored_over_one_another() -> None:
    assert buffers(LOOP) == ["A", "B"]


def test_what_is_needed_outside_of_the_body_or_goes_round_is_not_overwritten() -> None:
    assert buffers(f"{LOOP} launch last(C, A)") == ["A", "B", "C", "D"]  # C is read after the loop
    goes_round = LOOP.replace("launch first(A, B)", "launch last(C, A) launch first(A, B)")
    assert buffers(f"launch first(A, C) {goes_round}") == ["A", "B", "C", "D"]


def test_random_programs_with_open_sizes() -> None:
    """The same programs with N for 4, in kernels over slices: the meaning is that of the size given as a number."""
    saved = 0
    for seed in range(50):
        graph = bounds.run(random_state_program(seed, named_size("N")))
        before = lower.run(graph, fuse.run(graph))
        after = in_place.run(before)
        saved += len(before.buffers) - len(after.buffers)
        cut = slices.run(after, slices.Options(work=1, least=4, most=4))
        for size in (0, 1, 4, 6):
            closed = random_state_program(seed, size)
            inputs = values(closed, seed)
            check(after, closed, inputs, {"N": size})
            check(cut, closed, inputs, {"N": size})
    assert saved > 20


def _distinct(graph: Graph) -> Graph:
    """Without results that are named twice, which an executable could not tell apart."""
    return replace(graph, results=tuple(dict.fromkeys(graph.results)))


@pytest.mark.parametrize("name", BACKENDS)
def test_random_programs_with_open_sizes_compiled(name: str) -> None:
    if not (targets := backend(name).targets()):
        pytest.skip(f"there is no {name} device")
    for seed in range(300, 316 if name == "llvm" else 304):
        executable = tilec.compile(_distinct(random_state_program(seed, named_size("N"))), targets[0])
        assert executable.sizes == ("N",)
        for size in (0, 1, 5, 70):
            closed = _distinct(random_state_program(seed, size))
            inputs = values(closed, seed)
            want = evaluate(closed, inputs)
            given = {n: x.copy() for n, x in inputs.items()}
            found = dict(zip(executable.results, executable.run((), given), strict=True))
            for param, result in closed.aliases:
                assert found[result] is given[param]
            for result, array in found.items():
                np.testing.assert_allclose(array, want[result], rtol=3e-6, atol=1e-6, err_msg=f"{seed}, N = {size}")


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
        results = [arrays[r] if r in arrays else np.zeros((4, 4), np.float32) for r in program.results]
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


def test_state_of_open_size_is_updated_in_place() -> None:
    code = "function step(W[N], M[N], G[N]) -> (W2, M2) { M2 = 0.9 * M + G;  W2 = W - 0.1 * M2; }"
    step = tilec.compile(code, "llvm", donate={"W": "W2", "M": "M2"}, W="f32[N]", M="f32[N]", G="f32[N]")
    assert step.program is not None
    assert not [b for b in step.program.buffers if b.space == "heap"]
    for size in (0, 1, 1000):
        w, m, g = (np.full(size, x, np.float32) for x in (1, 2, 4))
        assert [x is y for x, y in zip(step(w, m, g), (w, m))] == [True, True]
        np.testing.assert_allclose(m, np.full(size, 5.8), rtol=1e-6)
        np.testing.assert_allclose(w, np.full(size, 0.42), rtol=1e-6)
