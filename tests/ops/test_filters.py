"""Filters against scipy.ndimage and scipy.signal; random sizes and modes are in tests/outside."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.ndimage
import scipy.signal

import tilec
from tilec.ops import (
    convolve,
    correlate,
    gaussian_filter,
    maximum_filter,
    median_filter,
    minimum_filter,
    percentile_filter,
    rank_filter,
    uniform_filter,
)
from tilec.ops.boundary import MODES

Array = np.ndarray[Any, Any]


def numbers(*shape: int) -> Array:
    return np.random.default_rng(7).normal(size=shape)


@pytest.mark.parametrize(("shape", "size"), [((7, 5), (3, 4)), ((9,), (4,)), ((2, 3), (2, 3)), ((1, 4), (1, 1))])
def test_correlate_and_convolve(shape: tuple[int, ...], size: tuple[int, ...]) -> None:
    x, kernel = numbers(*shape), numbers(*size)
    modes = ("full", "same", "valid")
    found = tilec.jit(lambda x, k: [(correlate(x, k, m), convolve(x, k, m)) for m in modes])(x, kernel)
    for mode, (first, second) in zip(modes, found, strict=True):
        np.testing.assert_allclose(first, scipy.signal.correlate(x, kernel, mode), rtol=1e-12, atol=1e-13)
        np.testing.assert_allclose(second, scipy.signal.convolve(x, kernel, mode), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("mode", MODES)
def test_modes(mode: str) -> None:
    x, kernel = numbers(7, 5), numbers(4, 3)
    beyond: dict[str, Any] = {"mode": mode, "value": 2.0}

    def ours(x: Any, kernel: Any) -> list[Any]:
        return [
            correlate(x, kernel, "same", boundary=mode, value=2.0, origin=(1, -1)),
            gaussian_filter(x, (1.3, 0.7), order=(0, 1), **beyond),
            uniform_filter(x, (3, 4), origin=(-1, 1), **beyond),
            maximum_filter(x, (3, 4), origin=(-1, 1), **beyond),
            minimum_filter(x, 3, **beyond),
            median_filter(x, (3, 4), **beyond),
            percentile_filter(x, 30, (3, 3), **beyond),
        ]

    n, same = scipy.ndimage, {"mode": mode, "cval": 2.0}
    wanted = [
        n.correlate(x, kernel, origin=(1, -1), **same),
        n.gaussian_filter(x, (1.3, 0.7), order=(0, 1), **same),
        n.uniform_filter(x, (3, 4), origin=(-1, 1), **same),
        n.maximum_filter(x, (3, 4), origin=(-1, 1), **same),
        n.minimum_filter(x, 3, **same),
        n.median_filter(x, (3, 4), **same),
        n.percentile_filter(x, 30, (3, 3), **same),
    ]
    for got, want in zip(tilec.jit(ours)(x, kernel), wanted, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-12)


def test_axes() -> None:
    x, kernel = numbers(3, 6, 2), numbers(3)
    np.testing.assert_allclose(
        correlate(x, kernel, "same", axes=1), scipy.ndimage.correlate1d(x, kernel, 1, mode="constant"), rtol=1e-12
    )
    np.testing.assert_allclose(
        uniform_filter(x, 3, axes=(0, 1)), scipy.ndimage.uniform_filter(x, (3, 3, 1)), rtol=1e-12
    )


@pytest.mark.parametrize("order", [0, 1, 2, 3])
def test_derivatives_of_gaussians(order: int) -> None:
    x = numbers(40)
    wanted = scipy.ndimage.gaussian_filter(x, 2.5, order=order)
    np.testing.assert_allclose(gaussian_filter(x, 2.5, order=order), wanted, rtol=1e-9, atol=1e-12)


def test_types() -> None:
    x = np.arange(20, dtype="uint8").reshape(4, 5)
    assert uniform_filter(x).dtype == np.float32
    assert maximum_filter(x).dtype == x.dtype
    np.testing.assert_array_equal(maximum_filter(x), scipy.ndimage.maximum_filter(x, 3))
    np.testing.assert_array_equal(rank_filter(x, -2), scipy.ndimage.rank_filter(x, -2, 3))
    half = numbers(4, 5).astype("float16")
    assert gaussian_filter(half, 1.0).dtype == np.float16
    want = scipy.ndimage.gaussian_filter(half.astype(np.float64), 1.0)
    np.testing.assert_allclose(gaussian_filter(half, 1.0), want, atol=2e-3)


def test_sigma_of_zero_changes_nothing() -> None:
    x = numbers(3, 4)
    np.testing.assert_array_equal(gaussian_filter(x, 0), x)


@pytest.mark.parametrize(
    ("code", "call"),
    [
        ("TILE0202", lambda x: correlate(x, np.ones(3), axes=(0, 1))),
        ("TILE0211", lambda x: correlate(x, np.ones((5, 1)), "valid")),
        ("TILE0211", lambda x: correlate(x, np.ones((0, 1)))),
        ("TILE0511", lambda x: correlate(x, np.ones((2, 2)), "half")),
        ("TILE0511", lambda x: correlate(x, np.ones((2, 2)), "same", origin=2)),
        ("TILE0511", lambda x: uniform_filter(x, mode="zeros")),
        ("TILE0511", lambda x: uniform_filter(x, 0)),
        ("TILE0204", lambda x: maximum_filter(x, (3, 3, 3))),
        ("TILE0204", lambda x: gaussian_filter(x, (1, 1, 1))),
        ("TILE0212", lambda x: maximum_filter(x, 3, axes=2)),
        ("TILE0511", lambda x: gaussian_filter(x, -1)),
        ("TILE0511", lambda x: gaussian_filter(x, 1, order=-1)),
        ("TILE0210", lambda x: gaussian_filter(x, 1, truncate="4")),  # type: ignore[arg-type]
        ("TILE0225", lambda x: rank_filter(x, 9)),
        ("TILE0511", lambda x: percentile_filter(x, 101)),
        ("TILE0511", lambda x: uniform_filter(x, mode=["wrap"])),  # type: ignore[arg-type]
        ("TILE0511", lambda x: gaussian_filter(x, 1, order=-1)),
        ("TILE0511", lambda x: gaussian_filter(x, 1, order=2**40)),
        ("TILE0210", lambda x: gaussian_filter(x, 1, truncate=np.nan)),
        ("TILE0416", lambda x: gaussian_filter(x, 2.0**40)),
        ("TILE0416", lambda x: maximum_filter(x, 2**30)),
        ("TILE0511", lambda x: uniform_filter(x, 2**70)),
        ("TILE0210", lambda x: uniform_filter(x, "3")),  # type: ignore[arg-type]
    ],
)
def test_errors(code: str, call: Any) -> None:
    with pytest.raises(tilec.TileError) as found:
        call(np.zeros((4, 5), np.float32))
    assert found.value.code == code
