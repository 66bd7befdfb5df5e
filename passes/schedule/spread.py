"""Sharing out a nest, such as a copy into local memory, among all items of a group.

Before:
    kernel f(in A: f32[64, 16], out C: f32[64, 16])
    for m in 4 group {
      alloc a: local f32[16, 16]
      for a.0 in 16 { for a.1 in 16 { a[a.0, a.1] = A[a.0 + 16*m, a.1] } }
      for n in 16 item { for k in 16 { C[n + 16*m, k] = a[n, k] } }
    }
After spread(a.0, 16, 4):
    for m in 4 group {
      alloc a: local f32[16, 16]
      for a.0.y in 4 item { for a.0.x in 4 item { for a.0.r in 4 { for a.0.l in 4 vector {
        a[a.0.y + 4*a.0.r, a.0.l + 4*a.0.x] = A[a.0.y + 4*a.0.r + 16*m, a.0.l + 4*a.0.x]
      } } } }
      for n in 16 item { for k in 16 { C[n + 16*m, k] = a[n, k] } }
    }
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tilec.affine import Affine, Coef
from tilec.groups import in_group
from tilec.loops import Alloc, Barrier, Block, For, If, Instr, Kernel, While, strides_of, walk
from tilec.passes.schedule.analysis import (
    Scope,
    Use,
    check_fresh,
    malformed,
    refuse,
    rewrite_loops,
    static,
    substitute,
    uses,
)
from tilec.passes.schedule.kinds import check_independent
from tilec.passes.schedule.reorder import rebuild

_PARTS = ("y", "x", "r", "c", "l")  # rows and columns of items, what each item has of both, lanes


def spread(kernel: Kernel, loop: str, items: int, lanes: int = 1) -> Kernel:
    """The perfect nest of serial loops that `loop` begins, in a group, is run by at most `items` items, whose number
    must be divided by theirs: `loop.y` rows of `loop.x`.

    The loop along which most accesses are contiguous goes to neighbouring items, `lanes` elements for each at a time
    (`loop.l`), over and over (`loop.c`). Of the others the longest one goes to the rows of items, over and over
    (`loop.r`); the rest stay as they are. What reaches over an end is guarded. Raises TILE0604 unless all iterations
    are independent.
    """
    if items < 1 or lanes < 1:
        raise malformed(f"spread: {items} items, {lanes} lanes")
    check_fresh(kernel, *(f"{loop}.{part}" for part in _PARTS))

    def change(found: For, scope: Scope) -> Block:
        if not in_group(scope.loops):
            raise refuse(f"spread: loop '{loop}' is not in a group, or inside of items")
        nest = _Nest.of(found, scope)
        return nest.shared(loop, items, lanes)

    return rewrite_loops(kernel, loop, change)


@dataclass(frozen=True, slots=True)
class _Nest:
    """A perfect nest of serial loops around stores. fast: the one along which memory is contiguous."""

    loops: Mapping[str, int]
    guards: tuple[Affine, ...]
    body: Block
    fast: str

    @staticmethod
    def of(loop: For, scope: Scope) -> _Nest:
        loops: dict[str, int] = {}
        guards: list[Affine] = []
        body: Block = (loop,)
        while len(body) == 1 and isinstance(body[0], For | If):
            part = body[0]
            if isinstance(part, If):
                guards += part.conditions
            elif part.kind != "serial":
                raise refuse(f"spread: loop '{part.index}' is {part.kind}")
            else:
                loops[part.index] = static(part.extent)
                check_independent("spread", part)
            body = part.body
        if held := next((s for s in walk(body) if isinstance(s, For | While | Alloc | Barrier | Instr)), None):
            raise refuse(f"spread: the nest of '{loop.index}' holds a {type(held).__name__.lower()}")
        return _Nest(loops, tuple(guards), body, _contiguous(list(loops), uses(body), scope))

    def shared(self, name: str, items: int, lanes: int) -> Block:
        """The nest with rows and columns of items outermost."""
        columns = _divisor(items, -(-self.loops[self.fast] // lanes))
        slow = max((n for n in self.loops if n != self.fast), key=lambda n: self.loops[n], default=None)
        rows = _divisor(items // columns, self.loops[slow]) if slow else 1
        y, x, r, c, lane = (f"{name}.{part}" for part in _PARTS)
        values: dict[str, Affine | Coef] = {}
        chain: list[For] = [For(n, e, "serial", ()) for n, e in self.loops.items() if n not in (slow, self.fast)]
        guards = list(self.guards)
        if slow:
            values[slow] = self.share(slow, {y: rows}, r, chain, guards)
        values[self.fast] = self.share(self.fast, {lane: lanes, x: columns}, c, chain, guards)
        chain += [For(lane, lanes, "vector", ())] if lanes > 1 else []
        inner = substitute(self.body, values)
        body = rebuild(chain, [g.substitute(values) for g in guards], inner)
        outer = [For(n, e, "item", ()) for n, e in ((y, rows), (x, columns)) if e > 1 or n == x]
        return rebuild(outer, [], body)

    def share(self, loop: str, parts: Mapping[str, int], again: str, chain: list[For], guards: list[Affine]) -> Affine:
        """What the index of a loop becomes: parts from fast to slow, and again as often as there is more."""
        form, size = Affine(), 1
        for name, count in parts.items():
            if count > 1 or name.endswith(".x"):
                form = form + Affine.var(name) * size
            size *= count
        rounds = -(-self.loops[loop] // size)
        if rounds > 1:
            chain.append(For(again, rounds, "serial", ()))
            form = form + Affine.var(again) * size
        if rounds * size > self.loops[loop]:
            guards.append(Affine.var(loop) * -1 + (self.loops[loop] - 1))
        return form


def _contiguous(loops: Sequence[str], found: Sequence[Use], scope: Scope) -> str:
    """The loop along which most accesses, those to memory of all groups first, are contiguous."""

    def worth(loop: str) -> tuple[int, int, int]:
        steps = [(use.buffer, _stride(use, loop, scope)) for use in found]
        near = [name for name, step in steps if step == 1]
        far = [n for n in near if (b := scope.buffer(n)) is not None and b.space in ("param", "heap")]
        return len(far), len(near), loops.index(loop)

    return max(loops, key=worth)


def _stride(use: Use, loop: str, scope: Scope) -> int | None:
    buffer = scope.buffer(use.buffer)
    if buffer is None:
        return None
    total = 0
    for form, step in zip(use.indices or (), strides_of(buffer)):
        if not isinstance(form, Affine) or not isinstance(step, int):
            return None
        total += static(form.coefficient(loop)) * step
    return total


def _divisor(items: int, most: int) -> int:
    """The largest divisor that is not above a number."""
    return max(n for n in range(1, max(1, min(items, most)) + 1) if items % n == 0)
