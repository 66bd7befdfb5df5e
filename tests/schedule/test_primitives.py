"""Every primitive keeps the meaning of random kernels, bit for bit, or refuses."""

from __future__ import annotations

from collections import Counter
from random import Random

import numpy as np
import pytest

from tests.generators.kernels import GENERATORS, assert_same
from tests.generators.schedules import random_schedule
from tilec.errors import TileError
from tilec.evaluate.loops import evaluate_kernel
from tilec.loops import Kernel
from tilec.passes.schedule import PRIMITIVES, apply
from tilec.schedule import parse_schedule
from tilec.text.loops_text import parse_kernel
from tilec.verify.loops import verify_kernel


@pytest.mark.parametrize("make", GENERATORS, ids=lambda g: g.__name__)
@pytest.mark.parametrize("seed", range(12))
def test_random_schedules(make: object, seed: int) -> None:
    r = Random(seed)
    assert callable(make)
    start: Kernel = make(r)
    kernel, applied = random_schedule(start, r, 14)
    try:
        verify_kernel(kernel)
        assert_same(start, kernel, applied)
    except (TileError, AssertionError) as e:
        raise AssertionError("\n".join(map(str, applied))) from e


def test_most_primitives_are_applied() -> None:
    """The generator above is no good if it proposes nothing that applies."""
    counts: Counter[str] = Counter()
    for seed in range(60):
        r = Random(seed)
        _, applied = random_schedule(r.choice(GENERATORS)(r), r, 14)
        counts.update(d.name for d in applied)
        counts["refused"] += 14 - len(applied)
    rare = {"inline", "compute_at", "merge", "map_to", "transpose", "fuse", "shrink", "spread"}
    assert {name for name in PRIMITIVES if counts[name] < 2} <= rare
    assert counts["refused"] > 50


@pytest.mark.parametrize("schedule", ["inline(t)", "compute_at(t, j)", "tile(j, 3, j.0, j.1)", "peel(j, 1)"])
def test_data_dependent_places_of_stores_are_rewritten_too(schedule: str) -> None:
    start = parse_kernel("""kernel f(in A: f32[4], in P: i32[4], inout O: f32[9]) {
      alloc t: heap i32[4]
      for i in 4 { t[i] = P[i] }
      for j in 4 { O[@add(t[j], $(j))] = A[j] }
    }""")
    kernel = apply(start, parse_schedule(schedule))
    verify_kernel(kernel)
    inputs = {"A": np.arange(4, dtype=np.float32), "P": np.array([2, 0, 1, 3], np.int32)}
    found = []
    for k in (start, kernel):
        buffers = {**inputs, "O": np.zeros(9, np.float32)}
        evaluate_kernel(k, buffers)
        found.append(buffers["O"])
    np.testing.assert_array_equal(found[0], found[1])


@pytest.mark.parametrize("inner", ["for k in 0 { C[m] = A[m] }", "while cmp_gt(A[m], 9.0) { C[m] = A[m] }"])
def test_what_is_stored_perhaps_is_copied_in(inner: str) -> None:
    start = parse_kernel(f"kernel f(in A: f32[4], inout C: f32[4]) {{ for m in 4 {{ {inner} }} }}")
    kernel = apply(start, parse_schedule("stage(C, m, c)"))
    c = np.arange(4, dtype=np.float32)
    evaluate_kernel(kernel, {"A": np.ones(4, np.float32), "C": c})
    np.testing.assert_array_equal(c, np.arange(4))


def test_what_the_dropped_initialisation_stored_is_copied_out() -> None:
    """The loop only reads C: without the copy, C would keep what was there before."""
    start = parse_kernel("""kernel f(in A: f32[4], out C: f32[4], out D: f32[4]) {
      for i in 4 { C[i] = A[i] }
      for j in 4 { D[j] = add(C[j], 1.0) }
    }""")
    assert_same(start, apply(start, parse_schedule("stage(C, j, c, heap, init)")), ())


@pytest.mark.parametrize("schedule", ["stage(t, m, c)", "shrink(t, m)", "tile(m, 2, o, i) stage(C, i, c)"])
def test_private_copies_of_what_is_streamed_are_not_streamed(schedule: str) -> None:
    start = parse_kernel("""kernel f(in A: f32[4], out C: f32[4]) {
      alloc t: heap f32[4]
      for m in 4 { C[m] stream= A[m] t[m] stream= A[m] }
    }""")
    kernel = apply(start, parse_schedule(schedule))
    verify_kernel(kernel)
    assert_same(start, kernel)


def test_buffers_of_one_name_and_other_ranks_are_not_packed_alike() -> None:
    """The layout of one would drop an axis of the other."""
    start = parse_kernel("""kernel f(in A: f32[4, 2], out C: f32[4, 2], out D: f32[4]) {
      for p in 1 { alloc t: heap f32[4] for i in 4 { t[i] = A[i, 0] } for o in 4 { D[o] = t[o] } }
      for q in 1 {
        alloc t: heap f32[4, 2]
        for i in 4 { for j in 2 { t[i, j] = A[i, j] } }
        for o in 4 { for j in 2 { C[o, j] = t[o, j] } }
      }
    }""")
    with pytest.raises(TileError, match="another number of axes"):
        apply(start, parse_schedule("pack(t, o, x, 0, 1)"))
