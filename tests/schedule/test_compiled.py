"""Scheduled kernels, compiled by the LLVM backend, against the evaluator on the kernels as they were."""

from __future__ import annotations

import numpy as np
import pytest

from tests.generators.kernels import arrays, generate, run
from tests.generators.targets import EAGER
from tilec.loops import Kernel, Launch, Program
from tilec.passes import place
from tilec.passes.schedule import apply
from tilec.passes.schedule.default import default_schedule
from tilec.pipeline import backend

TARGETS = backend("llvm").targets()
pytestmark = pytest.mark.skipif(not TARGETS, reason="the LLVM backend is not available")


def program_of(kernel: Kernel) -> Program:
    names = tuple(p.buffer.name for p in kernel.params)
    inputs = tuple(p.buffer.name for p in kernel.params if p.mode == "in")
    outputs = tuple(p.buffer.name for p in kernel.params if p.mode != "in")
    buffers = tuple(p.buffer for p in kernel.params)
    return Program(kernel.name, inputs, outputs, buffers, (kernel,), (Launch(kernel.name, names),))


@pytest.mark.parametrize("seed", range(9000, 9060))
def test_compiled(seed: int) -> None:
    kernel = generate(seed)
    program = program_of(apply(kernel, default_schedule(kernel, TARGETS[0], EAGER)))
    given, expected = arrays(kernel), run(kernel)
    built = backend("llvm").build(place.run(program), TARGETS[0], {})
    built([given[n] for n in program.params], [given[n] for n in program.results])
    for name in program.results:
        wanted = expected[name].astype(np.float64)
        tolerance = {2: 2e-3, 4: 1e-5, 8: 1e-12}[max(2, expected[name].itemsize)]
        scale = max(1.0, float(np.abs(wanted).max(initial=0)))
        np.testing.assert_allclose(given[name].astype(np.float64), wanted, tolerance, tolerance * scale)
