"""Transposed operands: tiles in registers, shuffled, on random permutations, dtypes and sizes, bit for bit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from random import Random

import numpy as np
import pytest

from tests.backends.llvm_support import older, run, serial_host
from tests.generators.kernels import Array, assert_same, kernel, nest, param, v
from tests.generators.targets import EAGER
from tilec.backends.llvm.kernel import emit_kernel
from tilec.dtypes import BF16, BOOL, F16, F32, F64, I8, I16, I32, I64, U8, DType
from tilec.errors import TileError
from tilec.evaluate.loops import evaluate_kernel
from tilec.expr import Call, Expr, read
from tilec.loops import Kernel, Store
from tilec.passes.schedule import apply
from tilec.passes.schedule.default import default_schedule
from tilec.schedule import parse_schedule
from tilec.target import Target
from tilec.text.loops_text import parse_kernel

DTYPES = (BOOL, I8, U8, I16, I32, I64, F16, BF16, F32, F64)
SIZES = (2, 3, 7, 8, 13, 16, 17, 31, 33, 40)


def permuted(r: Random, dtype: DType) -> Kernel:
    """O[i, j, ..] of A with its axes in another order: moved, or with an operand of a third order."""
    rank = r.choice([2, 2, 2, 3, 3, 4])
    shape = [r.choice(SIZES if a < 2 else SIZES[:5]) for a in range(rank)]
    r.shuffle(shape)
    loops = [(f"i{a}", n) for a, n in enumerate(shape)]
    orders = [r.sample(range(rank), rank) for _ in range(2)]
    a, b = (read(n, tuple(v(f"i{o}") for o in order), dtype) for n, order in zip("AB", orders))
    op = "bit_xor" if dtype == BOOL else "add"
    values: list[Expr] = [a, Call("ident", (a,), dtype), Call(op, (a, b), dtype), Call(op, (a, a), dtype)]
    inputs = [param(n, dtype, *(shape[o] for o in order)) for n, order in zip("AB", orders)]
    body = nest(loops, (Store("O", tuple(v(n) for n, _ in loops), r.choice(values)),))
    return kernel("permuted", inputs, param("O", dtype, *shape), body)


def given(kernel: Kernel, seed: int) -> dict[str, Array]:
    """Arguments with small whole numbers, of which sums are exact."""
    r = np.random.default_rng(seed)
    found = {}
    for p in kernel.params:
        shape, most = tuple(int(str(n)) for n in p.buffer.shape), 2 if p.buffer.dtype == BOOL else 50
        found[p.buffer.name] = r.integers(0, most, shape).astype(p.buffer.dtype.numpy)
    return found


def targets() -> Iterator[Target]:
    yield from (serial_host(), replace(serial_host(), threads=3), older("avx2"), older("sse2"))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_random_permutations(dtype: DType) -> None:
    r, transposed = Random(dtype.name), 0
    for seed in range(12):
        plain = permuted(r, dtype)
        arrays = given(plain, seed)
        expected = {n: a.copy() for n, a in arrays.items()}
        evaluate_kernel(plain, expected)
        for target in targets():
            schedule = default_schedule(plain, target, EAGER)
            transposed += any(d.name == "transpose" for d in schedule)
            actual = run(apply(plain, schedule), arrays, target)
            assert actual["O"].tobytes() == expected["O"].tobytes(), (seed, target.vector_bytes)
    assert transposed >= 10


@pytest.mark.parametrize("seed", range(30))
def test_schedules_mean_the_same(seed: int) -> None:
    r = Random(seed)
    plain = permuted(r, r.choice(DTYPES))
    schedule = default_schedule(plain, Target("llvm", vector_bytes=32, threads=2), EAGER)
    assert_same(plain, apply(plain, schedule), schedule)


def test_a_matrix_and_its_transpose() -> None:
    """Of one buffer, only the accesses that lie apart are kept in registers."""
    loops = "for i in 40 { for j in 40 { C[i, j] = add(A[i, j], A[j, i]) } }"
    plain = parse_kernel("kernel f(in A: f32[40, 40], out C: f32[40, 40]) { " + loops + " }")
    scheduled = apply(plain, default_schedule(plain, serial_host()))
    arrays = given(plain, 0)
    assert (run(scheduled, arrays)["C"] == arrays["A"] + arrays["A"].T).all()
    emitted = emit_kernel(scheduled, "f", serial_host())
    assert "shufflevector" in "".join(emitted.functions)
    assert emitted.shared == emitted.private == 0, "the tiles live in registers"


@pytest.mark.parametrize("dtype", [F16, BF16], ids=str)
def test_moved_floats_keep_their_bits(dtype: DType) -> None:
    """Also those of a NaN that says more than that it is one."""
    params = f"in A: {dtype}[40, 50], out C: {dtype}[50, 40]"
    plain = parse_kernel(f"kernel f({params}) {{ for i in 50 {{ for j in 40 {{ C[i, j] = A[j, i] }} }} }}")
    bits = np.random.default_rng(0).integers(0, 1 << 16, (40, 50)).astype(np.uint16)
    arrays = {"A": bits.view(dtype.numpy), "C": np.zeros((50, 40), dtype.numpy)}
    for scheduled in (plain, apply(plain, default_schedule(plain, serial_host()))):
        assert (run(scheduled, arrays)["C"].view(np.uint16) == bits.T).all()


def test_a_transposed_store() -> None:
    """Computed in lanes along one axis, stored in lanes along the other."""
    plain = parse_kernel(
        "kernel f(in A: f32[32, 16], out C: f32[16, 32]) {\n"
        "  for o in 2 { for i in 16 { for j in 16 { C[j, i + 16*o] = neg(A[i + 16*o, j]) } } }\n}"
    )
    schedule = parse_schedule("vectorize(j) unroll(i) transpose(C, o, c)")
    scheduled = apply(plain, schedule)
    assert_same(plain, scheduled)
    arrays = given(plain, 0)
    assert (run(scheduled, arrays)["C"] == -arrays["A"].T).all()
    assert emit_kernel(scheduled, "f", serial_host()).shared == 0


@pytest.mark.parametrize(
    "body, schedule, code, reason",
    [
        ("C[i, j] = A[j, i]", "transpose(B, o, t)", "TILE0603", "no buffer 'B'"),
        ("C[i, j] = A[j, i]", "vectorize(j) transpose(A, o, t)", "TILE0604", "more than stores in vector and unrolled"),
        ("C[i, j] = A[i, j]", "vectorize(j) unroll(i) transpose(A, o, t)", "TILE0604", "lies apart in memory"),
        ("C[i, j] = A[j, i]", "transpose(A, o, t)", "TILE0604", "lies apart in memory"),
        ("C[i, j] = A[j, i]", "vectorize(j) transpose(A, j, t)", "TILE0604", "lies apart in memory"),
        ("if j - 4 >= 0 { C[j, i] = 1.0 }", "vectorize(j) unroll(i) transpose(C, o, t)", "TILE0604", "stored whole"),
        ("C[j, i] = A[i, j]", "vectorize(j) unroll(i) transpose(C, o, i)", "TILE0603", "already taken"),
    ],
)
def test_refusals(body: str, schedule: str, code: str, reason: str) -> None:
    start = "kernel f(in A: f32[8, 8], inout C: f32[8, 8]) "
    plain = parse_kernel(start + "{ for o in 1 { for i in 8 { for j in 8 { " + body + " } } } }")
    with pytest.raises(TileError) as caught:
        apply(plain, parse_schedule(schedule))
    assert caught.value.code == code
    assert reason in str(caught.value)

