"""Every rule of `simplify`, at every dtype it is meant for, on all combinations of corner values, bit for bit."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest

from tests.generators.graphs import Array
from tests.passes.test_pass_values import same_bits
from tilec.dtypes import ALL, BOOL, DType
from tilec.evaluate.expr import evaluate_expr
from tilec.evaluate.graph import evaluate
from tilec.expr import Call, Expr, Var, walk
from tilec.numpy_semantics import cast
from tilec.passes import simplify
from tilec.passes.simplify import RULES, holds, simplify_expr
from tilec.rewrite_expr import ANY, Bindings, ExprRule, expr_rule, instantiate
from tilec.text.expr_text import Scope, parse_expr, print_expr
from tilec.text.graph_text import parse_graph

CASES = [(rule, dtype) for rule in RULES for dtype in ALL if dtype.kind in rule.kinds]


def corners(dtype: DType) -> list[int | float]:
    if dtype == BOOL:
        return [0, 1]
    if dtype.is_float:
        tiny = {"f16": 6e-8, "bf16": 1e-40, "f32": 1e-45, "f64": 5e-324}[dtype.name]
        return [0.0, -0.0, 1.0, -1.0, 0.1, 2.5, -3.5, 65504.0, tiny, math.inf, -math.inf, math.nan]
    return sorted({0, 1, 2, 3, 7, int(dtype.max), int(dtype.max) - 1, int(dtype.min), *([-1, -2] * dtype.is_signed)})


def values(expr: Expr, names: dict[str, DType]) -> Array:
    """Values of an expression over scalars at all combinations of their corner values."""
    grid = list(product(*(corners(d) for d in names.values())))
    columns = {n: cast(np.array([g[i] for g in grid]), d.numpy) for i, (n, d) in enumerate(names.items())}
    result = evaluate_expr(expr, _none, _none, columns.__getitem__)
    return np.broadcast_to(result, (len(grid),))


def _none(key: object) -> Array:
    raise AssertionError(key)


def placeholders(rule: ExprRule, dtype: DType) -> dict[str, DType]:
    found = {e.name: e.dtype for e in walk(rule.pattern) if isinstance(e, Var)}
    return {n: dtype if d == ANY else d for n, d in found.items()}


def _name(value: ExprRule | DType) -> str:
    return value.name if isinstance(value, DType) else print_expr(value.pattern)


@pytest.mark.parametrize(("rule", "dtype"), CASES, ids=_name)
def test_rule_is_exact(rule: ExprRule, dtype: DType) -> None:
    names = placeholders(rule, dtype)
    bound = Bindings({n: Var(n, d) for n, d in names.items()}, dtype)
    pattern, replacement = instantiate(rule.pattern, bound), instantiate(rule.replacement, bound)
    assert pattern.dtype == replacement.dtype
    assert same_bits(values(pattern, names), values(replacement, names))
    assert simplify_expr(pattern) != pattern, "the rule does not fire"


@pytest.mark.parametrize(
    ("pattern", "replacement", "kind"),
    [
        ("add(x, 0.0)", "x", "float"),
        ("sub(x, x)", "0", "float"),
        ("mul(x, 0)", "0", "float"),
        ("abs(neg(x))", "abs(x)", "uint"),
        ("cmp_eq(x, x)", "1", "float"),
        ("div(neg(x), neg(y))", "div(x, y)", "int"),
        ("add(sub(x, y), y)", "x", "float"),
    ],
)
def test_wrong_rules_are_found(pattern: str, replacement: str, kind: str) -> None:
    """The corner values above tell these, each wrong at some dtype of the kind, from right ones."""
    rule = expr_rule(pattern, replacement, kind)
    found = []
    for dtype in (d for d in ALL if d.kind == kind):
        names = placeholders(rule, dtype)
        bound = Bindings({n: Var(n, d) for n, d in names.items()}, dtype)
        sides = [values(instantiate(side, bound), names) for side in (rule.pattern, rule.replacement)]
        found.append(not same_bits(*sides))
    assert any(found)


@pytest.mark.parametrize("source", ALL, ids=str)
@pytest.mark.parametrize("middle", ALL, ids=str)
def test_casts_are_exact(source: DType, middle: DType) -> None:
    for target in ALL:
        expr = Call("cast", (Call("cast", (Var("x", source),), middle),), target)
        names = {"x": source}
        assert same_bits(values(expr, names), values(simplify_expr(expr), names)), target


@pytest.mark.parametrize("narrow", ALL, ids=str)
def test_holds(narrow: DType) -> None:
    """A type that holds another gives every corner value back."""
    for wide in ALL:
        back = Call("cast", (Call("cast", (Var("x", narrow),), wide),), narrow)
        if holds(wide, narrow):
            assert same_bits(values(back, {"x": narrow}), values(Var("x", narrow), {"x": narrow})), wide


@pytest.mark.parametrize("dtype", [d for d in ALL if d.is_float], ids=str)
def test_division_by_powers_of_two(dtype: DType) -> None:
    for divisor in (2.0, -0.5, 4.0, 2.0**-12, 3.0, 0.0, 2.0**40, math.inf):
        if dtype.name == "f16" and divisor == 2.0**40:
            continue
        scope = Scope(scalars={"x": dtype})
        expr = parse_expr(f"div(x, {divisor!r})", "<div>", scope, dtype)
        simple = simplify_expr(expr)
        assert same_bits(values(expr, {"x": dtype}), values(simple, {"x": dtype})), divisor
        assert ("mul" in print_expr(simple)) == (divisor in (2.0, -0.5, 4.0, 2.0**-12))


@pytest.mark.parametrize(
    "value, source, target", [("0.1", "f32", "f64"), ("16777217.0", "f32", "i32"), ("0.1", "f16", "f32")]
)
def test_a_constant_is_rounded_to_its_own_type_before_it_is_cast(value: str, source: str, target: str) -> None:
    text = f"graph f() -> (Y) {{ c: {source} = literal ({value})  Y: {target} = cast.{target}(c) }}"
    graph = parse_graph(text)
    simple = simplify.run(graph)
    assert simple is not graph
    assert same_bits(evaluate(graph, {})["Y"], evaluate(simple, {})["Y"])
