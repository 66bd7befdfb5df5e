"""Random Python functions traced with open sizes: one program for many sizes, values and gradients against NumPy."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Any

import numpy as np

import tilec
from tests.fuzz.functions import Program, python_function
from tests.fuzz.reference import Reference
from tests.fuzz.run import Failure, Summary
from tests.fuzz.traced import XP, Array, difference, floats, quietly, steady
from tests.gradients.differences import judged, moved
from tilec.errors import TileError

SIZES = (1, 2, 3, 5, 8, 17)
REFUSALS = ("TILE0202", "TILE0203", "TILE0208", "TILE0209", "TILE0210", "TILE0305")  # cannot stay open; another size


def check(program: Program, summary: Summary, target: str) -> str | None:
    """What is wrong, if anything; raises TileError where the function is refused."""
    first = program.inputs["x0"].shape[0]
    opened = [n for n, v in floats(program.inputs).items() if v.shape[0] == first]
    ours, reference = program.function(XP), program.function(Reference())
    fixed = {n: v for n, v in program.inputs.items() if v.dtype.kind != "f"}
    compiled = tilec.jit(ours, target=target, open_sizes=dict.fromkeys(opened, "N"))
    slope = tilec.grad(lambda given, fixed: ours(**given, **fixed))
    names = {n: "N" if n in opened else None for n in floats(program.inputs)}
    slopes = tilec.jit(slope, target=target, open_sizes={"given": names})
    for size in (first, *random.Random(program.seed).sample(SIZES, 3)):
        inputs = resized(program, opened, size)
        wanted = possible(program, reference, inputs)
        if wanted is None:
            summary.notes["another size has no meaning"] += 1
            continue
        summary.features["runs"] += 1
        found = compiled(**inputs)
        given = floats(inputs)
        reason = difference("the value", found, wanted) or wrong_slope(reference, inputs, slopes(given, fixed), summary)
        if reason:
            return f"of size {size}: {reason}"
    if (count := compiled.signatures()) != 1:
        return f"{count} programs were compiled"
    return None


def resized(program: Program, opened: Iterable[str], size: int) -> dict[str, Array]:
    """The inputs at another size."""
    rng = np.random.default_rng(program.seed)
    found = dict(program.inputs)
    for name in opened:
        shape = (size, *found[name].shape[1:])
        found[name] = found[name] if shape == found[name].shape else rng.uniform(-1.5, 1.5, shape)
    return found


def possible(program: Program, reference: Callable[..., Any], inputs: Mapping[str, Array]) -> Array | None:
    """What NumPy computes, if it does, and roundings do not decide it."""
    try:
        wanted = quietly(reference, inputs)
    except (ValueError, IndexError, np.exceptions.AxisError):
        return None
    good = np.isfinite(wanted).all() and np.abs(wanted).max(initial=0) < 1e6
    return wanted if good and steady(program, reference, wanted, inputs) else None


def wrong_slope(
    reference: Callable[..., Any], inputs: Mapping[str, Array], found: Mapping[str, Array], summary: Summary
) -> str | None:
    rng = np.random.default_rng(0)
    directions = {n: np.asarray(rng.uniform(-1.0, 1.0, v.shape)) for n, v in floats(inputs).items()}
    if reason := next((r for n, d in directions.items() if (r := mismatched(n, found[n], d))), None):
        return reason
    terms = np.concatenate([(found[n] * d).ravel() for n, d in directions.items()])
    line = cache(lambda h: float(np.sum(quietly(reference, moved(inputs, directions, h)))))
    verdict = judged(line, float(np.sum(terms)), float(np.sum(np.abs(terms))))
    summary.notes["smooth" if verdict.smooth else "not smooth"] += 1
    return str(verdict) if verdict.smooth and not verdict.right else None


def mismatched(name: str, found: Array, wanted: Array) -> str | None:
    return None if found.shape == wanted.shape else f"the gradient by {name} has shape {found.shape}"


def run_traced_sizes(seeds: Iterable[int], target: str) -> Summary:
    """Checks the functions of `seeds`. `features` counts runs."""
    summary = Summary()
    for seed in seeds:
        program = python_function(seed)
        summary.programs += 1
        reason = None
        try:
            reason = check(program, summary, target)
        except TileError as refusal:
            summary.refused[refusal.code] += 1
            reason = None if refusal.code in REFUSALS else str(refusal)
        except Exception as crash:
            reason = f"{type(crash).__name__}: {crash}"
        if reason is not None:
            summary.failures.append(Failure(seed, program.text, reason))
    return summary


def run_batch(task: tuple[int, int, str]) -> Summary:
    """`run_traced_sizes` for a worker process: first seed, number of functions, target."""
    start, count, target = task
    return run_traced_sizes(range(start, start + count), target)
