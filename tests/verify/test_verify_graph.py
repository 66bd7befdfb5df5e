"""What the verifier of Graphs accepts and refuses."""

from __future__ import annotations

import pytest

from tests.generators.graphs import random_graph
from tilec.affine import Affine
from tilec.dtypes import F32
from tilec.errors import TileError
from tilec.expr import Call, Expr, read, reads, walk
from tilec.graph import Contraction, Graph, Let, Param, Sink, TensorType
from tilec.monoid import standard
from tilec.text.graph_text import parse_graph
from tilec.verify.graph import verify

GOOD = [
    "graph f[N](A: f32[N, 3]) -> (B) { B: f32[N] = sum:f32 [i, j] { [i] <- A[i, j] } where 0 <= i - j < N default z }",
    "graph f(A: f32[3]) -> (B) { B = add(A, n) }",
    "graph f(P: bool, A: f32[3]) -> (B) aliases (A = B) { B: f32[3] = if P (A) then graph t(x: f32[3]) -> (x) { }"
    " else graph e(x: f32[3]) -> (y) { y: f32[3] = neg(x) } }",
    "graph f(A: f32[4, 3], c: f32) -> (s, o) { s: f32, o: f32[4] = scan (c) in (A) length 4 do"
    " graph b(c: f32, r: f32[3]) -> (t, t) { t: f32 = sum:f32 [i] { [] <- add(r[i], c[]) } } }",
    "graph f(c: i32) -> (r) { r: i32 = while (c) test graph t(c: i32) -> (p) { k: i32 = literal (9)"
    " p: bool = cmp_lt(c, k) } do graph d(c: i32) -> (n) { o: i32 = literal (1) n: i32 = add(c, o) } }",
    "graph f(A: f32[3]) -> (B) { B: f32[3] = custom (A) forward graph v(x: f32[3]) -> (y) { y: f32[3] = exp(x) }"
    " backward graph w(x: f32[3], y: f32[3], g: f32[3]) -> (d) { d: f32[3] = mul(y, g) } }",
    "graph f(A: f32[3]) -> (m, i) { m: f32, i: i32 = monoid argmax(-inf:f32, 0:i32)"
    " (max(a0, b0), cond(cmp_gt(b0, a0), b1, a1)) [k < 3] { [] <- A[k]; [] <- $(k) } }",
]
GOOD[0] = GOOD[0].replace(" default z", "")
GOOD[1] = GOOD[1].replace("A: f32[3]", "A: f32[3], n: weak i32")

BAD = {
    "A: f32[3] = neg(A)": "bound twice",
    "B: f32[3] = add(A, X)": "'X' is not defined",
    "B: f32[3] = add(A, I)": "cast is missing",
    "B: f64[3] = neg(A)": "declared f64[3], found f32[3]",
    "B: f32[4] = neg(A)": "declared f32[4], found f32[3]",
    "B: f32[N] = neg(A)": "size 'N' is not declared",
    "B: f32[-1] = neg(A)": "is not a size",
    "B: f32[3] = nothing(A)": "no elementwise operation 'nothing'",
    "B: f32[3] = literal (1.0, 2.0)": "2 values has the shape [3]",
    "B: u8 = literal (1.5)": "not a value of u8",
    "B: f32, C: f32 = sum:f32 [i] { [] <- A[i] }": "1 results are bound to 2 names",
    "B: f32 = sum:f32 [i] { [] <- A[j] }": "index 'j' of 'j' is not in scope",
    "B: f32 = sum:f32 [i, i] { [] <- A[i] }": "index 'i' is bound twice",
    "B: f32 = sum:f32 [i] { [] <- A[i, i] }": "rank 1 and is read with 2 indices",
    "B: f32 = sum:f32 [i] { [] <- I[i]:f32 }": "'I' is i32 and is read as f32",
    "B: f32 = sum:f32 [i] { [] <- add(A[i], I[i]) }": "'add' of (f32, i32)",
    "B: f64 = sum:f64 [i] { [] <- A[i] }": "the body is f32, the aggregation f64",
    "B: f32 = sum:f32 [i] { [] <- x }": "scalar 'x' is not",
    "B: f32[3] = sum:f32 [i] { [i, i] <- A[i] }": "2 output indices and 1 sizes",
    "B: f32[3] = sum:f32 [i] { [j] <- A[i] }": "index 'j' of 'j' is not in scope",
    "B: f32 = sum:f32 [i < 3] { [] <- A[1/2*i] }": "not integral",
    "B: f32[3] = sum:f32 [i] { [i] <- A[i] } default M": "the default has the shape [2, 2]",
    "B: f32 = sum:f32 [i] { [] <- A[i; value] }": "a fill value goes with",
    "B: f32 = monoid m(0.0:f32) (cast.f32(c0:i32)) [i] { [] <- A[i] }": "scalar 'c0' is not defined",
    "B: f32[3] = remat (A) do graph g(x: f32[3]) -> (y) { }": "result 'y' is not defined",
    "B: f32[3] = remat (A) do graph g(x: f32[3]) -> (y) { y: f32[3] = neg(A) }": "'A' is not defined",
    "B: f32[3] = remat (A, I) do graph g(x: f32[3]) -> (x) { }": "takes 1 values, 2 given",
    "B: f32[3] = remat (A) do graph g(x: f64[3]) -> (x) { }": "is f64[3], not f32[3]",
    "B: f32[3] = if P (A) then graph g(x: f32[3]) -> (x) { } else graph h(x: f32[2]) -> (x) { }": "f32[2]",
    "B: f32[3] = custom (A) forward graph v(x: f32[3]) -> (x) { } backward graph w(x: f32[3]) -> (x) { }": "takes 1",
    "B: f32[3] = special reshape(A) {shape = (4,)}": "3 elements are not 4",
}


