"""Checkpoints and gradients of one's own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tilec
import tilec.numpy as tnp
from tilec.errors import TileError
from tilec.graph import Remat

X = np.array([0.5, -1.0, 2.0])


def test_checkpoints_change_nothing_but_what_is_kept() -> None:
    def layer(x: Any, w: Any, how: str = "tanh") -> Any:
        return {"y": getattr(tnp, how)(x * w) * tnp.sin(x)}

    def f(x: Any, w: Any, wrap: Any) -> Any:
        bias = x * 2.0

        def block(x: Any) -> Any:
            return wrap(layer)(x, w, how="tanh")["y"] + bias  # w and bias are captured

        return (wrap(block)(x) * x).sum()

    for argnums in (0, 1):
        plain = tilec.grad(lambda x, w: f(x, w, lambda g: g), argnums=argnums)(X, 2 * X)
        again = tilec.grad(lambda x, w: f(x, w, tilec.checkpoint), argnums=argnums)(X, 2 * X)
        np.testing.assert_allclose(again, plain, rtol=1e-12)
    graph = tilec.trace(lambda x: f(x, x, tilec.checkpoint))(X)
    assert any(isinstance(let.node, Remat) for let in graph.lets)
    assert tilec.checkpoint(layer)(X, X)["y"].shape == (3,)


def test_a_function_that_returns_its_backward() -> None:
    @tilec.custom_gradient
    def clipped(x: Any, limit: Any) -> Any:
        inside = x * x
        return inside, lambda g: (tnp.clip(2.0 * g * x, -limit, limit), None)

    assert clipped(X, 1.5).tolist() == (X * X).tolist()
    slopes = tilec.grad(lambda x, limit: (clipped(x, limit) * 3.0).sum(), argnums=(0, 1))(X, 1.5)
    assert slopes[0].tolist() == np.clip(6 * X, -1.5, 1.5).tolist() and slopes[1] == 0


def test_a_gradient_that_is_defined_apart() -> None:
    @tilec.custom_gradient
    def norm(t: Any) -> Any:
        return tnp.sqrt((t["x"] ** 2).sum() + (t["y"] ** 2).sum())

    @norm.defgrad
    def norm_grad(args: Any, result: Any, cotangent: Any) -> Any:
        (t,) = args
        safe = tnp.where(result > 0, result, 1.0)  # no NaN at 0
        return {name: cotangent * v / safe for name, v in t.items()}

    t = {"x": X, "y": 2 * X}
    slopes = tilec.grad(norm)(t)
    assert np.allclose(slopes["y"], 2 * X / np.sqrt(5 * (X * X).sum()))
    assert tilec.grad(norm)({"x": 0 * X, "y": 0 * X})["x"].tolist() == [0.0] * 3
    second = tilec.grad(lambda x: tilec.grad(norm)({"x": x, "y": x})["x"].sum())(X)
    root2 = np.sqrt(2.0)
    n = np.sqrt((X * X).sum())
    np.testing.assert_allclose(second, (1 / n - X * X.sum() / n**3) / root2, rtol=1e-9)


def test_inside_a_compiled_function_and_a_loop() -> None:
    @tilec.custom_gradient
    def straight(x: Any) -> Any:
        return tnp.round(x), lambda g: g

    def f(x: Any) -> Any:
        return tilec.fori_loop(0, 3, lambda i, y: straight(y) * 2.0, x).sum()

    assert tilec.jit(tilec.grad(f))(X).tolist() == [8.0] * 3


@pytest.mark.parametrize(
    ("function", "code"),
    [
        (lambda x: (x, lambda g: (g, g)), "TILE0305"),
        (lambda x: (x, lambda g: g[:1]), "TILE0504"),
        (lambda x: (x, lambda g: {"a": g}), "TILE0305"),
        (lambda x: x, "TILE0113"),
    ],
)
def test_mistakes(function: Any, code: str) -> None:
    own = tilec.custom_gradient(function)
    with pytest.raises(TileError) as found:
        tilec.grad(lambda x: own(x).sum())(X)
    assert found.value.code == code and __file__ in str(found.value)


def test_captured_tensors_have_the_derivative_of_the_calculus() -> None:
    def f(x: Any) -> Any:
        own = tilec.custom_gradient(lambda y: (x * y, lambda g: g))
        return own(x * x).sum()

    np.testing.assert_allclose(tilec.grad(f)(X), 2 * X + X * X)  # 2x by way of the argument, x^2 by way of the capture
    np.testing.assert_allclose(tilec.grad(lambda x: tilec.grad(f)(x).sum())(X), 2 + 2 * X)


def test_what_only_the_gradient_captures_is_constant() -> None:
    def f(x: Any, scale: Any) -> Any:
        own = tilec.custom_gradient(lambda y: (y * 1.0, lambda g: g * scale))
        return own(x).sum()

    by_x, by_scale = tilec.grad(f, argnums=(0, 1))(X, 3.0)
    assert by_x.tolist() == [3.0] * 3 and by_scale == 0
    by_integers = tilec.grad(lambda x, n: tilec.custom_gradient(lambda y: (y * n, lambda g: g * n))(x).sum())
    assert by_integers(X, np.array([1, 2, 3])).tolist() == [1.0, 2.0, 3.0]


def test_captures_inside_loops() -> None:
    def f(x: Any, w: Any) -> Any:
        own = tilec.custom_gradient(lambda y: (w * y, lambda g: g * w))
        return tilec.fori_loop(0, 3, lambda i, y: own(y), x).sum()

    by_x, by_w = tilec.jit(tilec.grad(f, argnums=(0, 1)))(X, 2 * X)
    np.testing.assert_allclose(by_x, (2 * X) ** 3)
    np.testing.assert_allclose(by_w, 3 * X * (2 * X) ** 2)


def test_captured_arrays_of_any_size_are_constants() -> None:
    weights = np.linspace(0.0, 1.0, 400).reshape(20, 20)

    @tilec.custom_gradient
    def linear(v: Any) -> Any:
        return weights @ v, lambda g: weights.T @ g

    v = np.ones(20)
    wanted = 2 * weights.T @ (weights @ v)
    np.testing.assert_allclose(tilec.grad(lambda v: (linear(v) ** 2).sum())(v), wanted)
    np.testing.assert_allclose(linear(v), weights @ v)


def test_forward_mode_is_refused() -> None:
    own = tilec.custom_gradient(lambda x: (x, lambda g: g))
    with pytest.raises(TileError) as found:
        tilec.jvp(own)((X,), (X,))
    assert found.value.code == "TILE0310"
