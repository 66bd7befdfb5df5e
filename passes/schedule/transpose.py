"""Tiles that are loaded along one axis and used along another: strided vectors become shuffles of whole ones.

Before:
    kernel f(in A: f32[8, 4], out C: f32[4, 8])
    for m in 2 { for n in 4 { for m.1 in 2 { for n.1 in 2 { C[2*m + m.1, 2*n + n.1] = A[2*n + n.1, 2*m + m.1] } } } }
After vectorize(n.1) unroll(m.1) transpose(A, n, a):
    for m in 2 {
      for n in 4 {
        alloc a: register f32[2, 2]
        for a.0 in 2 unroll { for a.1 in 2 vector { a[a.0, a.1] = A[a.0 + 2*n, a.1 + 2*m] } }
        for m.1 in 2 unroll { for n.1 in 2 vector { C[2*m + m.1, 2*n + n.1] = a[n.1, m.1] } }
      }
    }
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from tilec.affine import Affine
from tilec.loops import Alloc, Block, Buffer, For, If, Kernel, Let, Store, strides_of, walk
from tilec.passes.schedule.analysis import (
    Index,
    Scope,
    buffers,
    check_prefix,
    malformed,
    map_accesses,
    refuse,
    rewrite_loops,
    static,
    uses,
)
from tilec.passes.schedule.copies import Copies, Layout
from tilec.passes.schedule.items import check_owner
from tilec.passes.schedule.regions import region
from tilec.passes.schedule.stage import overwritten


def transpose(kernel: Kernel, buffer: str, loop: str, new: str) -> Kernel:
    """Inside every loop `loop`, cells of `buffer` that lie apart in memory along the lanes are kept in registers.

    `new` holds the rectangle of them. It is copied in lanes along the axis that is contiguous in memory: in before, or
    out after where it is stored to. The body uses it in the lanes that it has, so that the backend transposes it. The
    loops in `loop` are vector or unrolled ones; accesses along the contiguous axis stay as they are. The copy loops are
    `new.0`, `new.1` ..., those out `new.out.0` ....

    Before:
        kernel f(in A: f32[4, 2], out C: f32[2, 4])
        for m in 1 { for n.1 in 4 { for m.1 in 2 { C[m.1, n.1] = neg(A[n.1, m.1]) } } }
    After vectorize(m.1) unroll(n.1) transpose(C, m, c):
        for m in 1 {
          alloc c: register f32[2, 4]
          for n.1 in 4 unroll { for m.1 in 2 vector { c[m.1, n.1] = neg(A[n.1, m.1]) } }
          for c.out.0 in 2 unroll { for c.out.1 in 4 vector { C[c.out.0, c.out.1] = c[c.out.0, c.out.1] } }
        }
    Raises TILE0604 where no access is of that kind, where the body stores less than the whole rectangle, or stores
    what it also accesses in another way.
    """
    if buffer not in buffers(kernel):
        raise malformed(f"transpose: there is no buffer '{buffer}' in kernel '{kernel.name}'")
    check_prefix(kernel, new)

    def change(found: For, scope: Scope) -> Block:
        return (replace(found, body=_transposed(found, scope, buffer, new)),)

    result = rewrite_loops(kernel, loop, change)
    if new not in buffers(result):
        raise refuse(f"transpose: no access to '{buffer}' in '{loop}' lies apart in memory along vector lanes")
    return result


@dataclass(frozen=True, slots=True)
class _Across:
    """Accesses whose lanes are moved along another axis than `axis`, the one that is contiguous in memory."""

    buffer: str
    axis: int
    lanes: frozenset[str]  # vector loops

    @staticmethod
    def of(buffer: Buffer, loop: For) -> _Across | None:
        steps = strides_of(buffer)
        axes = [a for a, size in enumerate(buffer.shape) if steps[a] == 1 and size != 1]
        lanes = frozenset(s.index for s in walk(loop.body) if isinstance(s, For) and s.kind == "vector")
        return _Across(buffer.name, axes[-1], lanes) if axes and lanes else None

    def includes(self, indices: Sequence[Index] | None) -> bool:
        if indices is None or not all(isinstance(i, Affine) for i in indices):
            return False
        moved = [a for a, i in enumerate(indices) if isinstance(i, Affine) and i.variables() & self.lanes]
        return len(moved) == 1 and moved[0] != self.axis


def _transposed(loop: For, scope: Scope, buffer: str, new: str) -> Block:
    source = scope.buffer(buffer)
    across = None if source is None else _Across.of(source, loop)
    if source is None or across is None:
        return loop.body
    touching = [u for u in uses(loop.body) if u.buffer == buffer]
    found = [u for u in touching if across.includes(u.indices)]
    if not found:
        return loop.body
    _check_loops(loop, scope)
    check_owner(loop, scope, source, "transpose")
    box = region(found, "transpose")
    stored = any(u.store for u in touching)
    if stored and not (len(found) == len(touching) and overwritten(found, box)):
        raise refuse(f"transpose: '{buffer}' is not stored whole and in one way in '{loop.index}'")
    layout = Layout({}, tuple((axis, 0) for axis in range(len(box.extents))))
    outer = {**scope.ranges(), loop.index: static(loop.extent)}
    shape = tuple(static(s) for s in source.shape)
    copy = Copies(source, new, "register", box, layout, shape, outer, frozenset({across.axis}))

    def change(indices: tuple[Index, ...]) -> tuple[str, tuple[Index, ...]]:
        if not across.includes(indices):
            return buffer, indices
        return new, box.local([i for i in indices if isinstance(i, Affine)])

    body = map_accesses(loop.body, buffer, change)
    return (Alloc(copy.buffer()), *body, *copy.outward()) if stored else (Alloc(copy.buffer()), *copy.inward(), *body)


def _check_loops(loop: For, scope: Scope) -> None:
    if any(s.kind == "vector" for s in (*scope.loops, loop)):
        raise refuse(f"transpose: '{loop.index}' is in vector lanes")
    for stmt in walk(loop.body):
        expanded = not isinstance(stmt, For) or stmt.kind in ("vector", "unroll")
        if not expanded or not isinstance(stmt, For | If | Let | Store):
            raise refuse(f"transpose: '{loop.index}' holds more than stores in vector and unrolled loops")
