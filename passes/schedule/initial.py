"""Moving the initialisation of an accumulator to the place where it is staged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod

from tilec.affine import Affine
from tilec.expr import substitute_indices
from tilec.loops import Block, For, If, Kernel, LoopKind, Stmt, Store, children
from tilec.passes.schedule.analysis import (
    Scope,
    Use,
    buffers,
    carried,
    index_by_index,
    interval,
    loops_named,
    refuse,
    static,
    uses,
)
from tilec.passes.schedule.copies import nest
from tilec.passes.schedule.regions import region


@dataclass(frozen=True, slots=True)
class Initial:
    """The nest `for ... { buffer[variables] = value }` that gives every cell its first value."""

    nest: For
    store: Store
    variables: tuple[str | None, ...]  # per axis the nest's loop; None on an axis of extent 1
    covered: bool  # every cell is staged: the nest itself is of no more use

    def evaluate(
        self,
        loops: Sequence[tuple[str, int, LoopKind]],
        stored: tuple[Affine, ...],
        cell: tuple[Affine, ...],
        guards: tuple[Affine, ...],
        new: str,
    ) -> Block:
        """The value at `cell`, stored into `new[stored]`."""
        values = {name: form for name, form in zip(self.variables, cell) if name is not None}
        store = Store(new, stored, substitute_indices(self.store.value, values))
        return nest(loops, guards, (store,))

    def drop(self, kernel: Kernel) -> Kernel:
        """The kernel without the nest, where that is safe."""
        if not self.covered:
            return kernel
        at = next(i for i, s in enumerate(kernel.body) if s is self.nest)  # an equal one may follow
        return replace(kernel, body=kernel.body[:at] + kernel.body[at + 1 :])


def initialise(kernel: Kernel, buffer: str, loop: str) -> Initial:
    """Finds the initialising nest of `buffer` and proves that it may be evaluated where `loop` stages the buffer.

    Raises TILE0604 with the reason otherwise.
    """
    at = _position(kernel, buffer)
    nest, store, variables = _initialiser(kernel, kernel.body[at], buffer)
    staged = [i for i, s in enumerate(kernel.body) if loops_named((s,), loop)]
    after = [i for i, s in enumerate(kernel.body) if i > at and any(u.buffer == buffer for u in uses((s,)))]
    if not staged or not after or staged[0] < at or after[: len(staged)] != staged:
        raise refuse(f"stage: '{buffer}' is used between its initialisation and the loop '{loop}', or not there")
    covered = covers_once([kernel.body[i] for i in staged], kernel, buffer, loop)
    _check_operands(kernel, nest, buffer, range(at, staged[-1] + 1))
    return Initial(nest, store, variables, covered)


def covers_once(staged: Sequence[Stmt], kernel: Kernel, buffer: str, loop: str) -> bool:
    """Whether the loops called `loop` stage every cell of the buffer; raises where a cell is staged twice."""
    boxes: list[list[tuple[int, int]]] = []
    for stmt in staged:
        boxes += _boxes(stmt, buffer, loop)
    _check_disjoint(boxes, buffer)
    shape = [static(s) for s in buffers(kernel)[buffer].shape]
    reached = sum(prod(max(0, min(h, n - 1) - max(lo, 0) + 1) for (lo, h), n in zip(box, shape)) for box in boxes)
    return reached == prod(shape)


def _position(kernel: Kernel, buffer: str) -> int:
    for i, stmt in enumerate(kernel.body):
        if any(u.buffer == buffer for u in uses((stmt,))):
            return i
    raise refuse(f"stage: '{buffer}' has no initialising nest")


def _initialiser(kernel: Kernel, stmt: Stmt, buffer: str) -> tuple[For, Store, tuple[str | None, ...]]:
    ranges: dict[str, int] = {}
    inner = stmt
    while isinstance(inner, For) and len(inner.body) == 1:
        ranges[inner.index] = static(inner.extent)
        inner = inner.body[0]
    if not isinstance(stmt, For) or not isinstance(inner, Store) or inner.buffer != buffer or inner.monoid is not None:
        raise refuse(f"stage: the first use of '{buffer}' is no plain initialising nest")
    shape = [static(s) for s in buffers(kernel)[buffer].shape]
    variables = index_by_index(inner.indices, shape, ranges)
    if variables is None:
        raise refuse(f"stage: the initialising nest of '{buffer}' does not cover it index by index")
    if {v for v in variables if v} != {n for n, e in ranges.items() if e != 1 or n in variables}:
        raise refuse(f"stage: the initialising nest of '{buffer}' has other loops than the buffer has axes")
    if any(u.buffer == buffer and u.store is None for u in uses((stmt,))):
        raise refuse(f"stage: the initialising nest of '{buffer}' reads it")
    return stmt, inner, variables


def _boxes(stmt: Stmt, buffer: str, loop: str) -> list[list[tuple[int, int]]]:
    """Per staged loop the range of all cells it reaches; checks that the loops around never revisit a cell."""
    found: list[list[tuple[int, int]]] = []

    def visit(stmt: Stmt, scope: Scope) -> None:
        if isinstance(stmt, For) and stmt.index == loop:
            inside = [u for u in uses(stmt.body, scope.enter(stmt).ranges()) if u.buffer == buffer]
            if not inside:
                return
            around = scope.enter(stmt).loops
            if not scope.certain:
                raise refuse(f"stage: loop '{loop}' is guarded, so cells of '{buffer}' may stay uninitialised")
            for outer in around:
                if why := carried(inside, outer.index):
                    raise refuse(f"stage: '{buffer}' would be initialised more than once", why)
            _check_dense(uses(stmt.body), buffer, {f.index: static(f.extent) for f in around})
            found.append(_total(inside))
            return
        for child in children(stmt):
            if not isinstance(child, For | If) and any(u.buffer == buffer for u in uses((child,))):
                raise refuse(f"stage: '{buffer}' is also used outside of '{loop}'")
            visit(child, scope.enter(stmt))

    visit(stmt, Scope())
    staged_uses = sum(len([u for u in uses(f.body) if u.buffer == buffer]) for f in loops_named((stmt,), loop))
    if staged_uses != len([u for u in uses((stmt,)) if u.buffer == buffer]):
        raise refuse(f"stage: '{buffer}' is also used outside of '{loop}'")
    return found


def _check_dense(body: Sequence[Use], buffer: str, around: Mapping[str, int]) -> None:
    """Refuses unless the boxes that the iterations stage lie side by side, with neither holes nor overlaps.

    Then all of them together are the range of all cells. Per axis that is a mixed-radix argument: each loop around
    steps over exactly what the loops inside of it cover.
    """
    box = region([u for u in body if u.buffer == buffer], "stage")
    moving: set[str] = set()
    for start, reach in zip(box.starts, box.extents):
        steps = sorted((abs(static(c)), n) for n, c in start.terms if around[n] > 1)
        for step, name in steps:
            if step != reach or name in moving:
                raise refuse(f"stage: the staged boxes of '{buffer}' leave cells out or overlap")
            moving.add(name)
            reach *= around[name]
    if again := sorted(n for n, extent in around.items() if extent > 1 and n not in moving):
        raise refuse(f"stage: each iteration of '{again[0]}' would stage the same cells of '{buffer}' again")


def _total(inside: Sequence[Use]) -> list[tuple[int, int]]:
    box: list[tuple[int, int]] = []
    for axis in range(len(inside[0].indices or ())):
        low, high = 0, -1
        for i, use in enumerate(inside):
            form = (use.indices or ())[axis]
            if not isinstance(form, Affine):
                raise refuse(f"stage: an index of '{use.buffer}' depends on data")
            a, b = interval(form, use.ranges)
            low, high = (a, b) if i == 0 else (min(low, a), max(high, b))
        box.append((low, high))
    return box


def _check_disjoint(boxes: list[list[tuple[int, int]]], buffer: str) -> None:
    for i, a in enumerate(boxes):
        for b in boxes[:i]:
            if all(lo1 <= hi2 and lo2 <= hi1 for (lo1, hi1), (lo2, hi2) in zip(a, b)):
                raise refuse(f"stage: cells of '{buffer}' would be initialised by two loops")


def _check_operands(kernel: Kernel, nest: For, buffer: str, span: range) -> None:
    """What the initial value reads must not change between the nest and the staged loops."""
    operands = {u.buffer for u in uses((nest,)) if u.store is None}
    for i in span:
        if any(u.store is not None and u.buffer in operands for u in uses((kernel.body[i],))):
            raise refuse(f"stage: what '{buffer}' is initialised from is stored before its last use")
