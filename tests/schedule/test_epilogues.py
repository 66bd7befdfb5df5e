"""What follows an aggregation cell by cell is computed on its tiles, in registers, whatever loops have been merged."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tilec
import tilec.numpy as tnp
from tests.generators.kernels import assert_same
from tests.generators.targets import AVX2, AVX512
from tilec.evaluate.graph import evaluate
from tilec.evaluate.loops import evaluate_program
from tilec.ops import conv
from tilec.passes.schedule import apply
from tilec.passes.schedule.default import default_schedule
from tilec.pipeline import lower_graph, optimise
from tilec.target import Target
from tilec.text.loops_text import parse_kernel
from tilec.verify.loops import verify_program

RNG = np.random.default_rng(0)
X = RNG.standard_normal((1, 16, 16, 8)).astype("float32")
K = RNG.standard_normal((1, 1, 8, 32)).astype("float32")
B = RNG.standard_normal(32).astype("float32")
R = RNG.standard_normal((1, 16, 16, 32)).astype("float32")


def biased(x: Any, k: Any, b: Any, r: Any) -> Any:
    return tnp.maximum(conv(x, k) + b, 0)


def residual(x: Any, k: Any, b: Any, r: Any) -> Any:
    return tnp.maximum(conv(x, k) * b + r, 0)


def in_a_margin(x: Any, k: Any, b: Any, r: Any) -> Any:
    return tnp.pad(tnp.maximum(conv(x, k) + b, 0), ((0, 0), (1, 1), (0, 1), (0, 0)))


def beside_another(x: Any, k: Any, b: Any, r: Any) -> Any:
    return tnp.concat((tnp.maximum(conv(x, k) + b, 0), tnp.maximum(conv(x, k) * b, 0)), -1)


@pytest.mark.parametrize("target", [AVX2, AVX512], ids=["avx2", "avx512"])
@pytest.mark.parametrize("function", [biased, residual, in_a_margin, beside_another])
def test_no_sum_is_stored_before_it_is_finished(function: Any, target: Target) -> None:
    graph = optimise(tilec.jit(function).lower(X, K, B, R).graph)
    program = lower_graph(graph, target)
    verify_program(program)
    assert not [b.name for b in program.buffers if b.space == "heap" and b.base is None and len(b.shape) > 2]
    given = dict(zip([p.name for p in graph.params], (X, K, B, R)))
    (result,) = graph.results
    wanted = evaluate(graph, given)[result]
    np.testing.assert_allclose(evaluate_program(program, given)[result], wanted, rtol=1e-5, atol=1e-5)


def test_sums_that_other_kernels_read_are_stored() -> None:
    """The epilogue uses them in registers, through a view of the parameter whose loops have been merged."""
    params = "in A: f32[8, 8, 64], in B: f32[64, 256], out C: f32[8, 8, 256], out D: f32[8, 8, 256]"
    kernel = parse_kernel(f"kernel f({params}) {{" """
      for i0 in 8 { for i1 in 8 { for i2 in 256 { C[i0, i1, i2] = 0.0 } } }
      for b in 8 { for m in 8 { for n in 256 { for k in 64 { C[b, m, n] sum= mul(A[b, m, k], B[k, n]) } } } }
      for j0 in 8 { for j1 in 8 { for j2 in 256 { D[j0, j1, j2] = max(C[j0, j1, j2], 0.0) } } }
    }""")
    schedule = default_schedule(kernel, AVX512)
    assert [d for d in schedule if d.name == "merge"]
    assert_same(kernel, apply(kernel, schedule), schedule)
