"""Memory of OpenCL devices: what happens where it is short, at whatever call that shows; blocks, arenas in parts."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest

import tilec
from tilec.arena import Life
from tilec.backends.opencl import devices
from tilec.backends.opencl.arenas import split
from tilec.backends.opencl.pool import Pool
from tilec.backends.opencl.sessions import Session
from tilec.backends.opencl.shortage import readable
from tilec.errors import TileError
from tilec.target import Target

TARGET = next((t for t in devices.targets() if t.kind != "simulator"), None)
device = pytest.mark.skipif(TARGET is None, reason="no OpenCL device: pip install pyopencl pocl-binary-distribution")
MESSAGES = ("clCreateBuffer failed: MEM_OBJECT_ALLOCATION_FAILURE", "clFinish failed: OUT_OF_HOST_MEMORY")


def pool() -> Pool:
    assert TARGET is not None
    return Session.on(TARGET).pool


@dataclass
class Failures:
    """Lets calls of OpenCL that may find memory short fail: the one of this number, counted from 1, or all from it on.

    calls: what has been called, in order.
    """

    first: int = 0
    ever_after: bool = False
    calls: list[str] = field(default_factory=list)

    def __call__(self, call: str) -> None:
        self.calls.append(call)
        count = len(self.calls)
        if self.first and (count == self.first or (count > self.first and self.ever_after)):
            if count % 3 == 0:
                raise MemoryError
            raise RuntimeError(MESSAGES[count % 2])


@pytest.fixture
def failing() -> Iterator[Callable[[Failures], None]]:
    """Sets what is told of every such call. What is there already is not looked through for cycles at each failure."""
    gc.freeze()
    here = pool()
    before = here.before

    def watch(failures: Failures) -> None:
        here.before = failures

    yield watch
    here.before = before
    gc.unfreeze()


# --- failures at every call ------------------------------------------------------------------------------------------

CHAIN = """function chain(A[N, N], B[N, N]) -> (D) {
  B1[i, j : N, N] = +(A[i, k] * B[k, j]);
  C[i, j : N, N] = +(A[i, k] * B1[k, j]);
  D = C + B1;
}"""
STEP = """function step(W[N], M[N], G[N], Rate) -> (W_new, M_new, L) {
  M_new = 0.5 * M + G;
  W_new = W - Rate * M_new;
  L[] = +(W[i] * G[i]);
}"""
LARGE = 20_000  # float32 numbers: more than are copied


def integers(*shape: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).integers(-3, 4, shape).astype(np.float32)


class Sequence:
    """Programs and calls of them as a training does them, each compared with what NumPy says."""

    def __init__(self, count: int) -> None:
        shapes: dict[str, Any] = {"W": (count,), "M": (count,), "G": (count,)}
        self.a, self.b = integers(12, 12), integers(12, 12, seed=1)
        self.chain = tilec.compile(CHAIN, str(TARGET), A=(12, 12), B=(12, 12))
        self.fixed = tilec.compile(CHAIN, str(TARGET), {"B": self.b}, A=(12, 12))
        self.step = tilec.compile(STEP, str(TARGET), donate={"W": "W_new", "M": "M_new"}, Rate=0.5, **shapes)
        self.gradient = integers(count, seed=4)
        self.restart()

    def restart(self) -> None:
        self.w, self.m = integers(len(self.gradient), seed=2), integers(len(self.gradient), seed=3)

    def calls(self) -> list[Callable[[], None]]:
        return [self.call_chain, self.call_fixed, self.call_step, self.call_step]

    def call_chain(self) -> None:
        b1 = self.a @ self.b
        np.testing.assert_array_equal(self.chain(self.a, self.b), self.a @ b1 + b1)

    def call_fixed(self) -> None:
        b1 = self.a @ self.b
        np.testing.assert_array_equal(self.fixed(self.a), self.a @ b1 + b1)

    def call_step(self) -> None:
        m = np.float32(0.5) * self.m + self.gradient
        w, loss = self.w - np.float32(0.5) * m, (self.w * self.gradient).sum()
        new_w, new_m, found = self.step(self.w, self.m, self.gradient, 0.5)
        assert new_w is self.w and new_m is self.m
        np.testing.assert_array_equal(new_w, w)
        np.testing.assert_array_equal(new_m, m)
        np.testing.assert_allclose(found, loss, rtol=1e-5)


@device
@pytest.mark.parametrize("ever_after", [True, False])
def test_each_of_300_calls_may_fail(ever_after: bool, failing: Callable[[Failures], None]) -> None:
    """Each call of OpenCL in turn, of small and large tensors, with and without free blocks: the program says
    TILE0416, or does without where it is tried again; nothing is left behind, and the next call is right."""
    sequences = [Sequence(100), Sequence(LARGE)]
    for sequence in sequences:
        for call in sequence.calls():
            call()
    held, failed, told = pool().used(), 0, 0
    while failed < 300:
        for sequence, call in [(s, c) for s in sequences for c in s.calls()]:
            is_cold = failed % 2 == 0  # fresh memory takes calls of its own
            n = 0
            while True:
                n += 1
                if is_cold:
                    pool().trim()
                failing(failures := Failures(n, ever_after))
                reason = raised(call)
                if len(failures.calls) < n:
                    break
                failed += 1
                is_helped = not ever_after and failures.calls[n - 1] != "finish"  # it is tried again
                assert is_helped == (reason is None), failures.calls
                if reason is not None:
                    told += 1
                    assert reason.code == "TILE0416"
                    assert "it needs" in str(reason) and "the device has" in str(reason)
                    sequence.restart()
                failing(Failures())
                call()
                assert pool().used() == held
    assert told == failed if ever_after else 0 < told < failed


def raised(call: Callable[[], None]) -> TileError | None:
    try:
        call()
    except TileError as reason:
        return reason
    return None


@device
def test_compiling_survives_each_failure(failing: Callable[[Failures], None]) -> None:
    a, b = integers(12, 12), integers(12, 12, seed=1)

    def compiled() -> Any:
        return tilec.compile(CHAIN, str(TARGET), {"B": b}, A=(12, 12))

    compiled()  # so that the device has been tried
    pool().trim()
    failing(counted := Failures())
    compiled()
    count, held = len(counted.calls), pool().used()
    assert count >= 3
    for n in range(1, count + 1):
        pool().trim()
        failing(Failures(n, ever_after=True))
        with pytest.raises(TileError) as caught:
            compiled()
        assert caught.value.code == "TILE0416" and "prepare 'chain'" in str(caught.value)
        assert pool().used() == held, n
        failing(Failures())
        np.testing.assert_array_equal(compiled()(a), a @ (a @ b) + a @ b)


@device
def test_donated_arguments_are_told_of(failing: Callable[[Failures], None]) -> None:
    """From the first step on; before it they are as they were."""
    sequence = Sequence(LARGE)
    pool().trim()
    failing(counted := Failures())
    gradient = integers(LARGE, seed=4)
    sequence.step(sequence.w, sequence.m, gradient, 0.5)
    first = counted.calls.index("launch") + 1
    for n in range(1, len(counted.calls) + 1):
        sequence.restart()
        before = sequence.w.copy(), sequence.m.copy()
        pool().trim()
        failing(Failures(n, ever_after=True))
        with pytest.raises(TileError) as caught:
            sequence.step(sequence.w, sequence.m, gradient, 0.5)
        told = "make the donated 'W', 'M' again" in str(caught.value)
        assert told == (n >= first), (n, str(caught.value))
        if n < first:
            np.testing.assert_array_equal((sequence.w, sequence.m), before)


@device
def test_a_call_that_cannot_be_waited_for_keeps_its_memory_to_itself() -> None:
    """The caller's arrays are not let go of, and blocks are not used again."""

    class Queue:
        def finish(self) -> None:
            raise RuntimeError("clFinish failed: OUT_OF_RESOURCES")

    sequence = Sequence(LARGE)
    built: Any = sequence.step.built
    storage = built._storage
    references, free = sys.getrefcount(sequence.w), pool().free()
    storage.session = replace(storage.session, queue=Queue())
    assert raised(lambda: sequence.step(sequence.w, sequence.m, sequence.gradient, 0.5)) is not None
    assert pool().free() <= free and sys.getrefcount(sequence.w) > references


