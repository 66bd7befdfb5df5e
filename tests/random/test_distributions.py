"""Distributions beside the uniform, normal and gamma ones: as SciPy has them, and the same wherever they are made.

Keys are fixed, so that no test fails by chance; the bounds are those of a level of one in a thousand.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tilec
from tests.backends.conformance import NAMES
from tests.refusals import code_of
from tilec import random
from tilec.devices import backend

stats = pytest.importorskip("scipy.stats", reason="the distributions are SciPy's")
KEY = random.key(5)
COUNT = 20_000
FEW = 2_000

# name: numbers of a type, and SciPy's distribution
LAWS: dict[str, tuple[Callable[[str], Any], Any]] = {
    "exponential": (lambda d: random.exponential(KEY, 0, (COUNT,), d), stats.expon()),
    "rayleigh": (lambda d: random.rayleigh(KEY, 0, (COUNT,), d), stats.rayleigh()),
    "gumbel": (lambda d: random.gumbel(KEY, 0, (COUNT,), d), stats.gumbel_r()),
    "laplace": (lambda d: random.laplace(KEY, 0, (COUNT,), d), stats.laplace()),
    "logistic": (lambda d: random.logistic(KEY, 0, (COUNT,), d), stats.logistic()),
    "cauchy": (lambda d: random.cauchy(KEY, 0, (COUNT,), d), stats.cauchy()),
    "weibull": (lambda d: random.weibull(KEY, 0, np.full((), 0.7, d), (COUNT,)), stats.weibull_min(0.7)),
    "pareto": (lambda d: random.pareto(KEY, 0, np.full((), 2.5, d), (COUNT,)), stats.pareto(2.5)),
    "lognormal": (lambda d: random.lognormal(KEY, 0, np.full((), 0.6, d), (COUNT,)), stats.lognorm(0.6)),
    "chisquare": (lambda d: random.chisquare(KEY, 0, np.full((), 3.0, d), (COUNT,)), stats.chi2(3)),
    "t": (lambda d: random.t(KEY, 0, np.full((), 2.5, d), (COUNT,)), stats.t(2.5)),
    "dirichlet": (lambda d: random.dirichlet(KEY, 0, np.array([0.4, 2, 1], d), (COUNT,))[:, 0], stats.beta(0.4, 3)),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", LAWS)
def test_continuous(name: str, dtype: str) -> None:
    draw, law = LAWS[name]
    found = draw(dtype)
    assert found.dtype == dtype and found.shape == (COUNT,) and np.isfinite(found).all()
    assert stats.kstest(found.astype(np.float64), law.cdf).pvalue > 1e-3


def as_often(found: Any, law: Any) -> bool:
    """Pearson's test of whole numbers, those that are rare taken together; and the mean and the variance."""
    count, mean, variance = len(found), law.mean(), law.var()
    assert abs(found.mean(dtype=np.float64) - mean) < 3.3 * np.sqrt(variance / count)
    fourth = law.stats(moments="k") + 2
    assert abs(found.var(dtype=np.float64) - variance) < 3.3 * variance * np.sqrt(fourth / count)
    edges = np.unique(law.ppf(np.linspace(0.001, 0.999, 40)))
    wanted = np.diff([0, *law.cdf(edges), 1]) * count
    seen = np.bincount(np.searchsorted(edges, found), minlength=len(edges) + 1)
    few = wanted < 5
    seen, wanted = np.append(seen[~few], seen[few].sum()), np.append(wanted[~few], wanted[few].sum())
    some = wanted > 0
    return bool(stats.chisquare(seen[some], wanted[some]).pvalue > 1e-3)


@pytest.mark.parametrize("rate", [0.01, 0.5, 3.0, 9.99, 10.0, 11.5, 40.0, 1000.0, 2.5e6])
def test_poisson(rate: float) -> None:
    found = random.poisson(KEY, 0, np.float64(rate), shape=(COUNT,))
    assert found.dtype == np.int32 and (found >= 0).all()
    assert as_often(found, stats.poisson(rate))


