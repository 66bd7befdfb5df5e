"""Reads at indices that depend on data, and reads outside of a tensor: the cotangent goes to the cell that was read."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest

from tests.gradients.differences import assert_right, cleaned
from tests.gradients.test_compiled_control import TARGETS, same
from tests.gradients.test_control import built
from tilec.evaluate.graph import evaluate
from tilec.graph import Graph
from tilec.passes.differentiate import gradient, jvp

INDICES = np.array([2, -1, 0, 2, 5], np.int32)  # of an axis of 4
INPUTS: dict[str, Any] = {
    "A": np.random.default_rng(1).uniform(0.5, 1.5, 5),
    "W": np.random.default_rng(2).uniform(0.5, 1.5, (4, 3)),
    "D": np.random.default_rng(3).uniform(0.5, 1.5, 5),
    "I": INDICES,
    "J": np.array([1, 3, 0, 1, 2], np.uint8),
}
PARAMS = "A: f64[5], W: f64[4, 3], D: f64[5], I: i32[5], J: u8[5]"
READS = [
    *("W[@I[i], j]", "W[@I[i], @J[j]]", "W[i, @I[i]]", "W[@add(I[i], J[j]), j]", "W[2*j, @I[i]]", "W[@I[1/2*i], j]"),
    *(f"W[i + j - 2, 2*j - 1; {mode}]" for mode in ("clamp", "wrap", "reflect", "value 7.0")),
    *(f"W[@I[i], j - 1; {mode}]" for mode in ("clamp", "wrap", "reflect", "value 7.0")),
    *(f"W[1/2*i - 1, j; {mode}]" for mode in ("clamp", "value 7.0")),
]


def program(read: str, monoid: str = "sum", body: str = "mul({}, A[i])", default: str = "") -> Graph:
    term = body.format(read)
    return built(
        f"graph f({PARAMS}) -> (Y) {{ Y: f64[5] = {monoid}:f64 [i, j] {{ [i] <- {term} }}"
        f" where 0 <= j < 3, 0 <= i < 5{default} }}"
    )


@pytest.mark.parametrize("read", READS)
@pytest.mark.parametrize("monoid", ["sum", "max", "prod"])
def test_reads(read: str, monoid: str) -> None:
    graph = program(read, monoid)
    assert_right(graph, INPUTS, ["A", "W"], "Y")


@pytest.mark.parametrize("monoid", ["sum", "max", "prod"])
@pytest.mark.parametrize("read", ["W[@I[i], j]", "W[@I[i], 0]", "W[1/2*i, j; clamp]"])
def test_points_that_a_read_drops_stay_dropped(read: str, monoid: str) -> None:
    """The derivative with respect to A does not read W, but has the same points; a default is where there are none."""
    graph = program(read, monoid, "add({}, mul(A[i], A[i]))", " default D")
    assert_right(graph, INPUTS, ["A", "W", "D"], "Y")
    assert_right(graph, INPUTS, ["A"], "Y")
    assert_right(graph, INPUTS, ["D"], "Y")


@pytest.mark.parametrize("read", ["W[@I[i], j]", "W[i + j - 2, 2*j - 1; value 7.0]"])
def test_second_derivatives(read: str) -> None:
    first = gradient(program(read, "sum", "mul(mul({0}, {0}), A[i])"), ["A", "W"])
    for name in first.results:
        assert_right(first, INPUTS, ["A", "W"], name)


def test_the_cells_that_were_read() -> None:
    graph = program("W[@I[i], j]", body="{}")
    found = evaluate(cleaned(gradient(graph, ["W"])), INPUTS)["W_grad"]
    assert found.tolist() == [[1, 1, 1], [0, 0, 0], [2, 2, 2], [0, 0, 0]]  # rows -1 and 5 have no term
    filled = evaluate(cleaned(gradient(program("W[@I[i], j; value 3.0]", body="{}"), ["W"])), INPUTS)["W_grad"]
    assert filled.tolist() == found.tolist()
    clamped = evaluate(cleaned(gradient(program("W[@I[i], j; clamp]", body="{}"), ["W"])), INPUTS)["W_grad"]
    assert clamped.tolist() == [[2, 2, 2], [0, 0, 0], [2, 2, 2], [1, 1, 1]]


def test_places_are_summed_before_they_are_scattered() -> None:
    """No value of the gradient runs over more than the indices that the read names."""
    graph = program("W[@I[i], 0]", body="mul({}, A[j])")
    shapes = {tuple(map(str, t.shape)) for let in cleaned(gradient(graph, ["W"])).lets for t in let.types}
    assert all(len(shape) < 2 or shape == ("4", "3") for shape in shapes)


@pytest.mark.parametrize("target", TARGETS)
def test_compiled(target: str) -> None:
    rows = np.linspace(-1, 1, 5), np.linspace(1, 2, 12).reshape(4, 3)
    for read, monoid in product(READS[:3] + READS[6:10], ("sum", "max")):
        graph = program(read, monoid)
        same(gradient(graph, ["A", "W"]), target, INPUTS)
        same(jvp(graph, ["A", "W"]), target, INPUTS | {"A_dot": rows[0], "W_dot": rows[1]})
