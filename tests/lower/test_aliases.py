"""Results that share a parameter's memory are stored there when nothing reads the parameter any more."""

from __future__ import annotations

import numpy as np
import pytest

from tilec.evaluate.graph import evaluate
from tilec.evaluate.loops import evaluate_program
from tilec.loops import Copy
from tilec.passes import bounds, fuse, in_place, infer, lower, place
from tilec.text.graph_text import parse_graph
from tilec.text.loops_text import print_program
from tilec.verify.loops import verify_program

GRAPHS = {
    "read after": """graph f(A: f32[4]) -> (B, C) aliases (A = B) {
      B = exp(A)  S = sum:f32 [i] { [ : ] <- B[i] }  C = add(A, S)
    }""",
    "swap": "graph f(A: f32[4], B: f32[4]) -> (B, A) aliases (A = B, B = A) { }",
    "given back": "graph f(A: f32[4]) -> (A) aliases (A = A) { }",
    "also a result": "graph f(A: f32[4], B: f32[4]) -> (C, A) aliases (A = C) { C = add(A, B) }",
    "reshape": """graph f(A: f32[4]) -> (R, C) aliases (A = R) {
      B = exp(A)  V = special reshape(B) {shape = (2, 2)}  R = special reshape(V) {shape = (4)}  C = neg(A)
    }""",
    "state": """graph f(S: f32[4], X: f32[4]) -> (T, Y) aliases (S = T) {
      T = add(S, X)  Y = sum:f32 [i, j] { [i : 4] <- mul(S[j], T[i]) }
    }""",
    "twice a result": "graph f(A: f32[4], B: f32[4]) -> (C, C, A) aliases (A = C) { C = mul(A, B) }",
    "an old value, reshaped": """graph f(A: f32[4], B: f32[4]) -> (C, V) aliases (A = C, B = V) {
      C = mul(A, B)  R = special reshape(A) {shape = (2, 2)}  V = special reshape(R) {shape = (4)}
    }""",
    "update": "graph f(A: f32[4], G: f32[4]) -> (B) aliases (A = B) { T = exp(G)  B = sub(A, T) }",
    "momentum": """graph f(A: f32[4], M: f32[4], G: f32[4]) -> (B, N) aliases (A = B, M = N) {
      h = literal f32 (0.5)  m = mul(M, h)  N = add(m, G)  B = sub(A, N)
    }""",
    "needed later": """graph f(A: f32[4], G: f32[4]) -> (B, S) aliases (A = B) {
      T = exp(G)  B = sub(A, T)  E = exp(A)  S = sum:f32 [i, j] { [i : 4] <- mul(A[j], E[i]) }
    }""",
    "mirrored": "graph f(A: f32[4]) -> (B) aliases (A = B) { B = assign:f32 [i] { [i : 4] <- A[3 - i] } }",
    "broadcast": "graph f(A: f32[4], S: f32) -> (B, T) aliases (A = B, S = T) { B = sub(A, S)  T = neg(S) }",
}
# Copies that are left. "read after" and "state" need the old and the new value at once.
COPIES = {"update": 0, "momentum": 0, "needed later": 0, "given back": 0, "broadcast": 0, "reshape": 1, "mirrored": 1,
          "read after": 1, "state": 1}


@pytest.mark.parametrize("partition", [fuse.run, fuse.trivial])
@pytest.mark.parametrize("name", GRAPHS)
def test_values(name: str, partition: object) -> None:
    graph = bounds.run(infer.run(parse_graph(GRAPHS[name])))
    assert callable(partition)
    lowered = lower.run(graph, partition(graph))
    inputs = {p.name: np.linspace(0.5 + k, 2, 4).astype(np.float32) for k, p in enumerate(graph.params)}
    inputs |= {p.name: inputs[p.name][0] for p in graph.params if not p.type.shape}
    want = evaluate(graph, inputs)
    for program in (place.run(lowered), place.run(in_place.run(lowered))):
        verify_program(program)
        for param, result in graph.aliases:
            assert program.results[graph.results.index(result)] == param
        got = evaluate_program(program, inputs)
        for r, buffer in zip(graph.results, program.results):
            np.testing.assert_array_equal(got[buffer], want[r], err_msg=print_program(program))
    if name in COPIES:
        assert sum(isinstance(s, Copy) for s in program.steps) == COPIES[name]
