"""One conformance suite for the reference evaluator and every backend.

A test runs a family of cases at once: an OpenCL driver takes about as long to compile a hundred kernels as one. What
is expected comes from NumPy: integers, maxima, minima and assignments exactly, functions within their `ulp`, sums
within 4 n eps sum|terms|. A backend without a device is skipped, with the reason.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from tests.backends.conformance import NAMES, Array, Case, check, differs, program_of, run_all, target_of
from tests.backends.conformance_builtins import builtin_cases, conversion_cases, fused_cases
from tests.backends.conformance_loops import kernels, programs
from tests.backends.conformance_tile import rounded_cases, shared_cases, tile_cases
from tests.generators import kernels as generator
from tests.language.test_conformance import ROWS, compare
from tilec.evaluate.loops import evaluate_kernel
from tilec.passes.schedule import apply
from tilec.passes.schedule.default import default_schedule
from tilec.pipeline import Options
from tilec.target import Target

BACKENDS = pytest.mark.parametrize("name", NAMES)
COMPILERS = pytest.mark.parametrize("name", [n for n in NAMES if n != "reference"])


def scheduled_for(name: str) -> Target:
    """The device of a backend; schedules are made for two threads, whatever the machine has."""
    return replace(target_of(name), threads=2)


@BACKENDS
def test_builtins(name: str) -> None:
    check(name, list(builtin_cases()))


@BACKENDS
def test_conversions(name: str) -> None:
    check(name, list(conversion_cases()))


@COMPILERS  # the evaluator rounds twice
def test_fused_multiply_add_rounds_once(name: str) -> None:
    check(name, list(fused_cases()))


@BACKENDS
def test_loops_and_memory(name: str) -> None:
    check(name, kernels())


@BACKENDS
def test_steps(name: str) -> None:
    check(name, programs())


@BACKENDS
@pytest.mark.parametrize("schedule", [False, True], ids=["plain", "scheduled"])
@pytest.mark.parametrize("fuse", [False, True], ids=["apart", "fused"])
def test_tile_programs(name: str, schedule: bool, fuse: bool) -> None:
    check(name, list(tile_cases(scheduled_for(name), Options(fuse=fuse, schedule=schedule))))


@BACKENDS
def test_sums_that_round(name: str) -> None:
    check(name, list(rounded_cases(scheduled_for(name))))


@BACKENDS
def test_shared_programs(name: str) -> None:
    if not ROWS:
        pytest.skip("needs ../shared/conformance, which is not part of the project")
    rows = ROWS[:: 1 if name == "llvm" else 3]
    found = list(shared_cases(rows, scheduled_for(name)))
    for (row, _), results in zip(found, run_all(name, [case for _, case in found]), strict=True):
        for output, wanted in row["expect"]["outputs"].items():
            compare(results[output], wanted)


def random_case(seed: int, target: Target | None) -> Case:
    """A random kernel, scheduled for `target` or as it is."""
    kernel = generator.generate(seed)
    start = generator.arrays(kernel, seed)
    expected = {n: a.copy() for n, a in start.items()}
    evaluate_kernel(kernel, expected)
    program = program_of(kernel if target is None else apply(kernel, default_schedule(kernel, target)))
    inputs = {n: start[n] for n in program.params}
    results = {n: expected[n] for n in program.results}
    bound = {n: tolerance(a) for n, a in results.items() if a.dtype.kind not in "biu"}
    return Case(f"kernel {seed}", program, inputs, results, bound=bound)


def tolerance(values: Array) -> Array:
    """Random sums have some tens of terms."""
    eps = {2: 1e-2, 4: 1e-5, 8: 1e-12}[values.dtype.itemsize]
    scale = max(1.0, float(np.max(np.abs(np.nan_to_num(values.astype(np.float64))), initial=0.0)))
    return np.full(values.shape, eps * scale)


@COMPILERS
@pytest.mark.parametrize("scheduled", [False, True], ids=["plain", "scheduled"])
def test_random_kernels(name: str, scheduled: bool) -> None:
    target = scheduled_for(name) if scheduled else None
    check(name, [random_case(seed, target) for seed in range(1000, 1040)])


# --- the suite itself ----------------------------------------------------------------------------------------------


def test_comparison_sees_what_it_should() -> None:
    def wrong(got: float, want: float, ulp: float = 0, bound: float | None = None) -> bool:
        allowed = None if bound is None else np.array(bound)
        return bool(differs(np.array(got, np.float32), np.array(want, np.float32), ulp, allowed))

    next_to_one = float(np.nextafter(np.float32(1), np.float32(2)))
    assert wrong(-0.0, 0.0)
    assert wrong(next_to_one, 1.0)
    assert not wrong(next_to_one, 1.0, ulp=1)
    assert wrong(math.nan, 1.0, ulp=4)
    assert wrong(1.0, math.nan, ulp=4)
    assert not wrong(math.nan, math.nan)
    assert wrong(math.nan, 1.0, bound=1)
    assert wrong(math.inf, 3.4e38, ulp=4)
