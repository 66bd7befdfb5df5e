"""Pass `bounds`: its examples, its diagnostics, its idempotence, its speed."""

from __future__ import annotations

import re
import time

import numpy as np
import pytest

from tilec.errors import Report, TileError
from tilec.evaluate.graph import evaluate
from tilec.graph import Contraction, Graph
from tilec.passes import bounds, infer, inline
from tilec.text.graph_text import parse_graph, print_graph
from tilec.verify.graph import verify


def bounded(text: str, report: Report | None = None) -> Graph:
    graph = infer.run(parse_graph(text))
    result = bounds.run(graph, report=report)
    verify(result)
    assert bounds.run(result) is result
    return result


def node(graph: Graph) -> Contraction:
    found = graph.lets[-1].node
    assert isinstance(found, Contraction)
    return found


def code(text: str) -> str:
    with pytest.raises(TileError) as caught:
        bounded(text)
    return caught.value.code


@pytest.mark.parametrize("module", [bounds, inline], ids=["bounds", "inline"])
def test_example_of_the_docstring(module: object) -> None:
    found = re.search(r"Before:\n(.*?)\nAfter:\n(.*?)(?:\n\nBefore:|\Z)", module.__doc__ or "", re.S)
    assert found is not None
    before, after = (print_graph(parse_graph(t)) for t in found.groups())
    assert print_graph(module.run(parse_graph(before))) == after  # type: ignore[attr-defined]


def test_implied_constraints_go_and_others_stay() -> None:
    text = "graph f(A: f32[4]) -> (O) {{ O = sum:f32 [i, k] {{ [i: 4] <- A[k] }} where 0 <= i + k < {} }}"
    assert node(bounded(text.format(7))).constraints == ()
    assert len(node(bounded(text.format(6))).constraints) == 1


def test_convolution_box() -> None:
    text = "graph f(A: f32[10], B: f32[3]) -> (O) { O = sum:f32 [x, k] { [x: 50] <- mul(A[x + k - 1], B[k]) } }"
    assert node(bounded(text)).extents == (11, 3)


def test_unbounded_index_is_named() -> None:
    text = "graph f(A: f32[5]) -> (O) { O = sum:f32 [i, j, k] { [i: 5] <- A[i + j - k] } }"
    with pytest.raises(TileError) as caught:
        bounded(text)
    assert caught.value.code == "TILE0401"
    assert "index 'j' is unbounded" in str(caught.value)


def test_several_writers() -> None:
    assert code("graph f(A: f32[5]) -> (O) { O = assign:f32 [i, j] { [i: 5] <- A[j] } }") == "TILE0402"
    assert code("graph f(A: f32[4, 3]) -> (O) { O = assign:f32 [i, j] { [2*i + j: 9] <- A[i, j] } }") == "TILE0402"
    bounded("graph f(A: f32[4, 2]) -> (O) { O = assign:f32 [i, j] { [2*i + j: 8] <- A[i, j] } }")
    bounded("graph f(A: f32[5]) -> (O) { O = assign:f32 [i, j] { [i: 5] <- A[j] } where 0 <= i - j < 1 }")


@pytest.mark.parametrize(
    "access",
    [
        "A[i + 10] }",
        "A[1/2*i] } where 0 <= 1/2*i + 1/4 < 9",
        "A[i] } where 0 <= 2*i - 9 < 1",
        "A[i] } where 0 <= -i - 1 < 5",
    ],
)
def test_empty_domain_is_legal_with_a_warning(access: str) -> None:
    report = Report()
    text = f"graph f(A: f32[5]) -> (O) {{ O = max:f32 [i] {{ [i: 5] <- {access} }}"
    graph = bounded(text, report)
    assert node(graph).extents == (0,)
    assert [d.code for d in report.warnings()] == ["TILE0403"]
    assert not evaluate(graph, {"A": np.ones(5, np.float32)})["O"].any()


def test_empty_domain_without_indices() -> None:
    graph = bounded("graph f(A: f32[5]) -> (O) { O = sum:f32 [] { [1: 3] <- A[7] } }")
    assert node(graph).extents == (0,)


def test_contractions_of_sub_graphs_are_normalised() -> None:
    graph = bounded(
        """graph f(A: f32[5]) -> (R) {
          R = remat(A) do graph g(A: f32[5]) -> (O) { O = sum:f32 [i] { [i: 3] <- A[i + 1] } }
        }"""
    )
    assert "[i < 3]" in print_graph(graph)


def test_parity_needs_no_enumeration() -> None:
    text = "graph f(A: f32[{0}]) -> (O) {{ O = sum:f32 [i, j] {{ [i: {0}] <- A[j] }} where 0 <= 2*i - 2*j + 1 < 1 }}"
    started = time.perf_counter()
    assert node(bounded(text.format(1 << 40))).extents == (0, 0)
    assert time.perf_counter() - started < 1


def test_hostile_systems_end() -> None:
    """Many variables in many conditions with large coefficients: an answer or a refusal, soon."""
    names = [f"i{k}" for k in range(10)]
    terms = [" + ".join(f"{(k * 37 + r * 101) % 23 + 1}*{n}" for k, n in enumerate(names)) for r in range(8)]
    forms = ", ".join(f"0 <= {t} - {r} < {5000 + r}" for r, t in enumerate(terms))
    indices, sizes = ", ".join(names), ", ".join(["1000"] * 10)

    def text(monoid: str, sink: str) -> str:
        node = f"{monoid}:f32 [{indices}] {{ [{sink}: 90000] <- A[{indices}] }} where {forms}"
        return f"graph f(A: f32[{sizes}]) -> (O) {{ O = {node} }}"

    started = time.perf_counter()
    bounded(text("sum", "i0"))
    with pytest.raises(TileError):
        bounded(text("assign", " + ".join(f"{k + 2}*{n}" for k, n in enumerate(names))))
    assert time.perf_counter() - started < 20


def test_three_thousand_contractions_take_under_a_second() -> None:
    lets = "".join(
        f"T{k + 1} = sum:f32 [m, n, k] {{ [m, n: 8, 8] <- mul(T{k}[m, k], W[k, n]) }}\n" for k in range(1000)
    )
    graph = infer.run(parse_graph(f"graph f(T0: f32[8, 8], W: f32[8, 8]) -> (T1000) {{ {lets} }}"))
    started = time.process_time()
    bounds.run(graph)
    assert time.process_time() - started < 1
