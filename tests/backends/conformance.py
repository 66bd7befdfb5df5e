"""What the conformance tests share: backends behind one function, cases, and comparison of results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from tests.backends.implementations import opencl_target
from tilec.affine import Size
from tilec.evaluate.loops import evaluate_program
from tilec.loops import Kernel, Launch, Program
from tilec.pipeline import BACKENDS, backend
from tilec.target import Target

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
Arrays: TypeAlias = Mapping[str, Array]
NAMES = ("reference", *BACKENDS)


@dataclass(frozen=True)
class Case:
    """A program, its arguments (constants too, by buffer name) and the results wanted.

    ulp: error allowed in floats. bound: absolute error allowed instead, by result.
    """

    name: str
    program: Program
    inputs: Arrays
    expected: Arrays
    ulp: float = 0.0
    bound: Arrays = field(default_factory=dict)


def target_of(name: str) -> Target:
    """The device of a backend that tests are for; skips where there is none."""
    if name == "opencl":
        return opencl_target()
    return Target(name) if name == "reference" else backend(name).targets()[0]


def run_all(name: str, cases: Sequence[Case]) -> list[dict[str, Array]]:
    """The results of every case on a backend; skips where the machine has no device for it."""
    if name == "reference":
        return [evaluate_program(c.program, c.inputs) for c in cases]
    found, target = backend(name), target_of(name)
    programs = [c.program for c in cases]
    constants = [{n: c.inputs[n] for n, _ in c.program.constants} for c in cases]
    if hasattr(found, "build_many"):  # OpenCL: one compilation for all
        built = found.build_many(programs, target, constants)
    else:
        built = [found.build(p, target, c) for p, c in zip(programs, constants, strict=True)]
    return [call(b, c) for b, c in zip(built, cases, strict=True)]


def call(built: Any, case: Case) -> dict[str, Array]:
    """Runs a built program on fresh result arrays, and twice: nothing may be left behind by the first call."""
    program = case.program
    constants = dict(program.constants)
    params = [np.ascontiguousarray(case.inputs[n]) for n in program.params if n not in constants]
    kept = [p.copy() for p in params]
    for _ in range(2):
        buffers = [program.buffer(n) for n in program.results]
        results = [np.full([number(s) for s in b.shape], 99).astype(b.dtype.numpy) for b in buffers]
        built(params, results)
    for before, after in zip(kept, params, strict=True):
        assert before.tobytes() == after.tobytes(), "a parameter was changed"
    return dict(zip(program.results, results, strict=True))


def number(size: Size) -> int:
    assert isinstance(size, int)
    return size


def faults(case: Case, results: Arrays) -> list[str]:
    """A line for each result that is wrong."""
    found = []
    for name, want in case.expected.items():
        got = results[name]
        if got.dtype != want.dtype or got.shape != want.shape:
            found.append(f"{case.name}: {name} is {got.dtype}{got.shape}, not {want.dtype}{want.shape}")
            continue
        wrong = differs(got, want, case.ulp, case.bound.get(name))
        if wrong.any():
            at = tuple(int(i[0]) for i in np.nonzero(wrong))
            found.append(f"{case.name}: {name}{list(at)} is {got[at]}, not {want[at]} ({wrong.sum()} of {wrong.size})")
    return found


def differs(got: Array, want: Array, ulp: float, bound: Array | None) -> Array:
    """Where results are wrong: any NaN is the NaN, zeros have a sign."""
    if want.dtype.kind in "biu":
        return np.asarray(got != want)
    wide, right = got.astype(np.float64), want.astype(np.float64)
    nan = np.isnan(right)
    with np.errstate(all="ignore"):
        if bound is not None:
            return np.asarray(~((np.abs(wide - right) <= bound) | (wide == right) | (nan & np.isnan(wide))))
        if ulp:
            near = np.abs(ranks(got) - ranks(want)) <= ulp
            special = nan | np.isinf(right) | np.isinf(wide)
            return np.asarray(np.where(special, ~((wide == right) | (nan & np.isnan(wide))), ~near))
        same = (wide == right) & (np.signbit(wide) == np.signbit(right))
    return np.asarray(~(same | (nan & np.isnan(wide))))


def ranks(values: Array) -> Array:
    """Floats numbered in order, so that neighbours differ by one; -0 and 0 are the same."""
    size = values.dtype.itemsize
    pattern = np.ascontiguousarray(values).view(f"u{size}")
    magnitude = (pattern & pattern.dtype.type((1 << (8 * size - 1)) - 1)).astype(np.float64)
    return np.asarray(np.where(np.signbit(values.astype(np.float64)), -magnitude, magnitude))


def program_of(kernel: Kernel) -> Program:
    """A program that launches one kernel: `in` parameters are arguments, the others results."""
    buffers = tuple(p.buffer for p in kernel.params)
    inputs = tuple(p.buffer.name for p in kernel.params if p.mode == "in")
    outputs = tuple(p.buffer.name for p in kernel.params if p.mode != "in")
    launch = Launch(kernel.name, tuple(b.name for b in buffers))
    return Program(kernel.name, inputs, outputs, buffers, (kernel,), (launch,))


def check(name: str, cases: Sequence[Case]) -> None:
    """Runs all cases on a backend and fails with everything that is wrong."""
    results = run_all(name, cases)
    wrong = [line for case, result in zip(cases, results, strict=True) for line in faults(case, result)]
    assert not wrong, "\n".join([f"{len(wrong)} wrong:", *wrong[:30]])
