"""Gradients of random programs with open sizes: one executable for many sizes.

The gradient is taken of the open program and compiled once. At each of several sizes, every statement of it is judged
as in `tests.fuzz.gradients`, and where the program is smooth, what it gives along a random direction is judged by
central differences.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np

from tests.fuzz.gradients import Array, misjudged
from tests.fuzz.judge import visible
from tests.fuzz.run import Failure, Summary
from tests.fuzz.sizes import arguments, closed_at, first_open, some_sizes
from tests.gradients.differences import judged, moved, value
from tests.gradients.random_programs import Subject, subject
from tilec import api
from tilec.derivative import simplest
from tilec.errors import TileError
from tilec.executable import Executable
from tilec.graph import Graph
from tilec.passes import infer
from tilec.passes.differentiate import gradient
from tilec.text.graph_text import print_graph

VALUES = (0, 1, 2, 3, 5, 8, 17)


def check(found: Subject, target: str, summary: Summary) -> str | None:
    """What is wrong, if anything, with the gradient of the last result."""
    rng, of = random.Random(found.case.seed), found.results[-1]

    def make(graph: Graph) -> tuple[Graph, Executable]:
        typed = infer.run(graph)
        derived = visible(simplest(gradient(typed, found.wrt, of)))
        return derived, api.compile_for(derived, target, None, {})

    made = first_open(replace(found.graph, results=(of,)), rng, make, summary)
    if made is None:
        return None
    graph, first, (derived, executable) = made
    summary.features["compiled"] += 1
    for sizes in some_sizes(graph, first, rng, VALUES):
        closed = closed_at(graph, sizes)
        inputs = arguments(closed, found.case)
        results = dict(zip(executable.results, executable.run((), inputs)))
        summary.features["runs"] += 1
        reason = misjudged(closed_at(derived, sizes), inputs, results)
        reason = reason or differing(closed, inputs, of, slopes(derived, found.wrt, results), summary)
        if reason:
            return f"{sizes}: {reason}\n{print_graph(graph)}"
    return None


def slopes(derived: Graph, wrt: tuple[str, ...], results: Mapping[str, Any]) -> dict[str, Array]:
    """The gradient by each variable: the last statements of its graph."""
    names = [name for let in derived.lets for name in let.names]
    return {v: results[next(n for n in reversed(names) if n.startswith(f"{v}_grad"))] for v in wrt}


def differing(
    graph: Graph, inputs: Mapping[str, Any], of: str, found: Mapping[str, Array], summary: Summary
) -> str | None:
    rng = np.random.default_rng(0)
    directions = {n: np.asarray(rng.uniform(-1.0, 1.0, g.shape)) for n, g in found.items()}
    weights = np.ones(tuple(int(str(s)) for s in graph.types()[of].shape))
    line = cache(lambda h: value(graph, moved(inputs, directions, h), of, weights))
    with np.errstate(all="ignore"):
        terms = np.concatenate([(found[n] * d).ravel() for n, d in directions.items()])
        verdict = judged(line, float(np.sum(terms)), float(np.sum(np.abs(terms))))
    summary.notes["smooth" if verdict.smooth else "not smooth"] += 1
    wrong = verdict.smooth and np.isfinite(verdict.found) and not verdict.right
    return f"{of}: {verdict}" if wrong else None


def run_open_gradients(seeds: Iterable[int], target: str) -> Summary:
    """Checks the programs of `seeds`. `features` counts executables and their runs."""
    summary = Summary()
    for seed in seeds:
        summary.programs += 1
        reason, text = None, ""
        try:
            if (found := subject(seed)) is not None:
                text, reason = found.case.text, check(found, target, summary)
        except TileError as refusal:
            reason = summary.refuse(refusal)
        except Exception as crash:
            reason = f"{type(crash).__name__}: {crash}"
        if reason is not None:
            summary.failures.append(Failure(seed, text, reason))
    return summary


def run_batch(task: tuple[int, int, str]) -> Summary:
    """`run_open_gradients` for a worker process: first seed, number of programs, target."""
    start, count, target = task
    return run_open_gradients(range(start, start + count), target)
