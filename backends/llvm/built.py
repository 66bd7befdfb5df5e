"""Machine code made callable. Knows nothing of how the code came to be: emitted just now, or kept from another day."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from tilec import unwritten
from tilec.backend import Array, Built, Direct, Run
from tilec.backends.llvm import jit
from tilec.backends.llvm.direct import HOLD, INTERRUPTIBLE, RELEASE, Launch, direct
from tilec.backends.llvm.direct_code.layout import KEPT
from tilec.backends.llvm.hosts import Hosts
from tilec.backends.llvm.interrupts import Entry, call_address, interrupted_program, interruptible
from tilec.backends.llvm.layout import Code
from tilec.backends.llvm.plans import NoPlans, Plan, Plans
from tilec.backends.llvm.pointers import Table
from tilec.backends.llvm.pool import Pool, pool_address, pool_cell
from tilec.errors import error
from tilec.graph import TensorType

_ENTRY = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)


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
        self._hosts = None if code.hosts is None else Hosts(code.calls, code.hosts)
        self._arenas: list[_Arena] = []  # no lock: a fork may come at any time
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
            if self._hosts is not None:
                self._hosts.raise_from(arena.address)
            if self.code.checks:
                self._raise(arena)
        finally:
            if len(self._arenas) < KEPT:
                self._arenas.append(arena)

    def direct(
        self, params: Sequence[tuple[str, TensorType]], results: Sequence[tuple[TensorType, Callable[[], Array]]]
    ) -> Direct | None:
        """See `tilec.backend.Built`."""
        if self.code.open is not None or self._hosts is not None:
            return None
        words = self.code.interrupts
        program = None if words is None else interrupted_program(self._library.addresses["run"], words)
        launch = Launch(
            self._library.addresses["run"],
            self._fixed.address,
            INTERRUPTIBLE if program is not None else HOLD if self.code.brief else RELEASE,
            0 if program is None else ctypes.addressof(program),
            0 if program is None else call_address(),
            self._pool_cell(),
            self._arenas,
            self.code.status if self.code.checks else -1,
            [self.code.table.index(n) for n in self.code.arguments],
            (self, program),
        )
        return direct(launch, params, results)

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
        if self._hosts is not None:
            self._hosts.enter(memory.address)
        return _Arena(ctypes.addressof(table), memory.address, memory, table, plan)

    def _pool(self) -> int | None:
        """What the code takes for its pool: none where it has no parallel loops, one without workers for one thread."""
        if self.threads > 1 or self.code.threads <= 1:
            return pool_address(self.threads)
        return _lonely_pool().address

    def _pool_cell(self) -> int:
        """Where `_pool` would find its result, without looking; 0 for none at all."""
        if self.threads > 1:
            return pool_cell(self.threads)
        return 0 if self.code.threads <= 1 else _lonely_pool().own_cell


def _run_kept(_kept: Any, run: Entry, table: Any, arena: int, fixed: int, pool: Callable[[], int | None]) -> None:
    """`_kept` only keeps the memory alive that the addresses point to."""
    run(table, arena, fixed, pool())


@jit.once
def _lonely_pool() -> Pool:
    return Pool(1)


class _Arena(NamedTuple):
    """Memory of one call at a time, and the table that the code takes, complete but for the addresses of arrays.

    Direct calls read the first two.
    """

    table_address: int
    address: int
    memory: _Memory
    table: Any
    plan: Plan


class _Memory:
    """Bytes aligned to a cache line."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._bytes = unwritten.memory(size + 64)
        self.address = -(-self._bytes.ctypes.data // 64) * 64
