"""Machine code made callable. Knows nothing of how the code came to be: emitted just now, or kept from another day."""

from __future__ import annotations

import ctypes
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import numpy as np

from tilec.backend import Array, Built, Run
from tilec.backends.llvm import jit
from tilec.backends.llvm.interrupts import Entry, interruptible
from tilec.backends.llvm.layout import Code
from tilec.backends.llvm.plans import NoPlans, Plan, Plans
from tilec.backends.llvm.pointers import Table
from tilec.backends.llvm.pool import Pool, pool_address
from tilec.errors import error

_ENTRY = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)
_KEPT_ARENAS = 4


class BuiltProgram(Built):
    """A program's machine code and constant memory; each call takes its own arena.

    Attributes: code, what was loaded; threads, how many run it, at most what the code was made for. `constants` by
    name, every one that `code.table` asks for.
    """

    def __init__(self, code: Code, constants: Mapping[str, Array], threads: int | None = None) -> None:
        self.code = code
        self.threads = code.threads if threads is None else min(threads, code.threads)
        self._library = jit.load(code.objects, ["run", *(["init"] if code.init else [])])
        self._run = self._entry(self._library.addresses["run"])
        self._constants = {n: np.ascontiguousarray(constants[n]) for n in code.table if n in constants}
        self._fixed = _Memory(code.fixed_bytes)
        pointers = [self._constants[n].ctypes.data if n in self._constants else None for n in code.table]
        pointers += [None] * (len(code.open.slots) if code.open is not None else 0)
        self._table = self._calls_table(pointers)
        self._plans: Plans | NoPlans = NoPlans() if code.open is None else Plans(code.open)
        self._arenas: deque[_Arena] = deque(maxlen=_KEPT_ARENAS)  # no lock: a fork may come at any time
        if code.init:
            arena = _Memory(code.arena_bytes)
            init = _ENTRY(self._library.addresses["init"])
            init(Table(pointers, ()).new(), arena.address, self._fixed.address, self._pool())
            for name in code.packed:  # no call reads it: what `init` made of it is kept instead
                del self._constants[name]
                pointers[code.table.index(name)] = None
            self._table = self._calls_table(pointers)

    def _calls_table(self, pointers: Sequence[int | None]) -> Table:
        return Table(pointers, [self.code.table.index(n) for n in self.code.arguments])

    def _entry(self, address: int) -> Entry:
        words = self.code.interrupts
        return _ENTRY(address) if words is None else interruptible(address, words)

    def __call__(self, params: Sequence[Array], results: Sequence[Array]) -> None:
        """See `tilec.backend.Built`; parameters that are constants are left out.

        Raises what a failed Check says. In the main thread, what a signal handler raises during a loop ends the call.
        """
        self._call(self._plans.of((*params, *results)), params, results)

    def at(self, sizes: Mapping[str, int]) -> Run:
        """See `tilec.backend.Built`."""
        return partial(self._call, self._plans.at(sizes))

    def _call(self, plan: Plan, params: Sequence[Array], results: Sequence[Array]) -> None:
        arrays = (*params, *results)
        arena = self._take(plan)
        try:
            self._table.fill(arena.table, arrays)
            self._run(arena.table, arena.address, self._fixed.address, self._pool())
            if self.code.checks:
                self._raise(arena)
        finally:
            self._arenas.append(arena)

    def _raise(self, arena: _Arena) -> None:
        """An error where a Check of the call on this arena failed."""
        failed = ctypes.c_int64.from_address(arena.address + self.code.status).value
        if failed:
            raise error(*self.code.checks[failed - 1])

    def bind(self, params: Sequence[Array], results: Sequence[Array]) -> Callable[[], None]:
        """A call on these very arrays with nothing left to prepare; not to be called by two threads at once.

        It does not look whether a Check failed.
        """
        arrays = (*params, *results)
        arena = self._made(self._plans.of(arrays))
        self._table.fill(arena.table, arrays)
        kept = (self, arena, *arrays)
        return partial(_run_kept, kept, self._run, arena.table, arena.address, self._fixed.address, self._pool)

    def _take(self, plan: Plan) -> _Arena:
        """An arena for a call: one that the last call of the same plan left is ready as it is."""
        try:
            arena = self._arenas.pop()
        except IndexError:
            return self._made(plan)
        if arena.plan is plan:
            return arena
        return self._made(plan, arena.memory)

    def _made(self, plan: Plan, memory: _Memory | None = None) -> _Arena:
        """An arena for a plan, in given memory where that is large enough."""
        size = self.code.arena_bytes + plan.bytes
        if memory is None or memory.size < size:
            memory = _Memory(size)
        table = self._table.new()
        plan.fill(table, memory.address + self.code.arena_bytes)
        return _Arena(memory, memory.address, table, plan)

    def _pool(self) -> int | None:
        """What the code takes for its pool: none where it has no parallel loops, one without workers for one thread."""
        if self.threads > 1 or self.code.threads <= 1:
            return pool_address(self.threads)
        return _lonely_pool().address


def _run_kept(_kept: Any, run: Entry, table: Any, arena: int, fixed: int, pool: Callable[[], int | None]) -> None:
    """`_kept` only keeps the memory alive that the addresses point to."""
    run(table, arena, fixed, pool())


@cache
def _lonely_pool() -> Pool:
    return Pool(1)


@dataclass(frozen=True, slots=True)
class _Arena:
    """Memory of one call at a time, and the table that the code takes, complete but for the addresses of arrays."""

    memory: _Memory
    address: int
    table: Any
    plan: Plan


class _Memory:
    """Bytes aligned to a cache line."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._bytes = np.empty(size + 64, np.uint8)
        self.address = -(-self._bytes.ctypes.data // 64) * 64