# --- limits ----------------------------------------------------------------------------------------------------------


def capped(**limits: int) -> Target:
    assert TARGET is not None
    return replace(TARGET, **limits)  # type: ignore[arg-type]  # limits are numbers


@device
def test_a_tensor_above_the_largest_allocation() -> None:
    target = capped(largest=1 << 16)
    with pytest.raises(TileError) as caught:
        tilec.compile("function (A[N]) -> (B) { B = A + 1.0; }", target, A=(1 << 15,))
    text = str(caught.value)
    assert caught.value.code == "TILE0416"
    assert "'A' of shape [32768] takes 131,072 bytes (128.0 KiB)" in text and "at most 65,536 bytes (64.0 KiB)" in text
    run = tilec.compile("function (A[N]) -> (B) { B = A + 1.0; }", target, A=("N",))
    assert run(np.ones(1 << 14, np.float32)).sum() == 2 << 14
    with pytest.raises(TileError, match="TILE0416"):
        run(np.ones(1 << 15, np.float32))
    assert run(np.ones(5, np.float32)).sum() == 10


@device
def test_a_program_above_the_memory_of_the_device() -> None:
    pool().trim()
    gc.collect()
    text = "function (A[N, N]) -> (C) { B[i, j : N, N] = +(A[i, k] * A[k, j]); C[i, j : N, N] = +(B[i, k] * B[k, j]); }"
    a = integers(128, 128)
    target = capped(memory=pool().used() + 50_000)
    run = tilec.compile(text, target, A=a)
    with pytest.raises(TileError) as caught:
        run(integers(128, 128))
    shown = str(caught.value)
    assert caught.value.code == "TILE0416" and "has not enough memory to run" in shown
    assert "temporary tensors" in shown and "arguments 64.0 KiB, results 64.0 KiB" in shown
    assert "budget=BYTES" in shown and "tilec devices" in shown
    expected = (a @ a) @ (a @ a)
    np.testing.assert_array_equal(tilec.compile(text, str(TARGET), A=a)(a), expected)


