"""Which iterations of vector loops run at once, and which buffers are kept in variables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TypeAlias

from tilec.affine import Affine
from tilec.backends.opencl import types
from tilec.backends.opencl.memory import Memory
from tilec.buffers import elements
from tilec.dtypes import BOOL
from tilec.expr import Expr
from tilec.instructions import expand
from tilec.loops import Alloc, Block, Buffer, For, If, Instr, Let, Store, accesses, children, strides_of, walk

WIDTHS = (16, 8, 4, 2, 1)  # lanes of a C vector; 1 is a scalar
WRITTEN_OUT = 64  # the longest loop that is written out
VARIABLES = 64  # that one buffer may become
_PRIVATE = ("register", "thread", "local")
Indices: TypeAlias = tuple[Affine | Expr, ...]


def pieces(extent: int) -> Iterator[tuple[int, int]]:
    """The vectors that so many iterations make: (first, lanes)."""
    at = 0
    for width in WIDTHS:
        while extent - at >= width:
            yield at, width
            at += width


def together(loop: For, memory: Mapping[str, Memory]) -> bool:
    """Whether all iterations may do a statement before any does the next: none touches what is another's. Loops prove
    it for memory of all; of private memory it is asked here that one axis of each access has a place per lane."""
    inside = list(walk(loop.body))
    if not isinstance(loop.extent, int) or loop.extent > WRITTEN_OUT:
        return False
    if any(not isinstance(s, For | If | Let | Store) or (isinstance(s, For) and s.kind == "item") for s in inside):
        return False
    bound = frozenset(s.index for s in inside if isinstance(s, For))
    stores = [s for s in inside if isinstance(s, Store)]
    if any(not isinstance(i, Affine) for s in stores for i in s.indices):
        return False
    touched = [(s.buffer, s.indices) for s in stores] + [(a.tensor, a.indices) for s in inside for a in accesses(s)]
    for root in {_root(s.buffer, memory) for s in stores}:
        found = [(name, indices) for name, indices in touched if _root(name, memory) == root]
        if memory[root].buffer.space in _PRIVATE and not _apart(found, loop.index, bound):
            return False
    return True


def _root(name: str, memory: Mapping[str, Memory]) -> str:
    while (base := memory[name].buffer.base) is not None:
        name = base
    return name


def _apart(found: list[tuple[str, Indices]], lane: str, bound: frozenset[str]) -> bool:
    if len({name for name, _ in found}) > 1:
        return False
    for forms in zip(*(indices for _, indices in found), strict=True):
        first = forms[0]
        if not isinstance(first, Affine) or any(form != first for form in forms):
            continue
        if first.coefficient(lane) != 0 and not first.variables() & bound:
            return True
    return False


def in_variables(buffer: Buffer, block: Block, numbers: Mapping[str, int]) -> int:
    """Lanes of the variables that hold a buffer of the block; 0 where it is to be an array: an index is not known once
    loops are written out."""
    if types.is_narrow(buffer.dtype) or buffer.dtype == BOOL or not all(isinstance(n, int) for n in buffer.shape):
        return 0
    lanes = 1
    for indices, loops in _uses(buffer.name, block, {}):
        if indices is None or not all(isinstance(i, Affine) for i in indices):
            return 0
        form = _flat(buffer, indices)
        for name in form.variables():
            if name not in numbers and not (name in loops and is_short(loops[name])):
                return 0
            if name in loops and loops[name].kind == "vector" and form.coefficient(name) == 1:
                lanes = max(lanes, next((width for _, width in pieces(int(str(loops[name].extent)))), 1))
    return lanes if 0 < elements(buffer) <= VARIABLES * lanes else 0


def is_short(loop: For) -> bool:
    """A loop that can be written out."""
    return loop.kind in ("vector", "unroll") and isinstance(loop.extent, int) and loop.extent <= WRITTEN_OUT


def touches_variables(block: Block, memory: Mapping[str, Memory]) -> bool:
    """Whether a block uses a buffer that is in variables: the loops around are to be written out."""
    names = {name for name, m in memory.items() if m.lanes}
    if not names:
        return False
    return any(any(True for _ in _uses(name, block, {})) for name in names)


def _flat(buffer: Buffer, indices: Indices) -> Affine:
    form = Affine.constant(0)
    for index, stride in zip(indices, strides_of(buffer), strict=True):
        assert isinstance(index, Affine)
        form = form + index * stride
    return form


def _uses(name: str, block: Block, loops: Mapping[str, For]) -> Iterator[tuple[Indices | None, Mapping[str, For]]]:
    """The indices of every access to a buffer and the loops around it; None for a view of it."""
    for stmt in block:
        if isinstance(stmt, Alloc):
            if stmt.buffer.base == name:
                yield None, loops
            continue
        if isinstance(stmt, Store) and stmt.buffer == name:
            yield stmt.indices, loops
        yield from ((a.indices, loops) for a in accesses(stmt) if a.tensor == name)
        inner = {**loops, stmt.index: stmt} if isinstance(stmt, For) else loops
        yield from _uses(name, expand(stmt) if isinstance(stmt, Instr) else children(stmt), inner)
