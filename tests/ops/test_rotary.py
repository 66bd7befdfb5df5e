"""Rotary embeddings against complex numbers."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest

import tilec
from tests.refusals import code_of
from tilec import ops


def draw(*shape: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).normal(size=shape)


def plain(x: Any, positions: Any, base: float, interleaved: bool) -> Any:
    """Pairs as complex numbers, multiplied by one of length 1."""
    half = x.shape[-1] // 2
    numbers = x[..., ::2] + 1j * x[..., 1::2] if interleaved else x[..., :half] + 1j * x[..., half:]
    turned = numbers * np.exp(1j * np.multiply.outer(positions, base ** (-np.arange(half) / half)))
    parts = turned.real, turned.imag
    return np.stack(parts, -1).reshape(x.shape) if interleaved else np.concatenate(parts, -1)


@pytest.mark.parametrize("interleaved", [False, True])
@pytest.mark.parametrize("shape", [(1, 2), (7, 6), (2, 3, 5, 8)])
def test_values(shape: tuple[int, ...], interleaved: bool) -> None:
    x = draw(*shape)
    found = ops.rotary_embedding(x, interleaved=interleaved)
    np.testing.assert_allclose(found, plain(x, np.arange(shape[-2]), 1e4, interleaved), rtol=1e-12, atol=1e-14)
    places = np.random.default_rng(1).integers(0, 50, shape[:-1])
    found = ops.rotary_embedding(x, places, base=100.0, interleaved=interleaved)
    np.testing.assert_allclose(found, plain(x, places, 100.0, interleaved), rtol=1e-12, atol=1e-14)
    found = ops.rotary_embedding(x.astype("f4"), places, base=100.0, interleaved=interleaved)
    np.testing.assert_allclose(found, plain(x, places, 100.0, interleaved), rtol=1e-5, atol=2e-5)


def test_products_know_distances_only() -> None:
    q, k = draw(1, 8), draw(1, 8, seed=1)

    def product(i: int, j: int) -> Any:
        return (ops.rotary_embedding(q, np.array([i])) * ops.rotary_embedding(k, np.array([j]))).sum()

    np.testing.assert_allclose(product(3, 7), product(13, 17), rtol=1e-11)
    assert abs(product(3, 7) - product(3, 8)) > 1e-3


def test_the_gradient_turns_back() -> None:
    x, seed = draw(5, 6), draw(5, 6, seed=1)
    slopes = tilec.grad(lambda x: (ops.rotary_embedding(x) * seed).sum())(x)
    np.testing.assert_allclose(slopes, ops.rotary_embedding(seed, -np.arange(5)), rtol=1e-12, atol=1e-14)
    assert ops.rotary_embedding(x.astype(ml_dtypes.bfloat16)).dtype == ml_dtypes.bfloat16


def test_wrong_arguments() -> None:
    x = draw(2, 5, 6)
    assert code_of(lambda: ops.rotary_embedding(x[0, 0])) == "TILE0202"
    assert code_of(lambda: ops.rotary_embedding(x[..., :5])) == "TILE0204"
    assert code_of(lambda: ops.rotary_embedding(x, base=-1)) == "TILE0210"
    assert code_of(lambda: ops.rotary_embedding(x, np.arange(4))) == "TILE0203"
    assert code_of(lambda: ops.rotary_embedding(x, np.zeros((3, 1, 1)))) == "TILE0203"
