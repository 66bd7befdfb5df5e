"""The largest elements, hot classes and safe quotients against NumPy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import tilec
from tests.refusals import refused
from tilec import ops


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "int32", "uint8"])
def test_top_k(dtype: str) -> None:
    rng = np.random.default_rng(0)
    kind = np.dtype(getattr(ml_dtypes, dtype, dtype))
    for shape, axis in (((7,), 0), ((3, 5), -1), ((5, 3), 0), ((2, 1, 4), 2), ((2, 70), 1), ((1, 200), -1)):
        x = rng.integers(0, 9, shape).astype(kind)  # with many that are equal
        order = np.argsort(-x.astype("float64"), axis=axis, kind="stable")
        for k in (1, min(3, shape[axis])):
            values, places = ops.top_k(x, k, axis=axis)
            first = np.take(order, range(k), axis)
            assert places.dtype == np.int32 and np.array_equal(places, first)
            assert values.dtype == x.dtype and np.array_equal(values, np.take_along_axis(x, first, axis))


def test_top_k_takes_nan_first() -> None:
    values, places = ops.top_k(np.array([1.0, np.nan, np.inf, -0.0, np.nan]), 3)
    assert np.array_equal(values, [np.nan, np.nan, np.inf], equal_nan=True) and places.tolist() == [1, 4, 2]


@pytest.mark.parametrize("k", [0, 1, 3, 6, 9])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "int16"])
def test_in_top_k(k: int, dtype: str) -> None:
    rng = np.random.default_rng(k)
    scores = rng.integers(-3, 4, (40, 6)).astype(getattr(ml_dtypes, dtype, dtype))
    targets = rng.integers(0, 6, 40)
    own = np.take_along_axis(scores, targets[:, None], 1)
    assert np.array_equal(ops.in_top_k(targets, scores, k), (scores > own).sum(1) < k)


def test_in_top_k_of_special_values() -> None:
    scores = np.array([[1, np.nan, 0], [np.inf, 2, -np.inf]])
    assert ops.in_top_k(np.array([1, 0]), scores, 1).tolist() == [False, True]
    assert ops.in_top_k(np.array([0, 2]), scores, 1).tolist() == [False, False]  # NaN is larger than 1
    assert ops.in_top_k(np.array([3, -1]), scores, 3).tolist() == [False, False]


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_hot_classes(axis: int) -> None:
    """one_hot and multi_hot"""
    x = np.array([[0, 2, 2], [5, -1, 1]])
    wanted = np.moveaxis((x[..., None] == np.arange(4)).astype("float32"), -1, axis)
    assert np.array_equal(ops.one_hot(x, 4, axis=axis), wanted)
    many = np.moveaxis((x[..., None] == np.arange(4)).any(1), -1, axis)
    for dtype in ("bool", "int8", "float16"):
        found = ops.multi_hot(x, 4, axis=axis, dtype=dtype)
        assert found.dtype == dtype and np.array_equal(found, many.astype(dtype))


def test_quotients_without_nan() -> None:
    """divide_no_nan"""
    x, y = np.array([1.0, 0.0, -2.0, np.inf, 4.0]), np.array([0.0, 0.0, -0.0, 0.0, 8.0])
    assert ops.divide_no_nan(x, y).tolist() == [0, 0, 0, 0, 0.5]
    assert ops.divide_no_nan(np.array([3, 3]), np.array([0, 2])).tolist() == [0, 1.5]
    slopes = tilec.grad(lambda x, y: ops.divide_no_nan(x, y).sum(), argnums=(0, 1))(x[4:], y[4:])
    assert [s.tolist() for s in slopes] == [[0.125], [-0.0625]]
    none = tilec.grad(lambda x, y: ops.divide_no_nan(x, y).sum(), argnums=(0, 1))(np.ones(2), np.zeros(2))
    assert [s.tolist() for s in none] == [[0, 0], [0, 0]]


def test_multi_hot_of_no_classes() -> None:
    assert np.array_equal(ops.multi_hot(np.zeros((2, 0), "int32"), 3), np.zeros((2, 3)))


WRONG: dict[str, tuple[str, Callable[[], Any]]] = {
    "too many": ("TILE0211", lambda: ops.top_k(np.zeros(3), 4)),
    "fewer than none": ("TILE0211", lambda: ops.top_k(np.zeros(3), -1)),
    "a number": ("TILE0212", lambda: ops.top_k(np.float32(3), 1)),
    "half a number": ("TILE0210", lambda: ops.top_k(np.zeros(3), 1.5)),  # type: ignore[arg-type]
    "float targets": ("TILE0304", lambda: ops.in_top_k(np.zeros(3), np.zeros((3, 2)), 1)),
    "other targets": ("TILE0202", lambda: ops.in_top_k(np.zeros(2, "int32"), np.zeros((3, 2)), 1)),
    "hot floats": ("TILE0304", lambda: ops.one_hot(np.zeros(2), 3)),
    "hot number": ("TILE0202", lambda: ops.multi_hot(np.int32(1), 3)),
    "an axis too far": ("TILE0212", lambda: ops.one_hot(np.zeros(2, "int32"), 3, axis=2)),
}


@pytest.mark.parametrize("name", WRONG)
def test_mistakes(name: str) -> None:
    assert __file__ in refused(*WRONG[name])
