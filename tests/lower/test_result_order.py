"""Results are computed where their values are, not at the end of a trace: with what reads the same tensors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tilec
from tilec.evaluate.graph import evaluate
from tilec.evaluate.loops import evaluate_program
from tilec.graph import Graph
from tilec.passes import fuse, in_place, lower
from tilec.passes.fuse.order import ordered, settled
from tilec.passes.schedule.analysis import static
from tilec.pipeline import optimise
from tilec.text.graph_text import parse_graph
from tilec.verify.loops import verify_program

COUNT = 9  # more than `fuse.NEAR` kernels


def steps(speeds: list[Any], slopes: list[Any], places: list[Any]) -> Any:
    """New speeds and new places, which share all that they are made of."""
    new = [0.5 * v + g for v, g in zip(speeds, slopes)]
    return new, [p - 0.25 * v for p, v in zip(places, new)]


def traced(donated: tuple[str, ...]) -> tuple[Graph, dict[str, Any]]:
    rng = np.random.default_rng(0)
    lists = [[rng.standard_normal((k + 3, 4)).astype("float32") for k in range(COUNT)] for _ in range(3)]
    graph = optimise(tilec.jit(steps, donate_argnames=donated).lower(*lists).graph)
    return graph, dict(zip([p.name for p in graph.params], [x for part in lists for x in part], strict=True))


@pytest.mark.parametrize("donated", [(), ("speeds", "places")], ids=["copied", "donated"])
def test_results_that_share_operands_share_a_kernel(donated: tuple[str, ...]) -> None:
    graph, given = traced(donated)
    program = in_place.run(lower.run(graph, fuse.run(graph)))
    verify_program(program)
    assert len(program.kernels) == len(program.steps) == COUNT
    wanted = evaluate(graph, given)
    found = evaluate_program(program, given)
    into = {result: param for param, result in graph.aliases}
    for name in graph.results:
        np.testing.assert_array_equal(found[into.get(name, name)], wanted[name], err_msg=name)


def test_order() -> None:
    """Copies into results follow what they copy, copies of copies too; those of parameters stay; all are there once."""
    graph = parse_graph("""graph f(A: f32[2]) -> (R, S, T, P) {
      X: f32[2] = exp(A)
      Y: f32[2] = exp(X)
      P: f32[2] = ident(A)
      T: f32[2] = ident(Y)
      S: f32[2] = ident(X)
      R: f32[2] = ident(S)
    }""")
    assert list(ordered(graph, settled(graph))) == ["X", "S", "R", "Y", "T", "P"]


def test_old_values_that_are_needed_later_are_there() -> None:
    """The new value of A is known first, but A is read by all that follows: it is overwritten after that."""
    lines = [f"      B{k}: f32[{k + 2}, 3] = exp(A{k})" for k in range(COUNT)]
    params = ", ".join(["A: f32[3]", *(f"A{k}: f32[{k + 2}, 3]" for k in range(COUNT))])
    sums = [f"      C{k}: f32[{k + 2}, 3] = mul(B{k}, A)" for k in range(COUNT)]
    names = ", ".join(f"C{k}" for k in range(COUNT))
    text = f"graph f({params}) -> (N, {names}) aliases (A = N) {{\n"
    text += "\n".join(["      M: f32[3] = exp(A)", *lines, *sums, "      N: f32[3] = ident(M)"]) + "\n}"
    graph = parse_graph(text)
    rng = np.random.default_rng(1)
    given = {p.name: rng.standard_normal(tuple(map(static, p.type.shape))).astype("float32") for p in graph.params}
    program = in_place.run(lower.run(graph, fuse.run(graph)))
    verify_program(program)
    wanted, found = evaluate(graph, given), evaluate_program(program, given)
    np.testing.assert_array_equal(found["A"], wanted["N"])
    for k in range(COUNT):
        np.testing.assert_array_equal(found[f"C{k}"], wanted[f"C{k}"])
