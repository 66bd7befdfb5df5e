"""Threads: several callers at once, fork, interpreter exit, idleness."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from dataclasses import replace

import numpy as np
import pytest

from tests.backends.llvm_support import Array, build, serial_host
from tilec.backends.llvm import jit
from tilec.backends.llvm.backend import BuiltProgram
from tilec.text.loops_text import parse_kernel

TEXT = """
kernel k(in A: f32[64, 50], out C: f32[64, 50]) {
  for m in 64 parallel {
    alloc t: thread f32[50]
    for n in 50 vector { t[n] = mul(A[m, n], A[63 - m, n]) }
    for n in 50 { C[m, n] = t[49 - n] }
  }
}
"""


def built(threads: int) -> BuiltProgram:
    return build(parse_kernel(TEXT), replace(serial_host(), threads=threads))


def data() -> tuple[Array, Array]:
    a = np.random.default_rng(1).standard_normal((64, 50)).astype(np.float32)
    return a, (a * a[::-1])[:, ::-1]


@pytest.mark.parametrize("threads", [1, 2, 3, 7, 100])
def test_any_number_of_threads(threads: int) -> None:
    program, (a, expected) = built(threads), data()
    for _ in range(20):
        c = np.zeros_like(a)
        program([a], [c])
        np.testing.assert_array_equal(c, expected)


def test_several_callers_at_once() -> None:
    programs, (a, expected) = [built(2), built(2), built(3)], data()
    wrong: list[int] = []

    def use(number: int) -> None:
        c = np.zeros_like(a)
        for _ in range(300):
            c[:] = 0
            programs[number % 3]([a], [c])
            if not np.array_equal(c, expected):
                wrong.append(number)

    callers = [threading.Thread(target=use, args=(n,)) for n in range(6)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(60)
    assert not any(c.is_alive() for c in callers)
    assert not wrong


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_child_starts_its_own_threads() -> None:
    program, (a, expected) = built(2), data()
    c = np.zeros_like(a)
    program([a], [c])
    child = os.fork()
    if child == 0:
        c[:] = 0
        program([a], [c])
        os._exit(0 if np.array_equal(c, expected) else 1)
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            assert os.waitstatus_to_exitcode(status) == 0
            return
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    pytest.fail("the child hangs")


def test_idle_threads_sleep() -> None:
    program, (a, _) = built(4), data()
    program([a], [np.zeros_like(a)])
    time.sleep(0.05)
    before = time.process_time()
    time.sleep(0.3)
    assert time.process_time() - before < 0.1


def test_the_interpreter_exits_cleanly() -> None:
    script = textwrap.dedent(f"""
        import numpy as np
        from dataclasses import replace
        from tests.backends.llvm_support import build, serial_host
        from tilec.text.loops_text import parse_kernel
        program = build(parse_kernel({TEXT!r}), replace(serial_host(), threads=4))
        a = np.zeros((64, 50), np.float32)
        program([a], [a.copy()])
        print("done")
    """)
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    done = subprocess.run([sys.executable, "-c", script], cwd=root, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")


def test_a_call_after_the_threads_have_ended() -> None:
    """What was registered for the exit before tilec was imported runs after the pool has been stopped."""
    script = textwrap.dedent(f"""
        import atexit
        late = []
        atexit.register(lambda: [f() for f in late])
        import numpy as np
        from dataclasses import replace
        from tests.backends.llvm_support import build, serial_host
        from tilec.text.loops_text import parse_kernel
        program = build(parse_kernel({TEXT!r}), replace(serial_host(), threads=4))
        a, c = np.ones((64, 50), np.float32), np.zeros((64, 50), np.float32)
        program([a], [c])
        late.append(lambda: (c.fill(0), program([a], [c]), print("late", c.min())))
    """)
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    done = subprocess.run([sys.executable, "-c", script], cwd=root, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "late 1.0\n", "")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_fork_while_another_thread_holds_the_compiler() -> None:
    """The fork waits for it, so that the child finds the compiler free."""
    entered, go = threading.Event(), threading.Event()

    def hold() -> None:
        with jit._lock:
            entered.set()
            go.wait(0.2)

    holder = threading.Thread(target=hold)
    holder.start()
    entered.wait()
    child = os.fork()
    if child == 0:
        os._exit(0 if jit._lock.acquire(timeout=5) else 1)
    holder.join()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
