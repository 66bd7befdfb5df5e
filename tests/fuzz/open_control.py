"""Random Graphs with control flow and open sizes: one executable for many sizes.

Values are compared bit by bit with the evaluator, on the small integers that `tests.generators.control` is made for;
the gradient of a result, on other numbers, with central differences where the graph is smooth.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np

from tests.fuzz.judge import same
from tests.fuzz.open_gradients import differing, slopes
from tests.fuzz.run import Failure, Summary
from tests.fuzz.sizes import closed_at, first_open, some_sizes
from tests.fuzz.traced import Array
from tests.generators.control import arguments, control_graph
from tilec import api
from tilec.derivative import simplest
from tilec.errors import TileError
from tilec.evaluate.graph import evaluate
from tilec.executable import Executable
from tilec.graph import Graph
from tilec.passes import infer
from tilec.passes.differentiate import gradient
from tilec.text.graph_text import print_graph

VALUES = (0, 1, 2, 3, 5, 8, 17)


def check(seed: int, target: str, summary: Summary) -> str | None:
    """What is wrong, if anything; raises TileError where an open form is refused for another reason than its sizes."""
    rng, fixed = random.Random(seed), infer.run(control_graph(seed))
    fixed = replace(fixed, results=tuple(dict.fromkeys(fixed.results)))  # results of an Executable have names
    made = first_open(fixed, rng, lambda g: api.compile_for(infer.run(g), target, None, {}), summary)
    if made is None:
        return None
    graph, first, executable = made
    summary.features["compiled"] += 1
    derived = compiled_gradient(graph, target, summary)
    for sizes in some_sizes(graph, first, rng, VALUES):
        closed = closed_at(graph, sizes)
        inputs = arguments(closed, seed)
        wanted = evaluate(closed, inputs)
        summary.features["runs"] += 1
        for name, value in zip(graph.results, executable.run((), inputs), strict=True):
            if not same(value, wanted[name]).all():
                return f"{sizes}: {name} is {value}, not {wanted[name]}"
        if derived is not None and (reason := wrong_slope(closed, derived, inputs, summary)):
            return f"{sizes}: {reason}"
    return None


def compiled_gradient(graph: Graph, target: str, summary: Summary) -> tuple[Graph, str, Executable] | None:
    """The gradient of the first float result by all floats, if there are any and open sizes allow it."""
    types = graph.types()
    of = next((r for r in graph.results if types[r].dtype.is_float), None)
    wrt = tuple(p.name for p in graph.params if p.type.dtype.is_float)
    if of is None or not wrt:
        return None
    try:
        derived = simplest(gradient(infer.run(replace(graph, results=(of,))), wrt, of))
        return derived, of, api.compile_for(derived, target, None, {})
    except TileError as refusal:
        if refusal.code != "TILE0210":
            raise
        summary.refused[refusal.code] += 1
        return None


def wrong_slope(
    closed: Graph, derived: tuple[Graph, str, Executable], inputs: Mapping[str, Array], summary: Summary
) -> str | None:
    graph, of, executable = derived
    rng = np.random.default_rng(1)
    floats = {n: v + rng.uniform(-0.4, 0.4, v.shape) if v.dtype.kind == "f" else v for n, v in inputs.items()}
    wrt = tuple(n for n, v in inputs.items() if v.dtype.kind == "f")
    given = {n: floats[n] for n in executable.params}
    results = dict(zip(executable.results, executable.run((), given)))
    return differing(replace(closed, results=(of,)), floats, of, slopes(graph, wrt, results), summary)


def run_open_control(seeds: Iterable[int], target: str) -> Summary:
    """Checks the graphs of `seeds`. `features` counts executables and their runs."""
    summary = Summary()
    for seed in seeds:
        summary.programs += 1
        try:
            reason = check(seed, target, summary)
        except Exception as crash:
            reason = f"{type(crash).__name__}: {crash}"
        if reason is not None:
            summary.failures.append(Failure(seed, print_graph(control_graph(seed)), reason))
    return summary


def run_batch(task: tuple[int, int, str]) -> Summary:
    """`run_open_control` for a worker process: first seed, number of graphs, target."""
    start, count, target = task
    return run_open_control(range(start, start + count), target)
