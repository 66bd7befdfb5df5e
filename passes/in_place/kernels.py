"""Two parameters of a kernel become one: the memory it stores to is that which it reads for the last time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from tilec.affine import Affine
from tilec.expr import Expr, Read, Var, read, transform
from tilec.fresh import FreshNames
from tilec.loops import Alloc, Block, Buffer, For, Kernel, Let, Stmt, Store, accesses, map_exprs, rewrite, walk


def merged(kernel: Kernel, source: int, target: int) -> Kernel | None:
    """The kernel with one parameter for two: what it stores to parameter `target` goes to the memory of `source`.

    None unless it stores every cell once and reads that cell of `source`, and no other, in the same iteration; every
    read then comes first.
    """
    old, new = kernel.params[source].buffer, kernel.params[target].buffer
    if kernel.params[source].mode != "in" or kernel.params[target].mode != "out":
        return None
    stores = [s for s in walk(kernel.body) if isinstance(s, Store) and s.buffer == new.name]
    if len(stores) != 1 or stores[0].monoid is not None or (old.dtype, old.shape) != (new.dtype, new.shape):
        return None
    around = _around(kernel.body, stores[0], ())
    if around is None:
        return None
    loops, block = around
    if not _each_once(stores[0], loops, new) or not _reads_own_cell(kernel, block, stores[0], old.name):
        return None
    value = Var(FreshNames(_names(kernel)).numbered("s"), new.dtype)
    first = Let(value.name, read(new.name, stores[0].indices, new.dtype))

    def leaf(e: Expr) -> Expr:
        return value if isinstance(e, Read) and e.access.tensor == old.name else e

    changed = (first, *map_exprs(block, lambda e: transform(e, leaf)))
    params = tuple(replace(p, mode="inout") if k == target else p for k, p in enumerate(kernel.params) if k != source)
    return replace(kernel, params=params, body=_with_block(kernel.body, block, changed))


def _around(block: Block, store: Store, loops: tuple[For, ...]) -> tuple[tuple[For, ...], Block] | None:
    """The loops around a store and the block that holds it; None where it is in a branch."""
    if any(s is store for s in block):
        return loops, block
    for stmt in block:
        if isinstance(stmt, For) and (found := _around(stmt.body, store, (*loops, stmt))) is not None:
            return found
    return None


def _each_once(store: Store, loops: tuple[For, ...], buffer: Buffer) -> bool:
    """Whether different iterations store different cells: every loop alone runs over an axis."""
    free = {loop.index for loop in loops if loop.extent != 1}
    for form, size in zip(store.indices, buffer.shape, strict=True):
        name = form.as_variable() if isinstance(form, Affine) else None
        if name in free:
            free.remove(name)
        elif not (size == 1 and isinstance(form, Affine) and not form.variables() & free):
            return False
    return not free and all(loop.kind == "serial" for loop in loops)


def _reads_own_cell(kernel: Kernel, block: Block, store: Store, name: str) -> bool:
    """Whether all accesses to a buffer are reads, in plain statements of the block, of the cell that is stored there.

    What is stored is not read.
    """
    inside = [a for s in block if isinstance(s, Let | Store) for a in accesses(s) if a.tensor == name]
    reads = [a for s in walk(kernel.body) for a in accesses(s) if a.tensor in (name, store.buffer)]
    views = {s.buffer.base for s in walk(kernel.body) if isinstance(s, Alloc)}
    same = all(a.indices == store.indices and a.boundary == "skip" for a in inside)
    return same and len(inside) == len(reads) and not views & {name, store.buffer}


def _with_block(body: Block, old: Block, new: Block) -> Block:
    if body is old:
        return new

    def change(stmt: Stmt) -> Block:
        return (replace(stmt, body=new),) if isinstance(stmt, For) and stmt.body is old else (stmt,)

    return rewrite(body, change)


def _names(kernel: Kernel) -> set[str]:
    return set(_bound(kernel))


def _bound(kernel: Kernel) -> Iterator[str]:
    yield from (p.buffer.name for p in kernel.params)
    for stmt in walk(kernel.body):
        match stmt:
            case For():
                yield stmt.index
            case Let():
                yield stmt.name
            case Alloc():
                yield stmt.buffer.name
