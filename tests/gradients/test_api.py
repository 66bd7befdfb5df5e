"""`tilec.gradients`: derivatives of programs as functions."""

from __future__ import annotations

import doctest
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tilec.gradients
from tests.gradients.differences import cleaned
from tests.passes.harness import documented
from tilec.api import parse
from tilec.errors import TileError
from tilec.gradients import grad, hvp, jvp, value_and_grad
from tilec.passes.differentiate import gradient
from tilec.text.graph_text import parse_graph, print_graph
from tilec.verify.graph import verify

LOSS = "function loss(X[M, N], W[N], Y[M]) -> (L) { P[m: M] = +(X[m, n] * W[n]); D = P - Y; L[] = +(D[m] * D[m]); }"
X, W, Y = np.array([[1.0, 2.0], [3.0, 4.0], [0.0, 1.0]]), np.array([0.5, -1.0]), np.array([1.0, 0.0, 2.0])
BY_W = 2 * X.T @ (X @ W - Y)


def test_docstrings() -> None:
    assert doctest.testmod(tilec.gradients).failed == 0
    before, after = documented("differentiate")
    graph = parse_graph(before)
    verify(graph)
    assert print_graph(cleaned(gradient(graph, ["B"]))) == after


def test_one_variable_gives_an_array() -> None:
    assert np.allclose(grad(LOSS, "W")(X, W, Y), BY_W)
    assert np.allclose(grad(LOSS, wrt="W")(Y=Y, W=W, X=X), BY_W)


def test_several_give_a_tuple_and_none_means_all() -> None:
    by_w, by_y = grad(LOSS, ["W", "Y"])(X, W, Y)
    assert np.allclose(by_w, BY_W) and np.allclose(by_y, -2 * (X @ W - Y))
    assert [a.shape for a in grad(LOSS)(X, W, Y)] == [(3, 2), (2,), (3,)]


def test_value_and_gradient() -> None:
    value, by_w = value_and_grad(LOSS, "W")(X, W, Y)
    assert np.isclose(value, np.sum((X @ W - Y) ** 2)) and np.allclose(by_w, BY_W)
    assert by_w.dtype == np.float64


def test_forward() -> None:
    value, moved = jvp(LOSS, "W")(X, W, Y, np.array([1.0, -2.0]))
    assert np.isclose(value, np.sum((X @ W - Y) ** 2)) and np.isclose(moved, BY_W @ [1.0, -2.0])
    assert np.isclose(jvp(LOSS, "W")(X, W, Y, W_dot=np.array([1.0, 0.0]))[1], BY_W[0])


def test_hessian_vector_product() -> None:
    derived = grad(LOSS, "W").graph(X="f64[3, 2]", W="f64[2]", Y="f64[3]")
    _, moved = jvp(derived, "W")(X, W, Y, np.array([1.0, -2.0]))
    assert np.allclose(moved, 2 * X.T @ X @ [1.0, -2.0])


def test_programs_in_other_forms(tmp_path: Path) -> None:
    path = tmp_path / "loss.tile"
    path.write_text(LOSS, encoding="utf-8")
    for program in (path, str(path), parse(LOSS)):
        assert np.allclose(grad(program, "W", function="loss")(X, W, Y), BY_W)


def test_each_signature_is_compiled_once() -> None:
    slope = grad(LOSS, "W")
    first = slope.compile(X=X, W=W, Y=Y)
    assert slope.compile(X=X + 1, W=W, Y=Y) is first
    assert slope.compile(X=X.astype("f4"), W=W.astype("f4"), Y=Y.astype("f4")) is not first


def test_numbers() -> None:
    """A number is an argument, unless it reaches a size: then it is compiled in."""
    both = value_and_grad("function (X[N], S, K) -> (O) { O[n: K] = +(X[n] * S); }", ["X", "S"])
    for factor, size in ((2.0, 2), (3.0, 2), (3.0, 1)):
        value, (by_x, by_s) = both(np.ones(3), factor, size)
        assert value.tolist() == [factor] * size
        assert by_x.tolist() == [factor] * size + [0.0] * (3 - size)
        assert by_s == size


