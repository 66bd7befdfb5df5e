"""The LLVM backend: `Backend` and the built program."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from tilec.backend import Array
from tilec.backends.llvm import jit
from tilec.backends.llvm.module import Layout, emit_module
from tilec.backends.llvm.pointers import Table
from tilec.backends.llvm.pool import pool_address
from tilec.backends.llvm.target import host
from tilec.loops import Program
from tilec.target import Target

_ENTRY = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)
_KEPT_ARENAS = 4


class LLVMBackend:
    """CPU code. The only device is `host`; named cross targets can be emitted but not built."""

    name = "llvm"

    def targets(self) -> list[Target]:
        try:
            return [host()]
        except (RuntimeError, OSError):
            return []

    def emit(self, program: Program, target: Target) -> str:
        return emit_module(program, target).text

    def build(self, program: Program, target: Target, constants: Mapping[str, Array]) -> BuiltProgram:
        return BuiltProgram(program, target, constants)


class BuiltProgram:
    """A program's machine code and constant memory; each call takes its own arena.

    Attributes: layout, the memory of a call; object_code, the object file.
    """

    def __init__(self, program: Program, target: Target, constants: Mapping[str, Array]) -> None:
        module = emit_module(program, target)
        self.layout: Layout = module.layout
        self.object_code = jit.object_code(module.text, target)
        self._library = jit.load(self.object_code, ["run", *(["init"] if program.init else [])])
        self._run = _ENTRY(self._library.addresses["run"])
        self._threads = target.threads
        self._constants = {n: np.ascontiguousarray(constants[n]) for n in self.layout.table if n in constants}
        self._fixed = _Memory(self.layout.fixed_bytes)
        table = self.layout.table
        pointers = [self._constants[n].ctypes.data if n in self._constants else None for n in table]
        arguments = (n for n in (*program.params, *program.results) if n not in constants)
        self._table = Table(pointers, [table.index(n) for n in arguments])
        self._arenas: list[_Memory] = []
        self._lock = threading.Lock()
        if program.init:
            arena = _Memory(self.layout.arena_bytes)
            init = _ENTRY(self._library.addresses["init"])
            init(Table(pointers, ()).filled(()), arena.address, self._fixed.address, pool_address(self._threads))

    def __call__(self, params: Sequence[Array], results: Sequence[Array]) -> None:
        """See `tilec.backend.Built`; parameters that are constants are left out."""
        table = self._table.filled((*params, *results))
        arena = self._take()
        try:
            self._run(table, arena.address, self._fixed.address, pool_address(self._threads))
        finally:
            self._give(arena)

    def bind(self, params: Sequence[Array], results: Sequence[Array]) -> Callable[[], None]:
        """A call on these very arrays with nothing left to prepare; not to be called by two threads at once."""
        table, arena = self._table.filled((*params, *results)), _Memory(self.layout.arena_bytes)
        kept = (self, arena, *params, *results)
        return partial(_run_kept, kept, self._run, table, arena.address, self._fixed.address, self._threads)

    def _take(self) -> _Memory:
        with self._lock:
            if self._arenas:
                return self._arenas.pop()
        return _Memory(self.layout.arena_bytes)

    def _give(self, arena: _Memory) -> None:
        with self._lock:
            if len(self._arenas) < _KEPT_ARENAS:
                self._arenas.append(arena)


def _run_kept(_kept: Any, run: Any, table: Any, arena: int, fixed: int, threads: int) -> None:
    """`_kept` only keeps the memory alive that the addresses point to."""
    run(table, arena, fixed, pool_address(threads))


class _Memory:
    """Bytes aligned to a cache line."""

    def __init__(self, size: int) -> None:
        self._bytes = np.empty(size + 64, np.uint8)
        self.address = -(-self._bytes.ctypes.data // 64) * 64
