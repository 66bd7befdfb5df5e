"""Activations against torch, plain NumPy, their limits, and central differences where torch is not there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from scipy import special

import tilec
import tilec.numpy as tnp
from tests.refusals import WORD, code_of
from tilec import ops

FINITE = np.concatenate([np.linspace(-8, 8, 97), [0.0, -0.0, -30.0, 30.0, -1e4, 1e4, -1e20, 1e20]])
ALL = np.concatenate([FINITE, [-np.inf, np.inf, np.nan]])


def sigmoid(x: Any) -> Any:
    return special.expit(x)


def softplus(x: Any) -> Any:
    return np.logaddexp(x, 0)


def squareplus(x: Any) -> Any:
    """Of b = 2, without cancellation."""
    length = np.hypot(x, 2**0.5)
    return np.where(x > 0, 0.5 * (x + length), 1 / (length + np.abs(x)))


def piecewise(x: Any, below: Any) -> Any:
    return np.where(x > 0, x, below)


# Of finite x in float64, as the papers write them; the tails of gelu by erfc, which has no cancellation.
PLAIN: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "relu": (ops.relu, lambda x: np.maximum(x, 0)),
    "relu6": (ops.relu6, lambda x: np.clip(x, 0, 6)),
    "leaky_relu": (ops.leaky_relu, lambda x: piecewise(x, 0.01 * x)),
    "leaky_relu 0.3": (lambda x: ops.leaky_relu(x, 0.3), lambda x: piecewise(x, 0.3 * x)),
    "prelu": (lambda x: ops.prelu(x, np.float32(0.2)), lambda x: piecewise(x, np.float32(0.2) * x)),
    "elu": (lambda x: ops.elu(x, alpha=0.7), lambda x: piecewise(x, 0.7 * np.expm1(x))),
    "selu": (ops.selu, lambda x: 1.0507009873554805 * piecewise(x, 1.6732632423543772 * np.expm1(x))),
    "celu": (lambda x: ops.celu(x, alpha=0.7), lambda x: piecewise(x, 0.7 * np.expm1(x / 0.7))),
    "gelu": (ops.gelu, lambda x: x * special.ndtr(x)),
    "gelu tanh": (
        lambda x: ops.gelu(x, approximate=True),
        lambda x: x * sigmoid(2 * np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)),
    ),
    "silu": (ops.silu, lambda x: x * sigmoid(x)),
    "mish": (ops.mish, lambda x: x * np.tanh(softplus(x))),
    "hard_silu": (ops.hard_silu, lambda x: x * np.clip(x / 6 + 0.5, 0, 1)),
    "sigmoid": (ops.sigmoid, sigmoid),
    "hard_sigmoid": (ops.hard_sigmoid, lambda x: np.clip(x / 6 + 0.5, 0, 1)),
    "log_sigmoid": (ops.log_sigmoid, lambda x: -softplus(-x)),
    "tanh": (ops.tanh, np.tanh),
    "hard_tanh": (ops.hard_tanh, lambda x: np.clip(x, -1, 1)),
    "softplus": (ops.softplus, softplus),
    "softsign": (ops.softsign, lambda x: x / (1 + np.abs(x))),
    "squareplus": (lambda x: ops.squareplus(x, b=2.0), squareplus),
    "hard_shrink": (ops.hard_shrink, lambda x: np.where(np.abs(x) > 0.5, x, 0)),
    "soft_shrink": (ops.soft_shrink, lambda x: np.sign(x) * np.maximum(np.abs(x) - 0.5, 0)),
    "tanh_shrink": (ops.tanh_shrink, lambda x: x - np.tanh(x)),
    "threshold": (lambda x: ops.threshold(x, 1.5, -2.0), lambda x: np.where(x > 1.5, x, -2)),
    "sparse_plus": (ops.sparse_plus, lambda x: np.where(x < 1, (np.clip(x, -1, 1) + 1) ** 2 / 4, x)),
    "sparse_sigmoid": (ops.sparse_sigmoid, lambda x: np.clip((x + 1) / 2, 0, 1)),
}  # fmt: skip


@pytest.mark.parametrize("name", PLAIN)
def test_values(name: str) -> None:
    function, plain = PLAIN[name]
    with np.errstate(over="ignore"):
        exact = plain(FINITE)
    for dtype, close in (("float64", 1e-13), ("float32", 3e-6)):
        x = FINITE.astype(dtype)
        with np.errstate(over="ignore"):
            wanted = exact if dtype == "float64" else plain(x.astype("float64"))
        found = function(x)
        assert found.dtype == dtype and found.shape == x.shape
        np.testing.assert_allclose(found, wanted, rtol=close, atol=close / 10)


@pytest.mark.parametrize("name", PLAIN)
def test_sixteen_bits_are_rounded_once(name: str) -> None:
    function, plain = PLAIN[name]
    for dtype, close in ((np.float16, 2.0**-11), (ml_dtypes.bfloat16, 2.0**-8)):
        x = np.linspace(-8, 8, 161).astype(dtype)
        found = function(x)
        assert found.dtype == (np.float32 if "prelu" in name else dtype)
        np.testing.assert_allclose(found.astype("f8"), plain(x.astype("f8")), rtol=close, atol=2e-6)


@pytest.mark.parametrize("name", PLAIN)
def test_ends(name: str) -> None:
    """No NaN but of NaN; at infinities the limit, of slopes too."""
    function, plain = PLAIN[name]
    x = np.array([-np.inf, np.inf, np.nan, -3e38, 3e38], "float32")
    found = function(x)
    far = np.array([-1e9, 1e9])
    limits = plain(far)
    wanted = [np.sign(v) * np.inf if abs(v) > 1e6 else np.round(v, 6) for v in limits]
    np.testing.assert_allclose(found[:2], wanted, atol=1e-6)
    assert np.isnan(found[2]) and not np.isnan(found[3:]).any()
    slopes = tilec.grad(lambda x: function(x).sum())(x[[0, 1, 3, 4]])
    assert np.isfinite(slopes).all() and slopes[:2].tolist() == slopes[2:].tolist()


def test_squareplus_of_the_largest_number() -> None:
    assert ops.squareplus(np.array([3e38], "float32")) == np.float32(3e38)


@pytest.mark.parametrize("name", PLAIN)
def test_slopes(name: str) -> None:
    """Against differences, away from the places where pieces meet; there it is the slope of one of the pieces."""
    function, plain = PLAIN[name]
    x = np.linspace(-4, 4, 33) + 0.013
    found = tilec.grad(lambda x: function(x).sum())(x)
    with np.errstate(over="ignore"):
        wanted = (plain(x + 1e-5) - plain(x - 1e-5)) / 2e-5
    np.testing.assert_allclose(found, wanted, rtol=1e-6, atol=1e-8)
    at_zero = tilec.grad(lambda x: function(x).sum())(np.zeros(1))[0]
    left, right = (plain(0.0) - plain(-1e-6)) / 1e-6, (plain(1e-6) - plain(0.0)) / 1e-6
    assert min(left, right) - 1e-5 <= at_zero <= max(left, right) + 1e-5


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_squareplus_of_large_numbers(dtype: str) -> None:
    x = np.array([-3e30, -1e20, -1e15, -1e6, 1e6, 1e15, 1e20], dtype)
    np.testing.assert_allclose(ops.squareplus(x, b=2.0), squareplus(x.astype("float64")), rtol=1e-6)
    slopes = tilec.grad(lambda x: ops.squareplus(x, b=2.0).sum())(x)
    np.testing.assert_allclose(slopes[-3:], 1, rtol=1e-6)
    assert (abs(slopes[:3]) < 1e-29).all()


TORCH = {
    "relu": "relu", "relu6": "relu6", "leaky_relu": "leaky_relu", "elu": "elu", "selu": "selu", "celu": "celu",
    "gelu": "gelu", "silu": "silu", "mish": "mish", "softplus": "softplus", "log_sigmoid": "logsigmoid",
    "hard_sigmoid": "hardsigmoid", "hard_silu": "hardswish", "hard_tanh": "hardtanh", "softsign": "softsign",
    "hard_shrink": "hardshrink", "soft_shrink": "softshrink", "tanh_shrink": "tanhshrink",
}  # fmt: skip


@pytest.mark.parametrize("name", TORCH)
def test_as_torch(name: str) -> None:
    torch = pytest.importorskip("torch", reason="values are compared with torch's")
    x = np.random.default_rng(0).normal(size=(3, 1, 7)) * 4
    variable = torch.tensor(x, requires_grad=True)
    wanted = getattr(torch.nn.functional, TORCH[name])(variable)
    wanted.sum().backward()
    function = getattr(ops, name)
    np.testing.assert_allclose(function(x), wanted.detach().numpy(), rtol=1e-12, atol=1e-14)
    slopes = tilec.grad(lambda x: function(x).sum())(x)
    close = 1e-7 if name == "hard_sigmoid" else 1e-11  # torch has 1/6 in float32
    np.testing.assert_allclose(slopes, variable.grad.numpy(), rtol=close, atol=1e-14)


def test_prelu_has_a_slope_for_each_channel() -> None:
    x, slope = np.array([[-1.0, -2.0], [3.0, -4.0]]), np.array([0.5, 0.25])
    assert ops.prelu(x, slope).tolist() == [[-0.5, -0.5], [3.0, -1.0]]
    assert tilec.grad(lambda s: ops.prelu(x, s).sum())(slope).tolist() == [-1.0, -6.0]


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_softmax(axis: int) -> None:
    x = np.random.default_rng(0).normal(size=(3, 5)) * 5
    np.testing.assert_allclose(ops.softmax(x, axis=axis), special.softmax(x, axis=axis), rtol=1e-13)
    np.testing.assert_allclose(ops.log_softmax(x, axis=axis), special.log_softmax(x, axis=axis), rtol=1e-13)
    large = np.array([1e4, -np.inf, 1e4], "float32")
    assert ops.softmax(large).tolist() == [0.5, 0, 0.5]
    np.testing.assert_allclose(ops.log_softmax(large), [-np.log(2), -np.inf, -np.log(2)], rtol=1e-6)


@pytest.mark.parametrize("axis", [0, 1, -2])
def test_glu(axis: int) -> None:
    x = np.random.default_rng(1).normal(size=(4, 6, 2))
    first, second = np.split(x, 2, axis=axis)
    np.testing.assert_allclose(ops.glu(x, axis=axis), first * sigmoid(second), rtol=1e-13)


def nearest_in_simplex(row: Any) -> Any:
    """By bisection for the number that lowers the row to a sum of 1."""
    low, high = row.max() - 1, row.max()
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if np.maximum(row - middle, 0).sum() > 1 else (low, middle)
    return np.maximum(row - low, 0)


@pytest.mark.parametrize("shape", [(1,), (2,), (5, 7), (3, 1, 13)])
def test_sparsemax(shape: tuple[int, ...]) -> None:
    x = np.random.default_rng(2).normal(size=shape) * 2
    found = ops.sparsemax(x)
    np.testing.assert_allclose(found, np.apply_along_axis(nearest_in_simplex, -1, x), atol=1e-12)
    np.testing.assert_allclose(ops.sparsemax(np.moveaxis(x, -1, 0), axis=0), np.moveaxis(found, -1, 0), atol=1e-15)
    seed = np.random.default_rng(3).normal(size=shape)
    kept = found > 0
    mean = (seed * kept).sum(-1, keepdims=True) / kept.sum(-1, keepdims=True)
    slopes = tilec.grad(lambda x: (ops.sparsemax(x) * seed).sum())(x)
    np.testing.assert_allclose(slopes, np.where(kept, seed - mean, 0), atol=1e-12)


def test_sparsemax_of_ties_and_large_numbers() -> None:
    assert ops.sparsemax(np.zeros(4)).tolist() == [0.25] * 4
    assert ops.sparsemax(np.array([1e30, -1e30, 1e30], "float32")).tolist() == [0.5, 0, 0.5]
    assert ops.sparsemax(np.array([-np.inf, 3.0, 3.25])).tolist() == [0, 0.375, 0.625]


def test_integers_become_float32() -> None:
    x = np.array([-2, 0, 7], "int32")
    for name in ("relu6", "elu", "gelu", "softplus", "hard_shrink", "soft_shrink", "hard_tanh"):
        assert getattr(ops, name)(x).dtype == np.float32
    assert ops.relu6(x).tolist() == [0, 0, 6] and ops.hard_tanh(True) == 1


def test_wrong_arguments() -> None:
    x = np.ones((2, 3))
    assert code_of(lambda: ops.leaky_relu(x, WORD)) == "TILE0210"
    assert code_of(lambda: ops.leaky_relu(x, 10**400)) == "TILE0210"
    assert code_of(lambda: ops.elu(x, alpha=float("nan"))) == "TILE0210"
    assert code_of(lambda: ops.celu(x, alpha=0)) == "TILE0210"
    assert code_of(lambda: ops.squareplus(x, b=-1)) == "TILE0210"
    assert code_of(lambda: ops.soft_shrink(x, -0.5)) == "TILE0210"
    assert code_of(lambda: ops.glu(x)) == "TILE0204"
    assert code_of(lambda: ops.glu(x, axis=2)) == "TILE0212"
    assert code_of(lambda: ops.glu(1.0)) == "TILE0212"
    assert code_of(lambda: ops.sparsemax(x, axis=-3)) == "TILE0212"
    assert code_of(lambda: ops.prelu(x, np.ones(2))) == "TILE0203"


def test_sparsemax_keeps_nan() -> None:
    found = ops.sparsemax(np.array([[np.nan, 1.0, 2.0], [1.0, 2.0, -np.inf]]))
    assert np.isnan(found[0]).all() and found[1].tolist() == [0, 1, 0]


@pytest.mark.parametrize("function", [ops.softmax, ops.log_softmax, ops.sparsemax])
def test_shares_of_nothing(function: Any) -> None:
    for shape in ((3, 0), (0, 3), (0, 0)):
        assert function(np.zeros(shape)).shape == shape
        assert tilec.grad(lambda x: function(x).sum())(np.zeros(shape)).shape == shape


def test_the_logarithm_of_a_sum_of_nothing() -> None:
    assert tnp.logsumexp(np.zeros((3, 0)), axis=-1).tolist() == [-np.inf] * 3
