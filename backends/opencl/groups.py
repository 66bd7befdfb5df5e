"""Bodies of work-groups as OpenCL sees them: code that every item runs, with registers of its own and barriers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import prod

from tilec.affine import Affine
from tilec.backends.opencl.memory import number
from tilec.errors import error
from tilec.expr import Access, Expr, IndexValue, Read, transform
from tilec.expr import walk as parts
from tilec.fences import fenced
from tilec.groups import item_axes
from tilec.instructions import expanded
from tilec.loops import (
    Alloc,
    Block,
    Buffer,
    For,
    If,
    Stmt,
    Store,
    accesses,
    children,
    map_exprs,
    rewrite,
    strides_of,
    walk,
    with_children,
)

MOST_INT = (1 << 31) - 1
MOST_GROUPS = (1 << 16) - 1  # along the second and third dimension of a range, on NVIDIA's devices


def group_body(block: Block, buffers: Mapping[str, Buffer]) -> Block:
    """What each item runs: registers without the axes that say whose they are, all else of the group in local memory,
    and barriers. Raises TILE0602 for registers that are not each item's own."""
    return fenced(_owned(block), buffers)


def _owned(block: Block) -> Block:
    result: list[Stmt] = []
    while block:
        stmt, block = block[0], block[1:]
        if isinstance(stmt, Alloc):
            stmt, block = _allocated(stmt.buffer, block)
        elif not isinstance(stmt, For) or stmt.kind != "item":
            stmt = with_children(stmt, _owned(children(stmt)))
        result.append(stmt)
    return tuple(result)


def _allocated(buffer: Buffer, rest: Block) -> tuple[Stmt, Block]:
    count = item_axes(buffer, rest) if buffer.space == "register" else 0
    if count is None:
        raise error("TILE0602", f"register buffer '{buffer.name}' of a group is not indexed first by its items")
    if not count:
        return Alloc(buffer if buffer.base is not None else replace(buffer, space="local")), rest
    strides = buffer.strides and buffer.strides[count:]
    return Alloc(replace(buffer, shape=buffer.shape[count:], strides=strides)), _without_axes(rest, buffer.name, count)


def _without_axes(block: Block, name: str, count: int) -> Block:
    """The block with accesses to a buffer that has lost its first axes."""

    def leaf(e: Expr) -> Expr:
        if isinstance(e, Read) and e.access.tensor == name:
            return Read(replace(e.access, indices=e.access.indices[count:]), e.dtype)
        return e

    def visit(stmt: Stmt) -> Block:
        if isinstance(stmt, Store) and stmt.buffer == name:
            return (replace(stmt, indices=stmt.indices[count:]),)
        return (stmt,)

    return rewrite(map_exprs(expanded(block), lambda e: transform(e, leaf)), visit)


def group_size(block: Block) -> int:
    """Work-items that the `item` loops of a group need: the largest of their products; 0 without any."""
    return max((_items(s) for s in block), default=0)


def _items(stmt: Stmt) -> int:
    count = 1
    block: Block = (stmt,)
    while len(block) == 1 and isinstance(block[0], For) and block[0].kind == "item":
        count *= number(block[0].extent)
        block = block[0].body
    return count if block != (stmt,) else max((_items(s) for s in children(stmt)), default=0)


def grid_of(loops: Sequence[For]) -> tuple[int, ...]:
    """Groups along the dimensions of a range, of which there are three: the first varies fastest."""
    extents = [number(loop.extent) for loop in reversed(loops)]
    grid = (*extents[:2], prod(extents[2:])) if len(extents) > 2 else tuple(extents)
    return grid if all(n <= MOST_GROUPS for n in grid[1:]) else (prod(extents),)


def fits_int(loops: Sequence[For], block: Block, buffers: Mapping[str, Buffer]) -> bool:
    """Whether every index, with whatever is added up to it, is a number of 31 bits."""
    ranges = {f.index: number(f.extent) for f in loops}
    known, forms = dict(buffers), list[Affine]()
    for stmt in walk(expanded(block)):
        match stmt:
            case For(index, extent):
                ranges[index] = max(number(extent), ranges.get(index, 0))
            case If(conditions):
                forms += conditions
            case Alloc(buffer):
                known[buffer.name] = buffer
        found = [*accesses(stmt), *([Access(stmt.buffer, stmt.indices)] if isinstance(stmt, Store) else [])]
        if any(not isinstance(s, int) for a in found for s in (*strides_of(known[a.tensor]), known[a.tensor].offset)):
            return False
        forms += [_flat(a, known[a.tensor]) for a in found]
    forms += _values(block)
    return all(n <= MOST_INT for n in (*ranges.values(), *(_most(f, ranges) for f in forms)))


def _flat(access: Access, buffer: Buffer) -> Affine:
    """The position of an element, but for what depends on data."""
    form = Affine.constant(buffer.offset)
    for index, stride in zip(access.indices, strides_of(buffer), strict=True):
        form = form + index * stride if isinstance(index, Affine) else form
    return form


def _values(block: Block) -> list[Affine]:
    found: list[Affine] = []

    def look(e: Expr) -> Expr:
        found.extend(part.form for part in parts(e) if isinstance(part, IndexValue))
        return e

    map_exprs(block, look)
    return found


def _most(form: Affine, ranges: Mapping[str, int]) -> int:
    """The sum of the largest absolute values of the terms."""
    return abs(number(form.const)) + sum(abs(number(c)) * max(0, ranges[n] - 1) for n, c in form.terms)