def test_poisson_at_its_ends() -> None:
    found = random.poisson(KEY, 0, np.array([0.0, -1, np.nan, np.inf, 3e9]))
    assert found[:3].tolist() == [0, 0, -1] and (abs(found[3:] - 2e9) < 1e6).all()
    assert random.poisson(KEY, 0, np.zeros((0, 2), np.float32)).shape == (0, 2)
    assert random.poisson(KEY, 0, 4, shape=(3,)).shape == (3,)


@pytest.mark.parametrize("p", [0.01, 0.3, 0.5, 0.95])
def test_geometric(p: float) -> None:
    found = random.geometric(KEY, 0, np.float64(p), shape=(COUNT,))
    assert found.dtype == np.int32 and as_often(found, stats.geom(p))
    assert random.geometric(KEY, 0, np.array([1.0, 2.0, 0.0, np.nan])).tolist() == [1, 1, 2**31 - 1, -1]


def test_rademacher() -> None:
    found = random.rademacher(KEY, 0, (COUNT,))
    assert found.dtype == np.int32 and set(found.tolist()) == {-1, 1} and abs(found.sum()) < 3.3 * np.sqrt(COUNT)
    assert random.rademacher(KEY, 0, (2, 3), "float16").dtype == np.float16


def test_multivariate_normal() -> None:
    mean, factor = np.array([1.0, -2, 0.5]), np.array([[2.0, 0, 0], [1, 0.5, 0], [-1, 0.3, 0.2]])
    covariance = factor @ factor.T
    found = random.multivariate_normal(KEY, 0, mean, covariance, (COUNT,))
    assert found.shape == (COUNT, 3) and found.dtype == np.float64
    whitened = np.linalg.solve(factor, (found - mean).T)
    for row in whitened:
        assert stats.kstest(row, stats.norm.cdf).pvalue > 1e-3
    assert abs(np.corrcoef(whitened) - np.eye(3)).max() < 3.3 / np.sqrt(COUNT)
    batch = random.multivariate_normal(KEY, 0, np.zeros((4, 3), "float32"), np.eye(3, dtype="float32"))
    assert batch.shape == (4, 3) and batch.dtype == np.float32


def test_vectors_of_dirichlet_add_up() -> None:
    found = random.dirichlet(KEY, 0, np.array([[0.01, 0.02, 5], [30, 2, 1]], "float32"))
    np.testing.assert_allclose(found.sum(-1), 1, rtol=1e-6)
    sparse = random.dirichlet(KEY, 0, np.full(2, 1e-3, "float32"), (FEW,))  # whose logarithms are in the thousands
    np.testing.assert_allclose(sparse.sum(-1), 1, rtol=1e-6)
    assert random.dirichlet(KEY, 0, np.ones(4), (2, 3)).shape == (2, 3, 4)


@pytest.mark.parametrize("weights", [None, np.array([0.5, 0.0, 2.0, 1.5])], ids=["equal", "weighted"])
def test_choice(weights: Any) -> None:
    x = np.array([3.0, 1.0, 7.0, -1.0])
    found = random.choice(KEY, 0, x, (COUNT,), p=weights)
    share = np.full(4, 0.25) if weights is None else weights / weights.sum()
    seen = np.array([(found == v).sum() for v in x])
    assert (seen[share == 0] == 0).all()
    assert stats.chisquare(seen[share > 0], share[share > 0] * COUNT).pvalue > 1e-3


def test_choice_without_replacement() -> None:
    rows = np.arange(12.0).reshape(6, 2)
    for p in (None, np.arange(1.0, 7.0)):
        found = random.choice(KEY, 0, rows, (2, 2), replace=False, p=p)
        assert found.shape == (2, 2, 2) and len(set(found[..., 0].reshape(-1).tolist())) == 4
    firsts = [
        random.choice(random.key(k), 0, np.arange(3), (1,), replace=False, p=np.array([1.0, 2, 5]))[0]
        for k in range(400)
    ]
    assert stats.chisquare(np.bincount(firsts, minlength=3), np.array([50, 100, 250])).pvalue > 1e-3


