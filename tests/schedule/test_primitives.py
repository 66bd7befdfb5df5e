"""Every primitive keeps the meaning of random kernels, bit for bit, or refuses."""

from __future__ import annotations

from collections import Counter
from random import Random

import numpy as np
import pytest

from tests.generators.kernels import GENERATORS, assert_same, loop_names
from tilec.errors import TileError
from tilec.evaluate.loops import evaluate_kernel
from tilec.loops import Alloc, Kernel, walk
from tilec.passes.schedule import PRIMITIVES, apply, apply_one
from tilec.schedule import Directive, directive, parse_schedule
from tilec.text.loops_text import parse_kernel
from tilec.verify.loops import verify_kernel


def buffers(kernel: Kernel) -> list[str]:
    allocated = [s.buffer.name for s in walk(kernel.body) if isinstance(s, Alloc)]
    return [*(p.buffer.name for p in kernel.params), *dict.fromkeys(allocated)]


def propose(kernel: Kernel, r: Random, step: int) -> Directive:
    """A directive with plausible arguments, often unsafe."""
    name = r.choice([*PRIMITIVES, "tile", "reorder", "stage", "merge"])
    loops = loop_names(kernel)
    loop, buffer, new = r.choice(loops), r.choice(buffers(kernel)), f"x{step}"
    space = r.choice(["thread", "heap", "register"])
    match name:
        case "tile":
            tail, sizes = r.choice(["cut", "guard"]), r.choice(["exact", "balanced"])
            return directive(name, loop, r.randint(1, 9), f"{loop}.{step}a", f"{loop}.{step}b", tail, sizes)
        case "peel":
            return directive(name, loop, r.randint(0, 5))
        case "reorder":
            return directive(name, *r.sample(loops, min(len(loops), r.randint(2, 4))))
        case "stage":
            pad = r.choice([0, 0, 3])
            start, end = r.choice(["copy", "copy", "init"]), r.choice(["copy", "copy", "finish"])
            return directive(name, buffer, loop, new, space, start, pad, end)
        case "merge":
            return directive(name, loop, r.choice(loops), new)
        case "pack":
            return directive(name, buffer, loop, new, r.randint(0, 1), r.randint(1, 4), "thread", r.choice([0, 2]))
        case "compute_at":
            return directive(name, buffer, loop, space)
        case "inline":
            return directive(name, buffer)
        case "rfactor":
            return directive(name, loop, new, space)
        case _:
            return directive(name, loop)


@pytest.mark.parametrize("make", GENERATORS, ids=lambda g: g.__name__)
@pytest.mark.parametrize("seed", range(12))
def test_random_schedules(make: object, seed: int) -> None:
    r = Random(seed)
    assert callable(make)
    start: Kernel = make(r)
    kernel, applied = start, []
    for step in range(14):
        proposed = propose(kernel, r, step)
        try:
            kernel = apply_one(kernel, proposed)
            applied.append(proposed)
        except TileError as e:
            assert e.code in ("TILE0603", "TILE0604"), str(e)
    try:
        verify_kernel(kernel)
        assert_same(start, kernel, tuple(applied))
    except (TileError, AssertionError) as e:
        raise AssertionError("\n".join(map(str, applied))) from e


def test_most_primitives_are_applied() -> None:
    """The generator above is no good if it proposes nothing that applies."""
    counts: Counter[str] = Counter()
    for seed in range(60):
        r = Random(seed)
        kernel = r.choice(GENERATORS)(r)
        for step in range(14):
            proposed = propose(kernel, r, step)
            try:
                kernel = apply_one(kernel, proposed)
                counts[proposed.name] += 1
            except TileError:
                counts["refused"] += 1
    assert {name for name in PRIMITIVES if counts[name] < 2} <= {"inline", "compute_at", "merge"}
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
