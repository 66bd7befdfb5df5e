"""Threads for parallel loops: fork-join without any system call of its own.

The threads are Python's (`threading.Thread` running machine code through ctypes, so they never hold the interpreter's
lock); they are told of work by atomic words, spin for some 50 microseconds and then park on CPython's own thread locks.
No operating system interface is named, so the same IR serves every system and processor.

Memory, in 8-byte words, one cache line of 8 for each group:
    0 fork_join             the function that kernels call, `void (pool, task, context, extent)`
    8 busy                  a fork-join is going on: another caller runs its loop alone, without waiting
    16 done                 workers that have finished; 17 the master sleeps; 18 the master's lock
    24 task, context, extent, members
    32 stop, threads        `threads` counts the master
    40 + 8 w                mailbox of worker w = 1, 2, ...: turn, asleep, lock

A member w of n gets the iterations extent*w/n .. extent*(w+1)/n: a static split, so that the work of an iteration never
depends on timing. Sleeping is announced, then the condition is looked at again, then the lock is taken; whoever clears
the announcement releases the lock, hence exactly one release per acquisition.
"""

from __future__ import annotations

import atexit
import ctypes
import os
import threading
from typing import Any

from tilec.backends.llvm import jit
from tilec.backends.llvm.support import support_code
from tilec.backends.llvm.target import host, is_x86, triple_of

_SPIN = 1000  # pauses of about 40 ns
_WORDS = 40
_STOP, _THREADS, _MASTER_LOCK = 32, 33, 18

