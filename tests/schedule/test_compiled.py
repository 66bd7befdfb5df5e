"""Scheduled kernels, compiled by the LLVM backend, against the evaluator on the kernels as they were."""

from __future__ import annotations

import numpy as np
import pytest

from tests.generators.kernels import arrays, generate, run
from tests.generators.targets import EAGER
from tilec.loops import For, Kernel, Launch, Program, walk
from tilec.passes import place
from tilec.passes.schedule import apply
from tilec.passes.schedule.default import default_schedule
from tilec.pipeline import backend
from tilec.text.loops_text import parse_kernel

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


@pytest.mark.parametrize("lanes", [1, 2, 4, 7])
def test_lanes_add_products_as_one_after_another_does(lanes: int) -> None:
    """A fused multiply-add rounds once: a sum in lanes must not round its products first."""
    text = """kernel f(in A: f32[19, N], in B: f32[N], out C: f32[19]) {
      for i in 19 { C[i] = 0.5  for j in N { C[i] sum= mul(A[i, j], B[j]) } }
    }"""
    plain = parse_kernel(text.replace("N", str(lanes)))
    vector = parse_kernel(text.replace("N", str(lanes)).replace(f"in {lanes} {{", f"in {lanes} vector {{"))
    assert any(isinstance(s, For) and s.kind == "vector" for s in walk(vector.body))
    rng = np.random.default_rng(lanes)
    given = [rng.normal(size=s).astype(np.float32) for s in ((19, lanes), (lanes,))]
    results = []
    for kernel in (plain, vector):
        built = backend("llvm").build(place.run(program_of(kernel)), TARGETS[0], {})
        results.append(np.zeros(19, np.float32))
        built(given, [results[-1]])
    assert results[0].tobytes() == results[1].tobytes()
