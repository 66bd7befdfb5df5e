"""Calls that run for long are ended by Ctrl-C, and by what any signal handler raises; what they compiled stays usable.

The signals are real ones, in processes of their own: a call that does not hear one never ends, and the test fails.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tilec
from tests.aot.test_objects import Loaded
from tests.backends.conformance import NAMES
from tilec.ahead import compile_ahead, target_named
from tilec.backends.llvm.interrupts import WORDS
from tilec.backends.llvm.layout import Layout
from tilec.backends.llvm.module import emit_module
from tilec.devices import resolve_target
from tilec.text.graph_text import parse_graph

ROOT = Path(__file__).parents[2]

# Each runs N rounds; N < 0: for ever, or for longer than anyone waits.
COUNTING = """graph f(X: f32[4], N: i64) -> (Y, M) {
  M: i64, Y: f32[4] = while(N, X)
    test graph t(N: i64, A: f32[4]) -> (P) { Z: i64 = literal (0) P: bool = cmp_ne(N, Z) }
    do graph b(N: i64, A: f32[4]) -> (K, B) {
      one: i64 = literal (1) K: i64 = sub(N, one)
      half: f32 = literal (0.5) H: f32[4] = mul(A, half) B: f32[4] = sub(H, half)
    }
}"""
NESTED = """graph f(X: f32[4], N: i64) -> (Y, M) {
  M: i64, Y: f32[4] = while(N, X)
    test graph t(N: i64, A: f32[4]) -> (P) { Z: i64 = literal (0) P: bool = cmp_ne(N, Z) }
    do graph b(N: i64, A: f32[4]) -> (K, B) {
      one: i64 = literal (1) K: i64 = sub(N, one) big: i64 = literal (1) P: bool = cmp_eq(K, big)
      B: f32[4] = if P (A, K)
        then graph y(A: f32[4], N: i64) -> (A) {}
        else graph n(A: f32[4], N: i64) -> (B) {
          B: f32[4] = scan(A) in () length 100000000000 count N
            do graph s(A: f32[4]) -> (B) { half: f32 = literal (0.5) B: f32[4] = mul(A, half) }
        }
    }
}"""
COUNTED = """graph f(X: f32[4], N: i64) -> (Y, K) {
  far: i64 = literal (1000000000000) L: i64 = bit_and(N, far)  K: i64 = ident(L)
  Y: f32[4] = scan(X) in () length 1000000000000 count L
    do graph s(A: f32[4]) -> (B) { half: f32 = literal (0.5) H: f32[4] = mul(A, half) B: f32[4] = sub(H, half) }
}"""
PROGRAMS = {"while": COUNTING, "nested": NESTED, "count": COUNTED}

SCRIPT = """
import os, signal, sys, threading, time
import numpy as np
import tilec
from tilec.text.graph_text import parse_graph

text, target = sys.argv[1:3]
program = tilec.compile(parse_graph(text), target=target)
x = np.arange(4, dtype=np.float32)
expected = [a.tolist() for a in program(x, np.int64(3))]

def told(number=signal.SIGINT):
    time.sleep(0.3)
    os.kill(os.getpid(), number)
