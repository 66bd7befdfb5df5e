"""Expressions that nest deep: what the Tile language allows works, derivatives included; the rest is TILE0411."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tilec
from tilec.affine import Affine
from tilec.dtypes import F32
from tilec.errors import TileError
from tilec.expr import Call, Const, Expr, levels, read
from tilec.graph import Contraction, Graph, Let, Param, Sink, TensorType
from tilec.monoid import standard
from tilec.rewrite_expr import same_expr
from tilec.verify.expr import MOST_LEVELS
from tilec.verify.graph import verify

X = np.linspace(0.1, 0.9, 4, dtype=np.float32)
ELEMENT = read("X", (Affine.var("i"),), F32)


def chain(depth: int, end: Expr = ELEMENT) -> Expr:
    for _ in range(depth - 1):
        end = Call("add", (end, ELEMENT), F32)
    return end


def graph(depth: int) -> Graph:
    type = TensorType(F32, (4,))
    sink = Sink((Affine.var("i"),), (4,))
    node = Contraction(("i",), standard("assign", F32), (chain(depth),), (sink,))
    return Graph("f", (Param("X", type),), (Let(("Y",), node, (type,)),), ("Y",))


def deeper(frames: int, run: Callable[[], Any]) -> Any:
    """As users call, who have functions around them."""
    return deeper(frames - 1, run) if frames else run()


@pytest.mark.parametrize("target", ["llvm", "reference"])
def test_graphs_as_deep_as_allowed(target: str) -> None:
    (found,) = deeper(100, lambda: tilec.compile(graph(MOST_LEVELS), target).run((), {"X": X}))
    np.testing.assert_allclose(found, MOST_LEVELS * X, rtol=1e-5)


@pytest.mark.parametrize("depth", [MOST_LEVELS + 1, 10_000])
def test_deeper_graphs_are_refused(depth: int) -> None:
    assert levels(chain(depth)) == depth
    for use in (verify, tilec.compile):
        with pytest.raises(TileError) as caught:
            use(graph(depth))
        assert caught.value.code == "TILE0411"
        assert "give names to parts of it" in str(caught.value)


def test_gradients_of_the_deepest_expressions() -> None:
    """The derivative of a gradient is too deep then."""
    power = f"function f(X[N]) -> (Y) {{ Y[] = +(X[i]{' * X[i]' * 190}); }}"
    near = np.linspace(0.98, 1.02, 4)
    np.testing.assert_allclose(deeper(50, lambda: tilec.grad(power, "X")(near)), 191 * near**190, rtol=1e-9)
    nested = f"function f(X[N]) -> (Y) {{ Y[] = +({'sin(' * 140}X[i]{')' * 140}); }}"
    with pytest.raises(TileError) as caught:
        tilec.hvp(nested, "X")(X, X)
    assert caught.value.code == "TILE0411" and caught.value.diagnostics[0].span is not None


def test_equality_of_deep_expressions() -> None:
    zero, minus = (chain(5000, Const(value, F32)) for value in (0.0, -0.0))
    assert same_expr(zero, chain(5000, Const(0.0, F32)))
    assert not same_expr(zero, minus)
    assert not same_expr(zero, chain(4999, Const(0.0, F32)))
    nan = float("nan")
    assert same_expr(Const(nan, F32), Const(nan, F32))
    assert not same_expr(Const(1.0, F32), ELEMENT)
