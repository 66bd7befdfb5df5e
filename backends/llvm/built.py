"""Machine code made callable. Knows nothing of how the code came to be: emitted just now, or kept from another day."""

from __future__ import annotations

import ctypes
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from typing import Any

import numpy as np

from tilec.backend import Array
from tilec.backends.llvm import jit
from tilec.backends.llvm.layout import Code
from tilec.backends.llvm.plans import Plan, Plans
from tilec.backends.llvm.pointers import Table
from tilec.backends.llvm.pool import Pool, pool_address
from tilec.errors import error

_ENTRY = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)
_KEPT_ARENAS = 4


class BuiltProgram:
    """A program's machine code and constant memory; each call takes its own arena.

    Attributes: code, what was loaded; threads, how many run it, at most what the code was made for. `constants` by
    name, every one that `code.table` asks for.
    """

    def __init__(self, code: Code, constants: Mapping[str, Array], threads: int | None = None) -> None:
        self.code = code
        self.threads = code.threads if threads is None else min(threads, code.threads)
        self._library = jit.load(code.objects, ["run", *(["init"] if code.init else [])])
        self._run = _ENTRY(self._library.addresses["run"])
        self._constants = {n: np.ascontiguousarray(constants[n]) for n in code.table if n in constants}
        self._fixed = _Memory(code.fixed_bytes)
        pointers = [self._constants[n].ctypes.data if n in self._constants else None for n in code.table]
        pointers += [None] * (len(code.open.slots) if code.open is not None else 0)
        self._table = Table(pointers, [code.table.index(n) for n in code.arguments])
        self._plans = Plans(code.open) if code.open is not None else None
        self._arenas: deque[_Memory] = deque(maxlen=_KEPT_ARENAS)  # no lock: a fork may come at any time
        if code.init:
            arena = _Memory(code.arena_bytes)
            init = _ENTRY(self._library.addresses["init"])
            init(Table(pointers, ()).filled(()), arena.address, self._fixed.address, self._pool())

    def __call__(self, params: Sequence[Array], results: Sequence[Array]) -> None:
        """See `tilec.backend.Built`; parameters that are constants are left out. Raises TILE0405: a Check failed."""
        table = self._table.filled((*params, *results))
        if self._plans is not None:
            self._run_open(self._plans.of((*params, *results)), table)
            return
        arena = self._take()
        try:
            self._run(table, arena.address, self._fixed.address, self._pool())
            if self.code.checks:
                self._raise(arena)
        finally:
            self._arenas.append(arena)

    def _raise(self, arena: _Memory) -> None:
        """TILE0405 where a Check of the call on this arena failed."""
        failed = ctypes.c_int64.from_address(arena.address + self.code.status).value
        if failed:
            message, span = self.code.checks[failed - 1]
            raise error("TILE0405", message, span)

    def _run_open(self, plan: Plan, table: Any) -> None:
        """A call for one vector of sizes, in an arena that has room for them."""
        arena = self._take()
        if arena.size < self.code.arena_bytes + plan.bytes:
            arena = _Memory(self.code.arena_bytes + plan.bytes)
        try:
            plan.fill(table, arena.address + self.code.arena_bytes)
            self._run(table, arena.address, self._fixed.address, self._pool())
            if self.code.checks:
                self._raise(arena)
        finally:
            self._arenas.append(arena)

    def bind(self, params: Sequence[Array], results: Sequence[Array]) -> Callable[[], None]:
        """A call on these very arrays with nothing left to prepare; not to be called by two threads at once.

        It does not look whether a Check failed.
        """
        table = self._table.filled((*params, *results))
        plan = self._plans.of((*params, *results)) if self._plans is not None else Plan()
        arena = _Memory(self.code.arena_bytes + plan.bytes)
        plan.fill(table, arena.address + self.code.arena_bytes)
        kept = (self, arena, *params, *results)
        return partial(_run_kept, kept, self._run, table, arena.address, self._fixed.address, self._pool)

    def _pool(self) -> int | None:
        """What the code takes for its pool: none where it has no parallel loops, one without workers for one thread."""
        if self.threads > 1 or self.code.threads <= 1:
            return pool_address(self.threads)
        return _lonely_pool().address

    def _take(self) -> _Memory:
        try:
            return self._arenas.pop()
        except IndexError:
            return _Memory(self.code.arena_bytes)


def _run_kept(_kept: Any, run: Any, table: Any, arena: int, fixed: int, pool: Callable[[], int | None]) -> None:
    """`_kept` only keeps the memory alive that the addresses point to."""
    run(table, arena, fixed, pool())


@cache
def _lonely_pool() -> Pool:
    return Pool(1)


class _Memory:
    """Bytes aligned to a cache line."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._bytes = np.empty(size + 64, np.uint8)
        self.address = -(-self._bytes.ctypes.data // 64) * 64