"""


def child(script: str, *arguments: str) -> str:
    """What a process prints that runs the script to its end."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT + script, *arguments],
        cwd=ROOT,
        env={**os.environ, "TILEC_CACHE": "0", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")

AGAIN = """
for k in range(3):
    threading.Thread(target=told).start()
    try:
        program(x, np.int64(-1))
    except KeyboardInterrupt:
        print("interrupted")
    assert [a.tolist() for a in program(x, np.int64(3))] == expected
"""


@pytest.mark.parametrize("target", [*NAMES, "reference"])
@pytest.mark.parametrize("name", PROGRAMS)
def test_ctrl_c_ends_a_call(name: str, target: str) -> None:
    assert child(AGAIN, PROGRAMS[name], target) == "interrupted\n" * 3


def test_whatever_a_handler_raises_ends_the_call() -> None:
    script = """
def handler(number, frame):
    assert [a.tolist() for a in program(x, np.int64(3))] == expected  # the program itself may be called meanwhile
    raise TimeoutError("enough")
signal.signal(signal.SIGALRM, handler)
signal.setitimer(signal.ITIMER_REAL, 0.3)
try:
    program(x, np.int64(-1))
except TimeoutError as reason:
    print(reason)
"""
    assert child(script, COUNTING, "llvm") == "enough\n"


def test_a_handler_that_raises_nothing_ends_nothing() -> None:
    script = """
seen = []
signal.signal(signal.SIGALRM, lambda *_: seen.append(len(seen)))
signal.setitimer(signal.ITIMER_REAL, 0.05, 0.05)
rounds = 1 << 20
while not seen:  # until one came during the call
    seen.clear()
    y, m = program(x, np.int64(rounds))
    rounds *= 2
signal.setitimer(signal.ITIMER_REAL, 0)
print(m.item(), y.tolist())
"""
    assert child(script, COUNTING, "llvm") == "0 [-1.0, -1.0, -1.0, -1.0]\n"


def test_only_the_main_thread_hears_signals() -> None:
    script = """
import queue
answers = queue.Queue()
rounds = 1 << 16
def work():
    global rounds
    while ending.empty():
        rounds *= 2
        answers.put(program(x, np.int64(min(rounds, 1 << 26)))[0].tolist())
ending = queue.Queue()
worker = threading.Thread(target=work)
worker.start()
threading.Thread(target=told).start()
try:
    while True:
        time.sleep(0.01)
except KeyboardInterrupt:
    ending.put(None)
    worker.join()
print(all(answers.get() == [-1.0] * 4 for _ in range(answers.qsize())))
"""
    assert child(script, COUNTING, "llvm") == "True\n"


def test_a_process_forked_by_another_thread_hears_signals() -> None:
    """There that thread is the main one."""
    script = """
import warnings
warnings.simplefilter("ignore")  # from Python 3.12 on: of forks beside threads
def work():
    if os.fork():
        os.wait()
        return
    signal.signal(signal.SIGALRM, signal.default_int_handler)
    signal.setitimer(signal.ITIMER_REAL, 0.3)
    try:
        program(x, np.int64(-1))
    except KeyboardInterrupt:
        os.write(1, b"interrupted")
    os._exit(0)
worker = threading.Thread(target=work)
worker.start()
worker.join()
"""
    assert child(script, COUNTING, "llvm") == "interrupted"


def test_donated_state_is_what_it_was() -> None:
    script = """
state = x + 7
donating = tilec.compile(parse_graph(text), target=target, donate={"X": "Y"})
threading.Thread(target=told).start()
try:
    donating(state, np.int64(-1))
except KeyboardInterrupt:
    print(state.tolist())
y, m = donating(state, np.int64(1))
print(y is state, state.tolist())
"""
    expected = "[7.0, 8.0, 9.0, 10.0]\nTrue [3.0, 3.5, 4.0, 4.5]\n"
    for target in NAMES:
        assert child(script, COUNTING, target) == expected


def test_a_loaded_program_too(tmp_path: Path) -> None:
    script = f"""
program.save({str(tmp_path / "p.tilec")!r})
program = tilec.load({str(tmp_path / "p.tilec")!r})
"""
    assert child(script + AGAIN, COUNTING, "llvm") == "interrupted\n" * 3


def layout_of(text: str) -> Layout:
    program = tilec.compile(parse_graph(text), target="llvm").program
    assert program is not None
    return emit_module(program, resolve_target("llvm")).layout


STEPS = """graph f(X: f32[4]) -> (Y) {
  Y: f32[4] = scan(X) in () length LENGTH do graph s(A: f32[4]) -> (B) { B: f32[4] = add(A, A) }
}"""


def test_programs_that_end_soon_do_not_look() -> None:
    assert layout_of(STEPS.replace("LENGTH", "1000")).interrupts is None
    assert layout_of(STEPS.replace("LENGTH", "1000000")).interrupts is not None
    assert layout_of(COUNTED.replace("1000000000000", "1000")).interrupts is None
    assert layout_of(COUNTING).interrupts is not None
    assert WORDS * 8 <= 64  # the room that the layout leaves


def test_a_function_for_c_has_nobody_to_ask() -> None:
    function = Loaded(compile_ahead(parse_graph(COUNTING), target_named("host"), {}, {}))
    results: list[Any] = function.run({"X": np.arange(4, dtype=np.float32), "N": 1 << 20})
    assert results[0].tolist() == [-1.0] * 4
