"""Moving the nest that uses an accumulator to the place where it is staged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from tilec.affine import Affine, Coef
from tilec.loops import Alloc, Block, For, Kernel, Let, LoopKind, Stmt, Store
from tilec.passes.schedule.analysis import (
    Index,
    buffers,
    carried,
    index_by_index,
    loops_named,
    map_accesses,
    refuse,
    static,
    substitute,
    uses,
)
from tilec.passes.schedule.copies import nest
from tilec.passes.schedule.initial import covers_once


@dataclass(frozen=True, slots=True)
class Final:
    """The nest `for ... { result[...] = f(buffer[variables], ...) }` that alone reads a finished local buffer."""

    buffer: str
    nest: For
    body: Block
    variables: tuple[str | None, ...]  # per axis of the buffer the nest's loop; None on an axis of extent 1

    def evaluate(
        self,
        loops: Sequence[tuple[str, int, LoopKind]],
        stored: tuple[Affine, ...],
        cell: tuple[Affine, ...],
        guards: tuple[Affine, ...],
        new: str,
    ) -> Block:
        """The nest's body at `cell`, with `new[stored]` for the buffer's element there."""
        def redirect(indices: tuple[Index, ...]) -> tuple[str, tuple[Index, ...]]:
            return new, stored

        values: dict[str, Affine | Coef] = {n: form for n, form in zip(self.variables, cell) if n is not None}
        return nest(loops, guards, substitute(map_accesses(self.body, self.buffer, redirect), values))

    def drop(self, kernel: Kernel) -> Kernel:
        """The kernel without the nest, and without the buffer where nothing else uses it."""
        body = tuple(s for s in kernel.body if s is not self.nest)
        if not any(u.buffer == self.buffer for u in uses(body, private=True)):
            body = tuple(s for s in body if not (isinstance(s, Alloc) and s.buffer.name == self.buffer))
        return replace(kernel, body=body)


def finish(kernel: Kernel, buffer: str, loop: str) -> Final:
    """Finds the nest that reads `buffer` and proves that it may run where `loop` stages the buffer.

    Raises TILE0604 with the reason otherwise.
    """
    own = [s for s in kernel.body if isinstance(s, Alloc) and s.buffer.name == buffer]
    if not own or own[0].buffer.base is not None:
        raise refuse(f"stage: '{buffer}' is not allocated at the top of the kernel, or is a view: others see it")
    using = [i for i, s in enumerate(kernel.body) if any(u.buffer == buffer for u in uses((s,)))]
    staged = [i for i in using if loops_named((kernel.body[i],), loop)]
    readers = [i for i in using if staged and i > staged[0] and i not in staged]
    if len(readers) != 1 or readers[0] < staged[-1]:
        raise refuse(f"stage: '{buffer}' is not read by one nest after the loop '{loop}'")
    if not covers_once([kernel.body[i] for i in staged], kernel, buffer, loop):
        raise refuse(f"stage: not every cell of '{buffer}' is staged in '{loop}'")
    found = _reader(kernel, kernel.body[readers[0]], buffer)
    _check_order(kernel, found, buffer, range(staged[0], readers[0]))
    return found


def _reader(kernel: Kernel, stmt: Stmt, buffer: str) -> Final:
    ranges: dict[str, int] = {}
    body: Block = (stmt,)
    while len(body) == 1 and isinstance(body[0], For):
        if body[0].kind != "serial":
            raise refuse(f"stage: the loop '{body[0].index}' that reads '{buffer}' is {body[0].kind}")
        ranges[body[0].index] = static(body[0].extent)
        body = body[0].body
    if not isinstance(stmt, For) or not all(isinstance(s, Let | Store) for s in body):
        raise refuse(f"stage: what reads '{buffer}' is no perfect nest")
    shape = [static(s) for s in buffers(kernel)[buffer].shape]
    cells = {u.indices for u in uses(body) if u.buffer == buffer}
    if len(cells) != 1 or any(u.store is not None for u in uses(body) if u.buffer == buffer):
        raise refuse(f"stage: '{buffer}' is read at several cells at once, or stored")
    cell = cells.pop()
    variables = None if cell is None else index_by_index(cell, shape, ranges)
    if variables is None:
        raise refuse(f"stage: '{buffer}' is not read index by index")
    if set(ranges) != {v for v in variables if v is not None}:
        raise refuse(f"stage: the nest that reads '{buffer}' has other loops than the buffer has axes")
    for name in ranges:
        if why := carried(uses((stmt,)), name):
            raise refuse(f"stage: the order of the nest that reads '{buffer}' matters", why)
    return Final(buffer, stmt, body, variables)


def _check_order(kernel: Kernel, found: Final, buffer: str, span: range) -> None:
    """The reading nest runs earlier: nothing in between may touch what it stores, or store what it reads."""
    own = uses((found.nest,))
    stored = {u.buffer for u in own if u.store is not None}
    read = {u.buffer for u in own if u.store is None} - {buffer}
    for i in span:
        for use in uses((kernel.body[i],)):
            if use.buffer in stored or (use.store is not None and use.buffer in read):
                raise refuse(f"stage: '{use.buffer}' is used before the nest that reads '{buffer}'")
