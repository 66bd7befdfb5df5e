"""Loop fusion: two loops become one, so that what the first makes is still in the cache when the second needs it.

Before:
    kernel f(in A: f32[4, 6], out O: f32[4, 6])
    alloc t: heap f32[4]
    for i in 4 { t[i] = 0.0 }
    for m in 4 { for k in 6 { t[m] sum= A[m, k] } }
    for j in 4 { for n in 6 { O[j, n] = div(A[j, n], t[j]) } }
After fuse(i, m) fuse(i, j) shrink(t, i):
    for i in 4 {
      alloc t: thread f32[1]
      t[0] = 0.0
      for k in 6 { t[0] sum= A[i, k] }
      for n in 6 { O[i, n] = div(A[i, n], t[0]) }
    }
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from tilec.affine import Affine
from tilec.loops import Alloc, Block, For, Kernel, Let, Space, Stmt, children, with_children
from tilec.passes.schedule.analysis import (
    Index,
    Scope,
    buffers,
    carried,
    check_space,
    crossing,
    loops_named,
    malformed,
    map_accesses,
    refuse,
    rewrite_loops,
    static,
    substitute,
    uses,
)
from tilec.passes.schedule.regions import check_nesting, clip, region


def fuse(kernel: Kernel, first: str, second: str) -> Kernel:
    """The loop `second`, which follows `first` in the same block, becomes a part of it: iteration by iteration.

    Raises TILE0604 where the loops differ in kind or extent, are not next to each other (but for allocations), or where
    an iteration of one may touch what another iteration of the other stores.
    """
    for name in (first, second):
        if len(loops_named(kernel.body, name)) != 1:
            raise malformed(f"fuse: there is not one loop '{name}' in kernel '{kernel.name}'")

    def change(block: Block) -> Block:
        at = {s.index: i for i, s in enumerate(block) if isinstance(s, For) and s.index in (first, second)}
        if len(at) < 2:
            return block
        start, end = at[first], at[second]
        if start >= end or not all(isinstance(s, Alloc) for s in block[start + 1 : end]):
            raise refuse(f"fuse: '{second}' does not follow '{first}'")
        fused = _fused(block[start], block[end])
        return (*block[:start], *block[start + 1 : end], fused, *block[end + 1 :])

    body = _in_blocks(kernel.body, change)
    if body is kernel.body:
        raise refuse(f"fuse: '{first}' and '{second}' are not in the same block")
    return replace(kernel, body=body)


def _in_blocks(block: Block, change: Callable[[Block], Block]) -> Block:
    """The first block, outermost first, that changes."""
    new = change(block)
    if new is not block:
        return new
    for i, stmt in enumerate(block):
        inner = children(stmt)
        if (changed := _in_blocks(inner, change)) is not inner:
            return (*block[:i], with_children(stmt, changed), *block[i + 1 :])
    return block


def _fused(first: Stmt, second: Stmt) -> For:
    assert isinstance(first, For) and isinstance(second, For)
    extent = static(first.extent)
    if extent != static(second.extent) or first.kind != "serial" or second.kind != "serial":
        raise refuse(f"fuse: loops '{first.index}' and '{second.index}' differ in extent, or are not serial")
    used = {u.buffer for u in uses(second.body, private=True)}
    if taken := _bound(first.body) & (_bound(second.body) | used):
        raise refuse(f"fuse: the name '{min(taken)}' is bound in both loops")
    body = substitute(second.body, {second.index: Affine.var(first.index)})
    ranges = {first.index: extent}
    if why := crossing(uses(first.body, ranges), uses(body, ranges), first.index):
        raise refuse(f"fuse: iterations of '{first.index}' and '{second.index}' depend on one another", why)
    return replace(first, body=(*first.body, *body))


def _bound(block: Block) -> set[str]:
    """Names that the statements of a block give to all that follow them."""
    return {s.buffer.name if isinstance(s, Alloc) else s.name for s in block if isinstance(s, Alloc | Let)}


def shrink(kernel: Kernel, buffer: str, loop: str, space: Space = "thread") -> Kernel:
    """A kernel-local `buffer` that only `loop` uses keeps just what one iteration touches, in that iteration.

    Raises TILE0604 where iterations share a cell, or the buffer is used elsewhere too.
    """
    local = buffers(kernel).get(buffer)
    check_space("shrink", space, "thread", "heap", "local", "register")
    if local is None:
        raise malformed(f"shrink: there is no buffer '{buffer}' in kernel '{kernel.name}'")
    own = [s for s in kernel.body if isinstance(s, Alloc) and s.buffer.name == buffer]
    if not own or local.base is not None or any(b.base == buffer for b in buffers(kernel).values()):
        raise refuse(f"shrink: '{buffer}' is not allocated at the top of the kernel, or seen through a view")
    loops = loops_named(kernel.body, loop)
    inside = [u for f in loops for u in uses(f.body) if u.buffer == buffer]
    everywhere = [u for u in uses(kernel.body, private=True) if u.buffer == buffer]
    if len(loops) != 1 or not inside or len(inside) != len(everywhere):
        raise refuse(f"shrink: '{buffer}' is also used outside of '{loop}'")
    box = clip(region(inside, "shrink"), tuple(static(s) for s in local.shape))

    def change(found: For, scope: Scope) -> Block:
        check_nesting(found, scope, space, "shrink")
        around = (*scope.loops, found)
        for at, outer in enumerate(around):
            ranges = {f.index: static(f.extent) for f in around[at:]}
            if why := carried([u for u in uses(found.body, ranges) if u.buffer == buffer], outer.index):
                raise refuse(f"shrink: iterations of '{outer.index}' share cells of '{buffer}'", why)

        def moved(indices: tuple[Index, ...]) -> tuple[str, tuple[Index, ...]]:
            return buffer, box.local([i for i in indices if isinstance(i, Affine)])

        body = map_accesses(found.body, buffer, moved)
        small = Alloc(replace(local, shape=box.extents, space=space, strides=None))
        return (replace(found, body=(small, *body)),)

    rest = tuple(s for s in kernel.body if s not in own)
    return rewrite_loops(replace(kernel, body=rest), loop, change)
