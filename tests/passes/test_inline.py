"""Passes `inline` and `recompute` reach into sub-Graphs, and give results the names they had."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tilec.graph import Custom, Graph, Remat, subgraphs
from tilec.passes import inline, recompute
from tilec.text.graph_text import parse_graph, print_graph
from tilec.verify.graph import verify

CUSTOM = """custom(x)
  forward graph g(X: f32[2]) -> (Y) {{ Y: f32[2] = neg(X) }}
  backward graph h(X: f32[2], Y: f32[2], Z: f32[2]) -> (W) {{ W: f32[2] = neg(Z) }}"""
REMAT = "remat(x) do graph g(X: f32[2]) -> (Y) {{ Y: f32[2] = neg(X) }}"
each_pass = pytest.mark.parametrize("run, node", [(inline.run, CUSTOM), (recompute.run, REMAT)])


@each_pass
def test_in_a_branch(run: Callable[[Graph], Graph], node: str) -> None:
    branch = f"graph {{0}}(x: f32[2]) -> (y) {{{{ y: f32[2] = {node} }}}}"
    choice = f"if P (A) then {branch.format('t')} else {branch.format('e')}"
    text = f"graph f(P: bool, A: f32[2]) -> (R) {{ R: f32[2] = {choice} }}"
    result = run(parse_graph(text))
    verify(result)
    inner = subgraphs(result.lets[0].node)
    assert len(inner) == 2
    assert not any(isinstance(let.node, Remat | Custom) for g in inner for let in g.lets)
    assert run(result) is result


def test_results_that_are_parameters_or_twice_the_same() -> None:
    body = "graph g(X: f32[2], Z: f32[2]) -> (Y, Y, X) { Y: f32[2] = neg(X) }"
    text = f"graph f(A: f32[2]) -> (P, Q, R) {{ P: f32[2], Q: f32[2], R: f32[2] = remat(A, A) do {body} }}"
    result = recompute.run(parse_graph(text))
    verify(result)
    assert print_graph(result) == """graph f(A: f32[2]) -> (P, Q, R) {
  P: f32[2] = neg(A)
  Q: f32[2] = ident(P)
  R: f32[2] = ident(A)
}
"""
