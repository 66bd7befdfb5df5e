"""Partial results: what makes an aggregation into one cell run in vector lanes, or in threads.

`rfactor` is the only primitive that changes the order of a float sum. How many partial results there are is written in
the schedule; it must follow from sizes alone, never from the target or the number of threads. The name is Halide's (P.
Suriana, A. Adams, S. Kamil: Parallel associative reductions in Halide, 2017).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from tilec.affine import Affine
from tilec.expr import read
from tilec.groups import in_group
from tilec.loops import (
    Alloc,
    Block,
    Buffer,
    For,
    If,
    Kernel,
    LoopKind,
    Space,
    Stmt,
    Store,
    While,
    rewrite,
    walk,
)
from tilec.passes.schedule.analysis import (
    Scope,
    check_prefix,
    check_space,
    interval,
    loops_named,
    malformed,
    refuse,
    static,
    uses,
)
from tilec.passes.schedule.bind import bind
from tilec.passes.schedule.kinds import vectorize

_COMMUTATIVE = ("sum", "prod", "max", "min")  # and associative, but for the rounding of floats


def rfactor(kernel: Kernel, loop: str, new: str, space: Space = "register") -> Kernel:
    """Every iteration of `loop` aggregates into a partial result of its own; these are combined after the loops.

    The partial results `new`, one per iteration of `loop`, are kept while the cell that is aggregated into stays the
    same: `loop` is tiled off an aggregation first, and its iterations are then independent. In the space `register`,
    it and the loops of the combination run in vector lanes; in the space `local`, by the items of the group around it.
    Halves are added to one another until one is left: an order that the number of partial results fixes. The loops that
    begin are `new.0`, those that combine `new.1` ....

    Before:
        kernel f(in A: f32[2, 10], inout C: f32[2])
        for m in 2 { for k in 10 { C[m] sum= A[m, k] } }
    After tile(k, 4, k.0, k.1) rfactor(k.1, c):
        for m in 2 {
          alloc c: register f32[4]
          for c.0 in 4 vector { c[c.0] = 0.0 }
          for k.0 in 2 { for k.1 in 4 vector { c[k.1] sum= A[m, 4*k.0 + k.1] } }
          for k.0 in 1 { for k.1 in 2 vector { c[k.1] sum= A[m, k.1 + 8] } }
          for c.1 in 2 vector { c[c.1] sum= c[c.1 + 2] }
          for c.2 in 1 vector { c[c.2] sum= c[c.2 + 1] }
          C[m] sum= c[0]
        }
    Raises TILE0604 unless the loop does nothing but aggregate a sum, product, maximum or minimum into one cell.
    """
    check_space("rfactor", space, "thread", "heap", "local", "register")
    if not loops_named(kernel.body, loop):
        raise malformed(f"there is no loop '{loop}' in kernel '{kernel.name}'")
    check_prefix(kernel, new)
    params = Scope(buffers=tuple(p.buffer for p in kernel.params))
    kernel = replace(kernel, body=_Factoring(loop, new, space).block(kernel.body, params))
    if space == "local":
        return bind(kernel, loop, "item")
    return vectorize(kernel, loop) if space == "register" else kernel


@dataclass(frozen=True, slots=True)
class _Factoring:
    """One application of the primitive."""

    loop: str
    new: str
    space: Space

    def block(self, block: Block, scope: Scope) -> Block:
        """Keeps the partial results in the outermost block whose statements all go on with one cell."""
        at = [i for i, s in enumerate(block) if loops_named((s,), self.loop)]
        if not at:
            return block
        before, group, after = block[: at[0]], block[at[0] : at[-1] + 1], block[at[-1] + 1 :]
        for stmt in before:
            scope = scope.enter(stmt) if isinstance(stmt, Alloc) else scope
        store = self.aggregation(group)
        if store is None:
            group = tuple(self.inside(s, scope) for s in group)
        else:
            group = self.partial(group, store, self.checked(group, store, scope))
        return (*before, *group, *after)

    def inside(self, stmt: Stmt, scope: Scope) -> Stmt:
        if not loops_named((stmt,), self.loop):
            return stmt
        if not isinstance(stmt, For | If | While) or (isinstance(stmt, For) and stmt.index == self.loop):
            raise refuse(f"rfactor: loop '{self.loop}' does not aggregate into one cell, and nothing else")
        return replace(stmt, body=self.block(stmt.body, scope.enter(stmt)))

    def aggregation(self, group: Block) -> Store | None:
        """The store of the group's only cell; None where there are several cells, or a guard around the loops."""
        found = [u.store for u in uses(group) if u.store is not None]
        if not found or any(isinstance(s, If | While) for s in group):
            return None
        if any((s.buffer, s.indices) != (found[0].buffer, found[0].indices) for s in found):
            return None
        inner = {s.index for s in walk(group) if isinstance(s, For)}
        fixed = all(isinstance(i, Affine) and not i.variables() & inner for i in found[0].indices)
        return found[0] if fixed else None

    def checked(self, group: Block, store: Store, scope: Scope) -> Buffer:
        """The buffer of the cell. Raises TILE0604 where partial results are not safe."""
        name, monoid, target = store.buffer, store.monoid, scope.buffer(store.buffer)
        if target is None or monoid is None or monoid.name not in _COMMUTATIVE or monoid.arity != 1:
            raise refuse(f"rfactor: the value of '{name}' depends on the order in which it is stored")
        found = [u for u in uses(group) if u.buffer == name]
        if any(u.store is None or u.store.monoid != monoid for u in found):
            raise refuse(f"rfactor: '{name}' is also used otherwise around the loop '{self.loop}'")
        inside = [u for f in loops_named(group, self.loop) for u in uses(f.body) if u.buffer == name]
        if len(inside) != len(found):
            raise refuse(f"rfactor: '{name}' is also stored outside of the loop '{self.loop}'")
        kinds = {s.kind for s in scope.loops}
        if "vector" in kinds or (kinds & {"parallel", "group"} and self.space == "heap"):
            raise refuse(f"rfactor: partial results in the space '{self.space}' cannot be inside of this loop")
        if self.space == "local" and not in_group(scope.loops):
            raise refuse(f"rfactor: '{self.loop}' is not in a group, whose items could share partial results")
        if odd := [s for s in walk(group) if isinstance(s, For) and s.kind not in ("serial", "unroll")]:
            raise refuse(f"rfactor: loop '{odd[0].index}' is {odd[0].kind}")
        for form, size in zip(store.indices, target.shape, strict=True):  # no guard is around the combination
            low, high = interval(form, scope.ranges()) if isinstance(form, Affine) else (-1, 0)
            if low < 0 or high >= static(size):
                raise refuse(f"rfactor: where the loop '{self.loop}' is guarded, '{name}' may have no such cell")
        return target

    def partial(self, group: Block, store: Store, target: Buffer) -> Block:
        """The group on partial results: they begin with the identity, and are combined at the end."""
        assert store.monoid is not None
        count = max(1, *(static(f.extent) for f in loops_named(group, self.loop)))
        buffer = Buffer(self.new, target.dtype, (count,), self.space)
        begin = Store(self.new, (Affine.var(f"{self.new}.0"),), store.monoid.identity[0])
        return (
            Alloc(buffer),
            For(f"{self.new}.0", count, self.kind, (begin,)),
            *rewrite(group, lambda s: (self.redirected(s, store),)),
            *self.halves(buffer, store),
            replace(store, value=read(self.new, (Affine(),), target.dtype)),
        )

    @property
    def kind(self) -> LoopKind:
        match self.space:
            case "register":
                return "vector"
            case "local":
                return "item"
            case _:
                return "serial"

    def redirected(self, stmt: Stmt, store: Store) -> Stmt:
        if not isinstance(stmt, Store) or stmt.buffer != store.buffer:
            return stmt
        return replace(stmt, buffer=self.new, indices=(Affine.var(self.loop),))

    def halves(self, buffer: Buffer, store: Store) -> Sequence[Stmt]:
        """Combines the upper half into the lower one until one element is left; the middle one of odd many waits."""
        found: list[Stmt] = []
        count = static(buffer.shape[0])
        while count > 1:
            name = f"{self.new}.{len(found) + 1}"
            half, index = count - count // 2, Affine.var(name)
            upper = read(self.new, (index + half,), buffer.dtype)
            found.append(For(name, count // 2, self.kind, (Store(self.new, (index,), upper, store.monoid),)))
            count = half
        return found
