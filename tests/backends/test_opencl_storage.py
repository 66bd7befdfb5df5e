"""Where arguments, results and temporary tensors are on an OpenCL device: in place, copied, in one arena."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest

import tilec
from tilec.backends.opencl import devices, sessions, storage
from tilec.errors import TileError
from tilec.text.graph_text import parse_graph

TARGET = next(iter(devices.targets()), None)
pytestmark = pytest.mark.skipif(
    TARGET is None, reason="no OpenCL device: pip install pyopencl pocl-binary-distribution"
)
LARGE = storage.MAPPED // 4 + 3  # float32 numbers
SUM = "function (A, B) -> (C) { C = 2.0 * A + B; }"


def compiled(text: str, *shapes: tuple[int, ...], **more: Any) -> Any:
    named: dict[str, Any] = {**dict(zip("AB", shapes)), **more}
    return tilec.compile(text, target=str(TARGET), **named)


def numbers(count: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).standard_normal(count).astype(np.float32)


@pytest.mark.parametrize("count", [5, LARGE])
def test_one_array_twice(count: int) -> None:
    a = numbers(count)
    np.testing.assert_array_equal(compiled(SUM, (count,), (count,))(a, a), 2 * a + a)


@pytest.mark.parametrize("shift", [0, 1, 7, LARGE // 2, LARGE])
def test_arguments_that_overlap(shift: int) -> None:
    memory = numbers(2 * LARGE)
    a, b = memory[:LARGE], memory[shift : shift + LARGE]
    run = compiled(SUM, (LARGE,), (LARGE,))
    for first, second in ((a, b), (b, a)):
        np.testing.assert_array_equal(run(first, second), 2 * first + second)


def test_arrays_at_any_address_and_read_only_ones() -> None:
    bytes_ = np.zeros(4 * LARGE + 64, np.uint8)
    run = compiled(SUM, (LARGE,), (LARGE,))
    for at in range(0, 64, 4):
        a = bytes_[at : at + 4 * LARGE].view(np.float32)
        a[...] = numbers(LARGE, at)
        b = numbers(LARGE, at + 1)
        b.flags.writeable = False
        np.testing.assert_array_equal(run(a, b), 2 * a + b)


def test_each_call_has_its_own_arrays() -> None:
    """Nothing of an earlier call is read, and results of earlier calls stay as they are."""
    run, found = compiled(SUM, (LARGE,), (LARGE,)), []
    for k in range(4):
        a = numbers(LARGE, k)
        found.append((run(a, np.float32(1) + a), 2 * a + (np.float32(1) + a)))
        a[...] = np.nan
    for result, wanted in found:
        np.testing.assert_array_equal(result, wanted)


@pytest.mark.parametrize("count", [5, LARGE])
def test_donated_state(count: int) -> None:
    run = compiled("function (A, B) -> (C) { C = A - B; }", (count,), (count,), donate={"A": "C"})
    a, b = numbers(count), numbers(count, 1)
    wanted = a - b - b
    assert run(a, b) is a and run(a, b) is a
    np.testing.assert_array_equal(a, wanted)


@pytest.mark.parametrize("count", [5, LARGE])
def test_a_call_that_fails_leaves_its_state(count: int) -> None:
    run = tilec.compile(
        parse_graph(f"""graph f(W: f32[{count}], G: f32[{count}]) -> (V) aliases (W = V) {{
          V: f32[{count}] = sub(W, G)
          limit: f32 = literal (5.0)
          p: bool[{count}] = cmp_lt(V, limit)
          () = special assert(p) {{message = "too large"}}
        }}"""),
        target=str(TARGET),
    )
    state = np.zeros(count, np.float32)
    with pytest.raises(TileError, match="TILE0405"):
        run(state, np.full(count, -8, np.float32))
    assert not state.any()
    assert run(state, np.ones(count, np.float32)) is state and (state == -1).all()


def test_open_sizes_of_all_kinds() -> None:
    text = "function (A[N], B[N]) -> (C) { T[] = +(A[n]); C = (A + B) * T; }"
    run = tilec.compile(text, target=str(TARGET), A=("N",), B=("N",))
    for count in (3, LARGE, 8, 2 * LARGE, 0):
        a = np.ones(count, np.float32)
        np.testing.assert_array_equal(run(a, a), np.full(count, 2.0 * count, np.float32))


def test_sessions_on_a_device_share_a_context() -> None:
    assert TARGET is not None
    one, other = sessions.Session.on(TARGET), sessions.Session.on(TARGET)
    assert one.context is other.context and one.queue is not other.queue


def test_programs_of_one_device_in_threads() -> None:
    runs = [compiled(f"function (A) -> (C) {{ C = A * {k}.0; }}", (LARGE,)) for k in range(3)]
    a = numbers(LARGE)
    wrong: list[int] = []

    def work(k: int) -> None:
        wrong.extend(k for _ in range(30) if not np.array_equal(runs[k](a), a * np.float32(k)))

    threads = [threading.Thread(target=work, args=(k,)) for k in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_temporary_tensors_share_an_arena() -> None:
    lines = [f"{y}[i, j : N, N] = +({x}[i, k] * A[k, j]);" for x, y in ("AB", "BC", "CD")]
    run = compiled(f"function (A[N, N]) -> (D) {{ {' '.join(lines)} }}", (40, 40))
    a = np.random.default_rng(3).integers(-2, 3, (40, 40)).astype(np.float32)
    np.testing.assert_array_equal(run(a), a @ a @ a @ a)
    assert TARGET is not None and run.program is not None
    kept = storage.Storage(sessions.Session.on(TARGET), run.program, {})
    kept.begin([a], [np.empty_like(a)])
    places = [kept.place(n) for n, _ in run.program.places]
    assert len(places) == 2 and len({id(memory) for memory, _ in places}) == 1 and len({at for _, at in places}) == 2


def test_slices_of_an_open_size_are_not_waited_for() -> None:
    """Where each begins is set on the device; the host waits once, at the end."""
    assert TARGET is not None
    run = tilec.compile("function (A[N]) -> (C) { C[n : N] = =(A[n] * n); }", TARGET, A=("N",))
    a = np.ones(1003, np.float32)
    run(a)
    pool, calls = sessions.Session.on(TARGET).pool, list[str]()
    before = pool.before
    pool.before = calls.append
    try:
        found = run(a)
    finally:
        pool.before = before
    np.testing.assert_array_equal(found, np.arange(1003))
    assert calls.count("set") >= 2 and (calls.count("read"), calls.count("write"), calls.count("finish")) == (1, 1, 1)


def test_many_small_arguments() -> None:
    """Their copies are not waited for one by one; each call has its own values all the same."""
    names = [f"A{k}" for k in range(40)]
    shapes: dict[str, Any] = {n: (7,) for n in names}
    run = tilec.compile(f"function ({', '.join(names)}) -> (B) {{ B = {' + '.join(names)}; }}", str(TARGET), **shapes)
    for k in range(5):
        arrays = [np.full(7, (k + 1) * j, np.float32)[::-1] for j in range(40)]  # which are copied first
        np.testing.assert_array_equal(run(*arrays), np.full(7, (k + 1) * 780, np.float32))
