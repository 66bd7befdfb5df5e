"""Floor 3: whether a block of statements stores every cell of a buffer before anything reads it.

Then it does not matter what was in the memory before: a parameter of which that is true has the mode `out`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from tilec.affine import Affine
from tilec.expr import Access
from tilec.loops import Alloc, Block, Buffer, For, If, Instr, Mode, Stmt, Store, While, accesses


def modes_of(body: Block, buffers: Iterable[Buffer]) -> list[Mode]:
    """How a kernel's body uses each of its parameters; one walk for all of them."""
    touched = _Touched.of(body)
    return [_mode(touched, buffer) for buffer in buffers]


def _mode(touched: _Touched, buffer: Buffer) -> Mode:
    return "in" if buffer.name not in touched.stored else "out" if _overwritten(touched, buffer) else "inout"


def _overwritten(touched: _Touched, buffer: Buffer) -> bool:
    """Whether every cell is stored before it is read: False where that is not plain to see.

    It is where the first statement that touches the buffer is a store in loops that run over all of its axes, and
    what else happens inside of the outermost of these loops is to the cell that was just stored.
    """
    first = touched.first.get(buffer.name)
    if first is None or touched.opaque or buffer.name in touched.bases:
        return False
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
                self._note(Access(stmt.buffer, stmt.indices), stmt, loops, guarded)
            for access in accesses(stmt):
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
