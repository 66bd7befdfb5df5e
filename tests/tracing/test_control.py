"""Branches and loops of the program: values, derivatives, captures, mistakes; compiled, and by the evaluator."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tilec
import tilec.numpy as tnp
from tilec.errors import TileError

X = np.array([0.5, -1.0, 2.0])
TARGETS = pytest.mark.parametrize("target", ["auto", "reference"])


@TARGETS
def test_cond(target: str) -> None:
    @tilec.jit(target=target)
    def f(flag: Any, x: Any, k: Any) -> Any:
        bias = x * 10  # captured by one branch only
        return tilec.cond(flag, lambda t: {"y": t["x"] + bias}, lambda t: {"y": t["x"] * k}, {"x": x})

    assert f(True, X, 3.0)["y"].tolist() == (X * 11).tolist()
    assert f(False, X, 3.0)["y"].tolist() == (X * 3).tolist()
    assert f(np.float32(0.1), X, 3.0)["y"].tolist() == (X * 11).tolist()  # not zero


def test_cond_differentiated() -> None:
    def f(x: Any) -> Any:
        return tilec.cond(x.sum() > 1, lambda y: (y * y).sum(), lambda y: (y * x).sum() * 3.0, x)

    assert np.allclose(tilec.grad(f)(X), 2 * X)
    assert np.allclose(tilec.grad(f)(-X), -6 * X)


@TARGETS
def test_while_loop(target: str) -> None:
    @tilec.jit(target=target)
    def collatz(n: Any) -> Any:
        def step(state: Any) -> Any:
            n, count = state
            return tnp.where(n % 2 == 0, n // 2, 3 * n + 1), count + 1

        return tilec.while_loop(lambda s: s[0] != 1, step, (n, 0))[1]

    assert [int(collatz(np.int64(n))) for n in (1, 6, 27)] == [0, 8, 111]


@TARGETS
def test_scan(target: str) -> None:
    xs = np.arange(12.0).reshape(4, 3)

    @tilec.jit(target=target, static_argnames="reverse")
    def running(xs: Any, scale: Any, reverse: bool = False) -> Any:
        def step(carried: Any, x: Any) -> Any:
            total = carried + x["x"] * scale
            return total, (total, x["x"].sum())

        return tilec.scan(step, tnp.zeros(3, "float64"), {"x": xs}, reverse=reverse)

    last, (totals, sums) = running(xs, 2.0)
    assert np.allclose(totals, 2 * xs.cumsum(0)) and np.allclose(last, 2 * xs.sum(0)) and np.allclose(sums, xs.sum(1))
    last, (totals, _) = running(xs, 2.0, reverse=True)
    assert np.allclose(totals, 2 * xs[::-1].cumsum(0)[::-1]) and np.allclose(last, 2 * xs.sum(0))


def test_scan_differentiated() -> None:
    rng = np.random.default_rng(0)
    w, xs, h0 = rng.normal(size=(3, 3)) / 2, rng.normal(size=(5, 3)), rng.normal(size=3)

    def rnn(w: Any, h: Any, xs: Any, unroll: bool) -> Any:
        if unroll:
            total: Any = 0.0
            for k in range(5):
                h = tnp.tanh(h @ w + xs[k])
                total = total + (h * h).sum()
            return total
        _, squares = tilec.scan(lambda h, x: (tnp.tanh(h @ w + x),) * 2, h, xs)
        return (squares * squares).sum()

    slopes = [
        tilec.jit(tilec.grad(rnn, argnums=(0, 1, 2)), static_argnames="unroll")(w, h0, xs, unroll=u)
        for u in (False, True)
    ]
    for scanned, unrolled in zip(*slopes, strict=True):
        np.testing.assert_allclose(scanned, unrolled, rtol=1e-10)


@TARGETS
def test_fori_loop(target: str) -> None:
    power = tilec.jit(lambda x, n: tilec.fori_loop(0, n, lambda i, y: y * x, 1.0), target=target)
    assert power(2.0, 10) == 1024
    fixed = tilec.jit(lambda x: tilec.fori_loop(2, 5, lambda i, y: y + i * x, tnp.zeros_like(x)), target=target)
    assert fixed(X).tolist() == (9 * X).tolist()
    none = tilec.jit(lambda x: tilec.fori_loop(5, 2, lambda i, y: y + 1.0, x), target=target)
    assert none(X).tolist() == X.tolist()


def test_fori_loop_differentiated() -> None:
    def f(x: Any) -> Any:
        return tilec.fori_loop(0, 3, lambda i, y: y * y, x).sum()

    assert np.allclose(tilec.grad(f)(X), 8 * X**7)
    value, along = tilec.jvp(lambda x, n: tilec.fori_loop(0, 3, lambda i, y: y * x, x))((X, 1.0), (X, 0.0))
    assert np.allclose(value, X**4) and np.allclose(along, 4 * X**4)


def test_numbers_in_the_carried_state_take_the_type_of_the_step() -> None:
    last, _ = tilec.scan(lambda c, x: (c + x, None), 0.0, X.astype("float16"))
    assert last.dtype == np.float16
    assert tilec.fori_loop(0, 3, lambda i, c: c + X, 0.0 * X).dtype == np.float64


def test_loops_inside_loops_and_branches() -> None:
    @tilec.jit
    def f(x: Any, n: Any) -> Any:
        def row(total: Any, x: Any) -> Any:
            inner = tilec.fori_loop(0, n, lambda i, y: y + x, 0.0 * x)
            chosen = tilec.cond(inner > 3.0, lambda: inner, lambda: -inner)
            return total + chosen, chosen

        return tilec.scan(row, 0.0, x)

    total, chosen = f(np.array([0.5, 1.0, 2.0]), 2)
    assert chosen.tolist() == [-1.0, -2.0, 4.0] and total == 1.0


def test_on_arrays() -> None:
    assert tilec.cond(np.array(True), lambda x: x + 1, lambda x: x, 1) == 2
    assert tilec.while_loop(lambda n: n < 100, lambda n: n * 2, 3) == 192
    last, out = tilec.scan(lambda c, x: (c + x, c), 0, np.arange(4))
    assert last == 6 and out.tolist() == [0, 0, 1, 3]
    k = 1.0
    step = lambda i, y: y + k  # noqa: E731
    first = tilec.fori_loop(0, 3, step, X)
    k = 2.0
    assert np.allclose(first, X + 3) and np.allclose(tilec.fori_loop(0, 3, step, X), X + 6)


def test_length_without_inputs() -> None:
    last, out = tilec.scan(lambda c, _: (c * 2, c), 1, length=4)
    assert last == 16 and out.tolist() == [1, 2, 4, 8]


@pytest.mark.parametrize(
    ("call", "code"),
    [
        (lambda x: tilec.cond(x > 0, lambda: x, lambda: x), "TILE0202"),
        (lambda x: tilec.cond(x[0] > 0, lambda: x, lambda: x[0]), "TILE0305"),
        (lambda x: tilec.cond(x[0] > 0, lambda: (x, x), lambda: x), "TILE0305"),
        (lambda x: tilec.while_loop(lambda c: c > 0, lambda c: c, x), "TILE0202"),
        (lambda x: tilec.while_loop(lambda c: c[0] > 0, lambda c: c[0], x), "TILE0305"),
        (lambda x: tilec.while_loop(lambda c: c[0] > 0, lambda c: c > 0, x), "TILE0305"),
        (lambda x: tilec.scan(lambda c, y: c, x, x), "TILE0113"),
        (lambda x: tilec.scan(lambda c, y: (c, y), x), "TILE0501"),
        (lambda x: tilec.scan(lambda c, y: (c, y), x, x, length=5), "TILE0222"),
        (lambda x: tilec.scan(lambda c, y: (c, y), x, x[0]), "TILE0202"),
    ],
)
def test_mistakes(call: Any, code: str) -> None:
    for function in (call, tilec.jit(call)):
        with pytest.raises(TileError) as found:
            function(X)
        assert found.value.code == code and __file__ in str(found.value)


def test_errors_inside_a_body_name_its_line() -> None:
    with pytest.raises(TileError) as found:
        tilec.scan(lambda c, x: (c + x.reshape(7), None), X, np.ones((2, 3)))
    assert found.value.code == "TILE0209" and "x.reshape(7)" in str(found.value)
