"""Results that share a parameter's memory are stored there when nothing reads the parameter any more."""

from __future__ import annotations

import numpy as np
import pytest

from tilec.evaluate.graph import evaluate
from tilec.evaluate.loops import evaluate_program
from tilec.passes import bounds, fuse, infer, lower, place
from tilec.text.graph_text import parse_graph
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
}


@pytest.mark.parametrize("partition", [fuse.run, fuse.trivial])
@pytest.mark.parametrize("name", GRAPHS)
def test_values(name: str, partition: object) -> None:
    graph = bounds.run(infer.run(parse_graph(GRAPHS[name])))
    assert callable(partition)
    program = place.run(lower.run(graph, partition(graph)))
    verify_program(program)
    assert len(program.aliases) == len(graph.aliases)
    inputs = {p.name: np.linspace(0.5 + k, 2, 4).astype(np.float32) for k, p in enumerate(graph.params)}
    want, got = evaluate(graph, inputs), evaluate_program(program, inputs)
    for r, buffer in zip(graph.results, program.results):
        np.testing.assert_array_equal(got[buffer], want[r])
