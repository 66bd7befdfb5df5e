"""Elementwise functions and operators of `tilec.numpy` against NumPy, on every dtype, with broadcasting."""

from __future__ import annotations

import operator
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tilec
import tilec.numpy as tnp
from tilec.dtypes import BY_NAME
from tilec.errors import TileError

FLOATS = ("float16", "bfloat16", "float32", "float64")
INTEGERS = ("int8", "int16", "int32", "int64", "uint8", "uint32")
EPS = {"float16": 2e-3, "bfloat16": 2e-2, "float32": 1e-6, "float64": 1e-14}


def random(dtype: str, shape: tuple[int, ...], seed: int, low: float = -3, high: float = 3) -> Any:
    rng = np.random.default_rng(seed)
    if dtype == "bool":
        return rng.integers(0, 2, shape).astype(bool)
    if dtype in FLOATS:
        return rng.uniform(low, high, shape).astype(BY_NAME[dtype].numpy)
    first = max(low, 0) if dtype.startswith("u") else low
    return rng.integers(int(first), int(high) + 1, shape).astype(dtype)


def seed_of(name: str) -> int:
    return zlib.crc32(name.encode())


def agree(got: Any, wanted: Any, dtype: str) -> None:
    """Up to a few roundings of the type, the reference being computed in float64."""
    got = np.asarray(got)
    assert got.shape == np.shape(wanted)
    if np.issubdtype(got.dtype, np.floating) or got.dtype == BY_NAME["bfloat16"].numpy:
        tolerance = EPS[got.dtype.name] * 4
        np.testing.assert_allclose(got.astype("float64"), np.asarray(wanted, "float64"), rtol=tolerance, atol=tolerance)
    else:
        assert np.array_equal(got, np.asarray(wanted).astype(got.dtype))


def exact(value: Any) -> Any:
    """What NumPy computes with: float64 in place of floats."""
    return value.astype("float64") if value.dtype.name in FLOATS else value


UNARY: dict[str, tuple[Callable[..., Any], float, float]] = {
    **{n: (getattr(np, n), -3, 3) for n in ("negative", "abs", "floor", "ceil", "trunc", "exp", "expm1", "sin", "cos")},
    **{n: (getattr(np, n), -3, 3) for n in ("sinh", "cosh", "tanh", "square", "sign", "isnan", "isfinite", "isinf")},
    **{n: (getattr(np, n), 0.1, 9) for n in ("sqrt", "log", "log1p", "log2", "log10")},
    "tan": (np.tan, -1, 1),
    "round": (np.rint, -3, 3),
    "asin": (np.arcsin, -0.9, 0.9),
    "acos": (np.arccos, -0.9, 0.9),
    "atan": (np.arctan, -3, 3),
    "asinh": (np.arcsinh, -3, 3),
    "acosh": (np.arccosh, 1.2, 4),
    "atanh": (np.arctanh, -0.9, 0.9),
    "reciprocal": (lambda x: 1 / x, 0.5, 3),
    "rsqrt": (lambda x: 1 / np.sqrt(x), 0.5, 3),
    "exp2": (np.exp2, -3, 3),
    "relu": (lambda x: np.maximum(x, 0), -3, 3),
    "sigmoid": (lambda x: 1 / (1 + np.exp(-x)), -3, 3),
    "logical_not": (np.logical_not, -1, 1),
    "erf": (np.vectorize(__import__("math").erf), -2, 2),
}


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", UNARY)
def test_unary_of_floats(name: str, dtype: str) -> None:
    reference, low, high = UNARY[name]
    x = random(dtype, (3, 5), seed_of(name), low, high)
    got = getattr(tnp, name)(x)
    assert got.dtype in (x.dtype, np.bool_)
    agree(got, reference(exact(x)), dtype)


KEEP = ("negative", "abs", "floor", "ceil", "trunc", "round", "square", "sign", "relu", "isnan", "isinf", "isfinite")


@pytest.mark.parametrize("dtype", INTEGERS)
@pytest.mark.parametrize("name", [n for n in UNARY if n in KEEP])
def test_unary_that_keep_integers(name: str, dtype: str) -> None:
    x = random(dtype, (7,), seed_of(name))
    got = getattr(tnp, name)(x)
    if name not in ("isnan", "isinf", "isfinite"):
        assert got.dtype == x.dtype
    agree(got, UNARY[name][0](x), dtype)


@pytest.mark.parametrize("dtype", ["int8", "int64", "uint8", "bool"])
@pytest.mark.parametrize("name", ["exp", "sqrt", "sin", "log1p", "sigmoid", "tanh"])
def test_integers_become_float32(name: str, dtype: str) -> None:
    x = random(dtype, (7,), seed_of(name), 0, 3)
    got = getattr(tnp, name)(x)
    assert got.dtype == np.float32
    agree(got, UNARY[name][0](x.astype("float64")), "float32")


