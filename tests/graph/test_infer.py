"""The pass `infer`: its documented example, casts, declared types, errors."""

from __future__ import annotations

from textwrap import dedent

import pytest

from tests.graph.programs import graph
from tilec.dtypes import BOOL, F16, F32, I32, U8
from tilec.errors import TileError
from tilec.graph import Apply, Contraction, Graph, TensorType
from tilec.passes import infer
from tilec.text.graph_text import parse_graph, print_graph


def test_documented_example() -> None:
    assert infer.__doc__ is not None
    before, after = infer.__doc__.split("Before:")[1].split("After:")
    result = infer.run(parse_graph(dedent(before).strip()))
    assert print_graph(result).strip() == dedent(after).strip()


def type_of(g: Graph, name: str) -> TensorType:
    return g.types()[name]


BOTH = [
    ("A: i32[4], B: f32[4]", "O = add(A, B)"),
    ("A: f16[4], s: weak f32", "O = mul(A, s)"),
    ("A: u8[2, 3], B: i8[3]", "T = cmp_lt(A, B)\nO = cond(A, T, B)"),
    ("A: f16[4]", "O = sum:f32 [i] { [: ] <- mul(A[i], A[i]) }"),
    ("A: f32[2], D: i32", "O = sum:f32 [i] { [2*i : 4] <- A[i] } default D"),
    ("A: f32[4], I: i64[2]", "O = sum:f32 [i] { [i : 2] <- exp(A[@I[i]]) }"),
]


@pytest.mark.parametrize("params, body", BOTH)
def test_is_idempotent_and_homogeneous(params: str, body: str) -> None:
    g = graph(params, "O", body)
    assert infer.run(g) is g
    assert infer.run(parse_graph(print_graph(g))) == g
    types = g.types()
    for let in g.lets:
        if isinstance(let.node, Apply) and let.node.op not in ("cast", "cond"):
            assert len({types[a].dtype for a in let.node.args}) == 1


def test_input_is_not_changed() -> None:
    g = parse_graph("graph f(A: i32[4], B: f32[4]) -> (O) {\n O = add(A, B)\n}")
    text = print_graph(g)
    assert infer.run(g) is not g
    assert print_graph(g) == text


def test_aggregations_keep_the_operands_type() -> None:
    assert type_of(graph("A: f16[4]", "O", "O = sum:f32 [i] { [: ] <- A[i] }"), "O") == TensorType(F16)
    assert type_of(graph("A: u8[4]", "O", "O = sum:i32 [i] { [: ] <- A[i] }"), "O") == TensorType(U8)
    assert type_of(graph("A: bool[4]", "O", "O = sum:i32 [i] { [: ] <- A[i] }"), "O") == TensorType(I32)
    assert type_of(graph("A: bool[4]", "O", "O = max:bool [i] { [: ] <- A[i] }"), "O") == TensorType(BOOL)
    assert type_of(graph("A: u8[4]", "O", "O: f32 = sum:i32 [i] { [] <- A[i] }"), "O") == TensorType(F32)


def test_body_is_converted_to_the_accumulator() -> None:
    g = graph("A: f16[4], B: f16[4]", "O", "O = sum:f32 [i] { [: ] <- mul(A[i], B[i]) }")
    node = g.lets[0].node
    assert isinstance(node, Contraction)
    assert node.body[0].dtype == F32
    assert "cast.f32(mul" in print_graph(g)  # the product itself is of the operands' type


def test_weak_results() -> None:
    g = graph("A: u8[4], n: weak i32", "O", "m = add(n, n)\nO = add(A, m)")
    assert type_of(g, "m") == TensorType(I32, (), weak=True)
    assert type_of(g, "O") == TensorType(U8, (4,))


ERRORS = [
    ("A: f32[4]", "O = bit_not(A)", "TILE0301"),
    ("A: f32[4], B: f32[3]", "O = add(A, B)", "TILE0203"),
    ("A: f32[4]", "O = add(A, B)", "TILE0602"),
    ("A: f32[4]", "O = nonsense(A)", "TILE0105"),
    ("A: f32[4]", "O = add(A)", "TILE0106"),
    ("A: f32[4, 4]", "O = sum:f32 [i] { [i : 4] <- A[i] }", "TILE0202"),
    ("A: f32[4]", "O = sum:f32 [i] { [i : 4, 4] <- A[i] }", "TILE0204"),
    ("A: f32[4], D: f32[3]", "O = sum:f32 [i] { [i : 4] <- A[i] } default D", "TILE0213"),
    ("A: f32[4]", "O = sum:f32 [i] { [i : 4] <- A[@A[i]] }", "TILE0304"),
    ("A: f32[4]", "O: f32[5] = add(A, A)", "TILE0305"),
    ("A: f32[4]", "O, P = add(A, A)", "TILE0106"),
    ("A: f32[4]", "O = remat (A) do graph g(X: f32[5]) -> (X) {\n}", "TILE0305"),
    ("A: f32[4]", "O = remat (A) do graph g(X: f64[4]) -> (X) {\n}", "TILE0305"),
    ("A: f32[4]", "O = remat (A, A) do graph g(X: f32[4]) -> (X) {\n}", "TILE0106"),
    ("A: f32[4]", "O = if A (A) then graph g(X: f32[4]) -> (X) {\n} else graph h(X: f32[4]) -> (X) {\n}", "TILE0202"),
    ("A: f32[4], p: bool", "O = if p (A) then graph g(X: f32[4]) -> (X) {\n} else graph h(X: f32[4]) -> (Y) {\n"
     "Y = cast.i32(X)\n}", "TILE0305"),
    ("A: f32[4]", "O = scan () in (A) const () length 3 do graph g(x: f32) -> (x) {\n}", "TILE0202"),
]  # fmt: skip


@pytest.mark.parametrize("params, body, code", ERRORS)
def test_errors(params: str, body: str, code: str) -> None:
    with pytest.raises(TileError) as caught:
        graph(params, "O", body)
    assert caught.value.code == code
