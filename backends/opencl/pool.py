"""Memory of a device: blocks in use, and those that are free for whoever asks next.

All executables of a process on one device share its pool, so that one that does not run holds nothing but its
constants. Where memory is short, all free blocks go back to the driver, and what failed is tried once more.
"""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Iterable
from typing import Any, TypeVar
from weakref import WeakSet

T = TypeVar("T")

_SHORT = ("ALLOCATION_FAILURE", "OUT_OF_HOST_MEMORY", "INVALID_BUFFER_SIZE")
_SMALL = 1 << 16  # bytes that a free block may have more than what is asked for, however little that is


class Block:
    """Memory on a device, or memory of the host that it uses. `memory`: pyopencl's buffer."""

    __slots__ = ("__weakref__", "memory", "size")

    def __init__(self, memory: Any, size: int) -> None:
        self.memory, self.size = memory, size

    def release(self) -> None:
        """Gives it back to the driver, whoever still refers to it; the driver waits for what has been enqueued."""
        memory, self.memory = self.memory, None
        if memory is not None:
            memory.release()


class Pool:
    """The blocks of a device in this process; for all threads.

    allocate: a fresh buffer of so many bytes. memory: bytes that the device has. before: told the name of each OpenCL
    call that may find memory short, just before it: what it raises is as if that call had (tests count and fail them).
    """

    def __init__(self, allocate: Callable[[int], Any], memory: int) -> None:
        self._allocate, self.memory = allocate, memory
        self.before: Callable[[str], None] = lambda call: None
        self._free: list[Block] = []  # the one that was given last is the last
        self._used: WeakSet[Block] = WeakSet()
        self._lock = threading.Lock()

    def used(self) -> int:
        """Bytes of blocks that somebody has."""
        with self._lock:
            return sum(b.size for b in self._used if b.memory is not None)

    def free(self) -> int:
        """Bytes of blocks that wait for somebody."""
        with self._lock:
            return sum(b.size for b in self._free)

    def take(self, size: int, limit: int = 0) -> Block:
        """A block of at least so many bytes, whose content is not known.

        Raises MemoryError for more than `limit` bytes (0: what the device has) together with all blocks in use, and
        what the driver raises.
        """
        size = max(1, size)
        with self._lock:
            fit = [b for b in self._free if size <= b.size <= max(size + size // 2, size + _SMALL)]
            if fit:
                block = min(fit, key=lambda b: b.size)
                self._free.remove(block)
                self._used.add(block)
                return block
        return self.attempt("allocate", lambda: self._fresh(size, limit or self.memory))

    def wrap(self, memory: Any) -> Block:
        """Memory of the host as a block: it takes nothing of the device's."""
        block = Block(memory, 0)
        with self._lock:
            self._used.add(block)
        return block

    def give(self, blocks: Iterable[Block], wait: bool = True) -> None:
        """Takes blocks back that nothing uses any more, what has been enqueued included; the oldest free ones may go.

        What is free takes a quarter of the device at most. wait: for other threads; where that is not to be, as in a
        deletion, which may happen amid anything, also in here, blocks may go back to the driver instead.
        """
        if not self._lock.acquire(blocking=wait):
            return
        try:
            gone = self._given(blocks)
        finally:
            self._lock.release()
        for block in gone:
            block.release()

    def _given(self, blocks: Iterable[Block]) -> list[Block]:
        """Those that are not kept."""
        gone: list[Block] = []
        for block in blocks:
            self._used.discard(block)
            (self._free if block.size and block.memory is not None else gone).append(block)
        excess = sum(b.size for b in self._free) - self.memory // 4
        while excess > 0:
            gone.append(self._free.pop(0))
            excess -= gone[-1].size
        return gone

    def trim(self) -> None:
        """Gives all free blocks back to the driver."""
        with self._lock:
            blocks, self._free = self._free, []
        for block in blocks:
            block.release()

    def attempt(self, what: str, call: Callable[[], T]) -> T:
        """Makes a call of OpenCL; where memory is short, once more after all that nobody uses has been let go."""
        try:
            self.before(what)
            return call()
        except Exception as reason:
            if not is_short(reason):
                raise
        self.trim()
        gc.collect()  # executables and Buffers that nothing but cycles refers to
        self.before(what)
        return call()

    def _fresh(self, size: int, limit: int) -> Block:
        if (used := self.used()) + size + self.free() > limit:
            self.trim()
            if used + size > limit:
                raise MemoryError(f"{used:,} bytes of {limit:,} are in use, and {size:,} more are needed")
        block = Block(self._allocate(size), size)
        with self._lock:
            self._used.add(block)
        return block


def is_short(reason: BaseException) -> bool:
    """Whether an error says that memory is short."""
    text = str(reason).upper()
    return isinstance(reason, MemoryError) or any(word in text for word in _SHORT)
