"""Loop fusion: the same values wherever it is accepted, refused where another row is needed."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from random import Random

import pytest

from tests.generators.kernels import assert_same, chain
from tilec.errors import TileError
from tilec.loops import For
from tilec.passes.schedule import apply, apply_one
from tilec.schedule import Directive, directive, parse_schedule
from tilec.text.loops_text import parse_kernel
from tilec.verify.loops import verify_kernel

TWICE = """kernel f(in A: f32[6], out B: f32[6], out C: f32[6]) {
  for i in 6 { B[i] = A[i] }
  for j in 6 { C[j] = B[-j + 5] }
}
"""
BLOCKS = """kernel f(in A: f32[6, 8], out B: f32[8], out C: f32[6, 8]) {
  alloc t: heap f32[8]
  for i.0 in 2 { for i.1 in 4 { t[4*i.0 + i.1] = 0.0 } }
  for k.0 in 2 { for k in 6 { for k.1 in 4 { t[4*k.0 + k.1] sum= A[k, 4*k.0 + k.1] } } }
  for j.0 in 2 { for j in 6 { for j.1 in 4 { C[j, 4*j.0 + j.1] = sub(A[j, 4*j.0 + j.1], t[4*j.0 + j.1]) } } }
  for l in 8 { B[l] = A[0, l] }
}
"""
BESIDE = """kernel f(in A: f32[4], out B: f32[4], out C: f32[5]) {
  for i in 4 { B[i] = A[i] }
  C[4] = 1.0
  for j in 4 { C[j] = B[j] }
}
"""
PRIVATE = """kernel f(in A: f32[4], out B: f32[4], out C: f32[4]) {
  alloc t: heap f32[4]
  for i in 4 { alloc s: thread f32[1] s[0] = A[i] B[i] = s[0] }
  for j in 4 { alloc s: thread f32[1] s[0] = B[j] C[j] = s[0] }
  for l in 3 { t[l] = C[l] }
}
"""


@pytest.mark.parametrize("part", range(4))
def test_random_chains(part: int) -> None:
    """Whatever is accepted is right; enough is, and enough is not."""
    counts: Counter[str] = Counter()
    for seed in range(60 * part, 60 * part + 60):
        r = Random(seed)
        start = kernel = chain(r)
        applied: list[Directive] = []
        for _ in range(8):
            loops = [s.index for s in kernel.body if isinstance(s, For)]
            pairs = [*pairwise(loops), (loops[0], loops[-1])]
            proposed = directive("fuse", *r.choice(pairs))
            if r.random() < 0.4:
                proposed = directive("shrink", r.choice("tu"), r.choice(loops))
            try:
                kernel = apply_one(kernel, proposed)
            except TileError as refusal:
                assert refusal.code in ("TILE0603", "TILE0604")
                counts["refused"] += 1
                continue
            applied.append(proposed)
            counts[proposed.name] += 1
        verify_kernel(kernel)
        assert_same(start, kernel, tuple(applied))
    assert min(counts["fuse"], counts["shrink"], counts["refused"]) > 10


def test_blocks_of_columns() -> None:
    kernel = parse_kernel(BLOCKS)
    schedule = parse_schedule("fuse(i.0, k.0) fuse(i.0, j.0) shrink(t, i.0) parallel(i.0)")
    found = apply(kernel, schedule)
    verify_kernel(found)
    assert_same(kernel, found, schedule)


@pytest.mark.parametrize(
    "text, schedule, message",
    [
        (TWICE, "fuse(i, j)", "depend on one another"),
        (TWICE, "fuse(j, i)", "does not follow"),
        (TWICE, "parallel(i) fuse(i, j)", "not serial"),
        (TWICE, "fuse(i, k)", "there is not one loop 'k'"),
        (TWICE, "tile(i, 4, a, b) fuse(a, j)", "there is not one loop 'a'"),
        (BLOCKS, "fuse(i.0, k)", "not in the same block"),
        (BLOCKS, "fuse(i.0, k.0) fuse(i.0, j.0) fuse(i.0, l)", "differ in extent"),
        (BLOCKS, "shrink(t, j.0)", "used outside"),
        (BLOCKS, "shrink(A, j.0)", "not allocated at the top"),
        (BLOCKS, "shrink(q, j.0)", "there is no buffer 'q'"),
        (BESIDE, "fuse(i, j)", "does not follow"),
        (PRIVATE, "fuse(i, j)", "the name 's'"),
    ],
)
def test_refused(text: str, schedule: str, message: str) -> None:
    with pytest.raises(TileError, match=message) as refusal:
        apply(parse_kernel(text), parse_schedule(schedule))
    assert refusal.value.code in ("TILE0603", "TILE0604")