@pytest.mark.parametrize("target", NAMES)
def test_same_everywhere(target: str) -> None:
    """And a stream can be cut anywhere."""
    if target != "reference" and not backend(target).targets():
        pytest.skip(f"backend {target!r} finds no device on this machine")
    rates = np.linspace(0.3, 60, 40)

    def numbers(offset: Any, a: Any) -> Any:
        plain = [
            f(KEY, offset, a.shape) for f in (random.exponential, random.logistic, random.cauchy, random.rademacher)
        ]
        return *plain, random.poisson(KEY, offset, a), random.geometric(KEY, offset, a / 90), random.t(KEY, offset, a)

    whole = tilec.jit(numbers, target="reference")(0, rates)
    for found, wanted in zip(tilec.jit(numbers, target=target)(0, rates), whole):
        np.testing.assert_allclose(found, wanted, rtol=2e-6)
    for found, wanted in zip(tilec.jit(numbers, target=target)(15, rates[15:]), whole):
        np.testing.assert_allclose(found, wanted[15:], rtol=2e-6)


SLOPES: dict[str, tuple[Any, Any]] = {
    "weibull": (lambda a: random.weibull(KEY, 0, a), np.linspace(0.5, 3, 20)),
    "pareto": (lambda a: random.pareto(KEY, 0, a), np.linspace(2, 5, 20)),
    "lognormal": (lambda a: random.lognormal(KEY, 0, a), np.linspace(0.5, 1, 20)),
    "multivariate_normal": (lambda a: random.multivariate_normal(KEY, 0, a[0], a @ a.T), np.eye(4) + 0.1),
}


@pytest.mark.parametrize("name", SLOPES)
def test_slopes(name: str) -> None:
    """At a constant key the numbers are a function of their parameters."""
    function, at = SLOPES[name]
    found = tilec.grad(lambda a: (function(a) ** 2).sum())(at)
    wanted = np.zeros(at.shape)
    for place in np.ndindex(at.shape):
        step = np.zeros(at.shape)
        step[place] = 1e-6
        wanted[place] = ((function(at + step) ** 2).sum() - (function(at - step) ** 2).sum()) / 2e-6
    np.testing.assert_allclose(found, wanted, rtol=2e-6, atol=1e-6)


def test_slopes_of_means() -> None:
    """The mean of chi-square numbers is df; a Dirichlet vector's is alpha over its sum."""
    assert tilec.grad(lambda a: random.chisquare(KEY, 0, a, (COUNT,)).mean())(np.float64(3)) == pytest.approx(
        1, rel=0.02
    )
    alpha = np.array([1.0, 2.0, 3.0])
    slope = tilec.grad(lambda a: random.dirichlet(KEY, 0, a, (FEW,))[:, 0].mean())(alpha)
    np.testing.assert_allclose(slope, [5 / 36, -1 / 36, -1 / 36], rtol=0.15)


WRONG: dict[str, tuple[str, Callable[[], Any]]] = {
    "whole exponential numbers": ("TILE0301", lambda: random.exponential(KEY, 0, (2,), "int32")),
    "no sign": ("TILE0301", lambda: random.rademacher(KEY, 0, (2,), "uint8")),
    "a number of parameters": ("TILE0202", lambda: random.dirichlet(KEY, 0, np.float32(2))),
    "a number for a mean": ("TILE0202", lambda: random.multivariate_normal(KEY, 0, np.float32(2), np.eye(2))),
    "a matrix that does not fit": ("TILE0203", lambda: random.multivariate_normal(KEY, 0, np.zeros(3), np.eye(2))),
    "not positive definite": ("TILE0420", lambda: random.multivariate_normal(KEY, 0, np.zeros(2), -np.eye(2))),
    "a choice of nothing": ("TILE0511", lambda: random.choice(KEY, 0, np.zeros(0))),
    "a choice of too many": ("TILE0511", lambda: random.choice(KEY, 0, np.zeros(3), (4,), replace=False)),
    "weights of others": ("TILE0203", lambda: random.choice(KEY, 0, np.zeros(3), (4,), p=np.ones(2))),
    "no key": ("TILE0301", lambda: random.poisson(np.zeros(2), 0, 1.0)),
    "another shape": ("TILE0203", lambda: random.poisson(KEY, 0, np.ones(3), (2,))),
}


@pytest.mark.parametrize("name", WRONG)
def test_mistakes(name: str) -> None:
    code, call = WRONG[name]
    assert code_of(call) == code
