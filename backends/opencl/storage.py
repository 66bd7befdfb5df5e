"""Where the tensors of a program are while it runs on a device.

One arena holds the temporary tensors, at the places that the pass `place` found; where the device allocates no block so
large, or sizes are open, each has a buffer of its own. On a device that works in the host's memory, large arguments
and results are used where they are; elsewhere, and where they are small, they are copied.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from tilec.affine import Poly, Size, resolve
from tilec.arena import size_sources
from tilec.backend import Array
from tilec.backends.opencl.devices import pyopencl
from tilec.backends.opencl.sessions import Session
from tilec.buffers import elements
from tilec.errors import error
from tilec.loops import Buffer, Program

MAPPED = 1 << 16  # bytes of an array from which on it is used in place: below, a copy takes less time than a buffer


class Storage:
    """The memory of a program on a device, and its sizes in the present call. Not for several threads at once."""

    def __init__(self, session: Session, program: Program, constants: Mapping[str, Array]) -> None:
        self._session, self._program, self._cl = session, program, pyopencl()
        self.indices: dict[str, int] = {}  # of the loops that are running
        self.sizes: dict[str, int] = {}  # of this call, those derived from others included
        self._sources = size_sources(program)
        self._params = [n for n in program.params if n not in constants]
        self._starts: dict[str, int] = {}  # elements of the memory before a tensor's first one
        self._memory = self._in_arena(dict(program.places))
        roots = [b for b in program.buffers if b.base is None and b.name not in self._memory]
        self._outside = {b.name for b in roots} & {*self._params, *program.results}
        inside = [b for b in roots if b.name not in self._outside]
        self._open = [b for b in inside if is_open(b)]
        self._memory |= {b.name: self._allocated(b) for b in inside if b not in self._open}
        for buffer in (b for b in roots if b.name in self._outside and not is_open(b)):
            session.check(elements(buffer) * buffer.dtype.bytes)
        self._own: dict[str, Any] = {}  # memory of arguments and results that are copied
        self._back: list[tuple[str, Array]] = []  # results of this call that are copied
        self._used: list[tuple[Any, int]] = []  # memory of results of this call that are used in place, and bytes

    def _in_arena(self, places: Mapping[str, int]) -> dict[str, Any]:
        size = self._program.arena
        if not places or size > self._session.largest():
            return {}
        self._starts = {name: at // self._program.buffer(name).dtype.bytes for name, at in places.items()}
        return dict.fromkeys(places, self._session.buffer(size))

    def _allocated(self, buffer: Buffer) -> Any:
        return self._session.buffer(elements(buffer) * buffer.dtype.bytes)

    # --- a call -------------------------------------------------------------------------------------------------------

    def begin(self, params: Sequence[Array], results: Sequence[Array]) -> None:
        """Brings the arguments of a call to the device. Raises TileError TILE0211, TILE0416."""
        self._resize(params)
        self._back, self._used = [], []
        given = dict(zip(self._params, params, strict=True))
        wanted = dict(zip(self._program.results, results, strict=True))
        taken: list[tuple[int, int]] = []  # memory of the host that is used in place
        for name, array in given.items():
            kept = wanted.get(name, array)
            if kept is array and self._fits(array, taken):
                self._use(name, array, "READ_WRITE" if name in wanted else "READ_ONLY")
            else:
                self._take(name, array.nbytes)
                self.write(name, array)
                self._back += [(name, kept)] if name in wanted else []
        for name, array in wanted.items():
            if name in given:
                continue
            if name in self._outside and self._fits(array, taken):
                self._use(name, array, "READ_WRITE")
            else:
                if name in self._outside:
                    self._take(name, array.nbytes)
                self._back.append((name, array))

    def end(self) -> None:
        """Brings the results of a call to the host, and waits for all that was to be done."""
        for name, array in self._back:
            self.read(name, array)
        for memory, size in self._used:
            view, _ = self._cl.enqueue_map_buffer(
                self._session.queue, memory, self._cl.map_flags.READ, 0, (size,), np.uint8
            )
            view.base.release(self._session.queue)
        self._session.queue.finish()
        self._back, self._used = [], []

    def give_up(self) -> None:
        """Ends a call that failed: waits until the device is done with the caller's arrays."""
        self._session.queue.finish()
        self._back, self._used = [], []

    def _fits(self, array: Array, taken: list[tuple[int, int]]) -> bool:
        """Whether the array can be used in place: no two buffers may have memory in common."""
        if not self._session.in_host_memory or array.nbytes < MAPPED:
            return False
        start = array.ctypes.data
        at = bisect_left(taken, (start, start))
        beside = taken[max(at - 1, 0) : at + 1]
        if any(s < start + array.nbytes and start < e for s, e in beside):
            return False
        insort(taken, (start, start + array.nbytes))
        return True

    def _use(self, name: str, array: Array, access: str) -> None:
        flags = self._cl.mem_flags
        memory = self._cl.Buffer(
            self._session.context, flags.USE_HOST_PTR | getattr(flags, access), hostbuf=as_bytes(array)
        )
        self._memory[name] = memory
        self._own.pop(name, None)
        if access != "READ_ONLY":
            self._used.append((memory, array.nbytes))

    def _take(self, name: str, size: int) -> None:
        """Memory on the device that a tensor is copied to or from; that of the last call where it is as large."""
        own = self._own.get(name)
        if own is None or own.size != max(1, size):
            own = self._own[name] = self._session.buffer(size)
        self._memory[name] = own

    def _resize(self, params: Sequence[Array]) -> None:
        """Sets the open sizes of a call, and makes memory for them. Raises TileError TILE0211 for a negative one."""
        given = {name: params[self._params.index(param)].shape[axis] for name, param, axis in self._sources}
        sizes = self._program.all_sizes(given)
        if sizes == self.sizes:
            return
        self.sizes = sizes
        for buffer in self._program.buffers:
            if buffer.base is None and is_open(buffer):
                shape = tuple(map(self.number, buffer.shape))
                if min(shape) < 0:
                    self.sizes = {}
                    text = ", ".join(f"{n} = {v}" for n, v in given.items())
                    raise error("TILE0211", f"'{buffer.name}' has the shape {list(shape)} where {text}")
                if buffer in self._open:
                    self._memory[buffer.name] = self._allocated(replace(buffer, shape=shape))

    # --- access -------------------------------------------------------------------------------------------------------

    def number(self, size: Size) -> int:
        """A size in the present call."""
        return int(resolve(size, self.sizes))

    def place(self, name: str) -> tuple[Any, int]:
        """The memory that a tensor, or a view of one, is in, and the element of it at which it begins."""
        root, offset = self._root(name)
        return self._memory[root], offset + self._starts.get(root, 0)

    def _root(self, name: str) -> tuple[str, int]:
        """The tensor that holds the data of another, and the offset in elements."""
        buffer = self._program.buffer(name)
        if buffer.base is None:
            return name, 0
        root, offset = self._root(buffer.base)
        moved = sum(self.indices.get(i, 0) * self.number(stride) for i, stride in buffer.moves)
        return root, offset + self.number(buffer.offset) + moved

    def write(self, name: str, array: Array) -> None:
        """Copies the dense elements of an array to a tensor's memory, from where it begins."""
        data = as_bytes(np.ascontiguousarray(array))
        if data.size:
            memory, start = self.place(name)
            self._cl.enqueue_copy(self._session.queue, memory, data, dst_offset=start * array.itemsize)

    def read(self, name: str, array: Array) -> None:
        """Fills a dense array from a tensor's memory, from where it begins."""
        if array.size:
            memory, start = self.place(name)
            self._cl.enqueue_copy(self._session.queue, as_bytes(array), memory, src_offset=start * array.itemsize)


def is_open(buffer: Buffer) -> bool:
    """Whether its shape is known at run time."""
    return any(isinstance(s, Poly) for s in buffer.shape)


def as_bytes(array: Array) -> Array:
    """The memory of a dense array, without its dtype: OpenCL bindings do not know bfloat16."""
    return array.reshape(-1).view(np.uint8)
