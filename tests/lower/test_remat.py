"""Values computed again to fit into a budget of memory: the same results, less memory, and honest figures."""

from __future__ import annotations

import re

import numpy as np
import pytest

import tilec
from tests.lower.test_memory import NETWORKS, gradient_of, graph_of
from tilec.api import compile_for
from tilec.errors import Report, TileError
from tilec.evaluate.graph import evaluate
from tilec.graph import AGAIN, Graph
from tilec.memory_limit import within_limit
from tilec.numpy_semantics import Array
from tilec.options import Options
from tilec.partition import Partition
from tilec.passes import differentiate, fuse, remat
from tilec.pipeline import backend, lower_graph, optimise
from tilec.text.graph_text import parse_graph, print_graph
from tilec.type_graph import infer_graph

TARGET = backend("llvm").targets()[0]

CHAIN = """function chain(X[N, N], W[N, N]) -> (L) {
  A = tanh(X);  B[i, j : N, N] = +(A[i, k] * W[k, j]);  C = tanh(B);  D[i, j : N, N] = +(C[i, k] * W[k, j]);
  E = tanh(D);  F[i, j : N, N] = +(E[i, k] * W[k, j]);  L[] = +(F[i, j] * (A[i, j] + C[i, j] + E[i, j]));
}"""


def arena(graph: Graph) -> int:
    return lower_graph(graph, TARGET).arena


def test_documentation() -> None:
    doc = remat.__doc__ or ""
    found = re.search(r"Before:\n(.*?)\nAfter, for a budget of 32768 bytes:\n(.*)\Z", doc, re.S)
    assert found is not None
    before = parse_graph(found[1])
    assert print_graph(remat.run(before, remat.Options(32768), fuse.run)) == print_graph(parse_graph(found[2]))
    assert remat.run(before, remat.Options(1 << 20), fuse.run) is before