@pytest.mark.parametrize("text", GOOD)
def test_good(text: str) -> None:
    verify(parse_graph(text))


@pytest.mark.parametrize(("let", "message"), BAD.items())
def test_bad(let: str, message: str) -> None:
    text = f"graph f(A: f32[3], I: i32[3], M: f32[2, 2], P: bool) -> (A) {{ {let} }}"
    with pytest.raises(TileError) as caught:
        verify(parse_graph(text))
    assert caught.value.code == "TILE0602"
    assert message in caught.value.diagnostics[0].message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("graph f(A: f32[N]) -> (A) { }", "size 'N' is not declared"),
        ("graph f[N, N](A: f32[N]) -> (A) { }", "size 'N' is bound twice"),
        ("graph f(A: f32) -> (B) { }", "result 'B' is not defined"),
        ("graph f(A: f32) -> (A) aliases (B = A) { }", "alias of 'B' and 'A'"),
        ("graph f(A: f32) -> (B) aliases (A = B) { B: f64 = cast.f64(A) }", "differ in type"),
    ],
)
def test_bad_signatures(text: str, message: str) -> None:
    with pytest.raises(TileError, match="TILE0602") as caught:
        verify(parse_graph(text))
    assert message in caught.value.diagnostics[0].message


def test_random_graphs_verify() -> None:
    for seed in range(300):
        verify(random_graph(seed))


def test_the_names_of_the_language_s_aggregations_are_taken() -> None:
    """Passes know these by name: what is order free, what starts at 0."""
    text = "graph f(A: f32[3]) -> (B) { B: f32 = monoid %s(0.0:f32) (sub(a0, b0)) [i] { [] <- A[i] } }"
    verify(parse_graph(text % "minus"))
    with pytest.raises(TileError, match="not that of the language"):
        verify(parse_graph(text % "sum"))


def doubled(times: int) -> tuple[Graph, Expr]:
    """A body of 2^times terms, written out, and of as many objects as doublings."""
    body: Expr = read("A", (Affine.var("i"),), F32)
    for _ in range(times):
        body = Call("add", (body, body), F32)
    node = Contraction(("i",), standard("sum", F32), (body,), (Sink((Affine.var("i"),), (3,)),))
    lets = (Let(("B",), node, (TensorType(F32, (3,)),)),)
    return Graph("f", (Param("A", TensorType(F32, (3,))),), lets, ("B",)), body


def test_a_much_shared_expression_is_checked_once() -> None:
    graph, body = doubled(18)
    verify(graph)
    assert len(list(walk(body))) == 19
    assert len(reads(body)) == 1


def test_an_expression_that_cannot_be_written_down_is_refused() -> None:
    graph, _ = doubled(60)
    codes: list[str] = []
    try:
        verify(graph)
    except TileError as refusal:  # not pytest.raises: a traceback that shows the graph would never end
        codes.append(refusal.code)
    assert codes == ["TILE0602"]
