"""Typing rules: promotion, weak operands, broadcasting, errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tilec import rules
from tilec.affine import Affine, Size, named_size
from tilec.dtypes import ALL, BF16, BOOL, F16, F32, F64, I8, I16, I32, I64, U8, U16, U32, U64, DType, promote
from tilec.errors import TileError
from tilec.evaluate.expr import evaluate_expr
from tilec.evaluate.graph import evaluate
from tilec.expr import Call, Const, IndexValue, Var
from tilec.graph import TensorType
from tilec.rules import Typed, apply_type, broadcast, call, call_typed, common_type, constant, literal
from tilec.text.graph_text import parse_graph
from tilec.type_graph import infer_graph

WIDE = ["bool", "i8 u8", "i16 u16", "i32 u32", "i64 u64"]  # by rank; on a tie the left operand wins


def rank(dtype: DType) -> int:
    return next(i for i, names in enumerate(WIDE) if dtype.name in names.split())


@pytest.mark.parametrize("a", ALL, ids=str)
@pytest.mark.parametrize("b", ALL, ids=str)
def test_promotion(a: DType, b: DType) -> None:
    result = common_type([TensorType(a), TensorType(b)]).dtype
    if a.is_float != b.is_float:
        assert result == (a if a.is_float else b)
    elif a.is_float:
        assert result == (F32 if {a, b} == {F16, BF16} else a if a.bits >= b.bits else b)
    else:
        assert result == (a if rank(a) >= rank(b) else b)
    assert result == promote(a, b)


WEAK = [
    (U8, 1, U8), (I8, 300, I8), (U64, 1, U64), (I16, 2.5, F32), (I64, 2.5, F32), (F16, 2.5, F16), (BF16, 1, BF16),
    (F64, 2.5, F64), (F16, 1 << 40, F16), (BOOL, 1, I32), (BOOL, 2.5, F32), (I32, 1 << 40, I32),
]  # fmt: skip


@pytest.mark.parametrize("strong, value, expected", WEAK)
def test_weak_operand_adapts(strong: DType, value: int | float, expected: DType) -> None:
    for args in ((Var("x", strong), value), (value, Var("x", strong))):
        assert call("mul", *args).dtype == expected


def test_weak_literals_wrap_into_the_type() -> None:
    assert constant(-1, U8) == Const(255, U8)
    assert constant(300, I8) == Const(44, I8)
    assert constant(1 << 63, I64) == Const(-(1 << 63), I64)
    assert constant(2, BOOL) == Const(1, BOOL)


def test_weak_alone() -> None:
    assert call("add", 1, 2).dtype == I32
    assert call("add", 1, 1 << 31).dtype == I64
    assert call("mul", 1, 2.0).dtype == F32
    assert call("div", 7, 2).dtype == I32
    small, half = literal(1), literal(0.5)
    assert call_typed("add", [small, half]) == Typed(call("add", 1, 0.5), weak=True)
    assert not call_typed("add", [small, Typed(Var("x", I8))]).weak
    assert not call_typed("cast", [small], dtype=I64).weak


RULES = [
    ("add", (BOOL, BOOL), (I32, I32), I32),
    ("add", (I8, U16), (U16, U16), U16),
    ("sub", (U32, I32), (U32, U32), U32),
    ("max", (BOOL, BOOL), (BOOL, BOOL), BOOL),
    ("cmp_lt", (I8, F16), (F16, F16), BOOL),
    ("bit_and", (BOOL, BOOL), (BOOL, BOOL), BOOL),
    ("bit_left", (BOOL, U8), (U8, U8), U8),
    ("bit_right", (BOOL, BOOL), (I32, I32), I32),
    ("exp", (I64,), (F32,), F32),
    ("exp", (BF16,), (BF16,), BF16),
    ("pow", (U8, F64), (F64, F64), F64),
    ("floor", (U8,), (U8,), U8),
    ("cond", (F32, I8, I16), (BOOL, I16, I16), I16),
    ("logical_not", (F32,), (F32,), BOOL),
]


@pytest.mark.parametrize("op, types, wanted, result", RULES)
def test_rules(op: str, types: tuple[DType, ...], wanted: tuple[DType, ...], result: DType) -> None:
    assert apply_type(op, [TensorType(d) for d in types]) == (wanted, TensorType(result))


def test_condition_becomes_a_comparison_with_zero() -> None:
    expr = call("select", Var("c", F32), 1, Var("x", I8))
    x, c = Var("x", I8), Call("cmp_ne", (Var("c", F32), Const(0.0, F32)), BOOL)
    assert expr == Call("cond", (c, Const(1, I8), x), I8)


def test_select_ignores_the_type_of_its_condition() -> None:
    assert call("cond", Var("c", F64), Var("a", U8), Var("b", U8)).dtype == U8


def code(op: str, *types: DType, dtype: DType | None = None) -> str:
    with pytest.raises(TileError) as caught:
        apply_type(op, [TensorType(d) for d in types], dtype)
    return caught.value.code


def test_errors() -> None:
    assert code("bit_and", F32, I32) == "TILE0301"
    assert code("bit_left", I32, F64) == "TILE0301"
    assert code("bit_not", BF16) == "TILE0301"
    assert code("nonsense", I32) == "TILE0105"
    assert code("add", I32) == "TILE0106"
    assert code("bitcast", F32, dtype=I64) == "TILE0302"
    assert code("cast", F32) == "TILE0301"


def test_error_names_the_types() -> None:
    with pytest.raises(TileError, match="'bit_or' is not defined for float32, int32"):
        call("bit_or", Var("x", F32), Var("y", I32))


def test_broadcast() -> None:
    n = named_size("N")
    assert broadcast([(3, 1), (4,)]) == (3, 4)
    assert broadcast([(), (2, 3)]) == (2, 3)
    assert broadcast([(0, 1), (1, 5)]) == (0, 5)
    assert broadcast([(n, 1), (n, 4)]) == (n, 4)
    bad: list[list[tuple[Size, ...]]] = [[(2,), (3,)], [(0,), (2,)], [(n,), (4,)], [(n,), (named_size("M"),)]]
    for shapes in bad:
        with pytest.raises(TileError) as caught:
            broadcast(shapes)
        assert caught.value.code == "TILE0203"


def test_casts_of_constants_are_folded() -> None:
    assert rules.cast(Const(2.9, F32), I8) == Const(2, I8)
    assert rules.cast(Const(1e30, F32), U32) == Const(2**32 - 1, U32)
    assert rules.cast(Const(float("nan"), F32), I32) == Const(0, I32)
    assert rules.cast(Const(3, I8), F64) == Const(3.0, F64)
    assert rules.cast(Var("x", U16), U16) == Var("x", U16)


def test_weak_numbers_are_not_rounded_before_they_adapt_but_constants_are() -> None:
    x = Var("x", F64)
    assert call("mul", x, 0.1) == Call("mul", (x, Const(0.1, F64)), F64)
    assert call("mul", x, Const(0.1, F32)) == Call("mul", (x, Const(0.10000000149011612, F64)), F64)
    assert rules.cast(Const(0.1, F16), F32) == Const(0.0999755859375, F32)
    assert rules.cast(Const(1e30, F16), F32) == Const(float("inf"), F32)


@pytest.mark.parametrize("dtype", [d for d in ALL if d.is_integer], ids=str)
@pytest.mark.parametrize("count", [-1, 0, 7, 8, 63, 64, 128, 255, 256, 1 << 32, -256, (1 << 63) - 1])
@pytest.mark.parametrize("op", ["bit_left", "bit_right"])
def test_a_literal_shift_count_never_wraps_into_range(op: str, count: int, dtype: DType) -> None:
    value = -100 if dtype.is_signed else 100
    inside = 0 <= count < dtype.bits
    want = (rules.wrap(value << count, dtype) if op == "bit_left" else value >> count) if inside else 0
    want = -1 if not inside and op == "bit_right" and dtype.is_signed else want
    scalar = call(op, Const(value, dtype), count)
    assert scalar.dtype == dtype
    assert evaluate_expr(scalar, _none, _none, _none) == want
    weak = "i64" if abs(count) >= 1 << 31 else "i32"
    text = f"graph f(X: {dtype}, n: weak {weak}) -> (Y) {{ Y = {op}(X, n) }}"
    graph = infer_graph(parse_graph(text))
    inputs = {"X": np.array(value, dtype.numpy), "n": np.array(count, weak.replace("i", "int"))}
    assert evaluate(graph, inputs)["Y"] == want
    assert infer_graph(graph) is graph


def _none(key: object) -> Any:
    raise AssertionError(key)


def test_index_values_adapt() -> None:
    i = rules.index_value(Affine.var("i"))
    assert call_typed("add", [i, Typed(Var("x", I64))]).expr.args[0] == IndexValue(Affine.var("i"), I64)  # type: ignore[union-attr]
    assert call_typed("mul", [i, Typed(Var("x", U8))]).expr.dtype == U8
    assert call_typed("add", [i, literal(1)]) == Typed(Call("add", (i.expr, Const(1, I32)), I32), weak=True)
