"""Checkpoints save memory: what they compute is computed again for the gradient, and not merged with the first time."""

from __future__ import annotations

import numpy as np
import pytest

from tilec import grad
from tilec.graph import AGAIN, Graph
from tilec.pipeline import lower_graph, optimise, resolve_target

M, N = 64, 32
MATRIX = M * N * 4  # bytes
LAYERS = {
    "pointwise": """
function layer(X[M, N], W[N, N]) -> (Y) {
    D[n] = W[n, n];
    A = tanh(X * D);
    B = sin(A) * X;
    C = exp(B) + D;
    Y = sigmoid(C) * A;
}
""",
    "normalised": """
function layer(X[M, N], W[N, N]) -> (Y) {
    D[n] = W[n, n];
    A = tanh(X * D);
    S[m] = +(A[m, n]);
    B[m, n] = A[m, n] * cos(S[m]);
    C = exp(B) + D;
    Y = sigmoid(C);
}
""",
    "products": """
function layer(X[M, N], W[N, N]) -> (Y) {
    A[m, n] = +(X[m, k] * W[k, n]);
    B = tanh(A);
    C[m, n] = +(B[m, k] * W[k, n]);
    D = sin(C);
    E[m, n] = +(D[m, k] * W[n, k]);
    Y = sigmoid(E);
}
""",
}


def deep(depth: int, mark: str, layer: str = "products") -> str:
    body = "".join(f"    {mark} X{k + 1} = layer(X{k}, W);\n" for k in range(depth))
    return LAYERS[layer] + f"function deep(X0[M, N], W[N, N]) -> (L) {{\n{body}    L[] = +(X{depth}[m, n]);\n}}\n"


def derived(depth: int, mark: str, layer: str) -> Graph:
    program = grad(deep(depth, mark, layer), "W", function="deep")
    return optimise(program.graph(X0=np.zeros((M, N), np.float32), W=np.zeros((N, N), np.float32)))


def arena(depth: int, mark: str, layer: str) -> int:
    return lower_graph(derived(depth, mark, layer), resolve_target("llvm")).arena


@pytest.mark.parametrize("layer", LAYERS)
def test_the_arena_grows_by_one_value_per_layer(layer: str) -> None:
    marked, plain = ([arena(depth, mark, layer) for depth in (8, 16)] for mark in ("[[checkpoint]]", ""))
    assert abs(marked[1] - marked[0] - 8 * MATRIX) < MATRIX  # a layer keeps its input
    assert plain[1] - plain[0] >= 3 * 8 * MATRIX  # and otherwise what its derivative needs, too
    assert marked[1] < 0.4 * plain[1]


def test_optimising_twice_merges_nothing() -> None:
    graph = derived(3, "[[checkpoint]]", "products")
    again, twice = ([let.names for let in g.lets if AGAIN in let.attributes] for g in (graph, optimise(graph)))
    assert again and twice == again


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("target", ["reference", "llvm"])
def test_the_gradient_is_the_same(target: str, layer: str) -> None:
    rng = np.random.default_rng(0)
    inputs = {"X0": rng.random((5, 4), np.float32), "W": rng.random((4, 4), np.float32)}
    texts = (deep(3, mark, layer) for mark in ("[[checkpoint]]", ""))
    marked, plain = (grad(text, function="deep", target=target)(**inputs) for text in texts)
    for a, b in zip(marked, plain, strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-5)


@pytest.mark.parametrize(
    "statement",
    [
        "[[checkpoint]] Y = sin(X) * cos(X) + S;",
        "[[checkpoint]] Y[i : N] = +(sin(X[i]) * X[j]);",
        "[[checkpoint]] (Y, Z) = both(X, S);",
        "[[checkpoint, hint(1)]] Y = X;",
        "[[checkpoint]] Y = X * N + shape(X);",
    ],
)
def test_any_statement_can_be_one(statement: str) -> None:
    both = "function both(A, B) -> (C, D) { C = sin(A) + B; D = A; }\n"
    texts = [both + f"function f(X[N], S[]) -> (L) {{ {s} L[] = +(Y[i] * Y[i]); }}" for s in (statement, statement)]
    texts[1] = texts[1].replace("[[checkpoint]]", "").replace("checkpoint, ", "")
    inputs = {"X": np.array([0.5, 2.0, -1.0]), "S": np.array(1.5)}
    found = [grad(t, function="f", target="reference")(**inputs) for t in texts]
    assert [a.tolist() for a in found[0]] == [a.tolist() for a in found[1]]
