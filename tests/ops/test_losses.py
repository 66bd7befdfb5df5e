"""Losses of numbers against NumPy, SciPy and torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from scipy import special
from scipy.spatial import distance

import tilec
from tests.refusals import WORD, code_of
from tilec import ops


def draw(*shape: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).normal(size=shape)


# the losses of elements, whose mean along an axis is that of a sample
PLAIN: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "mean_squared_error": (ops.mean_squared_error, lambda t, x: (x - t) ** 2),
    "mean_absolute_error": (ops.mean_absolute_error, lambda t, x: np.abs(x - t)),
    "huber": (ops.huber, lambda t, x: special.huber(1.0, x - t)),
    "log_cosh": (ops.log_cosh, lambda t, x: np.log(np.cosh(x - t))),
    "hinge": (lambda t, x, **how: ops.hinge(np.sign(t), x, **how), lambda t, x: np.maximum(1 - np.sign(t) * x, 0)),
    "poisson": (
        lambda t, x, **how: ops.poisson(abs(t), abs(x), **how),
        lambda t, x: abs(x) - abs(t) * np.log(abs(x) + 1e-7),
    ),
}


@pytest.mark.parametrize("shape", [(1,), (7,), (4, 5), (2, 1, 3)])
@pytest.mark.parametrize("name", PLAIN)
def test_values(name: str, shape: tuple[int, ...]) -> None:
    function, plain = PLAIN[name]
    target, output = 2 * draw(*shape), 2 * draw(*shape, seed=1)
    each = plain(target, output)
    samples = each.mean(-1)
    np.testing.assert_allclose(function(target, output, axis=(), reduction="none"), each, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(function(target, output, reduction="none"), samples, rtol=1e-12)
    np.testing.assert_allclose(function(target, output, axis=0, reduction="sum"), each.mean(0).sum(), rtol=1e-12)
    np.testing.assert_allclose(function(target, output), samples.mean(), rtol=1e-12)
    weights = np.random.default_rng(2).random(samples.shape)
    found = function(target, output, weights=weights)
    np.testing.assert_allclose(found, (samples * weights).sum() / weights.sum(), rtol=1e-12)
    found = function(target, output, weights=weights, reduction="sum")
    np.testing.assert_allclose(found, (samples * weights).sum(), rtol=1e-12)
    found = function(target, output, weights=weights, reduction="none")
    np.testing.assert_allclose(found, samples * weights, rtol=1e-12)
    narrow = function(target.astype(ml_dtypes.bfloat16), output.astype(ml_dtypes.bfloat16))
    assert narrow.dtype == ml_dtypes.bfloat16


def test_weights_of_0() -> None:
    x = draw(3, 4)
    value, slopes = tilec.value_and_grad(lambda x: ops.mean_squared_error(x * 0, x, weights=np.zeros(3)))(x)
    assert value == 0 and (slopes == 0).all()


def test_log_cosh_is_accurate_near_0_and_far_away() -> None:
    x = np.array([1e-4, -1e-3, 0.0, 0.9, 1.1, -300.0, 1e30], "float32")
    found = ops.log_cosh(np.zeros_like(x), x, axis=(), reduction="none")
    exact = x.astype("f8")
    wanted = np.where(abs(exact) < 20, np.log(np.cosh(np.clip(exact, -20, 20))), abs(exact) - np.log(2))
    np.testing.assert_allclose(found, wanted, rtol=2e-6)
    slopes = tilec.grad(lambda x: ops.log_cosh(x * 0, x, axis=(), reduction="sum"))(x)
    np.testing.assert_allclose(slopes, np.tanh(exact), rtol=2e-6)


@pytest.mark.parametrize("axis", [-1, 0])
def test_cosines(axis: int) -> None:
    a, b = draw(4, 5), draw(4, 5, seed=1)
    rows = zip(*(np.moveaxis(t, axis, -1) for t in (a, b)))
    wanted = [distance.cosine(x, y) - 1 for x, y in rows]
    np.testing.assert_allclose(ops.cosine_similarity(a, b, axis=axis, reduction="none"), wanted, rtol=1e-12)


def test_cosine_of_zero() -> None:
    a, b = np.zeros((2, 3)), draw(2, 3)
    for loss in (ops.cosine_similarity, lambda t, x: ops.cosine_similarity(x, t)):
        value, slopes = tilec.value_and_grad(loss)(a, b)
        assert value == 0 and np.isfinite(slopes).all()


def test_triplets() -> None:
    a, p, n = draw(6, 5), draw(6, 5, seed=1), draw(6, 5, seed=2)
    wanted = [max(distance.euclidean(*r[:2]) - distance.euclidean(r[0], r[2]) + 0.7, 0) for r in zip(a, p, n)]
    np.testing.assert_allclose(ops.triplet(a, p, n, margin=0.7, reduction="none"), wanted, rtol=1e-12)
    np.testing.assert_allclose(ops.triplet(a, p, n, margin=0.7), np.mean(wanted), rtol=1e-12)
    assert np.isfinite(tilec.grad(lambda x: ops.triplet(x, a, n))(a)).all()  # at a distance of 0


def test_as_torch() -> None:
    torch = pytest.importorskip("torch", reason="values are compared with torch's")
    f = torch.nn.functional
    target, x = 2 * draw(4, 5), 2 * draw(4, 5, seed=1)
    same = {
        "mean_squared_error": (ops.mean_squared_error, f.mse_loss),
        "mean_absolute_error": (ops.mean_absolute_error, f.l1_loss),
        "huber": (lambda t, x: ops.huber(t, x, delta=0.6), lambda x, t: f.huber_loss(x, t, delta=0.6)),
        "cosine_similarity": (ops.cosine_similarity, lambda x, t: -f.cosine_similarity(x, t).mean()),
        "triplet": (
            lambda t, x: ops.triplet(x, t, t * 0),
            lambda x, t: f.triplet_margin_loss(x, t, t * 0, eps=0),
        ),
    }
    for mine, theirs in same.values():
        variable = torch.tensor(x, requires_grad=True)
        wanted = theirs(variable, torch.tensor(target))
        wanted.backward()
        value, slopes = tilec.value_and_grad(mine, argnums=1)(target, x)
        np.testing.assert_allclose(value, wanted.item(), rtol=1e-12)
        np.testing.assert_allclose(slopes, variable.grad.numpy(), rtol=1e-10, atol=1e-15)


def test_wrong_arguments() -> None:
    x = draw(4, 3)
    assert code_of(lambda: ops.mean_squared_error(x[:, :1], x)) == "TILE0203"
    assert code_of(lambda: ops.mean_squared_error(x, x, axis=2)) == "TILE0212"
    assert code_of(lambda: ops.mean_squared_error(1.0, 2.0)) == "TILE0212"
    assert code_of(lambda: ops.mean_absolute_error(x, x, reduction="all")) == "TILE0511"
    assert code_of(lambda: ops.hinge(x, x, weights=np.ones((4, 3)))) == "TILE0203"
    assert code_of(lambda: ops.huber(x, x, delta=WORD)) == "TILE0210"
    assert code_of(lambda: ops.triplet(x, x, x[:2])) == "TILE0203"
    assert code_of(lambda: ops.triplet(x, x, x, margin=WORD)) == "TILE0210"


def test_nan_is_no_distance_of_zero() -> None:
    known, unknown = np.zeros((1, 2)), np.array([[np.nan, 1.0]])
    assert np.isnan(ops.triplet(unknown, known, known)) and np.isnan(ops.triplet(known, known, unknown))
    assert np.isnan(ops.cosine_similarity(unknown, np.ones((1, 2))))
    assert code_of(lambda: ops.huber(known, known, delta=-1.0)) == "TILE0210"
