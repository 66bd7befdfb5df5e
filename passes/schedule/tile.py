"""Splitting a loop in two.

Before:
    kernel f(in A: f32[10], out C: f32[10])
    for m in 10 { C[m] = A[m] }
After tile(m, 4, m.0, m.1):
    for m.0 in 2 { for m.1 in 4 { C[4*m.0 + m.1] = A[4*m.0 + m.1] } }
    for m.0 in 1 { for m.1 in 2 { C[m.1 + 8] = A[m.1 + 8] } }
After tile(m, 4, m.0, m.1, guard):
    for m.0 in 3 { for m.1 in 4 { if -4*m.0 - m.1 + 9 >= 0 { C[4*m.0 + m.1] = A[4*m.0 + m.1] } } }
"""

from __future__ import annotations

from typing import Literal

from tilec.affine import Affine
from tilec.loops import Block, For, If, Kernel
from tilec.passes.schedule.analysis import (
    Scope,
    check_fresh,
    loops_named,
    malformed,
    refuse,
    rewrite_loops,
    static,
    substitute,
)

Tail = Literal["cut", "guard"]
Sizes = Literal["exact", "balanced"]


def tile(
    kernel: Kernel, loop: str, size: int, outer: str, inner: str, tail: Tail = "cut", sizes: Sizes = "exact"
) -> Kernel:
    """Every loop `loop` becomes `outer` over tiles of `size` and `inner` inside a tile.

    A remainder is split off as a second nest of the same loop names and static extents (`cut`), or switched off by an
    `If` (`guard`; the inner extent is then always `size`). With `balanced`, `size` is a maximum and the tiles are
    evened out: 64 by at most 14 gives 13, 13, 13, 13, 12. The order of iterations stays. Raises TILE0603, and TILE0604
    for a loop that is no longer serial.
    """
    if size < 1 or tail not in ("cut", "guard") or sizes not in ("exact", "balanced"):
        raise malformed(f"tile: bad size {size}, tail '{tail}' or sizes '{sizes}'")
    check_fresh(kernel, outer, inner)

    def split(found: For, scope: Scope) -> Block:
        if found.kind != "serial":
            raise refuse(f"tile: loop '{loop}' is {found.kind}; only serial loops are tiled")
        extent = static(found.extent)
        step = max(1, -(-extent // max(1, -(-extent // size)))) if sizes == "balanced" else size
        make = _guarded if tail == "guard" else _cut
        return make(found, extent, step, outer, inner)

    return rewrite_loops(kernel, loop, split)


def _guarded(loop: For, extent: int, step: int, outer: str, inner: str) -> Block:
    form = Affine.of({outer: step, inner: 1})
    body = substitute(loop.body, {loop.index: form})
    if extent % step:
        body = (If((-form + (extent - 1),), body),)
    return (For(outer, -(-extent // step), "serial", (For(inner, step, "serial", body),)),)


def _cut(loop: For, extent: int, step: int, outer: str, inner: str) -> Block:
    count, rest = divmod(extent, step)
    nests = []
    if count:
        form = Affine.of({outer: step, inner: 1}) if count > 1 else Affine.var(inner)
        body = substitute(loop.body, {loop.index: form})
        nests.append(For(outer, count, "serial", (For(inner, step, "serial", body),)))
    if rest or not nests:
        body = substitute(loop.body, {loop.index: Affine.var(inner) + count * step})
        nests.append(For(outer, 1, "serial", (For(inner, rest, "serial", body),)))
    return tuple(nests)


def peel(kernel: Kernel, loop: str, count: int) -> Kernel:
    """Splits off the last iterations: `loop` runs over its first `count` iterations, then over the others.

    Raises TILE0603 where none of the loops has more iterations.

    Before:
        kernel f(in A: f32[10], out C: f32[10])
        for m in 10 { C[m] = A[m] }
    After peel(m, 8):
        for m in 8 { C[m] = A[m] }
        for m in 2 { C[m + 8] = A[m + 8] }
    """

    extents = [static(found.extent) for found in loops_named(kernel.body, loop)]

    def split(found: For, scope: Scope) -> Block:
        extent = static(found.extent)
        if found.kind not in ("serial", "parallel"):
            raise refuse(f"peel: loop '{loop}' is {found.kind}")
        if not 0 < count < extent:
            return (found,)
        rest = substitute(found.body, {loop: Affine.var(loop) + count})
        return (
            For(loop, count, found.kind, found.body),
            For(loop, extent - count, found.kind, rest),
        )

    if count < 1 or (extents and count >= max(extents)):
        longest = [f"'{loop}' has {max(extents)} iterations"] if extents else []
        raise malformed(f"peel: there is nothing to split off after {count} iterations of '{loop}'", *longest)
    return rewrite_loops(kernel, loop, split)
