"""Choosing how a loop runs: in vector lanes, unrolled, or in threads.

Before:
    kernel f(in A: f32[4, 8], out C: f32[4, 8])
    for m in 4 { for n in 8 { C[m, n] = A[m, n] } }
After parallel(m) vectorize(n):
    for m in 4 parallel { for n in 8 vector { C[m, n] = A[m, n] } }
"""

from __future__ import annotations

from dataclasses import replace

from tilec.loops import Alloc, Barrier, Block, For, Instr, Kernel, LoopKind, While, walk
from tilec.passes.schedule.analysis import Scope, carried, refuse, rewrite_loops, static, uses

MAX_UNROLL = 1024
_SHARED: tuple[LoopKind, ...] = ("parallel", "group", "item")


def vectorize(kernel: Kernel, loop: str) -> Kernel:
    """All iterations of the (innermost) loop at once, one per lane. Raises TILE0604 unless they are independent."""

    def change(found: For, scope: Scope) -> Block:
        for stmt in walk(found.body):
            if isinstance(stmt, For | While | Alloc | Barrier | Instr):
                raise refuse(f"vectorize: loop '{loop}' must be innermost, it holds a {type(stmt).__name__.lower()}")
        check_independent("vectorize", found)
        return (as_kind(found, "vector", "vectorize"),)

    return rewrite_loops(kernel, loop, change)


def unroll(kernel: Kernel, loop: str) -> Kernel:
    """One copy of the body per iteration, in order. Always safe; raises TILE0604 for more than 1024 iterations."""

    def change(found: For, scope: Scope) -> Block:
        if static(found.extent) > MAX_UNROLL:
            raise refuse(f"unroll: loop '{loop}' has {found.extent} iterations, the limit is {MAX_UNROLL}")
        return (as_kind(found, "unroll", "unroll"),)

    return rewrite_loops(kernel, loop, change)


def parallel(kernel: Kernel, loop: str) -> Kernel:
    """Iterations run by threads in any order. Raises TILE0604 unless they are independent, or inside another one."""

    def change(found: For, scope: Scope) -> Block:
        nested = [s for s in (*scope.loops, *walk(found.body)) if isinstance(s, For) and s.kind in _SHARED]
        if nested:
            raise refuse(f"parallel: loop '{loop}' would be nested with the {nested[0].kind} loop '{nested[0].index}'")
        if any(s.kind in ("vector", "unroll") for s in scope.loops):
            raise refuse(f"parallel: loop '{loop}' is inside a vector or unrolled loop")
        for stmt in walk(found.body):
            if isinstance(stmt, Alloc) and stmt.buffer.space == "heap" and stmt.buffer.base is None:
                raise refuse(
                    f"parallel: the iterations of '{loop}' would share the buffer '{stmt.buffer.name}'",
                    "allocate it in the space 'thread'",
                )
        check_independent("parallel", found)
        return (as_kind(found, "parallel", "parallel"),)

    return rewrite_loops(kernel, loop, change)


def check_independent(primitive: str, loop: For) -> None:
    found = uses(loop.body, {loop.index: static(loop.extent)})
    if why := carried(found, loop.index):
        raise refuse(f"{primitive}: the iterations of '{loop.index}' are not independent", why)


def as_kind(loop: For, kind: LoopKind, primitive: str) -> For:
    if loop.kind not in ("serial", kind):
        raise refuse(f"{primitive}: loop '{loop.index}' is already {loop.kind}")
    return loop if loop.kind == kind else replace(loop, kind=kind)
