"""Pooling against NumPy's windows and torch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tilec
from tests.ops import sliding
from tests.ops.test_convolution import numbers
from tilec.ops import (
    adaptive_average_pool,
    adaptive_max_pool,
    average_pool,
    global_average_pool,
    global_max_pool,
    max_pool,
)

Case = tuple[tuple[int, ...], Any, dict[str, Any]]  # shape of the image, size of windows, arguments

CASES: list[Case] = [
    ((2, 6, 8, 3), 2, {}),
    ((2, 7, 5, 3), (3, 2), {}),
    ((1, 7, 9, 2), 3, {"strides": 2, "padding": "same"}),
    ((1, 6, 7, 1), (2, 3), {"strides": 1, "padding": "same"}),
    ((2, 11, 8, 3), 2, {"strides": (5, 3)}),  # strides past the window
    ((2, 9, 8, 3), 3, {"strides": 1, "padding": ((1, 0), (2, 1))}),
    ((1, 2, 3, 4), (5, 4), {"strides": 2, "padding": "same"}),  # windows larger than the image
    ((1, 1, 1, 1), 1, {}),
    ((2, 13, 3), 4, {"strides": 3, "padding": 1}),
    ((2, 4, 5, 6, 2), (2, 3, 1), {"strides": (1, 2, 3), "padding": "same"}),
    ((0, 4, 4, 2), 2, {}),
    ((1, 4, 4, 0), 2, {}),
    ((17, 9, 11, 19), 3, {"strides": 2, "padding": 1}),
]


def seen(x: np.ndarray, size: Any, arguments: dict[str, Any], fill: Any) -> np.ndarray:
    """[batch, *windows, channels, elements of the window]."""
    count = x.ndim - 2
    sizes = numbers(size, count)
    strides = numbers(arguments.get("strides", size), count)
    spread = numbers(arguments.get("dilation", 1), count)
    padding = arguments.get("padding", [(0, 0)] * count)
    if padding == "same":
        padding = sliding.widths(x.shape[1:-1], sizes, strides, spread)
    elif isinstance(padding, int):
        padding = [(padding, padding)] * count
    found = sliding.windows(x, sizes, strides, spread, padding, fill)
    return found.reshape(*found.shape[: x.ndim], int(np.prod(sizes)))


def image(shape: tuple[int, ...], dtype: Any = np.float32) -> np.ndarray:
    return np.random.default_rng(3).standard_normal(shape).astype(dtype)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_max_pool_against_numpy(case: Case) -> None:
    x = image(case[0])
    np.testing.assert_array_equal(max_pool(x, case[1], **case[2]), seen(x, case[1], case[2], -np.inf).max(-1))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_average_pool_against_numpy(case: Case) -> None:
    x = image(case[0])
    wide = seen(x.astype(np.float64), case[1], case[2], np.nan)
    found = average_pool(x, case[1], **case[2])
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, np.nanmean(wide, -1), rtol=1e-5, atol=1e-6)
    counted = average_pool(x, case[1], **case[2], count_padding=True)
    np.testing.assert_allclose(counted, np.nan_to_num(wide).mean(-1), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("case", CASES[2:6], ids=str)
def test_channels_first(case: Case) -> None:
    x = image(case[0])
    turned = np.ascontiguousarray(sliding.first(x))
    for function in (max_pool, average_pool):
        expected = sliding.first(function(x, case[1], **case[2]))
        np.testing.assert_allclose(function(turned, case[1], **case[2], channels_first=True), expected, rtol=1e-6)
    np.testing.assert_allclose(global_max_pool(turned, channels_first=True), global_max_pool(x))
    np.testing.assert_allclose(global_average_pool(turned, channels_first=True), global_average_pool(x), rtol=1e-5)


@pytest.mark.parametrize("dtype", [np.float32, np.int32, np.int8, np.uint8])
def test_dilation_and_padding_that_no_element_reaches(dtype: Any) -> None:
    x = (10 * image((2, 7, 8, 3))).astype(dtype)
    least = -np.inf if dtype is np.float32 else np.iinfo(dtype).min
    for arguments in ({"strides": 1, "dilation": (2, 3)}, {"strides": 1, "padding": 3}, {"strides": 2, "padding": 4}):
        np.testing.assert_array_equal(max_pool(x, 2, **arguments), seen(x, 2, arguments, least).max(-1))


def test_an_average_of_padding_alone_is_0() -> None:
    assert average_pool(np.ones((1, 2, 1), np.float32), 1, padding=1)[0, :, 0].tolist() == [0, 1, 1, 0]


def test_types() -> None:
    x = np.full((1, 64, 64, 1), 1.001, np.float16)
    assert average_pool(x, 64).dtype == np.float16 and average_pool(x, 64).item() == x[0, 0, 0, 0]
    assert average_pool(np.arange(4, dtype=np.int32).reshape(1, 4, 1), 2)[0, :, 0].tolist() == [0.5, 2.5]
    assert np.isnan(max_pool(np.array([1, np.nan, 2, 3], np.float32).reshape(1, 4, 1), 2)[0, 0, 0])


def test_against_torch() -> None:
    torch = pytest.importorskip("torch", reason="its values are compared: pip install torch")
    x = image((2, 9, 10, 3))
    theirs = torch.tensor(sliding.first(x))
    f = torch.nn.functional
    expected = f.max_pool2d(theirs, 3, 2, 1, 2).numpy()
    np.testing.assert_array_equal(sliding.first(max_pool(x, 3, 2, padding=1, dilation=2)), expected)
    for counted in (True, False):
        expected = f.avg_pool2d(theirs, (3, 2), (2, 1), (1, 1), count_include_pad=counted).numpy()
        found = average_pool(x, (3, 2), (2, 1), padding=1, count_padding=counted)
        np.testing.assert_allclose(sliding.first(found), expected, rtol=1e-5, atol=1e-6)


def parts(x: np.ndarray, counts: tuple[int, ...], function: Any) -> np.ndarray:
    """Of each window that adaptive pooling cuts."""
    found = np.empty((x.shape[0], *counts, x.shape[-1]))
    for at in np.ndindex(*counts):
        cut = tuple(slice(o * n // m, -(-(o + 1) * n // m)) for o, n, m in zip(at, x.shape[1:-1], counts))
        found[(slice(None), *at)] = function(x[(slice(None), *cut)].astype(np.float64), tuple(range(1, x.ndim - 1)))
    return found


@pytest.mark.parametrize("shape", [(2, 7, 12, 3), (1, 1, 5, 2), (3, 11, 1, 4)], ids=str)
@pytest.mark.parametrize("counts", [(1, 1), (7, 6), (3, 5), (8, 13)], ids=str)
def test_adaptive_pooling(shape: tuple[int, ...], counts: tuple[int, ...]) -> None:
    x = image(shape)
    np.testing.assert_array_equal(adaptive_max_pool(x, counts), parts(x, counts, np.max))
    mean = parts(x, counts, np.mean)
    np.testing.assert_allclose(adaptive_average_pool(x, counts), mean, rtol=1e-5, atol=1e-6)
    turned = np.ascontiguousarray(sliding.first(x))
    found = adaptive_average_pool(turned, counts, channels_first=True)
    np.testing.assert_allclose(found, sliding.first(mean), rtol=1e-5, atol=1e-6)


def test_adaptive_pooling_of_other_ranks_and_types() -> None:
    x = image((2, 10, 3))
    np.testing.assert_array_equal(adaptive_max_pool(x, 4), parts(x, (4,), np.max))
    x = image((1, 5, 4, 7, 2))
    np.testing.assert_allclose(adaptive_average_pool(x, 3), parts(x, (3, 3, 3), np.mean), rtol=1e-5, atol=1e-6)
    whole = np.arange(-5, 5, dtype=np.int8).reshape(1, 10, 1)
    assert adaptive_max_pool(whole, 3)[0, :, 0].tolist() == [-2, 1, 4]
    assert adaptive_average_pool(whole, 3).dtype == np.float32
    assert adaptive_average_pool(whole.astype(np.float16), 3)[0, :, 0].tolist() == [-3.5, -0.5, 2.5]


def test_adaptive_pooling_against_torch() -> None:
    torch = pytest.importorskip("torch", reason="its values are compared: pip install torch")
    x = image((2, 9, 14, 3))
    f = torch.nn.functional
    for counts in ((4, 5), (3, 7), (9, 20)):
        theirs = torch.tensor(sliding.first(x))
        expected = f.adaptive_max_pool2d(theirs, counts).numpy()
        np.testing.assert_array_equal(sliding.first(adaptive_max_pool(x, counts)), expected)
        expected = f.adaptive_avg_pool2d(theirs, counts).numpy()
        np.testing.assert_allclose(sliding.first(adaptive_average_pool(x, counts)), expected, rtol=1e-5, atol=1e-6)


def test_global_pooling() -> None:
    x = image((3, 5, 7, 2))
    np.testing.assert_array_equal(global_max_pool(x), x.max((1, 2)))
    np.testing.assert_allclose(global_average_pool(x), x.mean((1, 2)), rtol=1e-5)
    assert global_average_pool(x, keepdims=True).shape == (3, 1, 1, 2)
    np.testing.assert_array_equal(global_max_pool(x, keepdims=True), x.max((1, 2), keepdims=True))


def test_a_window_may_be_far_larger_than_the_image() -> None:
    """Of which nothing is as large."""
    x = image((1, 5, 2))
    np.testing.assert_allclose(average_pool(x, 2**30, 1, "same")[0], np.tile(x[0].mean(0), (5, 1)), rtol=1e-5)
    np.testing.assert_array_equal(max_pool(x, 2**30, 1, "same")[0], np.tile(x[0].max(0), (5, 1)))


X = np.zeros((2, 5, 5, 4), np.float32)
WRONG: list[tuple[str, str, Any]] = [
    ("TILE0202", "at least 3 axes", lambda: max_pool(X[0, 0], 2)),
    ("TILE0202", "at least 3 axes", lambda: global_average_pool(X[0, 0])),
    ("TILE0204", "size of a window: 3 numbers for 2 axes", lambda: max_pool(X, (2, 2, 2))),
    ("TILE0511", "the size of a window is at least 1", lambda: average_pool(X, 0)),
    ("TILE0511", "'causal'", lambda: max_pool(X, 2, padding="causal")),
    ("TILE0511", "a stride is at least 1", lambda: average_pool(X, 2, 0)),
    ("TILE0511", "a number of windows is at least 1", lambda: adaptive_max_pool(X, (1, 0))),
    ("TILE0211", "without elements", lambda: adaptive_average_pool(X[:, :0], 2)),
    ("TILE0211", "a window spans 6 elements", lambda: max_pool(X, 6)),
    ("TILE0511", "a stride is at most", lambda: max_pool(X, 2, 2**70)),
    ("TILE0511", "padding of", lambda: max_pool(X, 2, padding=2**31)),
    ("TILE0416", "takes a table of", lambda: average_pool(X[0], 2, 1, 2**30)),
    ("TILE0416", "takes a table of", lambda: adaptive_average_pool(X, (2**30, 3))),
    ("TILE0211", "negative width", lambda: average_pool(X, 2, padding=((0, 0), (-1, 0)))),
]


@pytest.mark.parametrize(("code", "text", "call"), WRONG, ids=range(len(WRONG)))
def test_wrong_calls(code: str, text: str, call: Any) -> None:
    with pytest.raises(tilec.TileError) as found:
        call()
    assert found.value.code == code and text in str(found.value)
