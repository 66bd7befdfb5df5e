"""Rules of promotion: all pairs of types against NumPy and Keras, and functions traced under them."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

import tilec
import tilec.numpy as tnp
from tests.refusals import refused
from tests.tracing.test_elementwise import random
from tilec import ops
from tilec.dtypes import ALL, BF16, promote
from tilec.promotion import RULES, Rules

NAMES = [d.long for d in ALL]
NUMBERS: list[Any] = [True, 2, 2.5]
PAIRS = list(itertools.product([*NAMES, *NUMBERS], NAMES))


def numpy_type(*operands: Any) -> np.dtype[Any] | None:
    """What NumPy says, None where it has no answer, and of bfloat16 beside Python's numbers, which ml_dtypes widens."""
    if "bfloat16" in operands and not all(isinstance(o, str) for o in operands):
        return None
    given = [np.dtype(BF16.numpy) if o == "bfloat16" else np.dtype(o) if isinstance(o, str) else o for o in operands]
    try:
        return np.result_type(*given)
    except TypeError:
        return None


def test_result_type_is_that_of_numpy() -> None:
    unknown = []
    for a, b in PAIRS:
        wanted, found = numpy_type(a, b), ops.result_type(a, b, rules="numpy")
        assert found == ops.result_type(b, a, rules="numpy")
        if wanted is None:
            unknown.append((a, b))
        else:
            assert found == wanted, (a, b)
    assert {a if b == "bfloat16" else b for a, b in unknown} <= {*NAMES, *NUMBERS}
    assert all("bfloat16" in pair for pair in unknown)


def test_bfloat16_where_numpy_has_no_answer() -> None:
    for name, wanted in {"int8": "bfloat16", "int16": "float32", "uint16": "float32", "int32": "float64"}.items():
        assert ops.result_type("bfloat16", name, rules="numpy") == tnp.result_type(wanted)
    assert ops.result_type("bfloat16", "float16", rules="numpy") == np.float32
    assert ops.result_type("bfloat16", 2.5, rules="numpy") == BF16.numpy


# Keras's table, row by row in the order of NAMES, weak int and float last; from its documentation of type promotion
SHORT = {
    "bool": "b", "int8": "i1", "int16": "i2", "int32": "i4", "int64": "i8", "uint8": "u1", "uint16": "u2",
    "uint32": "u4", "uint64": "u8", "float16": "f2", "bfloat16": "bf", "float32": "f4", "float64": "f8",
}  # fmt: skip
KERAS = """
bool     b  i1 i2 i4 i4 u1 u2 u4 u4 f2 bf f4 f4 i4 f4
int8     i1 i1 i2 i4 i4 i2 i4 i4 f4 f2 bf f4 f4 i1 f4
int16    i2 i2 i2 i4 i4 i2 i4 i4 f4 f2 bf f4 f4 i2 f4
int32    i4 i4 i4 i4 i4 i4 i4 i4 f4 f2 bf f4 f4 i4 f4
int64    i4 i4 i4 i4 i4 i4 i4 i4 f4 f2 bf f4 f4 i4 f4
uint8    u1 i2 i2 i4 i4 u1 u2 u4 u4 f2 bf f4 f4 u1 f4
uint16   u2 i4 i4 i4 i4 u2 u2 u4 u4 f2 bf f4 f4 u2 f4
uint32   u4 i4 i4 i4 i4 u4 u4 u4 u4 f2 bf f4 f4 u4 f4
uint64   u4 f4 f4 f4 f4 u4 u4 u4 u4 f2 bf f4 f4 u4 f4
float16  f2 f2 f2 f2 f2 f2 f2 f2 f2 f2 f4 f4 f4 f2 f2
bfloat16 bf bf bf bf bf bf bf bf bf f4 bf f4 f4 bf bf
float32  f4 f4 f4 f4 f4 f4 f4 f4 f4 f4 f4 f4 f4 f4 f4
float64  f4 f4 f4 f4 f4 f4 f4 f4 f4 f4 f4 f4 f4 f4 f4
"""


def test_result_type_is_that_of_keras() -> None:
    rows = [line.split() for line in KERAS.split("\n") if line]
    assert [row[0] for row in rows] == NAMES and all(len(row) == 16 for row in rows)
    for name, *cells in rows:
        for other, cell in zip([*NAMES, 1, 1.0], cells, strict=True):
            for pair in ((name, other), (other, name)):
                assert SHORT[ops.result_type(*pair, rules="keras").name] == cell, pair


def test_keras_itself_agrees() -> None:
    dtypes = pytest.importorskip("keras.src.backend.common.dtypes", reason="Keras is not installed")
    for count in (1, 2, 3):
        for operands in itertools.product([*NAMES, 1, 1.0], repeat=count):
            given = [type(o) if not isinstance(o, str) else o for o in operands]
            assert ops.result_type(*operands, rules="keras").name == dtypes.result_type(*given), operands


def test_the_rules_of_the_language_are_the_default() -> None:
    for a, b in itertools.product(ALL, ALL):
        assert ops.result_type(a.long, b.long) == tnp.result_type(a.long, b.long) == promote(a, b).numpy


def types(rules: Rules, function: Any, *args: Any) -> list[str]:
    """The types of a traced function's results; nothing is compiled."""
    graph = tilec.trace(ops.promoting(rules)(function))(*args)
    known = graph.types()
    return [known[r].dtype.long for r in graph.results]


