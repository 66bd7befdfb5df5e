"""Bringing the computation of a temporary to the place where it is used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from tilec.affine import Affine, Coef
from tilec.expr import Expr, Read, substitute_indices, transform
from tilec.loops import Alloc, Block, Buffer, For, If, Kernel, Space, Stmt, Store, children, map_exprs
from tilec.loops import walk as statements
from tilec.passes.schedule.analysis import (
    Index,
    Scope,
    Use,
    buffers,
    check_space,
    index_by_index,
    loops_named,
    malformed,
    map_accesses,
    refuse,
    rewrite_loops,
    static,
    substitute,
    uses,
)
from tilec.passes.schedule.regions import Region, check_nesting, clip, edge_guards, region


def compute_at(kernel: Kernel, buffer: str, loop: str, space: Space = "thread") -> Kernel:
    """Computes the part of a kernel-local `buffer` that the body of `loop` reads inside that loop, in a smaller buffer.

    The nests that produce the buffer move to the start of the loop's body; their loops over the buffer's axes shrink to
    the region that is read. Where regions of several iterations overlap, cells are computed again.

    Before:
        kernel f(in A: f32[8, 6], out O: f16[8])
        alloc t: heap f32[8]
        for i in 8 { t[i] = 0.0 }
        for m in 8 { for k in 6 { t[m] sum= A[m, k] } }
        for j.0 in 2 { for j.1 in 4 { O[4*j.0 + j.1] = cast.f16(t[4*j.0 + j.1]) } }
    After compute_at(t, j.0):
        for j.0 in 2 {
          alloc t: thread f32[4]
          for i in 4 { t[i] = 0.0 }
          for m in 4 { for k in 6 { t[m] sum= A[m + 4*j.0, k] } }
          for j.1 in 4 { O[4*j.0 + j.1] = cast.f16(t[j.1]) }
        }
    Raises TILE0604 where a producer is no perfect nest over the buffer's axes, changes what others read, or reads what
    is stored in between.
    """
    check_space("compute_at", space, "thread", "heap", "local", "register")
    local = _local(kernel, buffer, "compute_at")
    producers = _producers(kernel, buffer, loop)
    shape = tuple(static(s) for s in local.shape)
    plans = [_axes(p, local, shape) for p in producers]

    def change(found: For, scope: Scope) -> Block:
        inside = [u for u in uses(found.body) if u.buffer == buffer]
        if not inside:
            return (found,)
        _check_capture(producers, {loop.index for loop in (*scope.loops, found)})
        check_nesting(found, scope, space, "compute_at")
        box = clip(region(inside, "compute_at"), shape)
        ranges = {**scope.ranges(), found.index: static(found.extent)}
        moved = [_moved(p, axes, local, box, shape, ranges) for p, axes in zip(producers, plans)]
        body: Block = (
            Alloc(replace(local, shape=box.extents, space=space, strides=None)),
            *(s for block in moved for s in block),
            *_shifted(found.body, buffer, box),
        )
        return (replace(found, body=body),)

    rest = tuple(s for s in kernel.body if s not in producers and not _allocates(s, buffer))
    if any(u.buffer == buffer for u in _outside(rest, loop)):
        raise refuse(f"compute_at: '{buffer}' is also read outside of '{loop}'")
    return rewrite_loops(replace(kernel, body=rest), loop, change)


def inline(kernel: Kernel, buffer: str) -> Kernel:
    """Replaces every read of a kernel-local buffer by the expression that its one elementwise producer stores there.

    Before:
        kernel f(in A: f32[8], out O: f32[8])
        alloc t: heap f32[8]
        for i in 8 { t[i] = mul(A[i], A[i]) }
        for j in 8 { O[j] = add(t[j], 1.0) }
    After inline(t):
        for j in 8 { O[j] = add(mul(A[j], A[j]), 1.0) }
    Raises TILE0604 for aggregations, guarded or partial producers, and data-dependent reads of the buffer.
    """
    local = _local(kernel, buffer, "inline")
    producing = [i for i, s in enumerate(kernel.body) if _stores(s, buffer)]
    producers = [kernel.body[i] for i in producing]
    if len(producers) != 1:
        raise refuse(f"inline: '{buffer}' has {len(producers)} producing nests")
    shape = tuple(static(s) for s in local.shape)
    axes = _axes(producers[0], local, shape)
    store = _leaf(producers[0])
    if store is None or store.monoid is not None or _depth(producers[0]) != len([a for a in axes if a]):
        raise refuse(f"inline: the producer of '{buffer}' is not elementwise")
    last = max((i for i, s in enumerate(kernel.body) if _reads(s, buffer)), default=producing[0])
    _check_operands(kernel, producing, last, "inline")

    def leaf(e: Expr) -> Expr:
        if not isinstance(e, Read) or e.access.tensor != buffer:
            return e
        values: dict[str, Affine | Coef] = {}
        for name, index in zip(axes, e.access.indices):
            if not isinstance(index, Affine):
                raise refuse(f"inline: '{buffer}' is read at an index that depends on data")
            if name is not None:
                values[name] = index
        return substitute_indices(store.value, values)

    rest = tuple(s for s in kernel.body if s not in producers and not _allocates(s, buffer))
    return replace(kernel, body=map_exprs(rest, lambda e: transform(e, leaf)))


def _local(kernel: Kernel, buffer: str, primitive: str) -> Buffer:
    known = buffers(kernel)
    if buffer not in known:
        raise malformed(f"{primitive}: there is no buffer '{buffer}' in kernel '{kernel.name}'")
    if not any(_allocates(s, buffer) for s in kernel.body) or known[buffer].base is not None:
        raise refuse(f"{primitive}: '{buffer}' is not allocated at the top of the kernel")
    if any(b.base == buffer for b in known.values()):
        raise refuse(f"{primitive}: '{buffer}' is seen through a view")
    return known[buffer]


def _allocates(stmt: Stmt, buffer: str) -> bool:
    return isinstance(stmt, Alloc) and stmt.buffer.name == buffer


def _stores(stmt: Stmt, buffer: str) -> bool:
    return any(u.buffer == buffer and u.store is not None for u in uses((stmt,)))


def _reads(stmt: Stmt, buffer: str) -> bool:
    return any(u.buffer == buffer and u.store is None for u in uses((stmt,)))


def _producers(kernel: Kernel, buffer: str, loop: str) -> list[Stmt]:
    producing = [i for i, s in enumerate(kernel.body) if _stores(s, buffer)]
    consuming = [i for i, s in enumerate(kernel.body) if loops_named((s,), loop)]
    if not consuming:
        raise malformed(f"compute_at: there is no loop '{loop}' in kernel '{kernel.name}'")
    if not producing or set(producing) & set(consuming):
        raise refuse(f"compute_at: '{buffer}' is produced inside the loop '{loop}', or nowhere")
    if producing[-1] > consuming[0]:
        raise refuse(f"compute_at: '{buffer}' is stored after the loop '{loop}'")
    _check_operands(kernel, producing, consuming[-1], "compute_at")
    return [kernel.body[i] for i in producing]


def _check_operands(kernel: Kernel, producing: Sequence[int], last: int, primitive: str) -> None:
    """What producers read must be the same when they run later, up to the statement number `last`; what else they
    store would come too late."""
    found = uses(tuple(kernel.body[i] for i in producing))
    written = {u.buffer for u in found if u.store is not None}
    if len(written) > 1:
        raise refuse(f"{primitive}: the producers also store {', '.join(sorted(written))}")
    operands = {u.buffer for u in found if u.store is None} - written
    for stmt in kernel.body[producing[0] : last + 1]:
        for use in uses((stmt,)):
            if use.store is not None and use.buffer in operands:
                raise refuse(f"{primitive}: '{use.buffer}', which the producers read, is stored before the last use")


def _check_capture(producers: Sequence[Stmt], around: set[str]) -> None:
    """The producers move into the loops called `around`, and must not bind these names again."""
    own = {s.index for s in statements(tuple(producers)) if isinstance(s, For)}
    if own & around:
        raise refuse(f"compute_at: a loop '{min(own & around)}' of the producer would be inside another of that name")


def _outside(block: Block, loop: str) -> list[Use]:
    """Uses that are in no loop called `loop`."""
    found: list[Use] = []
    for stmt in block:
        if isinstance(stmt, For) and stmt.index == loop:
            continue
        inner = children(stmt)
        found += _outside(inner, loop) if inner else uses((stmt,))
    return found


def _leaf(stmt: Stmt) -> Store | None:
    while isinstance(stmt, For) and len(stmt.body) == 1:  # what a guard keeps from being read must not be
        stmt = stmt.body[0]
    return stmt if isinstance(stmt, Store) else None


def _depth(stmt: Stmt) -> int:
    return sum(isinstance(s, For) for s in statements((stmt,)))


def _axes(producer: Stmt, local: Buffer, shape: Sequence[int]) -> tuple[str | None, ...]:
    """The producer's loop over each axis, None on an axis of extent 1. Every access to the buffer must be alike."""
    loops = {s.index: static(s.extent) for s in statements((producer,)) if isinstance(s, For)}
    found: tuple[str | None, ...] | None = None
    for use in uses((producer,)):
        if use.buffer != local.name:
            continue
        axes = None if use.indices is None else index_by_index(use.indices, shape, loops)
        if axes is None:
            raise refuse(f"'{local.name}' is not produced index by index")
        if found is not None and found != axes:
            raise refuse(f"'{local.name}' is produced with different indices")
        found = axes
    if found is None or _depth(producer) != len(loops):
        raise refuse(f"'{local.name}' is produced by no nest of loops of different names")
    if any(isinstance(s, For) and s.kind != "serial" and s.index in found for s in statements((producer,))):
        raise refuse(f"the loops that produce '{local.name}' are no longer serial")
    return found


