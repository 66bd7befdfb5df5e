"""Rates that change, and gradients kept within bounds, against plain NumPy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tilec
import tilec.numpy as tnp
from tests.refusals import WORD, code_of
from tilec import ops

STEPS = [0, 1, 4, 5, 9, 10, 11, 30]


def rising_then(rate: Callable[[float], float], steps: int, start: float) -> Callable[[float], float]:
    return lambda k: start + (rate(0) - start) * k / steps if k < steps else rate(k - steps)


SCHEDULES: dict[str, tuple[Any, Callable[[float], float]]] = {
    "exponential": (ops.exponential_decay(0.1, 10, 0.5), lambda k: 0.1 * 0.5 ** (k / 10)),
    "staircase": (ops.exponential_decay(0.1, 5, 0.5, staircase=True), lambda k: 0.1 * 0.5 ** (k // 5)),
    "linear": (ops.polynomial_decay(0.1, 10), lambda k: 0.1 * (1 - min(k / 10, 1))),
    "quadratic": (ops.polynomial_decay(0.1, 10, 0.02, power=2), lambda k: 0.02 + 0.08 * (1 - min(k / 10, 1)) ** 2),
    "cosine": (ops.cosine_decay(0.1, 10, 0.01), lambda k: 0.01 + 0.045 * (1 + np.cos(np.pi * min(k / 10, 1)))),
    "pieces": (ops.piecewise_constant([4, 10], [3.0, 2.0, 1.0]), lambda k: 3.0 if k <= 4 else 2.0 if k <= 10 else 1.0),
    "warm number": (ops.warmup(0.1, 5), rising_then(lambda k: 0.1, 5, 0.0)),
    "warm cosine": (
        ops.warmup(ops.cosine_decay(0.1, 20), 5, 0.05),
        rising_then(lambda k: 0.05 * (1 + np.cos(np.pi * min(k / 20, 1))), 5, 0.05),
    ),
}


@pytest.mark.parametrize("name", SCHEDULES)
def test_rates(name: str) -> None:
    schedule, plain = SCHEDULES[name]
    compiled = tilec.jit(schedule)
    for k in STEPS:
        found = schedule(k)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, plain(k), rtol=3e-6, atol=1e-8)
        assert compiled(np.int32(k)) == found


@pytest.mark.parametrize("name", SCHEDULES)
def test_rates_of_float64(name: str) -> None:
    schedule, plain = SCHEDULES[name]
    for k in STEPS:
        found = schedule(k, "float64")
        assert found.dtype == np.float64 and schedule(k, "float16").dtype == np.float16
        np.testing.assert_allclose(found, plain(k), rtol=1e-15, atol=1e-17)


@pytest.mark.parametrize("name", SCHEDULES)
def test_float64_parameters_are_moved_by_a_rate_of_all_digits(name: str) -> None:
    """And float32 ones beside them stay so."""
    schedule, plain = SCHEDULES[name]
    optimizer = ops.sgd(schedule)
    params: Any = {"x": np.zeros(2), "y": np.zeros(2, np.float32)}
    state, total = optimizer.init(params), 0.0
    for k in range(12):
        params, state = optimizer.update(params, {"x": np.ones(2), "y": np.ones(2, np.float32)}, state)
        total -= plain(k)
    np.testing.assert_allclose(params["x"], [total] * 2, rtol=1e-14)
    assert params["y"].dtype == np.float32
    np.testing.assert_allclose(params["y"], [total] * 2, rtol=1e-5)


def test_a_rate_of_ones_own_gets_the_number_of_updates() -> None:
    table = np.array([0.5, 0.25, 0.125])
    optimizer = ops.sgd(lambda step: tnp.take(table, step, axis=0))
    for dtype in ("float32", "float64"):
        params = np.zeros(1, dtype)
        state = optimizer.init(params)
        for wanted in (-0.5, -0.75, -0.875):
            params, state = optimizer.update(params, np.ones(1, dtype), state)
            assert params.dtype == dtype and params.tolist() == [wanted]


def test_a_schedule_as_the_rate_of_an_optimizer() -> None:
    optimizer = ops.sgd(ops.piecewise_constant([0], [1.0, 0.25]))
    params = np.ones(2)
    state = optimizer.init(params)
    for wanted in (0.0, -0.25, -0.5):
        params, state = optimizer.update(params, np.ones(2), state)
        assert params.tolist() == [wanted] * 2


def test_norms() -> None:
    rng = np.random.default_rng(0)
    tree: Any = {"a": rng.normal(size=(3, 4)), "b": [rng.normal(size=5), np.float64(2)]}
    wanted = np.sqrt(sum((x**2).sum() for x in (tree["a"], *tree["b"])))
    np.testing.assert_allclose(ops.global_norm(tree), wanted, rtol=1e-13)
    short = ops.clip_by_global_norm(tree, limit=0.5)
    np.testing.assert_allclose(short["a"], tree["a"] * (0.5 / wanted), rtol=1e-12)
    np.testing.assert_allclose(ops.global_norm(short), 0.5, rtol=1e-12)
    same = ops.clip_by_global_norm(tree, limit=100)
    assert np.array_equal(same["a"], tree["a"]) and same["b"][1] == 2
    near = ops.clip_by_value(tree, limit=0.3)
    assert np.array_equal(near["a"], np.clip(tree["a"], -0.3, 0.3))


def test_norms_of_nothing_and_of_narrow_types() -> None:
    assert ops.global_norm({}) == 0 and ops.clip_by_global_norm([np.zeros(3)], limit=1)[0].tolist() == [0] * 3
    large = np.full(100, 300, "float16")  # whose squares are beyond float16
    assert ops.global_norm([large]) == 3000
    short = ops.clip_by_global_norm([large], limit=30)[0]
    assert short.dtype == np.float16 and (short == 3).all()
    assert np.isnan(ops.global_norm([np.array([np.nan, 1.0])]))
    assert tilec.grad(lambda x: ops.global_norm([x]))(np.zeros(2)).tolist() == [0, 0]


def test_clipping_as_torch() -> None:
    torch = pytest.importorskip("torch", reason="gradients are compared with torch's")
    x = np.random.default_rng(1).normal(size=(4, 5))
    variable = torch.nn.Parameter(torch.zeros(4, 5, dtype=torch.float64))
    variable.grad = torch.tensor(x)
    torch.nn.utils.clip_grad_norm_([variable], 0.7)
    np.testing.assert_allclose(ops.clip_by_global_norm([x], limit=0.7)[0], variable.grad.numpy(), rtol=1e-5)


def test_wrong_arguments() -> None:
    assert code_of(lambda: ops.cosine_decay(0.1, 0)) == "TILE0210"
    assert code_of(lambda: ops.cosine_decay(WORD, 5)) == "TILE0210"
    assert code_of(lambda: ops.exponential_decay(0.1, 5, -1)) == "TILE0210"
    assert code_of(lambda: ops.polynomial_decay(0.1, 5, power=0)) == "TILE0210"
    assert code_of(lambda: ops.piecewise_constant([5, 5], [1, 2, 3])) == "TILE0511"
    assert code_of(lambda: ops.piecewise_constant([5], [1])) == "TILE0511"
    assert code_of(lambda: ops.warmup(0.1, WORD)) == "TILE0210"
    assert code_of(lambda: ops.clip_by_global_norm([np.ones(2)], limit=0)) == "TILE0210"
    assert code_of(lambda: ops.clip_by_value([np.ones(2)], limit=float("inf"))) == "TILE0210"