_IR = """
declare i32 @PyThread_acquire_lock(ptr, i32)
declare void @PyThread_release_lock(ptr)
declare void {pause_declaration}

define internal void @park(ptr %asleep, ptr %lock_slot, ptr %word, i64 %old) {{
; Blocks until `word` differs from `old`, or a release made for an earlier wait comes late.
entry:
  store atomic i64 1, ptr %asleep seq_cst, align 8
  %now = load atomic i64, ptr %word seq_cst, align 8
  %changed = icmp ne i64 %now, %old
  br i1 %changed, label %withdraw, label %block
withdraw:
  %mine = atomicrmw xchg ptr %asleep, i64 0 seq_cst
  %kept = icmp eq i64 %mine, 1
  br i1 %kept, label %done, label %block
block:
  %lock = load ptr, ptr %lock_slot, align 8
  %taken = call i32 @PyThread_acquire_lock(ptr %lock, i32 1)
  br label %done
done:
  ret void
}}

define internal void @wake(ptr %asleep, ptr %lock_slot) {{
entry:
  %sleeping = load atomic i64, ptr %asleep seq_cst, align 8
  %some = icmp ne i64 %sleeping, 0
  br i1 %some, label %claim, label %done
claim:
  %mine = atomicrmw xchg ptr %asleep, i64 0 seq_cst
  %first = icmp eq i64 %mine, 1
  br i1 %first, label %release, label %done
release:
  %lock = load ptr, ptr %lock_slot, align 8
  call void @PyThread_release_lock(ptr %lock)
  br label %done
done:
  ret void
}}

define internal void @await(ptr %word, i64 %old, ptr %asleep, ptr %lock_slot) {{
; Spins, then parks, until `word` differs from `old`.
entry:
  br label %look
look:
  %i = phi i64 [ 0, %entry ], [ %next, %pause ], [ 0, %sleep ]
  %now = load atomic i64, ptr %word acquire, align 8
  %changed = icmp ne i64 %now, %old
  br i1 %changed, label %done, label %spin
spin:
  %next = add i64 %i, 1
  %more = icmp ult i64 %next, {spin}
  br i1 %more, label %pause, label %sleep
pause:
  call void {pause_call}
  br label %look
sleep:
  call void @park(ptr %asleep, ptr %lock_slot, ptr %word, i64 %old)
  br label %look
done:
  ret void
}}

define internal void @share(ptr %pool, i64 %member) {{
; Runs one member's part of the present task.
entry:
  %task_slot = getelementptr i64, ptr %pool, i64 24
  %context_slot = getelementptr i64, ptr %pool, i64 25
  %extent_slot = getelementptr i64, ptr %pool, i64 26
  %members_slot = getelementptr i64, ptr %pool, i64 27
  %task = load ptr, ptr %task_slot, align 8
  %context = load ptr, ptr %context_slot, align 8
  %extent = load i64, ptr %extent_slot, align 8
  %members = load i64, ptr %members_slot, align 8
  %a = mul i64 %extent, %member
  %first = udiv i64 %a, %members
  %following = add i64 %member, 1
  %b = mul i64 %extent, %following
  %last = udiv i64 %b, %members
  call void %task(ptr %context, i64 %member, i64 %first, i64 %last)
  ret void
}}

define void @work(ptr %pool, i64 %member) {{
; The life of worker `member`.
entry:
  %line = mul i64 %member, 8
  %start = add i64 %line, 40
  %turn = getelementptr i64, ptr %pool, i64 %start
  %asleep = getelementptr i64, ptr %turn, i64 1
  %lock_slot = getelementptr i64, ptr %turn, i64 2
  %stop_slot = getelementptr i64, ptr %pool, i64 32
  %done_count = getelementptr i64, ptr %pool, i64 16
  %master_asleep = getelementptr i64, ptr %pool, i64 17
  %master_lock = getelementptr i64, ptr %pool, i64 18
  %members_slot = getelementptr i64, ptr %pool, i64 27
  br label %wait
wait:
  %seen = phi i64 [ 0, %entry ], [ %now, %finished ], [ %now, %wake_master ]
  call void @await(ptr %turn, i64 %seen, ptr %asleep, ptr %lock_slot)
  %now = load atomic i64, ptr %turn acquire, align 8
  %stop = load atomic i64, ptr %stop_slot acquire, align 8
  %ending = icmp ne i64 %stop, 0
  br i1 %ending, label %leave, label %run
run:
  %members = load i64, ptr %members_slot, align 8
  call void @share(ptr %pool, i64 %member)
  br label %finished
finished:
  %others = sub i64 %members, 2
  %before = atomicrmw add ptr %done_count, i64 1 seq_cst
  %last = icmp eq i64 %before, %others
  br i1 %last, label %wake_master, label %wait
wake_master:
  call void @wake(ptr %master_asleep, ptr %master_lock)
  br label %wait
leave:
  ret void
}}

define void @fork_join(ptr %pool, ptr %task, ptr %context, i64 %extent) {{
; Runs `task` over 0 .. extent-1 on all threads, and returns when it is done.
entry:
  %busy = getelementptr i64, ptr %pool, i64 8
  %done_count = getelementptr i64, ptr %pool, i64 16
  %master_asleep = getelementptr i64, ptr %pool, i64 17
  %master_lock = getelementptr i64, ptr %pool, i64 18
  %task_slot = getelementptr i64, ptr %pool, i64 24
  %context_slot = getelementptr i64, ptr %pool, i64 25
  %extent_slot = getelementptr i64, ptr %pool, i64 26
  %members_slot = getelementptr i64, ptr %pool, i64 27
  %threads_slot = getelementptr i64, ptr %pool, i64 33
  %threads = load i64, ptr %threads_slot, align 8
  %fewer = icmp ult i64 %extent, %threads
  %members = select i1 %fewer, i64 %extent, i64 %threads
  %several = icmp ugt i64 %members, 1
  br i1 %several, label %enter, label %alone
enter:
  %pair = cmpxchg ptr %busy, i64 0, i64 1 seq_cst monotonic
  %entered = extractvalue {{ i64, i1 }} %pair, 1
  br i1 %entered, label %fork, label %alone
alone:
  call void %task(ptr %context, i64 0, i64 0, i64 %extent)
  ret void
fork:
  store ptr %task, ptr %task_slot, align 8
  store ptr %context, ptr %context_slot, align 8
  store i64 %extent, ptr %extent_slot, align 8
  store i64 %members, ptr %members_slot, align 8
  store atomic i64 0, ptr %done_count seq_cst, align 8
  br label %tell
tell:
  %w = phi i64 [ 1, %fork ], [ %following, %tell ]
  %line = mul i64 %w, 8
  %start = add i64 %line, 40
  %turn = getelementptr i64, ptr %pool, i64 %start
  %asleep = getelementptr i64, ptr %turn, i64 1
  %lock_slot = getelementptr i64, ptr %turn, i64 2
  %old = atomicrmw add ptr %turn, i64 1 seq_cst
  call void @wake(ptr %asleep, ptr %lock_slot)
  %following = add i64 %w, 1
  %more = icmp ult i64 %following, %members
  br i1 %more, label %tell, label %own
own:
  call void @share(ptr %pool, i64 0)
  br label %join
join:
  %done = load atomic i64, ptr %done_count acquire, align 8
  %following_done = add i64 %done, 1
  %all = icmp eq i64 %following_done, %members
  br i1 %all, label %leave, label %await_more
await_more:
  call void @await(ptr %done_count, i64 %done, ptr %master_asleep, ptr %master_lock)
  br label %join
leave:
  store atomic i64 0, ptr %busy seq_cst, align 8
  ret void
}}
"""


