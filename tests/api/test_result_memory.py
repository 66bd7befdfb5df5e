"""Memory of large results: used again only when nothing refers to it any more, and bounded."""

from __future__ import annotations

import ctypes
import gc
import os
import random
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import numpy as np
import pytest

import tilec
from tilec import result_memory
from tilec.dtypes import BY_NAME
from tilec.result_memory import LARGE, MEDIUM, ResultMemory

Array = np.ndarray[Any, np.dtype[Any]]
F32 = np.dtype("float32")
SHAPE = (LARGE // 4,)


@pytest.fixture
def memory() -> Iterator[ResultMemory]:
    with tilec.config(result_memory=16 * LARGE):
        yield ResultMemory()


def address(array: Array) -> int:
    return array.ctypes.data


def test_used_again(memory: ResultMemory) -> None:
    array = memory.array(SHAPE, F32)
    assert array.shape == SHAPE and array.dtype is F32 and array.flags.carray and address(array) % (1 << 21) == 0
    array[:] = 1
    place = address(array)
    assert memory.kept() == 0
    del array
    assert memory.kept() == LARGE
    again = memory.array((2, LARGE // 16), np.dtype("float64"))
    assert address(again) == place and memory.kept() == 0


VIEWS: list[Callable[[Array], Any]] = [
    lambda a: a[5:],
    lambda a: a[::-7],
    lambda a: a.reshape(2, -1).T,
    lambda a: a.view("uint8")[3:9],
    lambda a: a.view(np.matrix) if a.ndim == 2 else a.view(np.recarray),
    lambda a: np.asarray(a[1:])[1:],
    lambda a: a[1:].data,
    lambda a: np.lib.stride_tricks.sliding_window_view(a, 3),
    lambda a: np.broadcast_to(a[:1], (4, 1)),
    lambda a: np.from_dlpack(a),
    lambda a: np.frombuffer(a, "uint8"),
    lambda a: a.__dlpack__(),
    lambda a: a.ctypes.data_as(ctypes.c_void_p),
    lambda a: [a.flat],
    lambda a: np.nditer(a),
    lambda a: a.base,
    lambda a: (x for x in a),
]


@pytest.mark.parametrize("view", VIEWS)
def test_not_while_a_view_lives(memory: ResultMemory, view: Callable[[Array], Any]) -> None:
    array = memory.array(SHAPE, F32)
    place, seen = address(array), view(array)
    del array
    gc.collect()
    other = memory.array(SHAPE, F32)
    assert memory.kept() == 0 and address(other) != place
    del seen
    gc.collect()
    assert memory.kept() == LARGE and address(memory.array(SHAPE, F32)) == place
    del other


def test_bounded_and_the_oldest_goes_first(memory: ResultMemory) -> None:
    arrays = [memory.array(SHAPE, F32) for _ in range(20)]
    places = [address(a) for a in arrays]
    while arrays:
        arrays.pop(0)
        assert memory.kept() <= 16 * LARGE
    assert memory.kept() == 16 * LARGE
    again = [memory.array(SHAPE, F32) for _ in range(16)]
    assert sorted(map(address, again)) == sorted(places[4:])
    del again
    with tilec.config(result_memory=3 * LARGE):
        kept = memory.array(SHAPE, F32)
        assert memory.kept() == 2 * LARGE
        large = memory.array((LARGE,), F32)
        del large  # of four times the size: more than may be kept
        assert memory.kept() == 2 * LARGE
    with tilec.config(result_memory=0):
        del kept
        memory.array(SHAPE, F32)
        assert memory.kept() == 0


def test_too_large(memory: ResultMemory) -> None:
    with pytest.raises(MemoryError):
        memory.array((1 << 48,), F32)
    executable = tilec.compile("function f(A) -> (B) { B[i: 70368744177664] = A[]; }", target="llvm", A="f32[]")
    for _ in range(3):
        with pytest.raises(tilec.TileError) as caught:
            executable(np.zeros((), F32))
        assert caught.value.code == "TILE0416"


def test_any_thread_may_let_go(memory: ResultMemory) -> None:
    wrong: list[int] = []

    def work(seed: int) -> None:
        rng = random.Random(seed)
        own: list[tuple[int, Array]] = []
        for n in range(60):
            array = memory.array((LARGE // 4 + rng.randrange(3) * 4096,), F32)
            number = seed * 1000 + n
            array[:] = number
            own.append((number, array[rng.randrange(4096) :]))
            if len(own) > 3:
                wanted, view = own.pop(rng.randrange(len(own)))
                if not (view == wanted).all():
                    wrong.append(wanted)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong and memory.kept() <= memory.limit  # of threads, which do not see this context


def test_let_go_while_the_lock_is_held(memory: ResultMemory) -> None:
    """As when a collection of garbage begins in here: it must neither wait nor keep the block."""
    array = memory.array(SHAPE, F32)
    with memory._lock:
        del array
        assert address(memory.array(SHAPE, F32))
    assert memory.kept() == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
def test_after_a_fork() -> None:
    ours = result_memory.results
    array = ours.array(SHAPE, F32)
    array[:] = 1
    with ours._lock:  # as if another thread held it
        child = os.fork()
        if child == 0:
            array[:] = 2
            place = address(array)
            del array
            os._exit(0 if ours.kept() and address(ours.array(SHAPE, F32)) == place else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert (array == 1).all()


@pytest.mark.parametrize("dtype", ["f32", "i64", "u8", "bf16", "bool"])
def test_results_of_programs(dtype: str) -> None:
    n = LARGE // BY_NAME[dtype].bytes
    executable = tilec.compile("function f(A[N]) -> (B) { B[n: N] = A[N - 1 - n]; }", A=f"{dtype}[{n}]")
    a = np.zeros(n, executable.params["A"].dtype.numpy)
    a[:100] = 1
    places = set()
    for _ in range(4):
        b = executable(a)
        places.add(address(b))
        np.testing.assert_array_equal(b, a[::-1])
        del b
    assert len(places) <= 2  # the first call, in Python, may find other memory
    kept = [executable(a) for _ in range(3)]
    assert len({address(b) for b in kept}) == 3
    a[:] = 0
    again = executable(a)
    assert all(b[-100:].all() for b in kept) and not again.any()


def test_nothing_is_kept_alive() -> None:
    executable = tilec.compile("function f(A[N]) -> (B) { B = A + 1.0; }", A=SHAPE)
    a = np.ones(SHAPE, F32)
    b = executable(a)
    watch = weakref.ref(b)
    before = sys.getrefcount(a)
    del b
    assert watch() is None and sys.getrefcount(a) == before


@pytest.mark.parametrize("size", [MEDIUM // 4, MEDIUM // 4 + 1, MEDIUM // 2 - 3, LARGE // 4 - 1, LARGE // 4])
def test_results_begin_a_cache_line(size: int) -> None:
    doubled = tilec.op("function (X[N]) -> (Y) { Y = 2.0 * X; }")
    x = np.arange(size, dtype=np.float32)
    kept = [doubled(x) for _ in range(5)]
    assert all(address(y) % 64 == 0 and y.flags.writeable and np.array_equal(y, 2 * x) for y in kept)


def test_many_threads_keep_and_drop_results_at_random() -> None:
    """Results and views of them never change while anyone has them: their first and last elements say whose they are.

    Threads hand results to one another, so that they are let go of elsewhere, and some in cycles, by the collector.
    """
    executable = tilec.compile("function f(A[N], S[]) -> (B) { B = A + S; }", A=f"f32[{SHAPE[0]}]", S="f32[]")
    zeros = np.zeros(SHAPE, F32)
    shared: list[tuple[Array, int]] = []
    wrong: list[int] = []
    start = threading.Barrier(6)

    def check(array: Array, number: int) -> None:
        if not (array[0] == array[-1] == array[len(array) // 2] == number):
            wrong.append(number)

    def work(k: int) -> None:
        r, kept = random.Random(k), list[tuple[Array, int]]()
        start.wait()
        for step in range(60):
            number = 1000 * k + step
            result = executable(zeros, np.float32(number))
            kept.append((result if r.random() < 0.5 else r.choice([result[7:], result[::-3]]), number))
            if r.random() < 0.3:
                shared.append(kept.pop(r.randrange(len(kept))))
            if r.random() < 0.1:
                cycle: list[Any] = [result]
                cycle.append(cycle)
            del result
            while kept and r.random() < 0.6:
                check(*kept.pop(r.randrange(len(kept))))
            with suppress(IndexError):  # another thread may have been quicker
                while len(shared) > 4:
                    check(*shared.pop(0))
        for pair in kept:
            check(*pair)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong and result_memory.results.kept() <= result_memory.results.limit


def test_results_are_let_go_of_amid_calls() -> None:
    """What finalizers and the collector call runs amid other calls, and gets memory of its own."""
    executable = tilec.compile("function f(A[N]) -> (B) { B = A + 1.0; }", A=SHAPE)
    a = np.zeros(SHAPE, F32)
    for _ in range(3):
        executable(a)
    calls: list[bool] = []

    def again() -> None:
        inner = executable(a)
        calls.append(bool((inner[::4099] == 1).all()))

    def collected(phase: str, info: dict[str, int]) -> None:
        if phase == "start" and len(calls) < 200:
            again()

    gc.callbacks.append(collected)
    before = gc.get_threshold()
    gc.set_threshold(5)
    try:
        for _ in range(20):
            result = executable(a)
            weakref.finalize(result, again)
            assert (executable(result)[::4099] == 2).all()
            result[:] = 7
            del result
    finally:
        gc.set_threshold(*before)
        gc.callbacks.remove(collected)
    assert len(calls) >= 20 and all(calls)
