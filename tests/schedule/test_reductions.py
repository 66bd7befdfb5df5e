"""Aggregations in partial results: the order is fixed by sizes, the same on every target, exact where it must be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from tests.generators.kernels import Array, arrays, assert_same, contraction, run, var
from tests.generators.targets import AVX2, AVX512, SSE
from tests.schedule.test_compiled import TARGETS, program_of
from tilec.dtypes import BOOL, F16, F32, F64, I8, I32, I64, DType
from tilec.loops import Alloc, For, Kernel, walk
from tilec.passes import place
from tilec.passes.schedule import apply
from tilec.passes.schedule.default import default_schedule, scheduled
from tilec.pipeline import backend
from tilec.schedule import parse_schedule, print_schedule
from tilec.target import Target
from tilec.verify.loops import verify_kernel

DTYPES = (F32, F64, I8, I32, I64, BOOL)
THREE = replace(SSE, threads=3)


def rows(m: int, k: int, dtype: DType = F32, monoid: str = "sum") -> Kernel:
    return contraction("rows", monoid, dtype, {"m": m, "k": k}, var("m"), (m,), [("A", var("m", "k"), (m, k))])


def total(k: int, dtype: DType = F32, monoid: str = "sum") -> Kernel:
    return contraction("total", monoid, dtype, {"k": k}, (), (), [("A", var("k"), (k,))])


def matvec(m: int, k: int, dtype: DType = F32) -> Kernel:
    operands = [("W", var("m", "k"), (m, k)), ("X", var("k"), (k,))]
    return contraction("matvec", "sum", dtype, {"m": m, "k": k}, var("m"), (m,), operands)


def compiled(kernel: Kernel, target: Target, given: dict[str, Array]) -> Array:
    program = program_of(scheduled(kernel, target))
    out = np.array(given["O"])
    backend("llvm").build(place.run(program), target, {})([given[n] for n in program.params], [out])
    return out


@pytest.mark.parametrize("make", [lambda: rows(20, 100), lambda: total(1000), lambda: matvec(30, 77)])
def test_partial_results_do_not_depend_on_the_target(make: Callable[[], Kernel]) -> None:
    kernel = make()
    found = [scheduled(kernel, t) for t in (AVX512, AVX2, SSE, THREE)]
    buffers = [[s.buffer for s in walk(k.body) if isinstance(s, Alloc)] for k in found]
    assert buffers[0] and all(b == buffers[0] for b in buffers)
    results = [run(k)["O"] for k in found]
    assert all(r.tobytes() == results[0].tobytes() for r in results)
    assert_same(kernel, found[0], default_schedule(kernel, AVX512))


def test_the_default_schedule_of_row_sums() -> None:
    assert print_schedule(default_schedule(rows(20, 100), AVX2)).splitlines() == [
        "tile(k, 64, k.0, k.l)",
        "rfactor(k.l, O.v)",
        "stage(O, m, O.r, register, init)",
    ]


def test_a_long_sum_is_cut_into_blocks_that_threads_share() -> None:
    kernel = total(600_000)
    for target in (SSE, THREE):
        body = scheduled(kernel, target).body
        blocks = [(s.extent, s.kind) for s in walk(body) if isinstance(s, For) and s.index == "k.b"]
        assert blocks == [(36, "parallel" if target.threads > 1 else "serial"), (1, blocks[1][1])]
        assert [s.buffer.shape for s in walk(body) if isinstance(s, Alloc) and s.buffer.space == "heap"] == [(36,)]


@pytest.mark.parametrize("shape", [(0, 40), (40, 0), (1, 512), (600, 1), (600, 31), (17, 32), (9, 63), (9, 129)])
def test_shapes_at_the_edges(shape: tuple[int, int]) -> None:
    kernel = rows(*shape)
    schedule = default_schedule(kernel, AVX512)
    assert any(d.name == "rfactor" for d in schedule) == (shape[0] * shape[1] >= 512 and shape[1] >= 32)
    verify_kernel(apply(kernel, schedule), scheduled=True)
    assert_same(kernel, apply(kernel, schedule), schedule)


def test_sums_of_16_bit_floats_keep_their_order() -> None:
    assert not any(d.name == "rfactor" for d in default_schedule(rows(20, 100, F16), AVX512))


SPACES = [
    "tile(k, 7, a, b) rfactor(a, p, heap)",
    "tile(k, 7, a, b) rfactor(b, p, thread)",
    "tile(k, 7, a, b) rfactor(a, p, heap) parallel(a) tile(b, 3, c, d) rfactor(d, q)",
    "rfactor(k, p) parallel(m)",
    "tile(k, 10, a, b, guard) rfactor(b, p)",
]


@pytest.mark.parametrize("text", SPACES)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("monoid", ["sum", "prod", "max", "min"])
def test_any_place_of_partial_results(text: str, dtype: DType, monoid: str) -> None:
    kernel = rows(3, 37, dtype, monoid)
    schedule = parse_schedule(text)
    found = apply(kernel, schedule)
    verify_kernel(found, scheduled=True)
    assert_same(kernel, found, schedule)


LLVM = pytest.mark.skipif(not TARGETS, reason="the LLVM backend is not available")


@LLVM
@pytest.mark.parametrize("monoid", ["sum", "max", "min"])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("k", [32, 47, 64, 65, 130])
def test_compiled_rows(k: int, dtype: DType, monoid: str) -> None:
    kernel = rows(19, k, dtype, monoid)
    given = arrays(kernel, 1, exact=True)
    assert compiled(kernel, TARGETS[0], given).tobytes() == run(kernel, 1, exact=True)["O"].tobytes()


@LLVM
@pytest.mark.parametrize("dtype", [F32, F64, I64], ids=str)
@pytest.mark.parametrize("k", [65_536, 600_001])
def test_threads_and_vectors_give_the_same_bits(k: int, dtype: DType) -> None:
    given = arrays(total(k, dtype), 2)
    one = replace(TARGETS[0], threads=1)
    narrow = replace(one, vector_bytes=16)
    results = [compiled(total(k, dtype), t, given) for t in (one, replace(one, threads=2), narrow)]
    assert len({r.tobytes() for r in results}) == 1
    np.testing.assert_allclose(results[0], given["A"].sum(dtype=np.longdouble), 1e-5, 1e-3)


@LLVM
@pytest.mark.parametrize("at", [0, 5, 63, 64, 69])
def test_a_nan_is_found_wherever_it_is(at: int) -> None:
    kernel = rows(16, 70, F32, "max")
    given = arrays(kernel, 3)
    given["A"][4, at] = np.nan
    expected = given["A"].max(1)
    np.testing.assert_array_equal(compiled(kernel, TARGETS[0], given), expected)


@LLVM
def test_a_long_sum_of_equal_terms_is_more_exact() -> None:
    kernel = total(1 << 20)
    given = {"A": np.full(1 << 20, 0.1, np.float32), "O": np.zeros((), np.float32)}
    one_after_the_other = np.cumsum(given["A"], dtype=np.float32)[-1]
    exact = float(np.float32(0.1)) * (1 << 20)
    found = float(compiled(kernel, TARGETS[0], given))
    assert abs(found - exact) < 1e-2 * abs(float(one_after_the_other) - exact)
