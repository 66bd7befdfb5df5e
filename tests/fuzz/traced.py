"""Random Python functions through tracing: values and derivatives against NumPy.

What `tilec.jit` compiles must give NumPy's values; where NumPy's function is smooth at the inputs, `tilec.grad` and
`tilec.jvp` the central differences of it. Both compute in float64. Where a change of the inputs by a few roundings
changes NumPy's values visibly (a floor of what is an integer but for rounding), nothing can be said.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cache
from types import SimpleNamespace
from typing import Any, TypeAlias

import numpy as np

import tilec
import tilec.numpy as tnp
from tests.fuzz.functions import Program, python_function
from tests.fuzz.reference import Reference
from tests.fuzz.run import Failure, Summary
from tests.gradients.differences import judged, moved
from tilec.errors import TileError

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
NAMES = ("cond", "while_loop", "fori_loop", "scan", "checkpoint", "contract")
XP = SimpleNamespace(**{n: getattr(tnp, n) for n in tnp.__all__}, **{n: getattr(tilec, n) for n in NAMES})
REL, STIRRED = 1e-9, 1e-13


def check(program: Program, summary: Summary, target: str) -> str | None:
    """What is wrong, if anything."""
    ours, reference = program.function(XP), program.function(Reference())
    wanted = quietly(reference, program.inputs)
    if not steady(program, reference, wanted, program.inputs):
        summary.notes["not steady"] += 1
        return None
    found = tilec.jit(ours, target=target)(**program.inputs)
    if reason := difference("the value", found, wanted):
        return reason
    return derivatives(program, ours, reference, wanted, summary, target)


def quietly(function: Callable[..., Any], inputs: Mapping[str, Any]) -> Array:
    with np.errstate(all="ignore"):
        return np.asarray(function(**inputs))


def steady(
    program: Program, reference: Callable[..., Any], wanted: Array, inputs: Mapping[str, Array]
) -> bool:
    """Whether inputs that are off by some roundings give about the same."""
    rng = np.random.default_rng(program.seed)
    directions = {n: np.asarray(STIRRED * rng.uniform(-1, 1, v.shape)) for n, v in floats(inputs).items()}
    for sign in (1.0, -1.0):
        found = quietly(reference, moved(inputs, directions, sign))
        if found.shape != wanted.shape or difference("", found, wanted):
            return False
    return True


def floats(inputs: Mapping[str, Any]) -> dict[str, Array]:
    return {n: v for n, v in inputs.items() if v.dtype.kind == "f"}


def difference(what: str, found: Any, wanted: Array) -> str | None:
    found = np.asarray(found)
    if found.shape != wanted.shape or found.dtype != wanted.dtype:
        return f"{what} is {found.dtype}{list(found.shape)}, not {wanted.dtype}{list(wanted.shape)}"
    allowed = REL * max(1.0, float(np.abs(wanted).max(initial=0)))
    if not (np.abs(found - wanted) <= allowed).all():
        return f"{what} is {found.tolist()}, not {wanted.tolist()}"
    return None


def derivatives(
    program: Program,
    ours: Callable[..., Any],
    reference: Callable[..., Any],
    wanted: Array,
    summary: Summary,
    target: str,
) -> str | None:
    """Both modes along a random direction, of the result weighted at random."""
    rng = np.random.default_rng(program.seed)
    weights = rng.uniform(0.5, 1.5, wanted.shape)
    directions = {n: np.asarray(rng.uniform(-1.0, 1.0, v.shape)) for n, v in floats(program.inputs).items()}
    rest = {n: v for n, v in program.inputs.items() if n not in directions}

    def of_floats(given: Mapping[str, Any]) -> Any:
        return ours(**given, **rest)

    given = floats(program.inputs)
    slopes = tilec.jit(tilec.grad(lambda given: (of_floats(given) * weights).sum()), target=target)(given)
    _, along = tilec.jit(lambda x, d: tilec.jvp(of_floats)((x,), (d,)), target=target)(given, directions)
    line = cache(lambda h: float(np.sum(quietly(reference, moved(program.inputs, directions, h)) * weights)))
    terms = {
        "reverse": np.concatenate([(slopes[n] * d).ravel() for n, d in directions.items()]),
        "forward": np.asarray(along) * weights,
    }
    for mode, parts in terms.items():
        verdict = judged(line, float(np.sum(parts)), float(np.sum(np.abs(parts))))
        summary.notes["smooth" if verdict.smooth else "not smooth"] += 1
        if verdict.smooth and not verdict.right:
            return f"{mode} mode: {verdict}"
    return None


def run_traced(seeds: Iterable[int], target: str) -> Summary:
    """Checks the functions of `seeds`."""
    summary = Summary()
    for seed in seeds:
        program = python_function(seed)
        summary.programs += 1
        summary.features.update(program.features)
        try:
            reason = check(program, summary, target)
        except TileError as refusal:
            summary.refused[refusal.code] += 1
            reason = f"refused: {refusal}"
        except Exception as crash:
            reason = f"{type(crash).__name__}: {crash}"
        if reason is not None:
            values = "".join(f"# {n} = {v.tolist()}\n" for n, v in program.inputs.items())
            summary.failures.append(Failure(seed, program.text + values, reason))
    return summary


def run_batch(task: tuple[int, int, str]) -> Summary:
    """`run_traced` for a worker process: first seed, number of functions, target."""
    start, count, target = task
    return run_traced(range(start, start + count), target)
