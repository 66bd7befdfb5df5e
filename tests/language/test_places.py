"""Elements as indices and boundary modes in Tile: values on every backend, gradients, and back to text."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tilec
from tests.gradients.test_compiled_control import TARGETS, compiled
from tilec.errors import TileError
from tilec.evaluate.graph import evaluate
from tilec.frontends.tile.elaborate import to_graph
from tilec.frontends.tile.parser import parse
from tilec.frontends.tile.unparse import to_tile
from tilec.graph import Graph, TensorType
from tilec.passes.differentiate import gradient

INPUTS: dict[str, Any] = {
    "A": np.arange(1.0, 6.0),
    "W": np.arange(12.0).reshape(4, 3),
    "I": np.array([2, -1, 0, 2, 4], np.int8),
}
PADS = {"clamp": "edge", "wrap": "wrap", "reflect": "reflect", "pad": "constant"}


def program(statement: str) -> Graph:
    types: dict[str, TensorType | int | float] = {
        "A": TensorType(tilec.dtypes.F64, (5,)),
        "W": TensorType(tilec.dtypes.F64, (4, 3)),
        "I": TensorType(tilec.dtypes.BY_NAME["i8"], (5,)),
    }
    return to_graph(parse(f"function f(A[N], W[M, D], I[N]) -> (O) {{ {statement} }}"), None, types)


def values(statement: str) -> Any:
    return evaluate(program(statement), INPUTS)["O"]


@pytest.mark.parametrize("mode", PADS)
def test_modes_are_those_of_numpy(mode: str) -> None:
    index = "pad(i - 3, 9)" if mode == "pad" else f"{mode}(i - 3)"
    options = {"constant_values": 9} if mode == "pad" else {}
    padded = np.pad(INPUTS["A"], 3, mode=PADS[mode], **options)  # type: ignore[call-overload]
    assert values(f"O[i : N + 6] = A[{index}];").tolist() == padded.tolist()


def test_elements_as_indices() -> None:
    w, none = INPUTS["W"].tolist(), [0.0, 0.0, 0.0]
    assert values("O[i, j] = W[I[i], j];").tolist() == [w[2], none, w[0], w[2], none]
    assert values("O[i, j : N, D] = W[clamp(I[i]), j];").tolist() == [w[2], w[0], w[0], w[2], w[3]]
    assert values("O[i, j : N, D + 1] = W[clamp(I[i]), j];")[:, 3].tolist() == [0] * 5  # j has no mode
    assert values("O[i : N] = A[100 * I[i] - 198];").tolist() == [3, 0, 0, 3, 0]  # computed wide
    assert values("O[i : N] = W[I[I[i]], 1];").tolist() == [1, 0, 7, 1, 0]


def test_the_words_are_names_elsewhere() -> None:
    assert values("O[clamp : N] = +(A[clamp] * wrap), wrap < 3;").tolist() == (3 * INPUTS["A"]).tolist()


STATEMENTS = [
    "O[i, j] = W[I[i], j];",
    "O[i : N] = A[clamp(i - 3)];",
    "O[i, j : N, D] = W[reflect(I[i]), j];",
    "O[i : N] = +(A[pad(i + k - 2, -1.5)] * A[i]), k < 4;",
    "O[i, j : N, D] = >(W[wrap(i - k), wrap(j + k)]), k < 5;",
]


@pytest.mark.parametrize("statement", STATEMENTS)
def test_back_to_text(statement: str) -> None:
    """A program and its gradient, written as Tile and read again."""
    graph = program(statement)
    for one in (graph, gradient(graph, ["A", "W"])):
        types: dict[str, TensorType | int | float] = {p.name: p.type for p in one.params}
        again = to_graph(parse(to_tile(one)), None, types)
        for found, wanted in zip(evaluate(again, INPUTS).values(), evaluate(one, INPUTS).values(), strict=True):
            assert found.tolist() == wanted.tolist()


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("statement", STATEMENTS)
def test_compiled(statement: str, target: str) -> None:
    graph = program(statement)
    for one in (graph, gradient(graph, ["A", "W"])):
        found = compiled(one, target, INPUTS)
        for name, wanted in evaluate(one, INPUTS).items():
            np.testing.assert_allclose(found[name], wanted, 1e-12)


def test_an_open_axis_is_not_left() -> None:
    code = "function f(A[N]) -> (O) { O[i : N] = A[clamp(i - 1)]; }"
    with pytest.raises(TileError) as caught:
        tilec.compile(code, A="f32[N]")
    assert caught.value.code == "TILE0210"
    assert "A[clamp(i - 1)]" in str(caught.value)