BINARY: dict[str, Callable[..., Any]] = {
    n: getattr(np, n)
    for n in (
        "add", "subtract", "multiply", "maximum", "minimum", "equal", "not_equal", "less", "less_equal", "greater",
        "greater_equal", "remainder", "floor_divide",
    )
}  # fmt: skip


@pytest.mark.parametrize("dtype", FLOATS + INTEGERS)
@pytest.mark.parametrize("name", BINARY)
def test_binary_with_broadcasting(name: str, dtype: str) -> None:
    x, y = random(dtype, (3, 1, 4), seed_of(name)), random(dtype, (5, 1), seed_of(name) + 1, 1, 4)
    if name in ("remainder", "floor_divide") and dtype in FLOATS:
        x, y = np.round(x * 4) / 4, np.round(y * 2) / 2  # exact in every type, so that no quotient is rounded up
        x, y = x.astype(BY_NAME[dtype].numpy), y.astype(BY_NAME[dtype].numpy)
    got = getattr(tnp, name)(x, y)
    assert got.dtype in (x.dtype, np.bool_)
    agree(got, BINARY[name](exact(x), exact(y)), dtype)


@pytest.mark.parametrize("dtype", ["int8", "int32", "int64"])
def test_integer_division_is_numpys(dtype: str) -> None:
    info = np.iinfo(dtype)
    edges = np.array([info.min, info.min + 1, -7, -3, -1, 0, 1, 2, 3, 7, info.max], dtype)
    x, y = edges[:, None], edges[None, :]
    with np.errstate(all="ignore"):
        assert np.array_equal(tnp.floor_divide(x, y), np.floor_divide(x, y))
        assert np.array_equal(tnp.remainder(x, y), np.remainder(x, y))


def test_float_division_is_numpys() -> None:
    edges = np.array([-np.inf, -7.5, -1.0, -0.1, 0.0, 0.1, 1.0, 3.0, np.inf, np.nan])
    x, y = edges[:, None], edges[None, :]
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(tnp.floor_divide(x, y), np.floor_divide(x, y))
        np.testing.assert_array_equal(tnp.divide(x, y), np.divide(x, y))


@pytest.mark.parametrize("dtype", [*INTEGERS, "bool"])
@pytest.mark.parametrize("name", ["logical_and", "logical_or", "logical_xor"])
def test_bits(name: str, dtype: str) -> None:
    x, y = random(dtype, (9,), 1), random(dtype, (9,), 2)
    bitwise = name.replace("logical", "bitwise")
    assert np.array_equal(getattr(tnp, bitwise)(x, y), getattr(np, bitwise)(x, y))
    assert np.array_equal(getattr(tnp, name)(x, y), getattr(np, name)(x, y))
    assert np.array_equal(tnp.bitwise_invert(x), np.invert(x))


@pytest.mark.parametrize("dtype", INTEGERS)
def test_shifts(dtype: str) -> None:
    x, n = random(dtype, (9,), 1, -9, 9), random(dtype, (9,), 2, 0, 5)
    assert np.array_equal(tnp.bitwise_left_shift(x, n), np.left_shift(x, n))
    assert np.array_equal(tnp.bitwise_right_shift(x, n), np.right_shift(x, n))


OPERATORS: dict[str, Callable[..., Any]] = {
    "+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv, "//": operator.floordiv,
    "%": operator.mod, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge, "==": operator.eq,
    "!=": operator.ne,
}  # fmt: skip


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32"])
@pytest.mark.parametrize("name", OPERATORS)
def test_operators_and_their_reflections(name: str, dtype: str) -> None:
    op = OPERATORS[name]
    x = random(dtype, (6,), seed_of(name), 1, 5)
    other = random(dtype, (2, 1), seed_of(name), 1, 5)
    got = tilec.jit(lambda x: (op(x, 2), op(3, x), op(x, other), op(other, x)))(x)
    for found, wanted in zip(got, (op(x, 2), op(3, x), op(x, other), op(other, x)), strict=True):
        if dtype == "int32" and name == "/":
            assert found.dtype == np.float32
        agree(found, wanted, dtype)


def test_unary_operators() -> None:
    x = random("int16", (5,), 0)
    got = tilec.jit(lambda x: (-x, +x, abs(x), ~x))(x)
    assert [g.tolist() for g in got] == [(-x).tolist(), x.tolist(), abs(x).tolist(), (~x).tolist()]


@pytest.mark.parametrize("exponent", [-1, 0, 0.5, 1, 2, 3, 5, -2, 1.7, 2.0])
def test_powers_of_floats(exponent: float) -> None:
    x = random("float64", (6,), 0, 0.5, 3)
    agree(tilec.jit(lambda x: x**exponent)(x), x**exponent, "float64")
    agree(tnp.power(x, exponent), x**exponent, "float64")
    assert tilec.jit(lambda x: x**exponent)(x.astype("float32")).dtype == np.float32