def pool_text() -> str:
    """IR of the pool for this machine."""
    if is_x86(host()):
        pause = ("@llvm.x86.sse2.pause()", "@llvm.x86.sse2.pause()")
    elif triple_of(host()).startswith(("aarch64", "arm64")):
        pause = ("@llvm.aarch64.hint(i32)", "@llvm.aarch64.hint(i32 1)")
    else:
        pause = ("@llvm.donothing()", "@llvm.donothing()")
    return _IR.format(spin=_SPIN, pause_declaration=pause[0], pause_call=pause[1])


_IMPORTS = ("PyThread_acquire_lock", "PyThread_release_lock")


@jit.once
def _code() -> jit.Library:
    imports = {n: ctypes.cast(getattr(ctypes.pythonapi, n), ctypes.c_void_p).value or 0 for n in _IMPORTS}
    return jit.load([support_code(pool_text(), host())], ["work", "fork_join"], imports)


class Pool:
    """`threads - 1` sleeping workers. `address` is what kernels take."""

    def __init__(self, threads: int) -> None:
        self._memory = ctypes.create_string_buffer(8 * (_WORDS + 8 * threads) + 64)
        self.address = -(-ctypes.addressof(self._memory) // 64) * 64
        self._words = (ctypes.c_int64 * (_WORDS + 8 * threads)).from_address(self.address)
        self._words[0] = _code().addresses["fork_join"]
        self._words[_MASTER_LOCK] = _taken_lock()
        self._cell = ctypes.c_int64(self.address)
        self.own_cell = ctypes.addressof(self._cell)  # where the address is: what describes a call may name it
        self._workers: list[threading.Thread] = []
        for member in range(1, threads):
            if not self._start(member):
                break
        self._words[_THREADS] = 1 + len(self._workers)

    def _start(self, member: int) -> bool:
        self._words[_WORDS + 8 * member + 2] = _taken_lock()
        work = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64)(_code().addresses["work"])
        name = f"tilec-{member}"
        thread = threading.Thread(target=work, args=(self.address, member), name=name, daemon=True)
        try:
            thread.start()
        except RuntimeError:  # no more threads to be had: fewer do the work
            return False
        self._workers.append(thread)
        return True

    def stop(self) -> None:
        """Ends the workers; for the interpreter's exit. Programs called later, by finalisers, run on one thread."""
        self._words[_THREADS] = 1
        self._words[_STOP] = 1
        for member, thread in enumerate(self._workers, 1):
            self._words[_WORDS + 8 * member] += 1
            thread.join(0.001)
            if thread.is_alive() and self._words[_WORDS + 8 * member + 1]:
                self._words[_WORDS + 8 * member + 1] = 0
                _release(self._words[_WORDS + 8 * member + 2])
            thread.join(1.0)


def _taken_lock() -> int:
    """Address of a new, taken CPython thread lock; it is never freed, for a thread may wait on it to the very end."""
    allocate: Any = ctypes.pythonapi.PyThread_allocate_lock
    allocate.restype = ctypes.c_void_p
    acquire: Any = ctypes.pythonapi.PyThread_acquire_lock
    acquire.argtypes = [ctypes.c_void_p, ctypes.c_int]
    lock = int(allocate())
    acquire(lock, 1)
    return lock


def _release(lock: int) -> None:
    release: Any = ctypes.pythonapi.PyThread_release_lock
    release.argtypes = [ctypes.c_void_p]
    release(lock)


_pools: dict[int, Pool] = {}
_cells: dict[int, ctypes.c_int64] = {}
_lock = threading.Lock()


def pool_address(threads: int) -> int | None:
    """The process's pool of that many threads, started when first asked for; None for one thread."""
    if threads <= 1:
        return None
    found = _pools.get(threads)
    if found is None:
        with _lock:
            found = _pools.get(threads)
            if found is None:
                found = _pools[threads] = Pool(threads)
                _cells.setdefault(threads, ctypes.c_int64()).value = found.address
    return found.address


def pool_cell(threads: int) -> int:
    """Where the address of the pool of that many threads is, as long as there is one; 0 otherwise."""
    return ctypes.addressof(_cells.setdefault(threads, ctypes.c_int64()))


def _after_fork() -> None:
    """In the child there are no workers: pools are forgotten and started again when needed."""
    global _lock
    _lock = threading.Lock()
    _pools.clear()
    for cell in _cells.values():
        cell.value = 0


def _stop_all() -> None:
    for pool in _pools.values():
        pool.stop()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
atexit.register(_stop_all)
