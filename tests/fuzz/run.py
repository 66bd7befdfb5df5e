"""Runs random programs on a backend and collects what went wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Any, TypeAlias

import numpy as np

from tests.fuzz.generate import Case, generate
from tests.fuzz.judge import judge, same, visible
from tilec import api, pipeline, unwritten
from tilec.backend import Built
from tilec.errors import TileError
from tilec.frontends.tile.elaborate import to_graph
from tilec.graph import Graph
from tilec.passes import infer
from tilec.runtime import dense, empty

unwritten.content = unwritten.NAN  # in every process that runs programs

Array = np.ndarray[Any, np.dtype[Any]]
Executor: TypeAlias = Callable[[Graph, Mapping[str, Any]], Mapping[str, Array]]


DEFECTS = ("TILE0602", "TILE0603", "TILE0604")  # of the compiler, not of a program in Tile


@dataclass(frozen=True, slots=True)
class Failure:
    seed: int
    text: str
    reason: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """`reason` is None where the backend is right; `empty`: every result is empty or zero."""

    reason: str | None
    empty: bool


@dataclass(slots=True)
class Summary:
    """What a run of the fuzzer saw."""

    programs: int = 0
    empty: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    notes: Counter[str] = field(default_factory=Counter)
    features: Counter[str] = field(default_factory=Counter)
    pairs: Counter[tuple[str, str]] = field(default_factory=Counter)
    failures: list[Failure] = field(default_factory=list)

    def count(self, case: Case) -> None:
        """Notes a program's features and their pairs."""
        self.programs += 1
        self.features.update(case.features)
        self.pairs.update(combinations(sorted(case.features), 2))

    def refuse(self, refusal: TileError) -> str | None:
        """Counts a refusal; says what is wrong with one that no program can be blamed for."""
        self.refused[refusal.code] += 1
        return str(refusal) if refusal.code in DEFECTS else None

    def record(self, case: Case, verdict: Verdict) -> None:
        self.empty += verdict.empty
        if verdict.reason is not None:
            self.failures.append(Failure(case.seed, case.text, verdict.reason))

    def add(self, other: Summary) -> None:
        self.programs += other.programs
        self.empty += other.empty
        self.refused += other.refused
        self.notes += other.notes
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
        lines += [f"{count:8} {note}" for note, count in self.notes.most_common()]
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


def graphs(case: Case) -> tuple[Graph, Graph]:
    """The program with all intermediate values as results, and with only its last one, where fusion may hide them."""
    graph = elaborate(case)
    last = case.text[case.text.index("-> (") + 4 : case.text.index(") {")].split(", ")[-1]
    return visible(graph), replace(graph, results=(last,))


def check(case: Case, execute: Executor) -> Verdict:
    """Runs and judges a case; raises TileError where the program is refused."""
    whole, hidden = graphs(case)
    found = execute(whole, case.inputs)
    return verdict(case, whole, found, found if hidden == whole else execute(hidden, case.inputs))


def verdict(case: Case, whole: Graph, found: Mapping[str, Array], hidden: Mapping[str, Array]) -> Verdict:
    """Judges each statement from its actual inputs; what runs with hidden values must give the same bits."""
    inputs = {p.name: np.asarray(case.inputs[p.name], p.type.dtype.numpy) for p in whole.params}
    empty = not any(np.asarray(found[n]).astype(bool).any() for n in found)
    if mismatch := judge(whole, inputs, found):
        return Verdict(str(mismatch), empty)
    last = list(hidden)[-1]
    if not same(hidden[last], found[last]).all():
        return Verdict(f"{last} differs from what it is when the intermediate values are results too", empty)
    return Verdict(None, empty)


def run(seeds: Iterable[int], execute: Executor, stop: int = 20) -> Summary:
    """Runs the programs of `seeds`; ends early after `stop` failures."""
    return run_checks(seeds, lambda case, _: check(case, execute), stop)


def run_checks(seeds: Iterable[int], judged: Callable[[Case, Summary], Verdict], stop: int = 20) -> Summary:
    """Judges the programs of `seeds`; a refusal is counted, a crash is a failure."""
    summary = Summary()
    for seed in seeds:
        case = generate(seed)
        summary.count(case)
        try:
            result = judged(case, summary)
        except TileError as refusal:
            result = Verdict(summary.refuse(refusal), False)
        except Exception as crash:
            result = Verdict(f"{type(crash).__name__}: {crash}", False)
        summary.record(case, result)
        if len(summary.failures) >= stop:
            break
    return summary


def run_batch(task: tuple[int, int, str]) -> Summary:
    """`run` for a worker process: first seed, number of programs, target."""
    start, count, target = task
    seeds = range(start, start + count)
    return run_on_opencl(seeds, target) if target.startswith("opencl") else run(seeds, compiled(target))


def run_on_opencl(seeds: Iterable[int], name: str = "opencl") -> Summary:
    """As `run` on an OpenCL device, with the kernels of all programs in one cl.Program."""
    from tilec.backends.opencl.backend import OpenCLBackend

    summary, target = Summary(), pipeline.resolve_target(name)
    accepted: list[tuple[Case, Graph, Graph]] = []
    for case in map(generate, seeds):
        summary.count(case)
        try:
            accepted.append((case, *graphs(case)))
        except TileError as refusal:
            summary.record(case, Verdict(summary.refuse(refusal), False))
    both = [pipeline.optimise(g) for _, *pair in accepted for g in pair]
    programs = [pipeline.lower_graph(g, target) for g in both]
    built = iter(OpenCLBackend().build_many(programs, target, [{} for _ in programs]))
    for case, whole, hidden in accepted:
        pair = [_call(next(built), g, case.inputs) for g in (whole, hidden)]
        summary.record(case, verdict(case, whole, *pair))
    return summary


def _call(built: Built, graph: Graph, inputs: Mapping[str, Any]) -> dict[str, Array]:
    types = graph.types()
    results = {r: empty(r, types[r]) for r in graph.results}
    built([dense(np.asarray(inputs[p.name], p.type.dtype.numpy)) for p in graph.params], list(results.values()))
    return results
