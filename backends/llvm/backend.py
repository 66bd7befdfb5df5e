"""The LLVM backend: `Backend` and the built program."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tilec.backend import Array
from tilec.backends.llvm import jit
from tilec.backends.llvm.module import Layout, emit_module
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
    """A program's machine code and constant memory; each call takes its own arena."""

    def __init__(self, program: Program, target: Target, constants: Mapping[str, Array]) -> None:
        module = emit_module(program, target)
        self.layout: Layout = module.layout
        self.object_code = jit.object_code(module.text, target)
        names = ["run", *(["init"] if program.init else [])]
        self._library = jit.load(self.object_code, names)
        self._run = _ENTRY(self._library.addresses["run"])
        self._arguments = [n for n in (*program.params, *program.results) if n not in constants]
        self._caller = frozenset(program.params) | frozenset(program.results)
        self._params = tuple(n for n in program.params if n not in constants)
        self._table = ctypes.c_void_p * max(1, len(self.layout.table))
        self._constants = {n: np.ascontiguousarray(constants[n]) for n in self.layout.table if n in constants}
        self._fixed = _Memory(self.layout.fixed_bytes)
        self._arenas: list[_Memory] = []
        self._lock = threading.Lock()
        self._threads = target.threads
        if program.init:
            self._call(_ENTRY(self._library.addresses["init"]), {})

    def __call__(self, params: Sequence[Array], results: Sequence[Array]) -> None:
        """See `tilec.backend.Built`. `params` are those that are not constants, or all of them."""
        addresses = {}
        for name, array in zip(self._arguments, (*params, *results), strict=True):
            addresses[name] = array.ctypes.data
        self._call(self._run, addresses)

    def _call(self, entry: Any, addresses: dict[str, int]) -> None:
        table = self._table()
        for i, name in enumerate(self.layout.table):
            constant = self._constants.get(name)
            table[i] = constant.ctypes.data if constant is not None else addresses.get(name)
        arena = self._take()
        try:
            entry(table, arena.address, self._fixed.address, pool_address(self._threads))
        finally:
            self._give(arena)

    def _take(self) -> _Memory:
        with self._lock:
            if self._arenas:
                return self._arenas.pop()
        return _Memory(self.layout.arena_bytes)

    def _give(self, arena: _Memory) -> None:
        with self._lock:
            if len(self._arenas) < _KEPT_ARENAS:
                self._arenas.append(arena)


class _Memory:
    """Bytes aligned to a cache line."""

    def __init__(self, size: int) -> None:
        self._bytes = np.empty(size + 64, np.uint8)
        self.address = -(-self._bytes.ctypes.data // 64) * 64