def test_sizes_are_readable() -> None:
    assert [readable(n) for n in (0, 1023, 1024, 3 << 29, 5 << 40)] == [
        "0 bytes", "1023 bytes", "1.0 KiB", "1.5 GiB", "5.0 TiB",
    ]  # fmt: skip


# --- arenas in parts -------------------------------------------------------------------------------------------------


def test_an_arena_in_parts() -> None:
    """Random lives: none overlaps one that is alive with it, none reaches beyond its block."""
    rng = np.random.default_rng(5)
    several = 0
    for _ in range(200):
        count, largest = int(rng.integers(1, 12)), int(rng.integers(100, 400))
        first = rng.integers(0, 10, count)
        lives = [
            Life(f"b{k}", int(rng.integers(0, 100)), int(f), int(f + rng.integers(0, 5))) for k, f in enumerate(first)
        ]
        found = split(lives, largest)
        several += len(found.blocks) > 1
        assert all(0 < size <= largest for size in found.blocks)
        for a in lives:
            block, at = found.places[a.name]
            assert at % 64 == 0 and at + a.size <= found.blocks[block]
            for b in lives:
                other, start = found.places[b.name]
                together = a is not b and block == other and a.first <= b.last and b.first <= a.last
                assert not together or at + a.size <= start or start + b.size <= at
    assert several > 50


@device
@pytest.mark.parametrize("largest", [1 << 13, 1 << 14, 1 << 16])
@pytest.mark.parametrize("sizes", [(40, 40), ("N", 40)])
def test_results_do_not_depend_on_the_largest_allocation(largest: int, sizes: tuple[Any, ...]) -> None:
    """Six products of 6,400 bytes each are alive together."""
    lines = [f"P{k}[i, j : N, M] = +(A[i, l] * B[l, j] * {k + 1}.0);" for k in range(6)]
    back = [f"Q{k}[i, j : N, M] = +(P{5 - k}[i, l] * B[l, j]);" for k in range(6)]
    total = " + ".join(f"Q{k} * P{k}" for k in range(6))
    text = f"function (A[N, M], B[M, M]) -> (C) {{ {' '.join(lines + back)} C = {total}; }}"
    a, b = integers(40, 40), integers(40, 40, seed=1)
    given: dict[str, Any] = {"A": sizes, "B": (40, 40)}
    found = tilec.compile(text, capped(largest=largest), **given)(a, b)
    np.testing.assert_array_equal(found, tilec.compile(text, "llvm", **given)(a, b))


# --- blocks ----------------------------------------------------------------------------------------------------------


class Memory:
    """What a driver calls a buffer."""

    def __init__(self) -> None:
        self.released = False

    def release(self) -> None:
        assert not self.released
        self.released = True


def test_blocks_are_used_again() -> None:
    made: list[int] = []
    here = Pool(lambda size: made.append(size) or Memory(), 10 << 20)  # type: ignore[func-returns-value]
    one = here.take(1 << 20)
    assert (here.used(), here.free()) == (1 << 20, 0)
    here.give([one])
    assert (here.used(), here.free()) == (0, 1 << 20)
    assert here.take(1 << 20) is one and made == [1 << 20]
    here.give([one])
    assert here.take(100) is not one, "a small tensor takes no large block"
    assert here.take((1 << 20) - 5) is one


def test_what_is_free_is_limited_and_the_oldest_goes() -> None:
    here = Pool(lambda size: Memory(), 4 << 20)
    blocks = [here.take(size) for size in (400_000, 500_000, 600_000)]
    memories = [b.memory for b in blocks]
    here.give(blocks)
    assert [m.released for m in memories] == [True, True, False] and here.free() == 600_000
    here.trim()
    assert memories[2].released and here.free() == 0


def test_free_blocks_go_before_an_allocation_is_given_up() -> None:
    here = Pool(lambda size: Memory(), 1 << 20)
    free, kept = here.take(200_000), here.take(600_000)
    memory = free.memory
    here.give([free])
    other = here.take(400_000)
    assert memory.released and here.used() == 1_000_000
    with pytest.raises(MemoryError, match="1,000,000 bytes of 1,048,576 are in use, and 100,000 more are needed"):
        here.take(100_000)
    del other
    assert here.take(400_000).size == 400_000 and kept.size == 600_000


def test_what_only_cycles_hold_is_found_when_memory_is_short() -> None:
    here = Pool(lambda size: Memory(), 1000)
    cycle: list[Any] = [here.take(900)]
    cycle.append(cycle)
    gc.disable()
    try:
        del cycle
        assert here.take(800).size == 800
    finally:
        gc.enable()