@pytest.mark.parametrize("share", [0.9, 0.75, 0.5, 0.0])
@pytest.mark.parametrize("name", NETWORKS)
def test_gradients_within_a_budget(name: str, share: float) -> None:
    graph = optimise(gradient_of(name))
    full = arena(graph)
    report = Report()
    options = Options(remat="auto", memory_limit=int(full * share))
    found = within_limit(graph, TARGET, options, report)
    needed = arena(found)
    assert needed <= full
    if needed <= full * share:
        assert not report.diagnostics
    else:
        (warning,) = report.warnings()
        assert warning.code == "TILE0419" and f"{needed:,} bytes" in warning.message
        assert f"{needed - int(full * share):,} more" in warning.message
    rng = np.random.default_rng(0)
    inputs = {
        p.name: rng.standard_normal([int(str(s)) for s in p.type.shape]).astype(np.float32) / 8 for p in graph.params
    }
    if share in (0.5, 0.0):  # the evaluator is slow
        want, got = (run(g, inputs) for g in (graph, found))
        for a, b in zip(want, got, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def run(graph: Graph, inputs: dict[str, Array]) -> list[Array]:
    return list(compile_for(graph, "llvm", None, inputs).run((), inputs))


def test_cheap_values_are_computed_again_and_memory_is_saved() -> None:
    graph = optimise(gradient_of("convnet"))
    full = arena(graph)
    report = Report()
    found = within_limit(graph, TARGET, Options(remat="auto", memory_limit=full - 1), report)
    assert arena(found) < full and not report.diagnostics
    assert any(a == AGAIN for let in found.lets for a in let.attributes)


def test_a_deep_network_meets_half_of_its_memory() -> None:
    """Eight layers: their activations are computed again from one another, last layer first."""
    layers = "".join(
        f"  Z{k}[b, h : B, H] = +(A{k}[b, g] * W{k}[g, h]);  A{k + 1} = tanh(Z{k});\n" for k in range(8)
    )
    weights = [f"W{k}" for k in range(8)]
    inputs = ", ".join(f"{w}[H, H]" for w in weights)
    text = f"function loss(A0[B, H], {inputs}) -> (L) {{\n{layers}  L[] = +(A8[b, h] * A8[b, h]);\n}}"
    shapes = {"A0": (64, 16), **dict.fromkeys(weights, (16, 16))}
    graph = optimise(differentiate.value_and_gradient(graph_of(text, shapes), weights))
    full, report = arena(graph), Report()
    found = within_limit(graph, TARGET, Options(remat="auto", memory_limit=full // 2), report)
    assert arena(found) <= full // 2 and not report.diagnostics
    rng = np.random.default_rng(3)
    values = {n: rng.standard_normal(s, np.float32) / 4 for n, s in shapes.items()}
    want, got = evaluate(graph, values), evaluate(found, values)
    for name in graph.results:
        np.testing.assert_array_equal(got[name], want[name])


def test_the_evaluator_agrees() -> None:
    text = (remat.__doc__ or "").split("Before:\n")[1].split("After")[0].replace("64", "8")
    graph = infer_graph(parse_graph(text))
    found = remat.run(graph, remat.Options(0), fuse.run)
    assert found is not graph
    a = np.random.default_rng(1).random((8, 8), np.float32)
    np.testing.assert_array_equal(evaluate(found, {"A": a})["R"], evaluate(graph, {"A": a})["R"])


def test_executables() -> None:
    x = np.random.default_rng(2).standard_normal((64, 64), np.float32) / 8
    plain = tilec.compile(CHAIN, "llvm", X=x, W=x)
    limit = plain.memory.arena - 1
    small = tilec.compile(CHAIN, "llvm", X=x, W=x, options=Options(remat="auto", memory_limit=limit))
    assert small.memory.arena <= limit or small.warnings[-1].code == "TILE0419"
    np.testing.assert_allclose(small(x, x), plain(x, x), rtol=1e-4)
    told = tilec.compile(CHAIN, "llvm", X=x, W=x, options=Options(memory_limit=limit))
    assert [w.code for w in told.warnings] == ["TILE0419"] and told.memory.arena == plain.memory.arena
    assert "1 more than the limit" in told.warnings[0].message


@pytest.mark.parametrize(
    "options",
    [
        Options(remat="auto"), Options(remat="all", memory_limit=1), Options(memory_limit=-1),
        Options(memory_limit=1.5), Options(memory_limit=True),  # type: ignore[arg-type]
    ],
)  # fmt: skip
def test_wrong_options(options: Options) -> None:
    with pytest.raises(TileError) as caught:
        tilec.compile(CHAIN, "llvm", X=(4, 4), W=(4, 4), options=options)
    assert caught.value.code == "TILE0511"


def test_memory_that_another_value_shows_stays() -> None:
    """V is P in another shape: to compute P again would not free it."""
    product = "sum:f32 [i < 64, j < 64, k < 64] { [i, j] <- mul(%s[i, k], A[k, j]) }"
    graph = parse_graph(f"""graph f(A: f32[64, 64]) -> (R) {{
      P: f32[64, 64] = {product % "A"}
      V: f32[4096] = special reshape(P) {{shape = (4096)}}
      W: f32[64, 64] = {product % "P"}
      Q: f32[64, 64] = {product % "W"}
      S: f32[64, 64] = {product % "Q"}
      R: f32[4096] = sum:f32 [i < 4096, k < 64] {{ [i] <- mul(V[i], S[k, k]) }}
    }}""")
    found = remat.run(graph, remat.Options(100), fuse.run)
    assert arena(found) <= arena(graph)
    a = np.random.default_rng(0).standard_normal((64, 64)).astype("float32")
    assert np.array_equal(evaluate(found, {"A": a})["R"], evaluate(graph, {"A": a})["R"])


def test_a_view_of_what_stays_is_there_to_compute_from() -> None:
    """V is A in another shape, and A is the caller's."""
    product = "sum:f32 [i < 64, j < 64, k < 64] { [i, j] <- mul(%s[i, k], %s[k, j]) }"
    graph = parse_graph(f"""graph f(A: f32[4096]) -> (R) {{
      V: f32[64, 64] = special reshape(A) {{shape = (64, 64)}}
      P: f32[64, 64] = {product % ("V", "V")}
      W: f32[64, 64] = {product % ("P", "V")}
      Q: f32[64, 64] = {product % ("W", "V")}
      S: f32[64, 64] = {product % ("Q", "V")}
      R: f32[64, 64] = {product % ("S", "P")}
    }}""")
    found = remat.run(graph, remat.Options(100), fuse.run)
    assert "P.1: f32[64, 64] = " in print_graph(found) and arena(found) < arena(graph)


def test_a_let_without_names_is_one_among_many() -> None:
    """Asserts bind nothing, and yet each runs at a moment of its own: D is read late, by the second one."""
    product = "sum:f32 [i < 64, j < 64, k < 64] { [i, j] <- mul(%s[i, k], %s[k, j]) }"
    graph = parse_graph(f"""graph f(A: f32[64, 64]) -> (R) {{
      C: bool = max:bool [i < 64, j < 64] {{ [] <- cmp_eq(A[i, j], A[j, i]) }}
      () = special assert(C) {{message = "first"}}
      D: bool = max:bool [i < 64, j < 64] {{ [] <- cmp_ne(A[i, j], A[j, i]) }}
      Q: f32[64, 64] = {product % ("A", "A")}
      S: f32[64, 64] = {product % ("Q", "Q")}
      T: f32[64, 64] = {product % ("S", "S")}
      () = special assert(D) {{message = "second"}}
      R: f32[64, 64] = {product % ("T", "A")}
    }}""")
    text = print_graph(remat.run(graph, remat.Options(100), fuse.run))
    assert "D.1: bool = " in text and "assert(D.1)" in text and "assert(C)" in text


def test_kernels_are_formed_anew_a_few_times_only() -> None:
    """However many tensors are dropped: all that a moment needs go in one round."""
    layers = "".join(f"  Z{k}[b, h] = +(A{k}[b, g] * W{k}[g, h]);  A{k + 1} = tanh(Z{k});\n" for k in range(40))
    weights = [f"W{k}" for k in range(40)]
    text = f"function loss(A0[B, H], {', '.join(f'{w}[H, H]' for w in weights)}) -> (L) {{\n{layers}"
    shapes = {"A0": (64, 16), **dict.fromkeys(weights, (16, 16))}
    network = graph_of(text + "  L[] = +(A40[b, h] * A40[b, h]);\n}", shapes)
    graph = optimise(differentiate.value_and_gradient(network, weights))
    formed: list[Graph] = []

    def counted(graph: Graph) -> Partition:
        formed.append(graph)
        return fuse.run(graph)

    found = remat.run(graph, remat.Options(arena(graph) // 2), counted)
    assert sum(AGAIN in let.attributes for let in found.lets) > 20
    assert len(formed) < 10 and arena(found) < 0.6 * arena(graph)