@pytest.mark.parametrize("dtype", INTEGERS)
def test_powers_of_integers(dtype: str) -> None:
    x, n = random(dtype, (8,), 0), random(dtype, (8,), 1, 0, 7)
    for exponent in (0, 1, 2, 3, 5):
        got = tilec.jit(lambda x, k=exponent: x**k, static_argnames="k")(x)
        assert got.dtype == x.dtype and np.array_equal(got, x**exponent)
    assert np.array_equal(tnp.power(x, n), x**n)
    assert np.array_equal(tnp.power(x, 3), x**3)


@pytest.mark.parametrize("source", [*FLOATS, *INTEGERS, "bool"])
@pytest.mark.parametrize("target", ["float16", "float32", "float64", "int32", "uint8", "bool"])
def test_astype(source: str, target: str) -> None:
    x = random(source, (6,), 0, 0, 3)
    got = tnp.astype(x, target)
    assert got.dtype == np.dtype(target)
    assert np.array_equal(got, x.astype("float64").astype(target) if source in FLOATS else x.astype(target))


def test_names_of_dtypes() -> None:
    x = np.ones(2, "float32")
    for name in ("f16", "float16", np.float16, np.dtype("float16"), BY_NAME["f16"]):
        assert tnp.astype(x, name).dtype == np.float16
    assert [tnp.astype(x, t).dtype.name for t in (float, int, bool)] == ["float32", "int32", "bool"]


def test_where_and_clip() -> None:
    x, y = random("float32", (4, 5), 0), random("float32", (5,), 1)
    assert np.array_equal(tnp.where(x > 0, x, y), np.where(x > 0, x, y))
    assert np.array_equal(tnp.where(x, 1.0, y), np.where(x != 0, np.float32(1), y))
    assert np.array_equal(tnp.clip(x, -1, 1.5), np.clip(x, -1, 1.5))
    assert np.array_equal(tnp.clip(x, None, y), np.minimum(x, y))


def test_logaddexp() -> None:
    edges = np.array([-np.inf, -800.0, 0.0, 1.0, 800.0, np.inf])
    x, y = edges[:, None], edges[None, :]
    np.testing.assert_allclose(tnp.logaddexp(x, y), np.logaddexp(x, y), rtol=1e-14)
    assert tilec.grad(lambda x: tnp.logaddexp(x, 2.0))(np.array(2.0)) == 0.5
    far = np.array([-20.0, -40.0, -700.0])
    np.testing.assert_allclose(tnp.logaddexp(far, 0.0), np.log1p(np.exp(far)), rtol=1e-14)
    np.testing.assert_allclose(tilec.grad(lambda x: tnp.logaddexp(x, 0.0))(far), np.exp(far), rtol=1e-8)


def test_functions_know_their_names() -> None:
    functions = [f for f in (getattr(tnp, name) for name in tnp.__all__) if callable(f) and not isinstance(f, type)]
    for function in functions:
        assert getattr(tnp, function.__name__) is function
    with pytest.raises(TileError, match="rint: too many positional arguments"):
        tnp.rint(np.ones(2), 1)  # type: ignore[call-arg]


def test_rounding_to_decimals() -> None:
    x = np.array([2.345, -0.05, 1234.5, np.nan, np.inf, 3e38, 8388609.0], "float32")
    wanted = [2.3, -0.0, 1234.5, np.nan, np.inf, 3e38, 8388609.0]
    np.testing.assert_array_equal(tilec.jit(lambda x: round(x, 1))(x), np.array(wanted, "float32"))
    np.testing.assert_array_equal(tilec.jit(lambda x: round(x))(x), np.round(x))
    assert tnp.round(np.array([1000.5, 60000], "float16"), 2).tolist() == [1000.5, 60000]  # the products exceed float16
    assert tnp.round(np.array([15, -25, 44], "int8"), -1).tolist() == [20, -20, 40] and tnp.round(2.5, 1) == 2.5
    assert tilec.grad(lambda x: tnp.round(x, 1).sum())(np.array([0.24, 1e300])).tolist() == [0, 0]


def test_nan_has_no_sign_to_differentiate() -> None:
    assert tilec.grad(tnp.sign)(np.array([np.nan, 1.0, 0.0])).tolist() == [0.0, 0.0, 0.0]


def test_numpys_own_functions_on_tensors() -> None:
    x = random("float64", (5,), 0, 0.1, 0.9)
    got = tilec.jit(lambda x: (np.exp(x), np.arcsin(x), np.add(x, x), np.maximum(x, 0.5)))(x)
    for found, wanted in zip(got, (np.exp(x), np.arcsin(x), x + x, np.maximum(x, 0.5)), strict=True):
        agree(found, wanted, "float64")


def test_literals_have_all_their_digits() -> None:
    x = np.array([1.0])
    assert tilec.jit(lambda x: (x * 0.1, 0.1 + x * 0, tnp.where(x > 0, 0.1, x)))(x) == (0.1, 0.1, 0.1)
