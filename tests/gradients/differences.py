"""Central differences in float64: what every gradient is judged by.

The derivative along a random direction is compared: the gradient's product with it, and the difference quotient of the
sum of the result weighted with a random seed. Where quotients of several steps disagree, the function is not smooth
near the point (a kink, a jump, an overflow), and the comparison means nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeAlias

import numpy as np

from tilec.evaluate.graph import evaluate
from tilec.graph import Graph
from tilec.passes import cse, dce, fold, simplify
from tilec.passes.differentiate import gradient, jvp
from tilec.text.graph_text import print_graph
from tilec.verify.graph import verify

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
TOLERANCE = 1e-6
STEP = 1e-4  # the error of the extrapolated quotient is of the order of its fourth power


@dataclass(frozen=True, slots=True)
class Verdict:
    """found and wanted derivative; `scale` is the size of the terms that make it up; smooth: the quotients agree."""

    found: float
    wanted: float
    scale: float
    smooth: bool

    @property
    def right(self) -> bool:
        return abs(self.found - self.wanted) <= TOLERANCE * self.scale


def cleaned(graph: Graph) -> Graph:
    """The graph after the cleaners; both verify."""
    verify(graph)
    for one in (simplify, fold, simplify, cse, dce):
        graph = one.run(graph)
    verify(graph)
    return graph


def value(graph: Graph, inputs: Mapping[str, Any], of: str, weights: Array) -> float:
    with np.errstate(all="ignore"):
        return float(np.sum(evaluate(graph, inputs, "float64")[of] * weights))


def both_modes(
    graph: Graph, inputs: Mapping[str, Any], wrt: Sequence[str], of: str, seed: int = 0
) -> tuple[Verdict, Verdict]:
    """Reverse and forward mode against differences, along a random direction in all of `wrt` at once.

    Both are asked for the same number, so they must find the same.
    """
    rng = np.random.default_rng(seed)
    inputs = {n: np.asarray(v, np.float64) if n in wrt else v for n, v in inputs.items()}
    weights = rng.uniform(0.5, 1.5, tuple(int(str(s)) for s in graph.types()[of].shape))
    directions = {n: rng.uniform(-1.0, 1.0, inputs[n].shape) for n in wrt}
    along = cache(lambda h: value(graph, moved(inputs, directions, h), of, weights))
    terms = (_backward(graph, inputs, of, weights, directions), _forward(graph, inputs, of, weights, directions))
    with np.errstate(all="ignore"):
        sums = [(float(np.sum(t)), float(np.sum(np.abs(t)))) for t in terms]
    reverse, forward = (judged(along, found, total) for found, total in sums)
    return reverse, forward


def _backward(
    graph: Graph, inputs: Mapping[str, Any], of: str, weights: Array, directions: Mapping[str, Array]
) -> Array:
    """The gradient of the weighted result, times the direction, term by term."""
    derived = cleaned(gradient(graph, tuple(directions), of, seed=True))
    found = evaluate(derived, {**inputs, derived.params[-1].name: weights}, "float64")
    with np.errstate(all="ignore"):
        pairs = zip(directions.values(), derived.results, strict=True)
        return np.concatenate([(d * found[r]).ravel() for d, r in pairs])


def _forward(
    graph: Graph, inputs: Mapping[str, Any], of: str, weights: Array, directions: Mapping[str, Array]
) -> Array:
    """The derivative along the direction, times the weights, term by term."""
    derived = cleaned(jvp(graph, tuple(directions), of))
    tangents = {p.name: d for p, d in zip(derived.params[len(graph.params) :], directions.values(), strict=True)}
    with np.errstate(all="ignore"):
        return np.asarray(evaluate(derived, {**inputs, **tangents}, "float64")[derived.results[-1]] * weights)


def moved(inputs: Mapping[str, Any], directions: Mapping[str, Array], step: float) -> dict[str, Any]:
    return {n: v + step * directions[n] if n in directions else v for n, v in inputs.items()}


def judged(along: Callable[[float], float], found: float, total: float) -> Verdict:
    """The difference quotient, extrapolated (Richardson), and whether the function is smooth about 0."""
    values = {h: along(h) for h in (0.0, *(s * STEP / d for s in (1, -1) for d in (1, 2, 4)))}
    quotients = [(values[h] - values[-h]) / (2 * h) for h in (STEP, STEP / 2, STEP / 4)]
    fine = (4 * quotients[2] - quotients[1]) / 3
    coarse = (4 * quotients[1] - quotients[0]) / 3
    scale = max(abs(fine), total, 1e-3 * abs(values[0.0]), 1e-3)
    bends = [(values[h] + values[-h] - 2 * values[0.0]) / h for h in (STEP, STEP / 2, STEP / 4)]
    corner = max(abs(2 * bends[1] - bends[0]), abs(2 * bends[2] - bends[1]))  # halves of a parabola's, all of a kink's
    good = np.isfinite(list(values.values())).all()
    smooth = good and max(abs(fine - coarse), corner) <= 0.3 * TOLERANCE * scale
    return Verdict(found, fine, scale, bool(smooth))


def assert_right(graph: Graph, inputs: Mapping[str, Any], wrt: Sequence[str], of: str, seed: int = 0) -> None:
    """Both modes agree with differences, at a point that is smooth."""
    for verdict in both_modes(graph, inputs, wrt, of, seed):
        assert verdict.smooth, f"the test's point is no good: {verdict}"
        assert verdict.right, f"{verdict}\n{print_graph(gradient(graph, wrt, of))}"
