"""Separating the iterations that need no guard from those at the edges."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from tilec.affine import Affine
from tilec.loops import Block, For, If, Kernel, Stmt, children, walk, with_children
from tilec.passes.schedule.analysis import Scope, holds, interval, part, refuse, rewrite_loops, static, substitute


def interior(kernel: Kernel, loop: str) -> Kernel:
    """Splits a serial loop into the part where all guards on its index hold, and what is before and after it.

    Guards that hold throughout a part are dropped there. Nothing changes where no such part exists.

    Before:
        kernel f(in A: f32[8], inout C: f32[8])
        for x in 8 { for k in 3 { if k + x - 1 >= 0, -k - x + 8 >= 0 { C[x] sum= A[k + x - 1] } } }
    After interior(x):
        for x in 1 { for k in 3 { if k - 1 >= 0 { C[0] sum= A[k - 1] } } }
        for x in 6 { for k in 3 { C[x + 1] sum= A[k + x] } }
        for x in 1 { for k in 3 { if -k + 1 >= 0 { C[7] sum= A[k + 6] } } }
    """

    def split(found: For, scope: Scope) -> Block:
        if found.kind != "serial":
            raise refuse(f"interior: loop '{loop}' is {found.kind}")
        extent, around = static(found.extent), scope.ranges()
        low, high = _safe_range(found, around)
        if low > high or (low, high) == (0, extent - 1):
            return simplified((found,), around)
        parts: list[Stmt] = []
        for start, end in ((0, low), (low, high + 1), (high + 1, extent)):
            if end > start:
                parts += simplified((_shifted(found, start, end - start),), around)
        return tuple(parts)

    return rewrite_loops(kernel, loop, split)


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
