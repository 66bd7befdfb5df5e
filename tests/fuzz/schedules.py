"""Random programs under random schedules, compiled: `python -m tests.fuzz --schedules 3 --programs 20000`.

Every program is compiled as the lowering leaves it, and then once for each schedule: of random directives alone, or
after the default schedule of a target that finds everything worth its trouble. Each run is judged by the evaluator;
where no `rfactor` is among the directives, it must also give the bits of the plain nests.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from random import Random
from typing import Any

import numpy as np

from tests.fuzz.generate import Case
from tests.fuzz.judge import Mismatch, mismatches, same, visible
from tests.fuzz.run import Array, Summary, Verdict, elaborate, run_checks
from tests.generators.schedules import random_schedule
from tests.generators.targets import EAGER, with_small_caches
from tilec import pipeline
from tilec.graph import Contraction, Graph
from tilec.loops import Kernel, Program
from tilec.options import Options
from tilec.passes import place
from tilec.passes.schedule import apply
from tilec.passes.schedule.default import default_schedule
from tilec.runtime import dense, empty
from tilec.schedule import Schedule
from tilec.target import Target
from tilec.verify.loops import verify_program

STEPS = 12


def check(case: Case, schedules: int, target: Target, applied: Counter[str]) -> Verdict:
    """Runs and judges a case under each schedule; raises TileError where the program is refused.

    In half of the cases only the last value is a result, so that the others may be hidden in kernels; sums then keep
    their order, for nobody could say what follows from a sum that was rounded otherwise. `applied` counts directives.
    """
    graph = elaborate(case)
    hidden = case.seed % 2 == 0
    plain = pipeline.optimise(graph if hidden else visible(graph))
    program = lowered(plain, target)
    inputs = {p.name: np.asarray(case.inputs[p.name], p.type.dtype.numpy) for p in plain.params}
    expected = _run(program, plain, inputs, target)
    empty = not any(np.asarray(v).astype(bool).any() for v in expected.values())
    for k in range(schedules):
        changed, chosen = schedule(program, target, Random(case.seed * 1000 + k), reorder=not hidden)
        applied.update(d.name for s in chosen for d in s)
        found = _run(changed, plain, inputs, target)
        reordered = any(d.name == "rfactor" for s in chosen for d in s)
        problem = _wrong_sum(visible(graph), inputs, found) if reordered else _other_bits(expected, found)
        if problem:
            text = "\n".join(f"{name}: {' '.join(map(str, s))}" for name, s in zip(_names(changed), chosen))
            return Verdict(f"schedule {k}: {problem}\n{text}", empty)
    return Verdict(None, empty)


def lowered(graph: Graph, target: Target) -> Program:
    """The Program as the default schedule finds it."""
    stages: dict[str, Program] = {}
    pipeline.lower_graph(graph, target, Options(schedule=False), stages.__setitem__)
    return stages["share"]


def schedule(program: Program, target: Target, r: Random, reorder: bool) -> tuple[Program, list[Schedule]]:
    """Every kernel under a random schedule, and these."""
    found = [_kernel(k, target, r, reorder) for k in program.kernels]
    changed = replace(program, kernels=tuple(k for k, _ in found))
    verify_program(changed)
    return changed, [s for _, s in found]


def _kernel(kernel: Kernel, target: Target, r: Random, reorder: bool) -> tuple[Kernel, Schedule]:
    first: Schedule = ()
    if r.random() < 0.4:
        first = default_schedule(kernel, with_small_caches(target), EAGER)
    if not reorder and any(d.name == "rfactor" for d in first):
        first = ()
    changed, more = random_schedule(apply(kernel, first), r, STEPS, reorder)
    return changed, (*first, *more)


def _other_bits(expected: Mapping[str, Array], found: Mapping[str, Array]) -> str | None:
    wrong = next((n for n in found if not same(found[n], expected[n]).all()), None)
    return wrong and f"{wrong} has other bits than under no schedule"


def _wrong_sum(graph: Graph, inputs: Mapping[str, Any], found: Mapping[str, Array]) -> Mismatch | None:
    """The first mismatch that another order of the terms does not explain."""
    return next((m for m in mismatches(graph, inputs, found) if not _left_range(m)), None)


def _left_range(mismatch: Mismatch) -> bool:
    """A float product whose factors, in another order, pass over or under what the type holds on the way."""
    node = mismatch.let.node
    product = isinstance(node, Contraction) and node.monoid.name == "prod" and node.accumulator[0].is_float
    return product and (mismatch.found == 0 or not np.isfinite(mismatch.found))


def _names(program: Program) -> list[str]:
    return [k.name for k in program.kernels]


def _run(program: Program, graph: Graph, inputs: Mapping[str, Any], target: Target) -> dict[str, Array]:
    types = graph.types()
    results = {r: empty(r, types[r]) for r in graph.results}
    built = pipeline.backend(target.backend).build(place.run(program), target, {})
    built([dense(inputs[p.name]) for p in graph.params], list(results.values()))
    return results


def run(seeds: Iterable[int], schedules: int, stop: int = 20) -> Summary:
    """Runs the programs of `seeds`; ends early after `stop` failures."""
    target = replace(pipeline.resolve_target("llvm"), threads=2)
    return run_checks(seeds, lambda case, summary: check(case, schedules, target, summary.notes), stop)


@dataclass(frozen=True, slots=True)
class Batch:
    """`run` for a worker process."""

    schedules: int

    def __call__(self, task: tuple[int, int, str]) -> Summary:
        start, count, _ = task
        return run(range(start, start + count), self.schedules)
