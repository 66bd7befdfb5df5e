"""Derivatives of Python functions against formulas, and nested in one another."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pytest

import tilec
import tilec.numpy as tnp
from tilec.errors import TileError

X = np.array([0.5, -1.0, 2.0])


def test_grad_of_several_arguments_and_auxiliary_results() -> None:
    def f(x: Any, y: Any, *, scale: Any) -> Any:
        product = (x * y).sum() * scale
        return product, {"x": x + 1, "note": "text", "count": 3}

    slopes, aux = tilec.grad(f, argnums=(0, 1), has_aux=True)(X, 2 * X, scale=3.0)
    assert slopes[0].tolist() == (6 * X).tolist() and slopes[1].tolist() == (3 * X).tolist()
    assert aux["x"].tolist() == (X + 1).tolist() and aux["count"] == 3


def test_auxiliary_results_may_be_anything_inside_a_compiled_function() -> None:
    @tilec.jit
    def f(x: Any) -> Any:
        slope, aux = tilec.grad(lambda y: ((y * y).sum(), ("text", y)), has_aux=True)(x)
        assert aux[0] == "text"
        return slope, aux[1]

    slope, same = f(X)
    assert slope.tolist() == (2 * X).tolist() and same.tolist() == X.tolist()


def test_values_of_rank_above_zero_are_summed() -> None:
    assert tilec.grad(lambda x: x * x)(X).tolist() == (2 * X).tolist()


def test_value_and_grad() -> None:
    value, slope = tilec.value_and_grad(lambda t: (t["a"] ** 3).sum())({"a": X})
    assert value == pytest.approx((X**3).sum()) and np.allclose(slope["a"], 3 * X**2)


def test_derivatives_of_higher_order() -> None:
    f = tnp.sin
    for expected in (np.cos(0.7), -np.sin(0.7), -np.cos(0.7), np.sin(0.7)):
        f = tilec.grad(f)
        assert f(np.array(0.7)) == pytest.approx(expected, rel=1e-12)


def test_jvp_and_grad_agree() -> None:
    rng = np.random.default_rng(0)
    a, x, v = rng.normal(size=(3, 4)), rng.normal(size=4), rng.normal(size=4)

    def f(x: Any) -> Any:
        return tnp.log(1 + tnp.exp(a @ x))

    value, along = tilec.jvp(f)((x,), (v,))
    np.testing.assert_allclose(value, np.log1p(np.exp(a @ x)), rtol=1e-12)
    rows = [tilec.grad(lambda x, k: tnp.take(f(x), k))(x, k) for k in range(3)]
    np.testing.assert_allclose(along, np.stack(rows) @ v, rtol=1e-10)


def test_jvp_of_trees_and_integers() -> None:
    def f(t: Any) -> Any:
        return {"y": t["x"] * 2.0, "n": tnp.argmax(t["x"])}

    value, along = tilec.jvp(f)(({"x": X},), ({"x": np.ones(3)},))
    assert along["y"].tolist() == [2.0] * 3 and along["n"] == 0 and value["n"] == 2


def test_hvp_is_the_hessian_times_a_vector() -> None:
    rng = np.random.default_rng(0)
    a, x, v = rng.normal(size=(4, 4)), rng.normal(size=4), rng.normal(size=4)

    def f(x: Any) -> Any:
        return tnp.exp(x @ a @ x / 8.0)

    got = tilec.hvp(f)((x,), (v,))
    step = 1e-5
    slope = tilec.jit(tilec.grad(f))
    np.testing.assert_allclose(got, (slope(x + step * v) - slope(x - step * v)) / (2 * step), rtol=1e-6)


def test_hvp_of_softmax() -> None:
    """Forward mode goes through functions whose shift is a constant to autodiff."""
    rng = np.random.default_rng(0)
    x, v = rng.normal(size=5), rng.normal(size=5)

    def f(x: Any) -> Any:
        return (tnp.softmax(x) * tnp.arange(5)).sum() + tnp.logsumexp(x)

    slope = tilec.jit(tilec.grad(f))
    got = tilec.hvp(f)((x,), (v,))
    np.testing.assert_allclose(got, (slope(x + 1e-5 * v) - slope(x - 1e-5 * v)) / 2e-5, rtol=1e-5, atol=1e-9)


def test_enclosing_tensors_are_constants() -> None:
    @tilec.jit
    def f(x: Any) -> Any:
        return tilec.grad(lambda y: (x * y * y).sum())(x)

    assert np.allclose(f(X), 2 * X * X)  # x itself is held fixed


def test_a_gradient_inside_a_gradient_sees_the_outer_variable() -> None:
    def outer(x: Any) -> Any:
        inner = tilec.grad(lambda y: x * y * y)(3.0)  # 6 x
        return inner * x

    assert tilec.grad(outer)(np.array(2.0)) == 24.0


def test_gradients_of_arrays_see_what_changes_outside(caplog: pytest.LogCaptureFixture) -> None:
    scale = 2.0

    def f(x: Any) -> Any:
        return (x * scale).sum()

    slope = tilec.grad(f)
    with caplog.at_level(logging.DEBUG, logger="tilec"):
        assert slope(X).tolist() == slope(X + 1).tolist() == [2.0] * 3
        scale = 5.0
        assert slope(X).tolist() == [5.0] * 3
    assert sum("f: compiling" in r.getMessage() for r in caplog.records) == 2


def test_gradients_in_a_compiled_function_are_traced_once() -> None:
    traced = []

    def f(x: Any) -> Any:
        traced.append(1)
        return (x * x).sum()

    slope = tilec.jit(tilec.grad(f))
    for k in range(3):
        assert slope(X + k).tolist() == (2 * (X + k)).tolist()
    assert len(traced) == 1


def test_stop_gradient() -> None:
    f = tilec.grad(lambda x: (x * tilec.stop_gradient(x)).sum())
    assert f(X).tolist() == X.tolist()


def test_unused_arguments_have_a_gradient_of_zero() -> None:
    assert tilec.grad(lambda x, y: x.sum(), argnums=1)(X, X).tolist() == [0.0] * 3


def test_programs_inside_traced_functions() -> None:
    scale = tilec.op("function scale(X[N], F) -> (Y) { Y[i] = +(X[i] * F[]); }")
    found = tilec.grad(lambda x: (scale(x, 3.0) * x).sum())(X)
    assert np.allclose(found, 6 * X)


@pytest.mark.parametrize(
    ("call", "code"),
    [
        (lambda: tilec.grad(lambda x: x)(np.arange(3)), "TILE0309"),
        (lambda: tilec.grad(lambda x: tnp.argmax(x))(X), "TILE0309"),
        (lambda: tilec.grad(lambda x: x, has_aux=True)(X), "TILE0113"),
        (lambda: tilec.jvp(lambda x: x)((X,), (X, X)), "TILE0305"),
        (lambda: tilec.jvp(lambda x: x)((X,), (X[:2],)), "TILE0504"),
        (lambda: tilec.grad(lambda x: x)(), "TILE0501"),
        (lambda: tilec.grad(lambda x: x, argnums=0.0)(X), "TILE0511"),
        (lambda: tilec.grad(lambda x: x, argnums="x")(X), "TILE0511"),
        (lambda: tilec.scan(lambda c, _: (c + 1, None), 0, length=2**64), "TILE0415"),
        (lambda: tilec.fori_loop(2**70, 2**70 + 3, lambda i, c: c + i, 1.0), "TILE0415"),
        (lambda: tilec.checkpoint(3), "TILE0511"),  # type: ignore[arg-type]
        (lambda: tilec.fori_loop(0, 3, 1, X), "TILE0511"),  # type: ignore[arg-type]
        (lambda: tilec.fori_loop(0, np.int32(3), 1, X), "TILE0511"),  # type: ignore[arg-type]
    ],
)
def test_wrong_uses(call: Any, code: str) -> None:
    with pytest.raises(TileError) as found:
        call()
    assert found.value.code == code


@pytest.mark.parametrize("choice", [{"target": "llvm"}, {"options": tilec.Options()}, {"of": "L"}, {"function": "f"}])
def test_choices_that_are_for_programs(choice: dict[str, Any]) -> None:
    for transform in (tilec.grad, tilec.value_and_grad, tilec.jvp, tilec.hvp):
        with pytest.raises(TileError, match=f"{next(iter(choice))}= is for programs in Tile") as refused:
            transform(lambda x: x.sum(), **choice)
        assert refused.value.code == "TILE0511"
