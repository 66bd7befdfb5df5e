"""Separating the iterations that need no guard from those at the edges."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

from tilec.affine import Affine
from tilec.loops import Block, For, If, Kernel, Stmt, children, walk, with_children
from tilec.passes.schedule.analysis import (
    Scope,
    holds,
    interval,
    malformed,
    part,
    refuse,
    rewrite_loops,
    static,
    substitute,
)

Edges = Literal["together", "apart", "inside"]
_MOST_APART = 8


def interior(kernel: Kernel, loop: str, edges: Edges = "together") -> Kernel:
    """Splits a serial loop into the part where all guards on its index hold, and what is before and after it.

    Guards that hold throughout a part are dropped there. Nothing changes where no such part exists. With `apart`, every
    iteration before and after is a loop of its own, at most 8 of them: its index is a constant then, and guards are
    decided where what is inside is unrolled. With `inside` the loop, which may be parallel, stays one, and its body
    chooses between the same parts.

    Before:
        kernel f(in A: f32[8], inout C: f32[8])
        for x in 8 { for k in 3 { if k + x - 1 >= 0, -k - x + 8 >= 0 { C[x] sum= A[k + x - 1] } } }
    After interior(x):
        for x in 1 { for k in 3 { if k - 1 >= 0 { C[0] sum= A[k - 1] } } }
        for x in 6 { for k in 3 { C[x + 1] sum= A[k + x] } }
        for x in 1 { for k in 3 { if -k + 1 >= 0 { C[7] sum= A[k + 6] } } }

    Before:
        kernel f(in A: f32[8], inout C: f32[8])
        for x in 8 { for k in 3 { if k + x - 2 >= 0 { C[x] sum= A[k + x - 2] } } }
    After interior(x, apart):
        for x in 1 { for k in 3 { if k - 2 >= 0 { C[0] sum= A[k - 2] } } }
        for x in 1 { for k in 3 { if k - 1 >= 0 { C[1] sum= A[k - 1] } } }
        for x in 6 { for k in 3 { C[x + 2] sum= A[k + x] } }
    After interior(x, inside):
        for x in 8 {
          if -x >= 0 { for k in 3 { if k - 2 >= 0 { C[0] sum= A[k - 2] } } }
          if x - 1 >= 0, -x + 1 >= 0 { for k in 3 { if k - 1 >= 0 { C[1] sum= A[k - 1] } } }
          if x - 2 >= 0 { for k in 3 { C[x] sum= A[k + x - 2] } }
        }
    """

    if edges not in ("together", "apart", "inside"):
        raise malformed(f"interior: bad edges '{edges}'")

    def split(found: For, scope: Scope) -> Block:
        if found.kind != "serial" and (edges != "inside" or found.kind != "parallel"):
            raise refuse(f"interior: loop '{loop}' is {found.kind}")
        around, extent = scope.ranges(), static(found.extent)
        spans = _parts(extent, *_safe_range(found, around), edges)
        if spans == [(0, extent)]:
            return simplified((found,), around)
        parts = [simplified((_shifted(found, start, end - start),), around) for start, end in spans]
        if edges == "inside":
            chosen = (_chosen(part, start, end, extent) for part, (start, end) in zip(parts, spans))
            return (replace(found, body=tuple(s for c in chosen for s in c)),)
        return tuple(s for part in parts for s in part)

    return rewrite_loops(kernel, loop, split)


def _parts(extent: int, low: int, high: int, edges: Edges) -> list[tuple[int, int]]:
    """Begin and end of what the loop becomes; low .. high are the iterations that need no guard."""
    if edges != "together" and extent - max(0, high - low + 1) <= _MOST_APART:
        before, after = range(low if low <= high else extent), range(high + 1 if low <= high else extent, extent)
        middle = [(low, high + 1)] if low <= high else []
        return [*((i, i + 1) for i in before), *middle, *((i, i + 1) for i in after)]
    if low > high:
        return [(0, extent)]
    return [(a, b) for a, b in ((0, low), (low, high + 1), (high + 1, extent)) if b > a]


def _chosen(part: Block, start: int, end: int, extent: int) -> Block:
    """The body of one part of a loop, guarded so that it runs in its iterations of the whole loop."""
    (loop,) = part
    assert isinstance(loop, For)
    index = Affine.var(loop.index)
    bounds = [index - start] if start else []
    bounds += [-index + (end - 1)] if end < extent else []
    return (If(tuple(bounds), substitute(loop.body, {loop.index: index - start})),)


def _shifted(loop: For, start: int, count: int) -> For:
    form = Affine.var(loop.index) + start if count > 1 else Affine.constant(start)
    return replace(loop, extent=count, body=substitute(loop.body, {loop.index: form}))


def _safe_range(loop: For, around: Mapping[str, int]) -> tuple[int, int]:
    """First and last iteration at which every guard on the loop's index holds, whatever the other indices."""
    low, high = 0, static(loop.extent) - 1
    ranges = dict(around)
    ranges.update((s.index, static(s.extent)) for s in walk(loop.body) if isinstance(s, For))
    for stmt in walk(loop.body):
        for condition in stmt.conditions if isinstance(stmt, If) else ():
            coef = static(condition.coefficient(loop.index))
            if coef == 0:
                continue
            rest = part(condition, lambda n: n != loop.index) + condition.const
            least = interval(rest, ranges)[0]
            if coef > 0:
                low = max(low, -(least // coef))
            else:
                high = min(high, least // -coef)
    return low, high


def simplified(block: Block, ranges: Mapping[str, int]) -> Block:
    """Without guards that always hold in the given ranges of the enclosing loops; identity-preserving."""
    result: list[Stmt] = []
    for stmt in block:
        inner = dict(ranges)
        if isinstance(stmt, For):
            inner[stmt.index] = static(stmt.extent)
        body = children(stmt)
        new = simplified(body, inner) if body else body
        kept = with_children(stmt, new) if new is not body else stmt
        if isinstance(kept, If):
            needed = tuple(c for c in kept.conditions if not holds(c, ranges))
            if not needed:
                result.extend(new)
                continue
            kept = kept if needed == kept.conditions else replace(kept, conditions=needed)
        result.append(kept)
    return block if len(result) == len(block) and all(a is b for a, b in zip(result, block)) else tuple(result)
