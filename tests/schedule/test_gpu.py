"""The default schedule for GPUs, run on a device that is none: values, shapes of groups, and what is refused."""

from __future__ import annotations

import re
from dataclasses import replace
from random import Random

import pytest

from tests.backends.conformance import Case, check, program_of
from tests.backends.test_opencl_groups import PRODUCT, case
from tests.generators.kernels import GENERATORS, arrays, run
from tilec.loops import Alloc, For, Kernel, walk
from tilec.passes.schedule.analysis import buffers
from tilec.passes.schedule.candidates import candidates
from tilec.passes.schedule.default import planned
from tilec.passes.schedule.gpu.shape import group_items, power_above
from tilec.schedule import print_schedule
from tilec.target import Target
from tilec.text.loops_text import parse_kernel
from tilec.verify.loops import verify_kernel

DISCRETE = Target("opencl", "0", kind="gpu", group=256, local=32 << 10, simd=32, threads=2, unified=False)
SHARED = replace(DISCRETE, group=64, local=0, unified=True)
SUM = """kernel f(in A: f32[{m}, {n}], out C: f32[{m}]) {{
  for i in {m} {{ C[i] = 0.0 }} for m in {m} {{ for k in {n} {{ C[m] sum= A[m, k] }} }}
}}"""
WHOLE = """kernel f(in A: f32[{n}], out C: f32[], out D: f32[]) {{
  alloc t: heap f32[]
  t[] = -inf  for k in {n} {{ t[] max= A[k] }}  C[] = mul(t[], 2.0)
  D[] = 0.0  for l in {n} {{ D[] sum= mul(A[l], A[l]) }}
}}"""
CHAIN = """kernel f(in A: f32[{m}, {n}], in B: f32[{n}], out C: f32[{m}, {n}]) {{
  for i in {m} {{ for j in {n} {{ C[i, j] = max(add(mul(A[i, j], 2.0), B[j]), 0.0) }} }}
}}"""
TURNED = """kernel f(in A: f32[{m}, {n}], out C: f32[{n}, {m}]) {{
  for i in {n} {{ for j in {m} {{ C[i, j] = A[j, i] }} }}
}}"""


def scheduled(kernel: Kernel, target: Target = DISCRETE, rank: int = 0) -> Kernel:
    found = planned(kernel, target, rank=rank).kernel
    verify_kernel(found, scheduled=True)
    return found


def kinds(kernel: Kernel) -> set[str]:
    return {s.kind for s in walk(kernel.body) if isinstance(s, For)}


@pytest.mark.parametrize("target", [DISCRETE, SHARED], ids=["discrete", "shared"])
def test_kernels_of_networks(target: Target) -> None:
    texts = [
        *(PRODUCT.format(m=m, k=k, n=n) for m, k, n in ((64, 40, 64), (70, 33, 90), (16, 5, 16))),
        *(SUM.format(m=m, n=n) for m, n in ((3, 128), (5, 300), (9, 31))),
        *(WHOLE.format(n=n) for n in (129, 70000)),
        *(CHAIN.format(m=m, n=n) for m, n in ((3, 1000), (40, 33), (1, 7))),
        *(TURNED.format(m=m, n=n) for m, n in ((40, 50), (3, 100))),
    ]
    found = [case(text, scheduled(parse_kernel(text), target)) for text in texts]
    assert all("item" in kinds(c.program.kernels[0]) for c in found[:4])
    check("opencl", found)


def random_case(seed: int) -> Case | None:
    r = Random(seed)
    kernel: Kernel = r.choice(GENERATORS)(r)
    if any(p.mode == "inout" for p in kernel.params):
        return None
    plan = planned(kernel, (DISCRETE, SHARED)[seed % 2], rank=seed % 3)
    verify_kernel(plan.kernel, scheduled=True)
    given, expected = arrays(kernel, exact=True), run(kernel, exact=True)
    program = program_of(plan.kernel)
    name = f"{seed}: {print_schedule(tuple(plan.directives))}"
    return Case(name, program, {n: given[n] for n in program.params}, {n: expected[n] for n in program.results})


@pytest.mark.parametrize("backend", ["reference", "opencl"])
def test_random_kernels(backend: str) -> None:
    check(backend, [c for seed in range(500, 560) if (c := random_case(seed)) is not None])


def test_products_are_in_local_memory_where_it_is_fast() -> None:
    kernel = parse_kernel(PRODUCT.format(m=512, k=512, n=512))
    spaces = {b.name: b.space for b in buffers(scheduled(kernel)).values()}
    assert spaces["A.s"] == spaces["B.s"] == "local"
    assert "local" not in {b.space for b in buffers(scheduled(kernel, SHARED)).values()}
    small = replace(DISCRETE, local=4 << 10)
    local = [
        s.buffer for s in walk(scheduled(kernel, small).body) if isinstance(s, Alloc) and s.buffer.space == "local"
    ]
    assert len({b.name for b in local}) < 2  # the other operand has no room


def test_a_group_is_no_larger_than_the_device_allows() -> None:
    for most in (1, 32, 100, 256, 1024):
        target = replace(DISCRETE, group=most)
        for text in (PRODUCT.format(m=128, k=64, n=128), CHAIN.format(m=64, n=512), SUM.format(m=4, n=512)):
            for loop in scheduled(parse_kernel(text), target).body:
                assert items(loop) <= most


def items(stmt: object) -> int:
    """The most items of a nest."""
    if not isinstance(stmt, For):
        return 1
    inner = max((items(s) for s in stmt.body), default=1)
    return inner * int(str(stmt.extent)) if stmt.kind == "item" else inner


def test_choices_are_candidates_of_the_tuner() -> None:
    kernel = parse_kernel(PRODUCT.format(m=512, k=512, n=512))
    first = [planned(kernel, DISCRETE, rank=rank).chosen[0] for rank in range(4)]
    assert len(set(first)) == 4
    assert planned(kernel, DISCRETE).more
    assert len(list(candidates(kernel, DISCRETE))) > 4


def test_the_order_of_a_sum_follows_from_sizes() -> None:
    kernel = parse_kernel(SUM.format(m=4, n=1000))
    sizes = {
        re.findall(r"rfactor\([^)]*\)|tile\(k, \d+", print_schedule(tuple(planned(kernel, t).directives)))[0]
        for t in (DISCRETE, replace(DISCRETE, group=64), replace(DISCRETE, group=1024, threads=100))
    }
    assert sizes == {"tile(k, 64"}


def test_cpus_keep_their_rules() -> None:
    kernel = parse_kernel(PRODUCT.format(m=64, k=64, n=64))
    cpu = replace(DISCRETE, kind="cpu")
    assert kinds(scheduled(kernel, cpu)).isdisjoint({"group", "item"})
    assert kinds(scheduled(kernel, replace(DISCRETE, group=0))).isdisjoint({"group", "item"})


def test_powers_of_two() -> None:
    assert [power_above(n) for n in (1, 2, 3, 64, 65)] == [1, 2, 4, 64, 128]
    assert [group_items(replace(DISCRETE, group=n)) for n in (1, 100, 256, 1024)] == [1, 64, 256, 256]
