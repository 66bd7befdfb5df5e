"""Floor 3: whether a block of statements stores every cell of a buffer before anything reads it.

Then it does not matter what was in the memory before: a parameter of which that is true has the mode `out`.
"""

from __future__ import annotations

from tilec.affine import Affine
from tilec.expr import Access
from tilec.loops import Alloc, Block, Buffer, For, If, Instr, Mode, Stmt, Store, While, accesses, walk


def mode_of(body: Block, buffer: Buffer) -> Mode:
    """How a kernel's body uses a parameter."""
    written = any(isinstance(s, Store) and s.buffer == buffer.name for s in walk(body))
    return "in" if not written else "out" if overwritten(body, buffer) else "inout"


def overwritten(body: Block, buffer: Buffer) -> bool:
    """Whether every cell is stored before it is read: False where that is not plain to see.

    It is where the first statement that touches the buffer is a store in loops that run over all of its axes, and
    what else happens inside of the outermost of these loops is to the cell that was just stored.
    """
    if any((isinstance(s, Alloc) and s.buffer.base == buffer.name) or isinstance(s, Instr) for s in walk(body)):
        return False
    loops, first = _first(body, buffer.name, ())
    if not isinstance(first, Store) or first.monoid is not None or _reads(first, buffer.name):
        return False
    if not _covers(first, loops, buffer):
        return False
    inside = walk((loops[0],) if loops else ())
    cells = [a.indices for s in inside for a in _touched(s) if a.tensor == buffer.name]
    return all(c == first.indices for c in cells)


def _first(block: Block, name: str, loops: tuple[For, ...]) -> tuple[tuple[For, ...], Stmt | None]:
    """The first statement that touches a buffer, with the loops around it; the If or While that it is inside of."""
    for stmt in block:
        if any(a.tensor == name for a in _touched(stmt)):
            return loops, stmt
        inner = stmt.body if isinstance(stmt, For | If | While) else ()
        around, found = _first(inner, name, (*loops, stmt) if isinstance(stmt, For) else loops)
        if found is not None:
            return (around, found) if isinstance(stmt, For) else (loops, stmt)
    return loops, None


def _touched(stmt: Stmt) -> list[Access]:
    own = [Access(stmt.buffer, stmt.indices)] if isinstance(stmt, Store) else []
    return [*own, *accesses(stmt)]


def _reads(stmt: Stmt, name: str) -> bool:
    return any(a.tensor == name for a in accesses(stmt))


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
