"""The default schedule applies to every kernel that the lowering makes, and never changes a result."""

from __future__ import annotations

from random import Random

import pytest

from tests.generators.kernels import assert_same, batched, contraction, conv, generate, matmul, var
from tests.generators.targets import AVX2, AVX512, EAGER, SSE, with_small_caches
from tilec.dtypes import F16, F32
from tilec.loops import Alloc, For, Kernel, Store, walk
from tilec.passes.schedule import apply
from tilec.passes.schedule.analysis import static
from tilec.passes.schedule.default import default_schedule
from tilec.passes.schedule.plan import DEFAULT, Limits
from tilec.schedule import parse_schedule, print_schedule
from tilec.target import Target
from tilec.text.loops_text import parse_kernel
from tilec.verify.loops import verify_kernel

TARGETS = [AVX512, AVX2, SSE]
SMALL = [*map(with_small_caches, TARGETS)]


def check(kernel: Kernel, target: Target, limits: Limits = DEFAULT) -> Kernel:
    schedule = default_schedule(kernel, target, limits)
    assert default_schedule(kernel, target, limits) == schedule
    assert parse_schedule(print_schedule(schedule)) == schedule
    scheduled = apply(kernel, schedule)
    verify_kernel(scheduled)
    assert_same(kernel, scheduled, schedule)
    return scheduled


@pytest.mark.parametrize("seed", range(150))
def test_any_kernel(seed: int) -> None:
    check(generate(seed), TARGETS[seed % 3])


@pytest.mark.parametrize("seed", range(150))
def test_any_kernel_as_if_it_were_large(seed: int) -> None:
    check(generate(5000 + seed), SMALL[seed % 3], EAGER)


@pytest.mark.parametrize("seed", range(12))
def test_larger_contractions(seed: int) -> None:
    r = Random(1000 + seed)
    make = (lambda r: matmul(r, 70), batched, conv)[seed % 3]
    check(make(r), TARGETS[seed % 2])


@pytest.mark.parametrize("m, n, k", [(64, 600, 20), (49, 1100, 7), (30, 70, 800), (25, 530, 3)])
@pytest.mark.parametrize("transposed", [False, True])
def test_packed(m: int, n: int, k: int, transposed: bool) -> None:
    scheduled = check(product(m, n, k, transposed), AVX512)
    packed = [s.buffer.name for s in walk(scheduled.body) if isinstance(s, Alloc) and s.buffer.name == "B.p"]
    assert packed or not transposed


def test_what_an_outer_loop_moves_as_a_whole_is_packed() -> None:
    kernel = parse_kernel("""
kernel gradient(in G: f32[4, 10, 96], in K: f32[4, 64, 96], inout X: f32[4, 18, 64]) {
  for n in 4 {
    for o in 9 {
      for r in 2 {
        for k in 2 {
          for f in 96 {
            for c in 64 {
              X[n, 2*o + r, c] sum= mul(G[n, k + o, f], K[2*k + r, c, f])
            }
          }
        }
      }
    }
  }
}
""")
    scheduled = check(kernel, AVX512)
    assert any(isinstance(s, Alloc) and s.buffer.name == "K.p" for s in walk(scheduled.body))


def product(m: int, n: int, k: int, transposed: bool = False) -> Kernel:
    b = ("B", var("n", "k"), (n, k)) if transposed else ("B", var("k", "n"), (k, n))
    a = ("A", var("m", "k"), (m, k))
    return contraction("matmul", "sum", F32, {"m": m, "n": n, "k": k}, var("m", "n"), (m, n), [a, b])


@pytest.mark.parametrize("m, n, k", [(8, 128, 128), (9, 70, 50), (16, 33, 17), (30, 16, 300)])
@pytest.mark.parametrize("machine", TARGETS)
def test_operands_across_are_turned_in_registers(m: int, n: int, k: int, machine: Target) -> None:
    kernel = product(m, n, k, transposed=True)
    check(kernel, machine)
    assert any(d.name == "transpose" for d in default_schedule(kernel, machine))


@pytest.mark.parametrize("m, n, k", [(49, 512, 1024), (7, 512, 1024), (1536,) * 3, (196, 1000, 512), (768,) * 3])
@pytest.mark.parametrize("machine", [AVX512, AVX2])
def test_threads_share_products_evenly(m: int, n: int, k: int, machine: Target) -> None:
    kernel = product(m, n, k)
    scheduled = apply(kernel, default_schedule(kernel, machine, constant=frozenset({"B"})))
    work = sum(points(s, machine.threads) for s in scheduled.body if isinstance(s, For))
    assert work <= 1.15 * m * n * k / machine.threads


def points(loop: For, threads: int) -> int:
    """Iterations of a product's innermost statements on the busiest thread; a guarded tile counts as a whole one."""
    extent = -(-static(loop.extent) // threads) if loop.kind == "parallel" else static(loop.extent)
    inside = [s for s in loop.body if isinstance(s, For)]
    if not inside:
        return extent * any(isinstance(s, Store) and s.monoid for s in walk(loop.body))
    return extent * sum(points(s, threads) for s in inside)


def test_epilogue_runs_in_registers() -> None:
    a, b = ("A", var("m", "k"), (30, 64)), ("B", var("k", "n"), (64, 50))
    sizes = {"m": 30, "n": 50, "k": 64}
    kernel = contraction("matmul", "sum", F32, sizes, var("m", "n"), (30, 50), [a, b], narrow=F16)
    scheduled = check(kernel, AVX512)
    assert {s.buffer.space for s in walk(scheduled.body) if isinstance(s, Alloc)} == {"register"}


def test_matmul_stays_in_registers() -> None:
    a, b = ("A", var("m", "k"), (64, 64)), ("B", var("k", "n"), (64, 64))
    sizes = {"m": 64, "n": 64, "k": 64}
    scheduled = check(contraction("matmul", "sum", F32, sizes, var("m", "n"), (64, 64), [a, b]), AVX512)
    registers = [s.buffer for s in walk(scheduled.body) if isinstance(s, Alloc) and s.buffer.space == "register"]
    assert {b.shape for b in registers} == {(13, 2, 16), (12, 2, 16)}
    assert not any(s.index == "i0" for s in walk(scheduled.body) if isinstance(s, For))  # initialised in registers


@pytest.mark.parametrize("columns, together", [(64, True), (1024, False)])
def test_short_rows_share_what_they_read_of_each_column(columns: int, together: bool) -> None:
    kernel = parse_kernel(f"""kernel f(in A: f32[18, {columns}], in b: f32[{columns}], out O: f32[18, {columns}]) {{
      for m in 18 {{ for n in {columns} {{ O[m, n] = add(A[m, n], b[n]) }} }}
    }}""")
    unrolled = [s.index for s in walk(check(kernel, AVX512).body) if isinstance(s, For) and s.kind == "unroll"]
    assert (unrolled == ["m.1", "m.1"]) == together
