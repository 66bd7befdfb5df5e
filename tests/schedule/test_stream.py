"""Stores past the caches: hints that change no value, whatever the results are aligned to."""

from __future__ import annotations

from dataclasses import replace
from math import prod
from typing import Any

import numpy as np
import pytest

from tests.backends.llvm_support import build, older, serial_host
from tests.generators.kernels import Array, arrays, generate, run
from tests.generators.targets import EAGER
from tilec.backends.llvm.kernel import emit_kernel
from tilec.errors import TileError
from tilec.loops import Kernel, Store, walk
from tilec.passes.schedule import apply
from tilec.passes.schedule.default import default_schedule
from tilec.schedule import parse_schedule
from tilec.target import Target
from tilec.text.loops_text import parse_kernel, print_kernel
from tilec.verify.loops import verify_kernel

LOOPS = "{ for i in 40 { for j in 100 { C[i, j] = mul(A[i, j], 2.0) } } }"
CHAIN = "kernel f(in A: f32[40, 100], out C: f32[40, 100]) " + LOOPS
SMALL = Target("llvm", vector_bytes=64, l3=1)


def small_caches(target: Target) -> Target:
    """Of which every result is too large for the last one."""
    return replace(target, l3=1)


def placed(array: Array, offset: int) -> Array:
    """A copy that begins `offset` bytes after a multiple of 64."""
    memory = np.empty(array.nbytes + 128 + offset, np.uint8)
    first = -memory.ctypes.data % 64 + offset
    found = memory[first : first + array.nbytes].view(array.dtype).reshape(array.shape)
    found[...] = array
    return found


def emitted(kernel: Kernel, target: Target) -> str:
    return "".join(emit_kernel(kernel, "f", target).functions)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("offset", [0, 4, 16, 32, 48])
def test_alignments(offset: int, threads: int) -> None:
    for target in (serial_host(), older("avx2"), older("sse2")):
        target = small_caches(replace(target, threads=threads))
        plain = parse_kernel(CHAIN)
        schedule = default_schedule(plain, target, EAGER)
        assert "stream" in {d.name for d in schedule}
        a, c = np.random.default_rng(0).standard_normal((40, 100), np.float32), np.empty((40, 100), np.float32)
        found = placed(c, offset)
        build(apply(plain, schedule), target)([a], [found])
        assert (found == 2 * a).all()


def test_what_is_emitted() -> None:
    """Whole vectors past the caches where the arrays are aligned, none where they are not, and a fence at the end."""
    target = small_caches(serial_host())
    plain = parse_kernel(CHAIN)
    text = emitted(apply(plain, default_schedule(plain, target, EAGER)), target)
    versions = text.split("define ")
    assert [("!nontemporal" in v, "fence" in v) for v in versions[1:]] == [(True, True)] * 2 + [(False, False)] * 2
    assert "!nontemporal" not in emitted(apply(plain, default_schedule(plain, replace(target, l3=1 << 20))), target)


@pytest.mark.parametrize("seed", range(40))
def test_random_kernels(seed: int) -> None:
    kernel = generate(3000 + seed)
    target = small_caches(replace(serial_host(), threads=1 + seed % 2))
    schedule = default_schedule(kernel, target, EAGER)
    scheduled = apply(kernel, schedule)
    verify_kernel(scheduled)
    assert parse_kernel(print_kernel(scheduled)) == scheduled
    exact = any(d.name == "rfactor" for d in schedule)
    given, expected = arrays(kernel, exact=exact), run(kernel, exact=exact)
    inputs = [given[p.buffer.name] for p in kernel.params if p.mode == "in"]
    results = {p.buffer.name: placed(given[p.buffer.name], 16 * (seed % 5)) for p in kernel.params if p.mode != "in"}
    build(scheduled, target)(inputs, list(results.values()))
    for name, value in results.items():
        wanted: Any = expected[name].astype(np.float64)
        assert np.isfinite(wanted).all() == np.isfinite(value.astype(np.float64)).all()
        tolerance = {2: 2e-3, 4: 1e-5, 8: 1e-12}[max(2, value.itemsize)]
        scale = max(1.0, float(np.abs(wanted).max(initial=0, where=np.isfinite(wanted))))
        np.testing.assert_allclose(value.astype(np.float64), wanted, tolerance, tolerance * scale)


def streams(text: str, target: Target = SMALL) -> bool:
    kernel = parse_kernel(text)
    scheduled = apply(kernel, default_schedule(kernel, target, EAGER))
    return any(isinstance(s, Store) and s.stream for s in walk(scheduled.body))


def test_what_the_default_schedule_streams() -> None:
    assert streams(CHAIN)
    assert not streams(CHAIN, Target("llvm", l3=0)), "a last cache that is not known"
    assert not streams(CHAIN, Target("llvm", l3=4 * prod((40, 100)) + 1)), "a result that fits"
    assert not streams(CHAIN.replace("out C", "inout C").replace("A[i, j], 2.0", "A[i, j], C[i, j]")), "it is read"
    turned = "kernel f(in A: T[64, 64], out C: T[64, 64]) { for i in 64 { for j in 64 { C[i, j] = A[j, i] } } }"
    assert streams(turned.replace("T[", "f32["))
    assert not streams(turned.replace("T[", "u8[")), "tiles that store parts of cache lines"


@pytest.mark.parametrize(
    "schedule, code, reason",
    [
        ("stream(B)", "TILE0603", "no buffer 'B'"),
        ("stream(A)", "TILE0604", "read, too"),
        ("stream(D)", "TILE0604", "read, too"),
        ("stream(E)", "TILE0604", "nothing is stored"),
        ("stage(C, i, c) stream(c)", "TILE0604", "in the space 'thread'"),
    ],
)
def test_refusals(schedule: str, code: str, reason: str) -> None:
    params = "in A: f32[8], out C: f32[8], inout D: f32[8], out E: f32[8]"
    text = f"kernel f({params}) {{ for i in 8 {{ C[i] = A[i] D[i] sum= A[i] }} }}"
    with pytest.raises(TileError) as caught:
        apply(parse_kernel(text), parse_schedule(schedule))
    assert caught.value.code == code
    assert reason in str(caught.value)


@pytest.mark.parametrize(
    "statement, reason",
    [("C[i] stream= A[i]", None), ("r[] stream= 1.0", "private buffer 'r'")],
)
def test_verifier(statement: str, reason: str | None) -> None:
    body = f"alloc r: register f32 for i in 8 {{ {statement} }}"
    kernel = parse_kernel(f"kernel f(in A: f32[8], out C: f32[8]) {{ {body} }}")
    if reason is None:
        return verify_kernel(kernel)
    with pytest.raises(TileError, match=reason):
        verify_kernel(kernel)
    return None
