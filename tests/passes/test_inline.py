"""Pass `inline` reaches into sub-Graphs."""

from __future__ import annotations

from tilec.graph import Remat, subgraphs
from tilec.passes import inline
from tilec.text.graph_text import parse_graph
from tilec.verify.graph import verify


def test_remat_in_a_branch() -> None:
    remat = "remat(x) do graph g(X: f32[2]) -> (Y) {{ Y: f32[2] = neg(X) }}"
    branch = f"graph {{0}}(x: f32[2]) -> (y) {{{{ y: f32[2] = {remat} }}}}"
    choice = f"if P (A) then {branch.format('t')} else {branch.format('e')}"
    text = f"graph f(P: bool, A: f32[2]) -> (R) {{ R: f32[2] = {choice} }}"
    result = inline.run(parse_graph(text))
    verify(result)
    inner = subgraphs(result.lets[0].node)
    assert len(inner) == 2
    assert not any(isinstance(let.node, Remat) for g in inner for let in g.lets)
    assert inline.run(result) is result
