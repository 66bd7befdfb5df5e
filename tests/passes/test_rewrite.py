"""The rewrite drivers: fixpoint, identity, names, scopes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from tilec.dtypes import F32, I32
from tilec.expr import Call, Var, walk
from tilec.graph import Apply, Let
from tilec.rewrite import Context, has_effect, names, rename_uses, rewrite
from tilec.rewrite_expr import expr_rule, rewrite_expr
from tilec.text.expr_text import Scope, parse_expr, print_expr
from tilec.text.graph_text import parse_graph, print_graph

SCOPE = Scope(scalars={"p": I32, "q": I32})


def countdown(let: Let, context: Context) -> Sequence[Let] | None:
    """exp becomes sin of a fresh cos, cos becomes neg: two rules' worth of steps in one."""
    match let.node:
        case Apply("exp", args):
            name = context.fresh(let.names[0])
            return [Let((name,), Apply("cos", args), let.types), replace(let, node=Apply("sin", (name,)))]
        case Apply("cos", args):
            return [replace(let, node=Apply("neg", args))]
    return None


def test_fixpoint_and_fresh_names() -> None:
    graph = parse_graph("graph f(A: f32, B.1: f32) -> (B) { B: f32 = exp(A) }")
    wanted = "graph f(A: f32, B.1: f32) -> (B) {\n  B.2: f32 = neg(A)\n  B: f32 = sin(B.2)\n}\n"
    assert print_graph(rewrite(graph, [countdown])) == wanted


def test_same_object_where_no_rule_fires() -> None:
    graph = parse_graph("graph f(A: f32) -> (C) { B: f32 = remat (A) do graph g(x: f32) -> (x) { } C: f32 = neg(B) }")
    assert rewrite(graph, [countdown]) is graph


def test_subgraphs_are_rewritten_in_their_own_scope() -> None:
    text = "graph f(A: f32) -> (B) { B: f32 = remat (A) do graph g(A: f32) -> (B) { B: f32 = exp(A) } }"
    inner = print_graph(rewrite(parse_graph(text), [countdown]))
    assert "    B.1: f32 = neg(A)\n    B: f32 = sin(B.1)\n" in inner


def test_copies_vanish_but_results_keep_their_names() -> None:
    graph = parse_graph("graph f(A: f32) -> (C, D) { B: f32 = ident(A) C: f32 = neg(B) D: f32 = ident(B) }")
    wanted = "graph f(A: f32) -> (C, D) {\n  C: f32 = neg(A)\n  D: f32 = ident(A)\n}\n"
    assert print_graph(rewrite(graph, [])) == wanted


def test_circles_are_programming_errors() -> None:
    def forth_and_back(let: Let, context: Context) -> Sequence[Let]:
        return [replace(let)]

    with pytest.raises(AssertionError, match="circle"):
        rewrite(parse_graph("graph f(A: f32) -> (B) { B: f32 = exp(A) }"), [forth_and_back])


def test_renaming_reaches_every_operand() -> None:
    graph = parse_graph(
        "graph f(A: f32[2], P: bool) -> (B, C) {"
        " B: f32[2] = sum:f32 [i] { [i] <- add(A[i], A[0]) } default A"
        " C: f32[2] = if P (A) then graph t(A: f32[2]) -> (A) { } else graph e(A: f32[2]) -> (A) { }"
        " D: f32[2], E: f32[2] = scan (A) in (A) const (A) length 2 do"
        " graph b(A: f32[2], x: f32, y: f32[2]) -> (A, A) { }"
        " () = special assert(A) {message = 1} }"
    )
    renamed = replace(graph, lets=tuple(rename_uses(let, {"A": "Z", "P": "Q"}) for let in graph.lets), params=())
    text = print_graph(renamed)
    assert text.count("Z") == 8
    assert "if Q (Z) then graph t(A: f32[2]) -> (A)" in text
    assert rename_uses(graph.lets[0], {"X": "Z"}) is graph.lets[0]
    assert names(graph) == {"A", "P", "B", "C", "D", "E"}


def test_effects_inside_subgraphs_count() -> None:
    text = "graph f(A: bool) -> (B) {{ B: bool = remat (A) do graph g(A: bool) -> (A) {{ {} }} }}"
    effects = parse_graph(text.format('() = special assert(A) {message = "m"}'))
    assert has_effect(effects.lets[0].node)
    assert not has_effect(parse_graph(text.format("")).lets[0].node)


def test_expression_rules() -> None:
    rules = [expr_rule("add(x, 0)", "x", "int"), expr_rule("sub(x, x)", "0", "int")]
    rules.append(expr_rule("mul(x, 2)", "add(x, x)"))  # for no dtype
    expr = parse_expr("add(sub(add(p, 0), add(0, p)), mul(q, 2))", scope=SCOPE, expected=I32)
    assert print_expr(rewrite_expr(expr, rules), SCOPE, I32) == "mul(q, 2)"
    same = parse_expr("sub(p, q)", scope=SCOPE, expected=I32)
    assert rewrite_expr(same, rules) is same
    floats = parse_expr("sub(r, r)", scope=Scope(scalars={"r": F32}), expected=F32)
    assert rewrite_expr(floats, rules) is floats


def test_walk_gives_parents_first_and_left_before_right() -> None:
    """A shared node comes after the last of its parents."""
    x, y = Var("x", I32), Var("y", I32)
    inner = Call("neg", (x,), I32)
    left, right = Call("mul", (inner, y), I32), Call("sub", (y, inner), I32)
    root = Call("add", (left, right), I32)
    order = {id(e): n for n, e in enumerate(walk(root))}
    assert len(order) == 6
    assert order[id(root)] < order[id(left)] < order[id(right)] < order[id(inner)] < order[id(x)]
    assert order[id(right)] < order[id(y)]
    tree = Call("add", (Call("mul", (x, y), I32), Call("neg", (Var("z", I32),), I32)), I32)
    names_met = [e.op if isinstance(e, Call) else e.name for e in walk(tree) if isinstance(e, Call | Var)]
    assert names_met == ["add", "mul", "x", "y", "neg", "z"]
