"""Colours against Python's colorsys."""

from __future__ import annotations

import colorsys
from typing import Any

import numpy as np
import pytest

import tilec
from tilec.ops import hsv_to_rgb, rgb_to_grayscale, rgb_to_hsv

Array = np.ndarray[Any, Any]


def colours() -> Array:
    """Random ones, greys, black, white, and ones in which two are equal."""
    found = np.random.default_rng(3).random((3, 40, 3))
    found[0, :5] = np.linspace(0, 1, 5)[:, None]
    found[1] = np.round(found[1] * 2) / 2
    return found


def each(function: Any, x: Array) -> Array:
    return np.array([[function(*pixel) for pixel in row] for row in x])


def test_hsv() -> None:
    x = colours()
    wanted = each(colorsys.rgb_to_hsv, x)
    np.testing.assert_allclose(rgb_to_hsv(x), wanted, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(hsv_to_rgb(x), each(colorsys.hsv_to_rgb, x), rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(hsv_to_rgb(wanted), x, rtol=1e-12, atol=1e-13)
    first = rgb_to_hsv(np.moveaxis(x, -1, 0), channels_first=True)
    np.testing.assert_allclose(first, np.moveaxis(wanted, -1, 0), rtol=1e-12, atol=1e-13)


def test_grey() -> None:
    x = colours()
    wanted = (x @ [0.2989, 0.5870, 0.1140])[..., None]
    np.testing.assert_allclose(rgb_to_grayscale(x), wanted, rtol=1e-12)
    np.testing.assert_allclose(rgb_to_grayscale((x * 255).astype("uint8")), wanted * 255, atol=1)
    assert rgb_to_grayscale((x * 255).astype("uint8")).dtype == np.float32


def test_derivatives_of_greys_are_finite() -> None:
    for function in (rgb_to_hsv, hsv_to_rgb):
        slope = tilec.grad(lambda x, f=function: f(x).sum())(np.full((2, 2, 3), 0.5))
        assert np.all(np.isfinite(slope))


@pytest.mark.parametrize("function", [rgb_to_grayscale, rgb_to_hsv, hsv_to_rgb])
def test_errors(function: Any) -> None:
    with pytest.raises(tilec.TileError) as found:
        function(np.zeros((4, 4, 4)))
    assert found.value.code == "TILE0208"
    with pytest.raises(tilec.TileError) as found:
        function(np.float32(1))
    assert found.value.code == "TILE0202"
