"""Gamma, beta and binomial numbers: distributed as SciPy says, differentiable, and the same wherever they are made.

Keys are fixed, so that no test fails by chance; the bounds are those of a level of one in a thousand.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tilec
from tests.backends.conformance import NAMES
from tilec import random
from tilec.devices import backend
from tilec.errors import TileError

stats = pytest.importorskip("scipy.stats", reason="the distributions are SciPy's")
special = pytest.importorskip("scipy.special", reason="the distribution functions are SciPy's")
KEY = random.key(11)
COUNT = 20_000


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("alpha", [0.1, 0.7, 1.0, 2.5, 40.0, 5000.0])
def test_gamma(alpha: float, dtype: str) -> None:
    found = random.gamma(KEY, 0, np.full((), alpha, dtype), shape=(COUNT,))
    assert found.dtype == dtype
    assert stats.kstest(found.astype(np.float64), stats.gamma(alpha).cdf).pvalue > 1e-3
    assert abs(found.mean(dtype=np.float64) - alpha) < 3.3 * np.sqrt(alpha / COUNT)


@pytest.mark.parametrize(("a", "b"), [(0.1, 0.2), (0.5, 3.0), (1.0, 1.0), (20.0, 5.0), (1e3, 1e3)])
def test_beta(a: float, b: float) -> None:
    found = random.beta(KEY, 0, a, np.float64(b), shape=(COUNT,))
    assert stats.kstest(found, stats.beta(a, b).cdf).pvalue > 1e-3
    assert (found >= 0).all() and (found <= 1).all()


def test_beta_numbers_of_small_parameters_are_numbers() -> None:
    """Both gamma numbers are 0 in float32, but not their logarithms."""
    found = random.beta(KEY, 0, np.float32(1e-3), np.float32(1e-3), shape=(1000,))
    assert np.isfinite(found).all()
    assert 0.4 < found.mean() < 0.6


@pytest.mark.parametrize(
    ("n", "p"), [(1, 0.3), (10, 0.5), (16, 0.9), (17, 0.1), (100, 0.02), (1000, 0.4), (10**6, 0.77)]
)
def test_binomial(n: int, p: float) -> None:
    found = random.binomial(KEY, 0, np.int32(n), np.float64(p), shape=(COUNT,))
    assert found.dtype == np.int32
    deviation = np.sqrt(n * p * (1 - p))
    assert abs(found.mean() - n * p) < 3.3 * deviation / np.sqrt(COUNT)
    values = np.arange(found.min(), found.max() + 1)
    if len(values) > 200:  # nearly continuous
        assert stats.kstest((found - n * p) / deviation, stats.norm.cdf).pvalue > 1e-3
        return
    wanted = stats.binom(n, p).pmf(values) * COUNT
    often = wanted > 5
    seen = np.array([(found == v).sum() for v in values])
    rest = [seen[~often].sum() + 1], [COUNT + 1 - wanted[often].sum()]
    assert stats.chisquare([*seen[often], *rest[0]], [*wanted[often], *rest[1]]).pvalue > 1e-3


def test_infinite_parameters_end_the_search() -> None:
    assert random.gamma(KEY, 0, np.array([np.inf, -np.inf])).tolist()[0] == np.inf
    assert random.beta(KEY, 0, np.array([np.inf, 1.0]), np.array([1.0, np.inf])).tolist() == [1, 0]


def test_binomial_at_its_ends() -> None:
    count = np.array([0, 50, 50, 5, -3], np.int32)
    chance = np.array([0.5, 0, 1, 2, 0.5], np.float32)
    assert random.binomial(KEY, 0, count, chance).tolist() == [0, 0, 50, 5, 0]


def test_binomial_of_no_probability_is_no_count() -> None:
    found = random.binomial(KEY, 0, np.array([0, 5, 500, 500]), np.array([np.nan, np.nan, np.nan, 1.0]))
    assert found.tolist() == [-1, -1, -1, 500]


@pytest.mark.parametrize("alpha", [0.05, 0.5, 1.0, 3.0, 30.0, 900.0, 20000.0])
def test_implicit_gradient(alpha: float) -> None:
    """Along the gamma number at which the distribution function has the same value, for another alpha."""
    alphas = np.full(300, alpha)
    x = random.gamma(KEY, 0, alphas)
    slope = tilec.grad(lambda a: tilec.numpy.sum(random.gamma(KEY, 0, a)))(alphas)
    level, step = special.gammainc(alpha, x), alpha * 1e-5
    wanted = (special.gammaincinv(alpha + step, level) - special.gammaincinv(alpha - step, level)) / (2 * step)
    inside = (level > 1e-5) & (level < 1 - 1e-5)
    assert inside.sum() > 200
    np.testing.assert_allclose(slope[inside], wanted[inside], rtol=1e-5, atol=1e-300)


def test_gradient_of_a_mean() -> None:
    """The expectation of beta numbers is a / (a + b)."""
    a, b = 2.0, 3.0
    slopes = tilec.grad(lambda a, b: tilec.numpy.mean(random.beta(KEY, 0, a, b, shape=(COUNT,))), argnums=(0, 1))(
        np.float64(a), np.float64(b)
    )
    np.testing.assert_allclose(slopes, [b / (a + b) ** 2, -a / (a + b) ** 2], rtol=0.02)


@pytest.mark.parametrize("target", NAMES)
def test_same_everywhere(target: str) -> None:
    """And a stream can be cut anywhere."""
    if target != "reference" and not backend(target).targets():
        pytest.skip(f"backend {target!r} finds no device on this machine")
    a, n = np.linspace(0.1, 3, 40), np.arange(40, dtype=np.int32) * 3

    def numbers(offset: Any, a: Any, n: Any) -> Any:
        return random.gamma(KEY, offset, a), random.beta(KEY, offset, a, 2.0), random.binomial(KEY, offset, n, a / 3)

    whole = tilec.jit(numbers, target="reference")(0, a, n)
    for found, wanted in zip(tilec.jit(numbers, target=target)(0, a, n), whole):
        np.testing.assert_allclose(found, wanted, rtol=1e-12)
    for found, wanted in zip(tilec.jit(numbers, target=target)(15, a[15:], n[15:]), whole):
        np.testing.assert_allclose(found, wanted[15:], rtol=1e-12)


def test_types_and_refusals() -> None:
    assert random.gamma(KEY, 0, np.ones(3, np.float16)).dtype == np.float16
    assert random.beta(KEY, 0, 1, 2, shape=(2,)).dtype == np.float32
    assert np.isnan(random.gamma(KEY, 0, np.array([0.0, -1.0]))).all()
    with pytest.raises(TileError) as caught:
        random.binomial(KEY, 0, np.float32(3), 0.5)
    assert caught.value.code == "TILE0301"
