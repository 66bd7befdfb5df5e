"""Floor 5: three hundred small programs, run on a device and compared with the evaluator: is this machine's code right?

`python -m tilec.measure.selftest TARGET [PART]` prints the outcome as JSON. `tilec doctor` runs it that way, in
processes of its own: a driver that hangs or crashes is then a finding, too. All programs share at most twenty kernels.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any, cast

import numpy as np

from tilec.backend import Array, Built
from tilec.configuration import config
from tilec.devices import backend, resolve_target
from tilec.dtypes import BF16, F16, F32, F64, DType
from tilec.errors import TileError
from tilec.evaluate.graph import evaluate
from tilec.evaluate.loops import evaluate_program
from tilec.frontends.tile.elaborate import to_graph
from tilec.frontends.tile.parser import parse
from tilec.graph import Graph
from tilec.loops import Program
from tilec.measure.answers import answered
from tilec.measure.packing import groups, packable, packed, prefix
from tilec.measure.programs import Case, cases, part, values
from tilec.passes import infer
from tilec.pipeline import lower_graph, optimise
from tilec.target import Target

# How far a result may be from the evaluator's, relative to the largest value: other order of rounding, other exp.
_TOLERANCE = {F16: 2e-2, BF16: 6e-2, F32: 1e-4, F64: 1e-9}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a case: `passed`, `wrong`, `failed` (an error) or `skipped` (the device lacks a type)."""

    name: str
    state: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Check:
    """A case, ready to be built."""

    case: Case
    graph: Graph
    program: Program


@dataclass(frozen=True, slots=True)
class Pack:
    """Checks that share a program of one kernel, or one with a program of its own.

    prefixes: what stands before the names of each check's parameters and results.
    """

    checks: tuple[Check, ...]
    program: Program
    prefixes: tuple[str, ...]


def run(target: Target, programs: Sequence[Case]) -> list[Outcome]:
    """The outcome of every program on a device; compilers and drivers may fail, this does not."""
    found: dict[str, Outcome] = {}
    checks: list[Check] = []
    for case in programs:
        try:
            checks.append(lowered(target, case))
        except Exception as problem:
            found[case.name] = _failure(case, problem)
    packs = packs_of(checks)
    for pack, built in zip(packs, _built(target, packs)):
        found |= {o.name: o for o in _outcomes(target, pack, built)}
    return [found[case.name] for case in programs]


def lowered(target: Target, case: Case) -> Check:
    """Raises what the compiler raises."""
    graph = infer.run(to_graph(parse(case.text, case.name), None, case.inputs))
    return Check(case, graph, lower_graph(optimise(graph), target))


def packs_of(checks: Sequence[Check]) -> list[Pack]:
    """As few as the number of a kernel's arguments allows; large checks are by themselves."""
    small = [c for c in checks if not c.case.large and packable(c.program)]
    alone = [c for c in checks if c.case.large or not packable(c.program)]
    shared = [_packed([small[i] for i in group]) for group in groups([c.program for c in small])]
    return [*(Pack((c,), c.program, ("",)) for c in alone), *shared]


def _packed(checks: Sequence[Check]) -> Pack:
    prefixes = tuple(prefix(i) for i in range(len(checks)))
    return Pack(tuple(checks), packed([c.program for c in checks]), prefixes)


def _built(target: Target, packs: Sequence[Pack]) -> list[Built | None]:
    """In one compilation where the backend offers that; None for what has to be built by itself."""
    own = None if target.backend == "reference" else backend(target.backend)
    if own is not None and hasattr(own, "build_many"):
        with suppress(Exception):  # then one by one, to see whose fault it is
            built: list[Built | None] = own.build_many([p.program for p in packs], target, [{}] * len(packs))
            return built
    return [None] * len(packs)


def built_alone(target: Target, pack: Pack) -> Built:
    """The pack's program on a device; raises what the backend raises."""
    if target.backend == "reference":
        return _Evaluated(pack.program)
    return backend(target.backend).build(pack.program, target, {})


def _outcomes(target: Target, pack: Pack, built: Built | None) -> Iterator[Outcome]:
    """Outcomes of the checks of a pack. Where it fails as a whole its halves are tried, to see whose fault it is."""
    try:
        results = results_of(pack, built or built_alone(target, pack), [values(c.case) for c in pack.checks])
    except Exception as problem:  # the compiler's, or a driver's own
        if len(pack.checks) == 1:
            yield _failure(pack.checks[0].case, problem)
            return
        half = len(pack.checks) // 2
        for part in (pack.checks[:half], pack.checks[half:]):
            yield from _outcomes(target, _packed(part), None)
        return
    for check, before in zip(pack.checks, pack.prefixes, strict=True):
        yield _judged(check, {r: results[before + r] for r in check.graph.results})


def results_of(pack: Pack, built: Built, inputs: Sequence[Mapping[str, Array]]) -> dict[str, Array]:
    """All results of a call by their names in the pack; `inputs` are those of each check."""
    given = {p + name: array for p, own in zip(pack.prefixes, inputs, strict=True) for name, array in own.items()}
    buffers = [pack.program.buffer(name) for name in pack.program.results]
    results = {b.name: np.zeros(cast(tuple[int, ...], b.shape), b.dtype.numpy) for b in buffers}
    built([given[name] for name in pack.program.params], list(results.values()))
    return results


def _failure(case: Case, problem: Exception) -> Outcome:
    text = str(problem).splitlines()[0] if str(problem) else type(problem).__name__
    lacks = isinstance(problem, TileError) and problem.code == "TILE0509"
    return Outcome(case.name, "skipped" if lacks else "failed", f"{text}; {case.text}")


def _judged(check: Check, results: Mapping[str, Array]) -> Outcome:
    expected = evaluate(check.graph, values(check.case))
    for name, found in results.items():
        if difference := _difference(found, expected[name], check.graph.types()[name].dtype):
            return Outcome(check.case.name, "wrong", f"{name}: {difference}; {check.case.text}")
    return Outcome(check.case.name, "passed")


def _difference(found: Array, expected: Array, dtype: DType) -> str:
    """Where two results differ too much; empty where they do not."""
    if not dtype.is_float:
        wrong = found != expected
    else:
        exact, got = expected.astype(np.float64), found.astype(np.float64)
        scale = np.max(np.abs(exact), initial=1.0)
        wrong = ~(np.abs(got - exact) <= _TOLERANCE[dtype] * scale) & ~(np.isnan(got) & np.isnan(exact))
    if not wrong.any():
        return ""
    place = tuple(int(i) for i in np.argwhere(wrong)[0])
    return f"{int(wrong.sum())} of {wrong.size} values differ, at {place} {found[place]} instead of {expected[place]}"


class _Evaluated(Built):
    """The evaluator as a device: for trying the test itself."""

    def __init__(self, program: Program) -> None:
        self._program = program

    def __call__(self, params: Sequence[Array], results: Sequence[Array]) -> None:
        found = evaluate_program(self._program, dict(zip(self._program.params, params)))
        for name, array in zip(self._program.results, results):
            array[...] = found[name]


def main(arguments: Sequence[str]) -> int:
    """Runs the programs on the named target; prints outcomes as JSON, or the error that kept it from starting."""

    def compute() -> dict[str, Any]:
        target = resolve_target(arguments[0] if arguments else "auto", force=True)
        programs = part(arguments[1] if len(arguments) > 1 else "1/1", cases())
        programs = [case for case in programs if target.kind != "simulator" or not case.large]
        with config(cache=False):  # the compiler is tested, not what it made some other day
            return {"target": str(target), "outcomes": [asdict(o) for o in run(target, programs)]}

    return answered(compute)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