def traced(rules: Rules, function: Any, *args: Any) -> Any:
    return tilec.jit(ops.promoting(rules)(function))(*args)


@pytest.mark.parametrize("rules", RULES)
@pytest.mark.parametrize("first", NAMES)
def test_functions_promote_by_the_rules(first: str, rules: Rules) -> None:
    """All operands of functions that take several, and operators"""
    others = [random(name, (3,), k, 0, 3) for k, name in enumerate(NAMES)]

    def every(a: Any, others: Any) -> Any:
        pairs = [[a + b, tnp.maximum(a, b), tnp.where(a > 1, a, b), tnp.concat([a, b])] for b in others]
        return pairs, a * 2, a * 2.5

    *found, twice, more = types(rules, every, random(first, (3,), 9, 0, 3), others)
    for k, name in enumerate(NAMES):
        wanted = ops.result_type(first, name, rules=rules).name
        counted = "int32" if rules == "tile" and first == name == "bool" else wanted
        assert found[4 * k : 4 * k + 4] == [counted, wanted, wanted, wanted], (first, name)
    assert twice == ops.result_type(first, 2, rules=rules).name
    assert more == ops.result_type(first, 2.5, rules=rules).name


def test_values_are_those_of_numpy() -> None:
    """Of integers that Tile's rules wrap, and of bool, which NumPy does not count"""
    low, high = np.array([200, 255], "uint8"), np.array([-100, 127], "int8")
    assert np.array_equal(traced("numpy", lambda a, b: a + b, low, high), low + high)
    wide = np.array([2**40, -(2**40)])
    halves = np.array([1.5, 2.0], "float16")
    assert np.array_equal(traced("numpy", lambda a, b: a * b, wide, halves), wide * halves)
    truth = np.array([True, False]), np.array([True, True])
    assert np.array_equal(
        traced("numpy", lambda a, b: (a + b, a * b), *truth), [truth[0] + truth[1], truth[0] * truth[1]]
    )
    for name in ("int8", "int16", "int32", "bool"):
        x = np.arange(3).astype(name)
        for function in ("sqrt", "exp", "sum", "prod", "cumulative_sum", "mean", "var"):
            wanted = getattr(np, function)(x)
            found = traced("numpy", getattr(tnp, function), x)
            assert found.dtype == wanted.dtype, (name, function)
            np.testing.assert_allclose(found, wanted, rtol=2e-3)
        assert traced("numpy", lambda x: x / x, x + np.array(1, name)).dtype == np.float64


def test_sums_by_the_rules_of_keras() -> None:
    for name, wanted in {
        "bool": "int32",
        "int8": "int32",
        "uint8": "uint32",
        "int64": "int64",
        "float16": "float16",
    }.items():
        x = np.ones(3, name)
        assert traced("keras", tnp.sum, x).dtype == wanted
    assert traced("keras", lambda x: x / 2, np.ones(3, "int8")).dtype == np.float32
    assert traced("keras", tnp.sqrt, np.ones(3, "int64")).dtype == np.float32


@pytest.mark.parametrize("rules", ["numpy", "keras"])
def test_products_of_matrices(rules: Rules) -> None:
    a, b = np.ones((2, 3), "int32"), np.ones((3, 2), "float16")
    wanted = ops.result_type(a, b, rules=rules)
    for found in traced(rules, lambda a, b: (a @ b, tnp.einsum("ij,jk", a, b), tnp.tensordot(a, b, 1)), a, b):
        assert found.dtype == wanted and np.array_equal(found, a @ b.astype("int32"))


def test_loops_and_branches_inherit_them() -> None:
    def run(x: Any) -> Any:
        with ops.promoting("numpy"):
            total, _ = tilec.scan(lambda c, row: (c + (row + np.float16(0.5)), None), np.zeros(2, "float64"), x)
            chosen = tilec.cond(x.sum() > 0, lambda: x + np.float32(1), lambda: x * np.float32(2))
        return total, chosen, x + np.float32(1)

    total, chosen, after = tilec.jit(run)(np.ones((3, 2), "int32"))
    assert total.tolist() == [4.5, 4.5] and chosen.dtype == np.float64 and after.dtype == np.float32


def test_gradients_have_the_types_of_their_inputs() -> None:
    x, y = np.ones(3, "float16"), np.ones(3, "float32")
    slopes = tilec.grad(ops.promoting("numpy")(lambda x, y: (x * y * 2).sum()), argnums=(0, 1))(x, y)
    assert [s.dtype for s in slopes] == [x.dtype, y.dtype] and slopes[0].tolist() == [2, 2, 2]


def test_numbers_that_do_not_fit_are_still_errors() -> None:
    for rules in RULES:
        with pytest.raises(tilec.TileError) as found:
            traced(rules, lambda x: x + 300, np.ones(2, "uint8"))
        assert found.value.code == "TILE0511"
    assert traced("numpy", lambda x: x << 9, np.ones(2, "uint8")).tolist() == [0, 0]


def test_mistakes() -> None:
    jax: Any = "jax"

    def enter() -> None:
        with ops.promoting(jax):
            pass

    def outside() -> None:
        with ops.promoting("numpy"):
            pass

    def unused() -> None:
        ops.promoting(jax)

    for call in (lambda: ops.result_type("int8", rules=jax), lambda: ops.result_type(), enter, outside, unused):
        assert __file__ in refused("TILE0511", call)
    refused("TILE0303", ops.result_type, "complex64")
