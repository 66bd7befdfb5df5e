"""Random Graphs with control flow, compared bit by bit: every pass, every stage of lowering, every backend."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from tests.fuzz.judge import same
from tests.fuzz.run import Failure, Summary
from tests.generators.control import arguments, control_graph
from tilec import pipeline
from tilec.backend import Built
from tilec.evaluate.graph import evaluate
from tilec.evaluate.loops import evaluate_program
from tilec.graph import Graph, subgraphs
from tilec.loops import Program
from tilec.options import Options
from tilec.passes import infer
from tilec.runtime import empty
from tilec.text.graph_text import print_graph
from tilec.verify.graph import verify
from tilec.verify.program import verify_program

Array = np.ndarray[Any, np.dtype[Any]]
Tensors = Mapping[str, Array]


class Judge:
    """A watcher of the pipeline: every IR is verified and computes what the Graph computes."""

    def __init__(self, graph: Graph, inputs: Tensors) -> None:
        self.graph, self.inputs = graph, inputs
        self.wanted = evaluate(graph, inputs)

    def __call__(self, stage: str, ir: object) -> None:
        match ir:
            case Graph():
                verify(ir)
                self.compare(stage, evaluate(ir, self.inputs))
            case Program():
                verify_program(ir, scheduled=stage in ("schedule", "place"))
                if stage != "share":
                    found = evaluate_program(ir, self.inputs)
                    self.compare(stage, {k: found[r] for k, r in zip(self.graph.results, ir.results, strict=True)})

    def compare(self, stage: str, found: Tensors) -> None:
        for name, value in self.wanted.items():
            assert same(found[name], value).all(), f"{name} is {found[name]} after {stage}, not {value}"

    def run(self, stage: str, built: Built, program: Program) -> None:
        """Compares two runs on the same result arrays: nothing may be left over from the first."""
        types = self.graph.types()
        results = [empty(r, types[r]) for r in self.graph.results]  # a name may be given twice
        for _ in range(2):
            built([np.ascontiguousarray(self.inputs[n]) for n in program.params], results)
            for name, array in zip(self.graph.results, results, strict=True):
                self.compare(stage, {**self.wanted, name: array})


def check(seed: int, target: str) -> None:
    """Raises where a pass or the backend computes something else than the evaluator."""
    judge = Judge(graph := infer.run(control_graph(seed)), arguments(graph, seed))
    optimised = pipeline.optimise(graph, judge)
    device = pipeline.resolve_target(target)
    for options in (Options(), Options(fuse=False, schedule=False)):
        program = pipeline.lower_graph(optimised, device, options, judge)
        if options.fuse or seed % 4 == 0:
            judge.run(target, pipeline.backend(device.backend).build(program, device, {}), program)


def run_control(seeds: Iterable[int], target: str) -> Summary:
    """Checks the graphs of `seeds`."""
    summary = Summary()
    for seed in seeds:
        graph = control_graph(seed)
        summary.programs += 1
        summary.features.update(features(graph))
        try:
            check(seed, target)
        except Exception as crash:
            summary.failures.append(Failure(seed, print_graph(graph), f"{type(crash).__name__}: {crash}"))
    return summary


def run_control_batch(task: tuple[int, int, str]) -> Summary:
    """`run_control` for a worker process: first seed, number of graphs, target."""
    start, count, target = task
    return run_control(range(start, start + count), target)


def features(graph: Graph, around: str = "") -> Iterable[str]:
    """Kinds of nodes with sub-Graphs, each after those that it is inside of."""
    for let in graph.lets:
        if inner := subgraphs(let.node):
            name = f"{around}{type(let.node).__name__}"
            yield name
            for g in inner:
                yield from features(g, f"{name} > ")
