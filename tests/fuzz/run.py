"""Runs random programs on a backend and collects what went wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any, TypeAlias

import numpy as np

from tests.fuzz.generate import Case, generate
from tests.fuzz.judge import judge, same, visible
from tilec import api
from tilec.errors import TileError
from tilec.frontends.tile.elaborate import to_graph
from tilec.graph import Graph
from tilec.passes import infer

Array = np.ndarray[Any, np.dtype[Any]]
Executor: TypeAlias = Callable[[Graph, Mapping[str, Any]], Mapping[str, Array]]


@dataclass(frozen=True, slots=True)
class Failure:
    seed: int
    text: str
    reason: str


@dataclass(slots=True)
class Summary:
    """What a run of the fuzzer saw."""

    programs: int = 0
    empty: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    features: Counter[str] = field(default_factory=Counter)
    pairs: Counter[tuple[str, str]] = field(default_factory=Counter)
    failures: list[Failure] = field(default_factory=list)

    def count(self, case: Case) -> None:
        """Notes a program's features and their pairs."""
        self.programs += 1
        self.features.update(case.features)
        self.pairs.update(combinations(sorted(case.features), 2))

    def add(self, other: Summary) -> None:
        self.programs += other.programs
        self.empty += other.empty
        self.refused += other.refused
        self.features += other.features
        self.pairs += other.pairs
        self.failures += other.failures

    def report(self) -> str:
        """Histogram of features, pair coverage and failures, as text."""
        seen = len(self.pairs)
        possible = len(self.features) * (len(self.features) - 1) // 2
        lines = [f"{count:8} {name}" for name, count in sorted(self.features.items(), key=lambda f: -f[1])]
        lines.append(f"{self.programs} programs, {self.empty} of them empty, {sum(self.refused.values())} refused")
        lines += [f"{count:8} {code}" for code, count in self.refused.most_common()]
        lines.append(f"feature pairs seen: {seen} of {possible} ({100 * seen / max(1, possible):.0f} %)")
        lines.append(f"mismatches: {len(self.failures)}")
        lines += [f"--- seed {f.seed}: {f.reason}\n{f.text}" for f in self.failures[:20]]
        return "\n".join(lines)


def compiled(target: str) -> Executor:
    """Compiles and runs a graph on a target."""

    def execute(graph: Graph, inputs: Mapping[str, Any]) -> Mapping[str, Array]:
        executable = api.compile_for(graph, target, None, {})
        arguments = {n: inputs[n] for n in executable.params}
        return dict(zip(executable.results, executable.run((), arguments)))

    return execute


def elaborate(case: Case) -> Graph:
    """The case's typed graph, unoptimised; raises TileError where the program is refused."""
    signature = {name: api.signature_entry(name, value) for name, value in case.inputs.items()}
    return infer.run(to_graph(api.parse(case.text), None, signature))


@dataclass(frozen=True, slots=True)
class Verdict:
    """`reason` is None where the backend is right; `empty`: every result is empty or zero."""

    reason: str | None
    empty: bool


def check(case: Case, execute: Executor) -> Verdict:
    """Runs and judges a case; raises TileError where the program is refused.

    The program runs twice: with all intermediate values as results, each statement judged from its actual inputs, and
    as written, where fusion may hide them: the bits must be the same.
    """
    graph = elaborate(case)
    whole = visible(graph)
    found = execute(whole, case.inputs)
    inputs = {p.name: np.asarray(case.inputs[p.name], p.type.dtype.numpy) for p in graph.params}
    empty = not any(np.asarray(found[n]).astype(bool).any() for n in found)
    if mismatch := judge(whole, inputs, found):
        return Verdict(str(mismatch), empty)
    last = case.text[case.text.index("-> (") + 4 : case.text.index(") {")].split(", ")[-1]
    hidden = execute(Graph(graph.name, graph.params, graph.lets, (last,)), case.inputs)
    if not same(hidden[last], found[last]).all():
        return Verdict(f"{last} differs from what it is when the intermediate values are results too", empty)
    return Verdict(None, empty)


def run(seeds: Iterable[int], execute: Executor, stop: int = 20) -> Summary:
    """Runs the programs of `seeds`; ends early after `stop` failures."""
    summary = Summary()
    for seed in seeds:
        case = generate(seed)
        summary.count(case)
        try:
            verdict = check(case, execute)
        except TileError as refusal:
            summary.refused[refusal.code] += 1
            continue
        except Exception as crash:
            verdict = Verdict(f"{type(crash).__name__}: {crash}", False)
        summary.empty += verdict.empty
        if verdict.reason is not None:
            summary.failures.append(Failure(seed, case.text, verdict.reason))
            if len(summary.failures) >= stop:
                break
    return summary
