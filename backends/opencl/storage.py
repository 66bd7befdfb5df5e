"""Where the tensors of a program are while it runs on a device.

Between calls it holds constants and what is computed of them. All else is taken from the device's pool for a call: the
arena of the temporary tensors, and memory of arguments and results that are copied. On a device that works in the
host's memory, large arguments and results are used where they are; what stays on a device is used where it is.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np

from tilec.affine import Poly, Size, resolve
from tilec.arena import size_sources
from tilec.backend import Array
from tilec.backends.opencl.arenas import Arena, arena
from tilec.backends.opencl.pool import Block
from tilec.backends.opencl.residents import Resident
from tilec.backends.opencl.sessions import Session, as_bytes
from tilec.backends.opencl.shortage import Needs, too_large
from tilec.buffers import elements
from tilec.errors import error
from tilec.loops import Buffer, Program, Step, touched
from tilec.open_arena import open_lives

Value: TypeAlias = Array | Resident  # of an argument, or for a result

MAPPED = 1 << 16  # bytes of an array from which on it is used in place: below, a copy takes less time than a buffer


class Storage:
    """The memory of a program on a device, and its sizes in the present call. Not for several threads at once.

    further: bytes of memory that a call has besides, see `further`.
    """

    def __init__(
        self, session: Session, program: Program, constants: Mapping[str, Array], further: Sequence[int] = ()
    ) -> None:
        """Raises TileError TILE0416 for a tensor that is larger than any block of the device's memory."""
        self.session, self._program, self._constants = session, program, constants
        self.indices: dict[str, int] = {}  # of the loops that are running
        self.sizes: dict[str, int] = {}  # of this call, those derived from others included
        self._sources = size_sources(program)
        self._params = [n for n in program.params if n not in constants]
        self._outside = {*self._params, *program.results} - constants.keys()
        self._lives = open_lives(program)
        self._check(b for b in program.buffers if b.base is None and not is_open(b))
        self._arena: Arena | None = None if program.sizes else self._planned()
        self._further = tuple(further)
        self.further: list[Block | None] = []  # memory of a call besides that of its tensors
        self._fixed: dict[str, Block] = {}  # by tensor, held between calls
        self._call: dict[str, Block] = {}  # by tensor, of this call
        self._starts: dict[str, int] = {}  # bytes of the memory before a tensor's first element
        self._taken: list[Block] = []  # all that goes back to the pool after this call
        self._back: list[tuple[str, Value]] = []  # results of this call that are copied
        self._used: list[tuple[Block, int]] = []  # memory of results of this call that are used in place, and bytes
        self._given: list[Value] = []
        self._wanted: list[Value] = []
        self._pending: list[Any] = []  # copies that nobody has waited for yet, with what they copy
        self._stuck: list[Any] = []  # arrays of calls that may still go on, for all we know
        self._running = False  # whether all has been brought to the device, and steps may have overwritten some of it

    def _check(self, buffers: Iterable[Buffer]) -> None:
        for buffer in buffers:
            if (size := elements(buffer) * buffer.dtype.bytes) > self.session.largest:
                raise too_large(f"the tensor {buffer.name!r} of shape {list(buffer.shape)}", size, self.session)

    def _planned(self) -> Arena:
        return arena(self._program, self._lives, self.sizes, self.session.largest)

    def needs(self) -> Needs:
        """What the present call takes."""
        temporary = sum(self._arena.blocks if self._lives and self._arena else ()) + sum(self._further)
        arguments, results = (sum(x.nbytes for x in given) for given in (self._given, self._wanted))
        overwritten = [n for n in self._params if n in self._program.results] if self._running else []
        return Needs(temporary, arguments, results, sum(b.size for b in self._fixed.values()), tuple(overwritten))

    # --- what is computed once ----------------------------------------------------------------------------------------

    def prepare(self) -> None:
        """Takes memory for constants and what is computed of them, and brings their values to the device."""
        alive = {life.name for life in self._lives} | self._outside
        known = {*self._constants, *self._roots(self._program.init), *self._roots(self._program.steps)}
        for name in sorted(known - alive):
            buffer = self._program.buffer(name)
            self._fixed[name] = self.session.take(elements(buffer) * buffer.dtype.bytes)
        self._take_further()
        for name, value in self._constants.items():
            self.write(name, value)

    def settle(self) -> None:
        """Waits for the initial steps, and lets go of what only they need."""
        self.session.finish()
        needed = {*self._roots(self._program.steps), *self._program.results}
        self._taken += [self._fixed.pop(name) for name in self._fixed.keys() - needed]
        self.leave()

    def release(self) -> None:
        """Lets go of everything, when what has been enqueued is done."""
        self._taken += self._fixed.values()
        self._fixed = {}
        self._stop()
        self.leave()

    def _roots(self, steps: Sequence[Step]) -> set[str]:
        return {self._top(n) for step in steps for n in touched(step)}

    def _top(self, name: str) -> str:
        """The tensor that holds the data of another."""
        while base := self._program.buffer(name).base:
            name = base
        return name

    # --- a call -------------------------------------------------------------------------------------------------------

    def begin(self, params: Sequence[Value], results: Sequence[Value], sizes: Mapping[str, int] | None = None) -> None:
        """Brings the arguments of a call to the device; without `sizes`, their shapes tell them.

        Raises TileError TILE0211, TILE0416.
        """
        self._given, self._wanted = list(params), list(results)
        if self._program.sizes:
            self._resize(self._told() if sizes is None else {n: sizes[n] for n in self._program.sizes})
        self._take_arena()
        self._take_further()
        given = dict(zip(self._params, params, strict=True))
        wanted = dict(zip(self._program.results, results, strict=True))
        taken: list[tuple[int, int]] = []  # memory of the host that is used in place
        for name, value in given.items():
            kept = wanted.get(name, value)
            if kept is not value or not self._in_place(name, value, taken, name in wanted):
                self._take(name, value.nbytes)
                self._copied(name, value)
                self._back += [(name, kept)] if name in wanted else []
        for name, value in wanted.items():
            if name in given:
                continue
            if name not in self._outside:
                self._back.append((name, value))
            elif not self._in_place(name, value, taken, True):
                self._take(name, value.nbytes)
                self._back.append((name, value))
        self._running = True

    def end(self) -> None:
        """Brings the results of a call to the host, and waits for all that was to be done."""
        for name, value in self._back:
            if isinstance(value, Resident):
                block, at = self._place(name)
                self.session.copy(block, at, value.block, value.nbytes)
            else:
                self.read(name, value, wait=False)
        for block, size in self._used:
            self.session.show(block.memory, size)
        self.session.finish()
        self.leave()

    def give_up(self, lost: bool) -> None:
        """Ends a call that failed: waits until the device is done with the caller's arrays.

        lost: it failed amid its work, so that nobody knows the values of what it was to overwrite.
        """
        for value in self._wanted if lost and self._running else ():
            if isinstance(value, Resident):
                value.lost = True
        self._stop()
        self.leave()

    def _stop(self) -> None:
        """Waits for what has been enqueued, for as long as it runs it uses memory of this call.

        Where the driver cannot say when that is, none of the memory is used for anything else.
        """
        try:
            self.session.queue.finish()
        except Exception:
            self._stuck.append((self._given, self._wanted, self._pending))
            for block in self._taken:
                with suppress(Exception):
                    block.release()

    def leave(self) -> None:
        """Gives back what a call took. The device must be done with it."""
        taken, self._taken = self._taken, []
        self._call, self._back, self._used, self.further = {}, [], [], []
        self._given, self._wanted, self._running, self._pending = [], [], False, []
        self.session.pool.give(taken)

    # --- memory of a call ---------------------------------------------------------------------------------------------

    def _hold(self, size: int) -> Block:
        block = self.session.take(size)
        self._taken.append(block)
        return block

    def _take(self, name: str, size: int) -> None:
        """Memory on the device that a tensor is copied to or from."""
        self._call[name] = self._hold(size)

    def _take_further(self) -> None:
        self.further = [self._hold(size) if size else None for size in self._further]

    def _take_arena(self) -> None:
        if not self._lives:
            return
        self._arena = self._arena or self._planned()
        blocks = [self._hold(size) for size in self._arena.blocks]
        for name, (number, at) in self._arena.places.items():
            self._call[name] = blocks[number]
            self._starts[name] = at

    def _in_place(self, name: str, value: Value, taken: list[tuple[int, int]], written: bool) -> bool:
        """Uses an argument, or the place of a result, where it is, if that can be done."""
        if isinstance(value, Resident):
            self._call[name] = value.block
            return True
        if not self._fits(value, taken):
            return False
        block = self.session.used_in_place(as_bytes(value), "READ_WRITE" if written else "READ_ONLY")
        self._call[name] = block
        self._taken.append(block)
        if written:
            self._used.append((block, value.nbytes))
        return True

    def _fits(self, array: Array, taken: list[tuple[int, int]]) -> bool:
        """Whether the array can be used in place: no two buffers may have memory in common."""
        if not self.session.in_host_memory or array.nbytes < MAPPED:
            return False
        start = array.ctypes.data
        at = bisect_left(taken, (start, start))
        beside = taken[max(at - 1, 0) : at + 1]
        if any(s < start + array.nbytes and start < e for s, e in beside):
            return False
        insort(taken, (start, start + array.nbytes))
        return True

    def _copied(self, name: str, value: Value) -> None:
        """Copies an argument to the memory of its tensor."""
        if isinstance(value, Resident):
            self.session.copy(value.block, 0, self._call[name], value.nbytes)
        else:
            self.write(name, value)

    def _told(self) -> dict[str, int]:
        """The open sizes, as the shapes of the arguments tell them."""
        shapes = {n: x.shape for n, x in zip(self._params, self._given) if isinstance(x, np.ndarray)}
        return {name: shapes[param][axis] for name, param, axis in self._sources}

    def _resize(self, given: Mapping[str, int]) -> None:
        """Sets the open sizes of a call. Raises TileError TILE0211 for a negative one, TILE0416."""
        sizes = self._program.all_sizes(given)
        if sizes == self.sizes:
            return
        self.sizes, self._arena = {}, None
        opened = [b for b in self._program.buffers if b.base is None and is_open(b)]
        shapes = {b: tuple(int(resolve(s, sizes)) for s in b.shape) for b in opened}
        for buffer, shape in shapes.items():
            if min(shape) < 0:
                text = ", ".join(f"{n} = {v}" for n, v in given.items())
                raise error("TILE0211", f"'{buffer.name}' has the shape {list(shape)} where {text}")
        self._check(replace(b, shape=shape) for b, shape in shapes.items())
        self.sizes = sizes

    # --- access -------------------------------------------------------------------------------------------------------

    def number(self, size: Size) -> int:
        """A size in the present call."""
        return int(resolve(size, self.sizes))

    def place(self, name: str) -> tuple[Any, int]:
        """The memory that a tensor, or a view of one, is in, and the element of it at which it begins."""
        block, at = self._place(name)
        return block.memory, at // self._program.buffer(name).dtype.bytes

    def _place(self, name: str) -> tuple[Block, int]:
        """As `place`, in bytes."""
        top, offset = self._root(name)
        at = offset * self._program.buffer(name).dtype.bytes + self._starts.get(top, 0)
        return self._call.get(top) or self._fixed[top], at

    def _root(self, name: str) -> tuple[str, int]:
        """The tensor that holds the data of another, and the offset in elements."""
        buffer = self._program.buffer(name)
        if buffer.base is None:
            return name, 0
        top, offset = self._root(buffer.base)
        moved = sum(self.indices.get(i, 0) * self.number(stride) for i, stride in buffer.moves)
        return top, offset + self.number(buffer.offset) + moved

    def write(self, name: str, array: Array) -> None:
        """Copies the dense elements of an array, which must not change, to a tensor's memory, from where it begins."""
        data = as_bytes(np.ascontiguousarray(array))
        if data.size:
            block, at = self._place(name)
            self._pending.append(self.session.write(block.memory, at, data, wait=False))

    def set(self, name: str, value: np.generic) -> None:
        """Gives a tensor of rank 0 its value, when all before is done: nothing waits for it."""
        block, at = self._place(name)
        self.session.set(block.memory, at, value)

    def read(self, name: str, array: Array, wait: bool = True) -> None:
        """Fills a dense array from a tensor's memory, from where it begins; without `wait`, until the call ends."""
        if array.size:
            block, at = self._place(name)
            found = self.session.read(block.memory, at, as_bytes(array), wait)
            self._pending = [] if wait else [*self._pending, found]  # in an order: what was before a read is done, too


def is_open(buffer: Buffer) -> bool:
    """Whether its shape is known at run time."""
    return any(isinstance(s, Poly) for s in buffer.shape)