def test_settings_and_wide_numbers_are_part_of_the_signature() -> None:
    slope = grad("function (X[N], S) -> (O) { O[] = +(X[n] * S); }", "X")
    with tilec.config(target="reference"):
        assert slope.compile(X=W, S=1).target.backend == "reference"
    assert slope.compile(X=W, S=1).target.backend != "reference"
    assert slope(np.ones(2), 5).tolist() == [5, 5] and slope(np.ones(2), 1 << 40).tolist() == [1 << 40] * 2


def test_several_results() -> None:
    text = "function (A[N]) -> (B, C) { B = A * A; C = exp(B); }"
    (b, c), by_a = value_and_grad(text, "A", of="B")(np.array([1.0, 2.0]))
    assert b.tolist() == [1, 4] and np.allclose(c, np.exp(b)) and by_a.tolist() == [2, 4]
    values, moved = jvp(text, "A")(np.array([1.0]), np.array([1.0]))
    assert len(values) == len(moved) == 2 and np.allclose(moved[1], 2 * np.e)
    with pytest.raises(TileError) as caught:
        grad(text, "A")(np.array([1.0]))
    assert caught.value.code == "TILE0309"


@pytest.mark.parametrize(
    "program, wrt, code",
    [(LOSS, "V", "TILE0101"), ("function (A[N]) -> (B) { B = A", "A", "TILE0003"), (3, "A", "TILE0511")],
)
def test_errors(program: str, wrt: str, code: str) -> None:
    with pytest.raises(TileError) as caught:
        grad(program, wrt)(X, W, Y)
    assert caught.value.code == code


@pytest.mark.parametrize("transformation", [grad, value_and_grad, jvp, hvp])
def test_an_input_is_chosen_once(transformation: Any) -> None:
    with pytest.raises(TileError, match="'A' is chosen twice") as caught:
        transformation("function (A[N]) -> (L) { L[] = +(A[n] * A[n]); }", ["A", "A"])(X[0])
    assert caught.value.code == "TILE0511"


def test_products_of_zeros_and_infinities() -> None:
    slope = grad("function (A[N]) -> (L) { L[] = *(A[n]); }", "A")
    for terms, wanted in (
        ([2.0, 0.0, 3.0], [0, 6, 0]),
        ([2.0, 0.0, 0.0], [0, 0, 0]),
        ([2.0, np.inf, 3.0], [np.inf, np.nan, np.inf]),
        ([0.0], [1]),
        ([], []),
    ):
        assert np.array_equal(slope(np.array(terms)), wanted, equal_nan=True), terms


def test_errors_of_arguments() -> None:
    with pytest.raises(TileError) as caught:
        grad(LOSS, "W")(X, W)
    assert caught.value.code == "TILE0501"
    whole = "function (A[N]) -> (L) { L[] = +(A[n]); }"
    with pytest.raises(TileError) as caught:
        grad(whole, "A")(np.arange(3))
    assert caught.value.code == "TILE0309"


def test_a_derivative_is_shown_in_a_line() -> None:
    assert repr(grad(LOSS, "W")) == "<tilec derivative of loss(X, W, Y)>"
    assert repr(jvp(LOSS.replace("loss", "", 1), "W")) == "<tilec derivative of function(X, W, Y, W_dot)>"
    assert repr(grad(grad(LOSS, "W").graph(X=X, W=W, Y=Y), "W")).startswith("<tilec derivative of loss")


def test_a_python_function_is_no_program() -> None:
    with pytest.raises(TileError) as caught:
        tilec.check_grad(lambda x: x, {"x": X})  # type: ignore[arg-type]
    assert caught.value.code == "TILE0511" and "tilec.trace" in str(caught.value.diagnostics[0].help)
    graph = tilec.trace(lambda x: (x * x).sum())("f64[3]")
    assert tilec.check_grad(graph, {"x": W[:1].repeat(3)}).passed


@pytest.mark.parametrize("wrt", [3, ["W", 3], 1.5])
def test_inputs_are_chosen_by_name(wrt: object) -> None:
    with pytest.raises(TileError, match="TILE0511"):
        grad(LOSS, wrt)(X, W, Y)
