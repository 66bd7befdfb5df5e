"""Aggregations across contiguous memory: read in order, in vectors, the terms of a cell in the order they have."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.generators.kernels import arrays, assert_same, contraction, run, var
from tests.generators.targets import AVX2, AVX512, EAGER, SSE
from tests.schedule.test_compiled import TARGETS
from tests.schedule.test_reductions import compiled
from tilec.affine import Affine
from tilec.dtypes import BOOL, F16, F32, F64, I8, I32, I64, DType
from tilec.loops import For, Kernel, walk
from tilec.passes.schedule import apply
from tilec.passes.schedule.default import default_schedule, scheduled
from tilec.passes.schedule.plan import DEFAULT
from tilec.schedule import print_schedule
from tilec.verify.loops import verify_kernel

DTYPES = (F32, F64, F16, I8, I32, I64, BOOL)
LLVM = pytest.mark.skipif(not TARGETS, reason="the LLVM backend is not available")


def column_sums(m: int, n: int, dtype: DType = F32, monoid: str = "sum") -> Kernel:
    return contraction("columns", monoid, dtype, {"m": m, "n": n}, var("n"), (n,), [("A", var("m", "n"), (m, n))])


def middle(b: int, m: int, n: int, dtype: DType = F32, monoid: str = "sum") -> Kernel:
    operands = [("A", var("b", "m", "n"), (b, m, n))]
    return contraction("middle", monoid, dtype, {"b": b, "m": m, "n": n}, var("b", "n"), (b, n), operands)


def pooled(b: int, y: int, c: int, dtype: DType = F32, monoid: str = "max") -> Kernel:
    """Two terms a cell."""
    place = (Affine.var("b"), Affine.of({"y": 2, "i": 1}), Affine.var("c"))
    sizes = {"b": b, "y": y, "c": c, "i": 2}
    return contraction("pooled", monoid, dtype, sizes, var("b", "y", "c"), (b, y, c), [("A", place, (b, 2 * y, c))])


MAKE = {
    "columns": lambda dtype, monoid: column_sums(37, 100, dtype, monoid),
    "middle": lambda dtype, monoid: middle(3, 21, 70, dtype, monoid),
    "pooled": lambda dtype, monoid: pooled(3, 5, 70, dtype, monoid),
}


def test_the_order_of_column_sums() -> None:
    """Rows outside of columns, and no partial results: four rows at a time are added to cells in registers."""
    text = print_schedule(default_schedule(column_sums(64, 200), AVX2))
    assert "rfactor" not in text and "tile(m, 4, m.0, m.1)" in text and "stage(O, n.0, O.r, register)" in text
    loops = [s.index for s in walk(scheduled(column_sums(64, 192), AVX2).body) if isinstance(s, For)]
    assert [n for n in loops if n in ("n.b", "m.0", "n.0")] == ["n.b", "m.0", "n.0"]


def test_an_operand_that_is_used_again_is_no_stream() -> None:
    a, b = ("A", var("m", "k"), (40, 64)), ("B", var("k", "n"), (64, 50))
    kernel = contraction("matmul", "sum", F32, {"m": 40, "n": 50, "k": 64}, var("m", "n"), (40, 50), [a, b])
    assert "n.b" not in print_schedule(default_schedule(kernel, AVX512))


@pytest.mark.parametrize("target", [AVX512, AVX2, SSE], ids=["avx512", "avx2", "sse"])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("monoid", ["sum", "prod", "max", "min"])
@pytest.mark.parametrize("name", MAKE)
def test_values(name: str, monoid: str, dtype: DType, target: object) -> None:
    kernel = MAKE[name](dtype, monoid)
    for limits in (DEFAULT, EAGER):
        schedule = default_schedule(kernel, target, limits)  # type: ignore[arg-type]
        found = apply(kernel, schedule)
        verify_kernel(found, scheduled=True)
        assert_same(kernel, found, schedule)


@pytest.mark.parametrize("shape", [(0, 600), (600, 1), (1, 600), (5, 513), (600, 2), (4, 1031)])
def test_shapes_at_the_edges(shape: tuple[int, int]) -> None:
    kernel = column_sums(*shape)
    schedule = default_schedule(kernel, AVX512)
    verify_kernel(apply(kernel, schedule), scheduled=True)
    assert_same(kernel, apply(kernel, schedule), schedule)


@LLVM
@pytest.mark.parametrize("shape", [(1000, 600), (30, 40_000), (4000, 7)])
def test_threads_and_vectors_give_the_same_bits(shape: tuple[int, int]) -> None:
    kernel = column_sums(*shape)
    given = arrays(kernel, 2)
    one = replace(TARGETS[0], threads=1)
    targets = (one, replace(one, threads=2), replace(one, vector_bytes=16), replace(one, threads=7))
    assert len({compiled(kernel, t, given).tobytes() for t in targets}) == 1
    np.testing.assert_allclose(compiled(kernel, one, given), given["A"].sum(0, dtype=np.float64), 1e-4, 1e-3)


@LLVM
@pytest.mark.parametrize("name", MAKE)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_compiled(name: str, dtype: DType) -> None:
    kernel = MAKE[name](dtype, "sum")
    given = arrays(kernel, 1, exact=True)
    assert compiled(kernel, TARGETS[0], given).tobytes() == run(kernel, 1, exact=True)["O"].tobytes()
