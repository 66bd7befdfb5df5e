"""Floor 3: whether a block of statements stores every cell of a buffer before anything reads it.

Then it does not matter what was in the memory before: a parameter of which that is true has the mode `out`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import combinations
from math import prod

from tilec.affine import Affine, Size
from tilec.expr import Access
from tilec.loops import Alloc, Block, Buffer, For, If, Instr, Mode, Stmt, Store, While, accesses

_BOXES = 64  # above it the question is not worth its answer


def modes_of(body: Block, buffers: Iterable[Buffer]) -> list[Mode]:
    """How a kernel's body uses each of its parameters; one walk for all of them."""
    touched = _Touched.of(body)
    return [_mode(touched, buffer) for buffer in buffers]


def _mode(touched: _Touched, buffer: Buffer) -> Mode:
    return "in" if buffer.name not in touched.stored else "out" if _overwritten(touched, buffer) else "inout"


def _overwritten(touched: _Touched, buffer: Buffer) -> bool:
    """Whether every cell is stored before it is read: False where that is not plain to see.

    It is where all that is done to it are stores of boxes that cover it, each cell once; and where the first statement
    that touches the buffer is a store in loops that run over all of its axes, and what else happens inside of the
    outermost of these loops is to the cell that was just stored.
    """
    first = touched.first.get(buffer.name)
    if first is None or touched.opaque or buffer.name in touched.bases:
        return False
    if buffer.name not in touched.read and _tiled(touched.stores[buffer.name], buffer):
        return True
    store = first.stmt
    if first.guarded or not isinstance(store, Store) or store.monoid is not None or not first.alike:
        return False
    return all(a.tensor != buffer.name for a in accesses(store)) and _covers(store, first.loops, buffer)


@dataclass(slots=True)
class _First:
    """The first statement that touches a buffer, and what is around it."""

    stmt: Stmt
    loops: tuple[For, ...]
    guarded: bool  # an `if` or a `while` is around it
    alike: bool = True  # all that happens in the outermost of the loops is to the cell of the first access


@dataclass(slots=True)
class _Touched:
    """What the statements of a block do to buffers, by name."""

    first: dict[str, _First] = field(default_factory=dict)
    stored: set[str] = field(default_factory=set)
    bases: set[str] = field(default_factory=set)  # buffers that views show
    read: set[str] = field(default_factory=set)
    stores: dict[str, list[_First]] = field(default_factory=dict)
    opaque: bool = False  # there is a machine instruction

    @staticmethod
    def of(body: Block) -> _Touched:
        found = _Touched()
        found._visit(body, (), False)
        return found

    def _visit(self, block: Block, loops: tuple[For, ...], guarded: bool) -> None:
        for stmt in block:
            if isinstance(stmt, Store):
                self.stored.add(stmt.buffer)
                self.stores.setdefault(stmt.buffer, []).append(_First(stmt, loops, guarded))
                self._note(Access(stmt.buffer, stmt.indices), stmt, loops, guarded)
            for access in accesses(stmt):
                self.read.add(access.tensor)
                self._note(access, stmt, loops, guarded)
            match stmt:
                case For():
                    self._visit(stmt.body, (*loops, stmt), guarded)
                case If() | While():
                    self._visit(stmt.body, loops, True)
                case Alloc(buffer=Buffer(base=str(base))):
                    self.bases.add(base)
                case Instr():
                    self.opaque = True
                case _:
                    pass

    def _note(self, access: Access, stmt: Stmt, loops: tuple[For, ...], guarded: bool) -> None:
        first = self.first.setdefault(access.tensor, _First(stmt, loops, guarded))
        together = first.loops and loops and first.loops[0] is loops[0]
        if together and isinstance(first.stmt, Store) and access.indices != first.stmt.indices:
            first.alike = False


def _tiled(stores: list[_First], buffer: Buffer) -> bool:
    """Whether plain stores fill boxes of a buffer that have no cell in common and are all of it."""
    boxes = [_box(s) for s in stores]
    if None in boxes or len(boxes) > _BOXES or not all(isinstance(n, int) for n in buffer.shape):
        return False
    known = [box for box in boxes if box is not None]
    for a, b in combinations(known, 2):
        if all(s < t + m and t < s + n for (s, n), (t, m) in zip(a, b, strict=True)):
            return False
    cells = (n for n in buffer.shape if isinstance(n, int))
    return sum(prod(n for _, n in box) for box in known) == prod(cells)


def _box(store: _First) -> list[tuple[int, int]] | None:
    """Start and extent per axis of the cells that a store reaches; None where it is no box for certain."""
    stmt, extents = store.stmt, {loop.index: loop.extent for loop in store.loops}
    if store.guarded or not isinstance(stmt, Store) or stmt.monoid is not None or len(extents) < len(store.loops):
        return None
    found: list[tuple[int, int]] = []
    for form in stmt.indices:
        if not isinstance(form, Affine) or not isinstance(form.const, int) or len(form.terms) > 1:
            return None
        extent: Size = 1
        for name, factor in form.terms:
            extent = extents.pop(name, 0) if factor == 1 else 0
        if not isinstance(extent, int) or extent < 1:
            return None
        found.append((form.const, extent))
    return found if all(extent == 1 for extent in extents.values()) else None


def _covers(store: Store, loops: tuple[For, ...], buffer: Buffer) -> bool:
    """Whether the loops around a store bring it to every cell: each axis has a loop of its own over all of its size."""
    extents = {loop.index: loop.extent for loop in loops}
    if len(extents) < len(loops):
        return False  # two loops of one name
    for form, size in zip(store.indices, buffer.shape, strict=True):
        name = form.as_variable() if isinstance(form, Affine) else None
        if name is not None and extents.get(name) == size:
            del extents[name]
        elif not (size == 1 and form == Affine.of((), 0)):
            return False
    return all(isinstance(extent, int) and extent > 0 for extent in extents.values())