def _moved(
    producer: Stmt,
    axes: Sequence[str | None],
    local: Buffer,
    box: Region,
    shape: Sequence[int],
    ranges: Mapping[str, int],
) -> Block:
    """The producer over the box only: its loop `a` runs over 0 .. extent-1 and stands for `start + a`."""
    extents = {a: (s, e) for a, s, e in zip(axes, box.starts, box.extents) if a is not None}
    guards: dict[str, tuple[Affine, ...]] = {}
    for axis, name in enumerate(axes):
        if name is not None:
            inner = {**ranges, name: box.extents[axis]}
            here = Affine.var(name)
            guards[name] = edge_guards([box.starts[axis]], [here], [shape[axis]], inner)

    def shrink(stmt: Stmt) -> Stmt:
        body = tuple(shrink(s) for s in children(stmt))
        if isinstance(stmt, For) and stmt.index in extents:
            start, extent = extents[stmt.index]
            body = substitute(body, {stmt.index: Affine.var(stmt.index) + start})
            body = (If(guards[stmt.index], body),) if guards[stmt.index] else body
            return replace(stmt, extent=extent, body=body)
        return replace(stmt, body=body) if isinstance(stmt, For | If) else stmt

    return _shifted((shrink(producer),), local.name, box)


def _shifted(block: Block, buffer: str, box: Region) -> Block:
    def change(indices: tuple[Index, ...]) -> tuple[str, tuple[Index, ...]]:
        return buffer, box.local([i for i in indices if isinstance(i, Affine)])

    return map_accesses(block, buffer, change)


