"""Floor 4: memory of large results, used again when the caller has let go of them.

Fresh memory of the system costs more than most programs that fill it: each page is mapped and zeroed when it is first
touched. So the memory of a large result is kept when nothing refers to it any more, the array as little as any view of
it, and the next result of its size is stored there. How much may wait to be used again is the setting `result_memory`.

An array's memory belongs to a `_Lease`, which is the base of the array and is deleted with the last view. Deletion may
happen in any thread and amid anything, also in here: so a lock is only ever tried, and where it is not to be had, the
memory goes back to the system, which is always right.
"""

from __future__ import annotations

import mmap
import os
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from math import prod
from typing import Any

import numpy as np

from tilec import unwritten
from tilec.backend import Array
from tilec.configuration import config

LARGE = 1 << 22  # bytes of a result from which on its memory is kept: smaller ones the C library keeps well enough
MEDIUM = 1 << 18  # bytes from which on a result begins a cache line: it costs a microsecond, and saves several
_LINE = 64
_PAGE = 1 << 21  # a large page: memory begins with one, so that the system may use them


class _Block:
    """Memory of the system, and where in it a large page begins."""

    __slots__ = ("address", "memory", "size")

    def __init__(self, size: int) -> None:
        self.size = size
        self.memory = _mapped(size + _PAGE)
        self.address = -(-self.memory.ctypes.data // _PAGE) * _PAGE


def _mapped(size: int) -> Array:
    """Bytes that no one has touched yet; raises MemoryError."""
    if unwritten.content is not None or not hasattr(mmap, "MADV_HUGEPAGE"):
        return unwritten.memory(size)
    try:
        pages = mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    except (OSError, ValueError, OverflowError) as reason:
        raise MemoryError(str(reason)) from None
    with suppress(OSError):  # a kernel without large pages
        pages.madvise(mmap.MADV_HUGEPAGE)
    return np.frombuffer(pages, np.uint8)


class _Lease:
    """What an array's memory belongs to. Its deletion gives the memory back."""

    __slots__ = ("__array_interface__", "_block", "_pool")

    def __init__(self, pool: ResultMemory, block: _Block, bytes: int) -> None:
        self._pool, self._block = pool, block
        data = (block.address, False)
        self.__array_interface__ = {"version": 3, "typestr": "|u1", "shape": (bytes,), "data": data}

    def __del__(self) -> None:
        self._pool.give(self._block)


class ResultMemory:
    """Memory that waits to be used again, at most `limit` bytes, the oldest first to go. For all threads."""

    def __init__(self) -> None:
        self.limit = 0
        self._seen: Any = None  # changes of settings when the limit was last read
        self._free: list[_Block] = []
        self._lock = threading.Lock()

    def array(self, shape: Sequence[int], dtype: np.dtype[Any]) -> Array:
        """A fresh array; raises MemoryError."""
        bytes = prod(shape) * dtype.itemsize
        size = -(-bytes // _PAGE) * _PAGE
        lease = _Lease(self, self._taken(size) or _Block(size), bytes)
        return np.ndarray(shape, dtype, np.asarray(lease))

    def _taken(self, size: int) -> _Block | None:
        if self._seen != config.changes():
            self._seen, self.limit = config.changes(), config.result_memory
        if not self._lock.acquire(blocking=False):
            return None
        try:
            self._trim(self.limit)
            at = next((k for k in reversed(range(len(self._free))) if self._free[k].size == size), None)
            return None if at is None else self._free.pop(at)
        finally:
            self._lock.release()

    def give(self, block: _Block) -> None:
        """Keeps a block, if there is room once older ones are gone."""
        if block.size > self.limit or not self._lock.acquire(blocking=False):
            return
        try:
            self._trim(self.limit - block.size)
            self._free.append(block)
        finally:
            self._lock.release()

    def _trim(self, limit: int) -> None:
        """Lets go of the oldest blocks until no more than so many bytes are kept."""
        excess = sum(block.size for block in self._free) - limit
        while excess > 0:
            excess -= self._free.pop(0).size

    def kept(self) -> int:
        """Bytes that wait to be used again."""
        return sum(block.size for block in list(self._free))

    def forked(self) -> None:
        """To be called in a child process: no thread is left there that would release the lock."""
        self._lock = threading.Lock()


results = ResultMemory()


def maker(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Callable[[], Array]:
    """What makes fresh arrays for a result; it may raise MemoryError, and ValueError for more than can be counted."""
    bytes = prod(shape) * dtype.itemsize
    if bytes >= LARGE:
        return partial(results.array, shape, dtype)
    if bytes >= MEDIUM or unwritten.content is not None:
        return partial(_on_a_line, shape, dtype, bytes)
    return partial(np.empty, shape, dtype)


def _on_a_line(shape: tuple[int, ...], dtype: np.dtype[Any], bytes: int) -> Array:
    """A fresh array whose vectors do not straddle cache lines."""
    memory = unwritten.memory(bytes + _LINE)
    return np.ndarray(shape, dtype, memory, -memory.ctypes.data % _LINE)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=results.forked)
