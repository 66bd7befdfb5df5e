"""Programs that look for signals while they run: a call can be ended by Ctrl-C, or by what any other handler raises.

Python runs signal handlers between its own instructions, in its main thread only, which machine code keeps. So a loop
that may run for long counts its work (`tilec.work`), and after each `PATIENCE` of it asks the interpreter, through
CPython's own entry points, to run what handlers there are. Where one raises, the program returns, and its caller finds
the exception. For that the interpreter's lock is taken, for which another thread may let us wait 5 ms: a clock of the
processor, where it has one, keeps looks some 20 ms apart.

The program's arena has four words for this: work left until the next look; the function that looks, or null where no
signal can come; the thread's state; when it last looked.
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

from tilec.backends.llvm import jit
from tilec.backends.llvm.support import support_code
from tilec.backends.llvm.target import host, is_x86, triple_of

WORDS = 4
Entry: TypeAlias = Callable[[Any, int, int, int | None], None]  # (table, arena, fixed, pool)

# What a program that looks needs; its loops call it when no work is left. True: the call is to end.
LOOK = """define internal i1 @look(ptr %words) #0 {{
entry:
  store i64 {patience}, ptr %words, align 8
  %slot = getelementptr i64, ptr %words, i64 1
  %function = load ptr, ptr %slot, align 8
  %none = icmp eq ptr %function, null
  br i1 %none, label %go, label %ask
ask:
  %raised = call i32 %function(ptr %words)
  %end = icmp ne i32 %raised, 0
  ret i1 %end
go:
  ret i1 false
}}
"""

_IR = """
declare ptr @PyEval_SaveThread()
declare void @PyEval_RestoreThread(ptr)
declare i32 @PyErr_CheckSignals()
declare {long} @PyThread_get_thread_ident()
{declaration}

define void @call(ptr %program, ptr %table, ptr %arena, ptr %fixed, ptr %pool) {{
; Runs a program (its address, where in the arena its words are, where the main thread's number is) without the
; interpreter's lock. It is held before and after, so that an exception is seen at once. Other threads do not look.
entry:
  %run = load ptr, ptr %program, align 8
  %where_slot = getelementptr i64, ptr %program, i64 1
  %where = load i64, ptr %where_slot, align 8
  %main_slot = getelementptr i64, ptr %program, i64 2
  %main_place = load ptr, ptr %main_slot, align 8
  %main = load {long}, ptr %main_place, align 8
  %here = call {long} @PyThread_get_thread_ident()
  %is_main = icmp eq {long} %here, %main
  %look = select i1 %is_main, ptr @signals, ptr null
  %words = getelementptr i8, ptr %arena, i64 %where
  %look_slot = getelementptr i64, ptr %words, i64 1
  %state_slot = getelementptr i64, ptr %words, i64 2
  %last_slot = getelementptr i64, ptr %words, i64 3
  store ptr %look, ptr %look_slot, align 8
  store i64 0, ptr %last_slot, align 8
  %state = call ptr @PyEval_SaveThread()
  store ptr %state, ptr %state_slot, align 8
  call void %run(ptr %table, ptr %arena, ptr %fixed, ptr %pool)
  call void @PyEval_RestoreThread(ptr %state)
  ret void
}}

define internal i32 @signals(ptr %words) {{
; Runs signal handlers, unless that was done a moment ago; not 0 where one has raised.
entry:
  %state_slot = getelementptr i64, ptr %words, i64 2
  %last_slot = getelementptr i64, ptr %words, i64 3
  %last = load i64, ptr %last_slot, align 8
  %now = {clock}
  %passed = sub i64 %now, %last
  %soon = icmp ult i64 %passed, {ticks}
  br i1 %soon, label %go, label %ask
ask:
  store i64 %now, ptr %last_slot, align 8
  %state = load ptr, ptr %state_slot, align 8
  call void @PyEval_RestoreThread(ptr %state)
  %raised = call i32 @PyErr_CheckSignals()
  %same = call ptr @PyEval_SaveThread()
  ret i32 %raised
go:
  ret i32 0
}}
"""
_IMPORTS = ("PyEval_SaveThread", "PyEval_RestoreThread", "PyErr_CheckSignals", "PyThread_get_thread_ident")


def _text() -> str:
    """IR for this machine: a clock that programs may read, and how many of its ticks are some 20 ms, or less."""
    long = f"i{8 * ctypes.sizeof(ctypes.c_ulong)}"
    if is_x86(host()):
        name = "i64 @llvm.readcyclecounter()"
        return _IR.format(long=long, declaration=f"declare {name}", clock=f"call {name}", ticks=1 << 26)
    if triple_of(host()).startswith(("aarch64", "arm64")):
        clock = 'call i64 asm sideeffect "mrs $0, cntvct_el0", "=r"()'  # 1 GHz at most
        return _IR.format(long=long, declaration="", clock=clock, ticks=1 << 19)
    return _IR.format(long=long, declaration="", clock="add i64 0, 0", ticks=0)


@jit.once
def _call() -> tuple[Any, jit.Library]:
    """The function, which finds the interpreter's lock held, and what keeps its code mapped."""
    imports = {n: ctypes.cast(getattr(ctypes.pythonapi, n), ctypes.c_void_p).value or 0 for n in _IMPORTS}
    library = jit.load([support_code(_text(), host())], ["call"], imports)
    return ctypes.PYFUNCTYPE(None, *[ctypes.c_void_p] * 5)(library.addresses["call"]), library


@jit.once
def _main() -> ctypes.c_ulong:
    """The number of the main thread; after a fork that is the thread that forked."""
    number = ctypes.c_ulong()

    def note() -> None:
        number.value = threading.main_thread().ident or 0

    note()
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=note)
    return number


def interruptible(address: int, words: int) -> Entry:
    """The program at an address, ended by what a signal handler raises; `words`: where in the arena its words are.

    In a thread that no signal reaches it does not look.
    """
    return partial(_call()[0], interrupted_program(address, words))


def interrupted_program(address: int, words: int) -> Any:
    """Memory that describes such a program to the function at `call_address`."""
    return (ctypes.c_int64 * 3)(address, words, ctypes.addressof(_main()))


def call_address() -> int:
    """Address of the function that runs an interruptible program: (program, table, arena, fixed, pool)."""
    return _call()[1].addresses["call"]
