"""Blur and edges of images against scipy.ndimage and scipy.signal."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.ndimage
import scipy.signal

import tilec
from tilec.ops import gaussian_blur, sobel_edges

Array = np.ndarray[Any, Any]


def images(*shape: int) -> Array:
    return np.random.default_rng(4).random(shape)


def bell(size: int, sigma: float) -> Array:
    found: Array = np.exp(-0.5 * ((np.arange(size) - (size - 1) / 2) / sigma) ** 2)
    found /= found.sum()
    return found


@pytest.mark.parametrize("size", [(3, 3), (5, 1), (4, 2)])
def test_gaussian_blur(size: tuple[int, int]) -> None:
    x = images(2, 6, 7, 3)
    found = gaussian_blur(x, size, (1.5, 0.7))
    kernel = np.outer(bell(size[0], 1.5), bell(size[1], 0.7))
    middle = tuple(slice(k // 2, k // 2 + m) for k, m in zip(size, (6, 7)))
    for n, c in np.ndindex(2, 3):
        want = scipy.signal.convolve(x[n, :, :, c], kernel)[middle]
        np.testing.assert_allclose(found[n, :, :, c], want, rtol=1e-11)


def test_layouts_and_edges() -> None:
    x = images(2, 6, 7, 3)
    first = gaussian_blur(np.moveaxis(x, -1, 1), channels_first=True)
    np.testing.assert_allclose(np.moveaxis(first, 1, -1), gaussian_blur(x), rtol=1e-12)
    np.testing.assert_allclose(gaussian_blur(x[1]), gaussian_blur(x)[1], rtol=1e-12)
    np.testing.assert_allclose(gaussian_blur(np.ones((5, 5, 1)), 3, mode="reflect"), 1)


def test_sobel_edges() -> None:
    x = images(2, 6, 7, 3)
    found = sobel_edges(x)
    assert found.shape == (2, 6, 7, 3, 2)
    for n, c, axis in np.ndindex(2, 3, 2):
        want = scipy.ndimage.sobel(x[n, :, :, c], axis, mode="mirror")
        np.testing.assert_allclose(found[n, :, :, c, axis], want, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize(
    ("code", "call"),
    [
        ("TILE0202", lambda x: gaussian_blur(x[0, 0])),
        ("TILE0202", lambda x: sobel_edges(x[0, 0])),
        ("TILE0204", lambda x: gaussian_blur(x, (3, 3, 3))),
        ("TILE0204", lambda x: gaussian_blur(x, 3, (1.0, 1.0, 1.0))),
        ("TILE0511", lambda x: gaussian_blur(x, 3, 0.0)),
        ("TILE0511", lambda x: gaussian_blur(x, 3, mode="edge")),
    ],
)
def test_errors(code: str, call: Any) -> None:
    with pytest.raises(tilec.TileError) as found:
        call(np.zeros((1, 4, 5, 3), np.float32))
    assert found.value.code == code
