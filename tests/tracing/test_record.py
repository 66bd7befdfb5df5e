"""Recording: eager values, Python's control flow, gradients by replay."""

from __future__ import annotations

import doctest
import sys
from typing import Any

import numpy as np
import pytest

import tilec
import tilec.numpy as tnp
import tilec.tracing.contract
import tilec.tracing.custom
import tilec.tracing.index
import tilec.tracing.jit
import tilec.tracing.record
import tilec.tracing.transforms
from tilec.errors import TileError

X = np.array([0.5, -1.0, 2.0])


def test_values_are_there_while_recording() -> None:
    with tilec.record() as tape:
        y = tnp.exp(X) + X
        assert np.array_equal(np.asarray(y), np.exp(X) + X) or np.allclose(y, np.exp(X) + X)
        total = y.sum()
        assert float(total) == pytest.approx((np.exp(X) + X).sum()) and bool(total > 0)
        assert [round(float(v), 6) for v in y] == [round(v, 6) for v in np.exp(X) + X]
        assert int(tnp.argmax(y)) == 2 and y[0].item() == pytest.approx(np.exp(0.5) + 0.5)
    assert y.shape == (3,) and y.numpy().dtype == np.float64  # after it, too
    assert np.allclose(tape.gradient(total, X), np.exp(X) + 1)


def test_control_flow_is_pythons() -> None:
    def f(x: Any) -> Any:
        y = tnp.sum(x)
        count = 0
        while y < 100:
            y = y * 2.0 if count % 2 else y * y
            count += 1
        return y, count

    with tilec.record() as tape:
        y, count = f(np.full(3, 1.0))
    leaf = next(iter(tape._leaves.values())).given
    value = 3.0
    slope = 1.0
    for k in range(count):
        slope, value = (slope * 2, value * 2) if k % 2 else (slope * 2 * value, value * value)
    assert float(y) == value and tape.gradient(y, leaf).tolist() == [slope] * 3


def test_training_step_by_step() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(20, 3))
    target = x @ np.array([1.0, -2.0, 0.5])
    w = {"w": np.zeros(3), "b": np.zeros(())}
    losses = []
    for _ in range(60):
        with tilec.record() as tape:
            error = tnp.matmul(x, w["w"]) + w["b"] - target
            loss = (error * error).mean()
        slope = tape.gradient(loss, w)
        wanted = 2 * x.T @ (x @ w["w"] + w["b"] - target) / 20
        np.testing.assert_allclose(slope["w"], wanted, rtol=1e-9, atol=1e-12)
        w = {name: w[name] - 0.2 * slope[name] for name in w}
        losses.append(float(loss))
    assert losses[-1] < 1e-6 * losses[0]


def test_equal_stretches_are_compiled_once() -> None:
    before = len(tilec.tracing.record._programs)
    with tilec.record():
        y = tnp.asarray(np.ones(7))
        for _ in range(20):
            y = tnp.tanh(y) * 1.5
            assert float(y[0]) > 0
    assert len(tilec.tracing.record._programs) - before <= 4


def test_gradients_by_intermediate_values_and_unused_arrays() -> None:
    w = np.array([3.0])
    with tilec.record() as tape:
        y = tnp.square(X)
        tnp.exp(w)
        loss = (y * y * y).sum()
    by_y, by_x, by_w = tape.gradient(loss, [y, X, w])
    np.testing.assert_allclose(by_y, 3 * X**4)
    np.testing.assert_allclose(by_x, 0 * X)  # y is held fixed: it was asked for beside X
    assert by_w.tolist() == [0.0]
    np.testing.assert_allclose(tape.gradient(loss, X), 6 * X**5)


def test_contract_jit_loops_and_grad_are_recorded() -> None:
    double = tilec.jit(lambda x: x * 2.0)
    with tilec.record() as tape:
        y = tilec.contract("S[] = +(X[i] * X[i])", X=X)
        z = tilec.fori_loop(0, 3, lambda i, c: c * 2.0, double(y))
        slope = tilec.grad(lambda t: (t**3).sum())(X)
        loss = z + slope.sum()
    assert float(loss) == pytest.approx(16 * (X * X).sum() + (3 * X * X).sum())
    np.testing.assert_allclose(tape.gradient(loss, X), 32 * X + 6 * X)


def test_narrow_types_keep_their_types() -> None:
    h = np.full(3000, 1.0, "float16")
    with tilec.record() as tape:
        total = tnp.sum(h)
        mean = tnp.mean(h)
    assert total.numpy().dtype == np.float16 and float(total) == 3000 and float(mean) == 1
    assert tape.gradient(mean, h).dtype == np.float16


def test_arrays_of_a_tape_are_arrays_elsewhere() -> None:
    with tilec.record():
        y = tnp.exp(X)
    np.testing.assert_allclose(y + 1, np.exp(X) + 1)
    np.testing.assert_allclose(tnp.log(y), X)
    np.testing.assert_allclose(tilec.jit(lambda t: t * 2)(y), 2 * np.exp(X))
    with tilec.record() as other:
        z = (tnp.log(y) * 2.0).sum()
    assert float(z) == pytest.approx(3.0)
    with pytest.raises(TileError) as found:
        other.gradient(z, X)
    assert found.value.code == "TILE0511"


def test_an_array_that_changes_while_recording() -> None:
    w = np.ones(3)
    with tilec.record(), pytest.raises(TileError) as found:
        tnp.exp(w)
        w += 1
        tnp.exp(w)
    assert found.value.code == "TILE0511" and "tnp.exp(w)" in str(found.value)


def test_mistakes() -> None:
    with tilec.record() as tape:
        count = tnp.argmax(X)
    for value, wrt, code in ((count, X, "TILE0309"), (3.0, X, "TILE0511"), (tnp.sum(X), X, "TILE0511")):
        with pytest.raises(TileError) as found:
            tape.gradient(value, wrt)
        assert found.value.code == code and __file__ in str(found.value)


@pytest.mark.parametrize("name", ["contract", "custom", "index", "jit", "record", "transforms"])
def test_docstrings(name: str) -> None:
    found = doctest.testmod(getattr(tilec.tracing, name))
    assert found.attempted and not found.failed


def test_settings_decide_where_a_tape_is_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    module = sys.modules["tilec.tracing.record"]

    def value() -> float:
        with tilec.record():
            return float(tnp.sum(np.arange(5.0)))

    targets = []
    real = module.compile_for

    def seen(*args: Any, **options: Any) -> Any:
        targets.append(real(*args, **options).target.backend)
        return real(*args, **options)

    monkeypatch.setattr(module, "compile_for", seen)
    monkeypatch.setattr(module, "_programs", type(module._programs)("record"))
    assert value() == 10
    with tilec.config(target="reference"):
        assert value() == value() == 10
    assert len(targets) == 2 and targets[1] == "reference"
