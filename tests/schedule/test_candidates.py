"""Schedules to choose from: every one applies and never changes a result."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from random import Random

import pytest

from tests.generators.kernels import assert_same, batched, contraction, conv, generate, matmul, var
from tests.generators.targets import AVX512, with_small_caches
from tests.schedule.test_windows import Window, equal
from tilec.dtypes import F32, I8
from tilec.evaluate.loops import evaluate_program
from tilec.loops import Kernel
from tilec.passes.schedule import apply
from tilec.passes.schedule.candidates import candidates
from tilec.passes.schedule.default import scheduled
from tilec.schedule import parse_schedule, print_schedule
from tilec.target import Target
from tilec.verify.loops import verify_kernel

TARGETS = [AVX512, Target("llvm", vector_bytes=32, registers=16), Target("llvm", threads=4)]
SMALL_CACHES = [*map(with_small_caches, TARGETS)]


def check(kernel: Kernel, target: Target, seed: int, count: int = 6) -> None:
    """The first candidate, and a few of the others."""
    found = list(candidates(kernel, target))
    assert len({s for _, s in found}) == len(found) <= 32
    others = found[1:]
    Random(seed).shuffle(others)
    for _, schedule in (found[0], *others[:count]):
        assert parse_schedule(print_schedule(schedule)) == schedule
        after = apply(kernel, schedule)
        verify_kernel(after)
        assert_same(kernel, after, schedule)


@pytest.mark.parametrize("seed", range(60))
def test_any_kernel(seed: int) -> None:
    check(generate(9000 + seed), SMALL_CACHES[seed % 3], seed)


@pytest.mark.parametrize("seed", range(12))
def test_larger_contractions(seed: int) -> None:
    r = Random(3000 + seed)
    make = (lambda r: matmul(r, 70), batched, conv)[seed % 3]
    check(make(r), SMALL_CACHES[seed % 2], seed)


def product(m: int, n: int, k: int) -> Kernel:
    operands = [("A", var("m", "k"), (m, k)), ("B", var("k", "n"), (k, n))]
    return contraction("matmul", "sum", F32, {"m": m, "n": n, "k": k}, var("m", "n"), (m, n), operands)


def test_the_first_is_the_default() -> None:
    kernel = product(512, 512, 512)
    for constant in (frozenset[str](), frozenset({"B"})):
        _, schedule = next(candidates(kernel, AVX512, constant))
        assert apply(kernel, schedule) == scheduled(kernel, AVX512, constant=constant)


def test_candidates_vary_tiles_blocks_and_packing() -> None:
    found = [s for _, s in islice(candidates(product(512, 512, 512), AVX512), 32)]
    assert len(found) == 32
    tiles = {d.args[:2] for s in found for d in s if d.name == "tile" and "balanced" in d.args}
    assert len(tiles) > 2
    assert {any(d.name == "pack" for d in s) for s in found} == {True, False}


def test_instructions_come_first_and_may_be_done_without() -> None:
    """Tiles and blocks of other sizes around the instruction, then schedules without it; all integers are the same."""
    nest = Window(
        "function (A[M, K], B[K, N]) -> (C) { C[m, n : M, N]: i32 = +(A[m, k] * B[k, n]); }",
        {"A": ((27, 24), I8), "B": ((24, 40), I8)},
    )
    program, given = nest.lowered(), nest.arrays(0)
    (kernel,) = program.kernels
    found = [s for _, s in candidates(kernel, replace(AVX512, features=("+avx512vl", "+avx512vnni")))]
    used = [any(d.name == "map_to" for d in s) for s in found]
    count = sum(used)
    assert count > 3 and used == [True] * count + [False] * (len(found) - count) and not used[-1]
    expected = evaluate_program(program, given)
    for schedule in (*found[:count], found[-1]):
        equal(evaluate_program(replace(program, kernels=(apply(kernel, schedule),)), given), expected)
