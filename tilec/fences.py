"""Floor 3: the barriers of a work-group: where one nest of items touches what another one has left in shared memory.

The items of a nest need not keep step. So there is a barrier between two nests where one stores what the other reads or
stores, also from one iteration of a loop around them to the next; nests that share nothing need none. What stands
outside of the nests is done by the first item, but for scalars and conditions of loops, which every item computes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from tilec.instructions import expand
from tilec.loops import (
    Alloc,
    Barrier,
    Block,
    Buffer,
    For,
    If,
    Instr,
    Let,
    Space,
    Stmt,
    Store,
    While,
    accesses,
    children,
    walk,
    with_children,
)

Buffers = Mapping[str, Buffer]


@dataclass(frozen=True, slots=True)
class Touch:
    """A buffer that the first item, or all of them, have read or stored since the last barrier."""

    buffer: str
    stores: bool
    actor: Literal["first", "all"]

    def meets(self, other: Touch) -> bool:
        several = "all" in (self.actor, other.actor)
        return self.buffer == other.buffer and several and (self.stores or other.stores)


Touches = frozenset[Touch]


def fenced(block: Block, buffers: Buffers) -> Block:
    """The body of a group with the barriers that it needs. `buffers` are those in scope; a `register` buffer is one of
    which each item has its own."""
    return _block(block, frozenset(), buffers)[0]


def _block(block: Block, before: Touches, buffers: Buffers) -> tuple[Block, Touches]:
    """The block with barriers; given what is touched before it, what is after it, since the last barrier."""
    known = dict(buffers)
    result: list[Stmt] = []
    for stmt in block:
        if isinstance(stmt, Alloc):
            known[stmt.buffer.name] = stmt.buffer
        needed, new, before = _statement(stmt, before, known)
        result += [new] if needed is None else [Barrier(needed), new]
    return tuple(result), before


def _statement(stmt: Stmt, before: Touches, buffers: Buffers) -> tuple[Space | None, Stmt, Touches]:
    """The space of a barrier before the statement, if any, the statement, and what is touched after it."""
    match stmt:
        case Barrier(space):
            other = {n for n, b in buffers.items() if b.space != "local"} if space == "local" else set()
            return None, stmt, frozenset(t for t in before if t.buffer in other)
        case If():
            body, after = _block(stmt.body, before, buffers)
            return None, with_children(stmt, body), before | after
        case While():
            return _while(stmt, before, buffers)
        case For(kind=kind) if kind != "item" and not _by_the_first(stmt):
            again = _repeated if stmt.extent != 1 else _block
            body, after = again(stmt.body, before, buffers)
            return None, with_children(stmt, body), before | after
        case _:
            here = frozenset(_touches(stmt, buffers))
            needed = _conflict(before, here, buffers)
            return needed, stmt, here if needed else before | here


def _repeated(body: Block, before: Touches, buffers: Buffers) -> tuple[Block, Touches]:
    """A body that may follow itself."""
    while True:
        new, after = _block(body, before, buffers)
        if after <= before:
            return new, after
        before |= after


def _while(stmt: While, before: Touches, buffers: Buffers) -> tuple[Space | None, Stmt, Touches]:
    """The condition is computed before the first round and after each."""
    here = frozenset(_reads(stmt, buffers, "all"))
    first = _conflict(before, here, buffers)
    start = here if first else before | here
    while True:
        body, after = _block(stmt.body, start, buffers)
        again = _conflict(after, here, buffers)
        after = here if again else after | here
        if after <= start:
            return first, with_children(stmt, (*body, Barrier(again)) if again else body), start
        start |= after


def _conflict(before: Touches, here: Touches, buffers: Buffers) -> Space | None:
    """The space of a barrier between the two: of all memory where more than local memory is concerned."""
    met = {h.buffer for h in here for b in before if h.meets(b)}
    if not met:
        return None
    return "local" if all(buffers[name].space == "local" for name in met) else "param"


def _touches(stmt: Stmt, buffers: Buffers) -> Iterator[Touch]:
    """Shared memory that a nest of items, or a statement outside of them, touches."""
    parts = list(_parts((stmt,)))
    own = {s.buffer.name: s.buffer for s in parts if isinstance(s, Alloc)}
    known = {**buffers, **own}
    actor: Literal["first", "all"] = "first" if _by_the_first(stmt) else "all"
    for part in parts:
        found = [*_reads(part, known, actor)]
        if isinstance(part, Store):
            found += _of([part.buffer], True, actor, known)
        yield from (touch for touch in found if touch.buffer not in own)


def _by_the_first(stmt: Stmt) -> bool:
    """Whether one item does all of a statement: it needs no barrier to see what it has stored itself."""
    return not any(
        isinstance(s, Let | While | Barrier) or (isinstance(s, For) and s.kind == "item") for s in walk((stmt,))
    )


def _reads(stmt: Stmt, buffers: Buffers, actor: Literal["first", "all"]) -> Iterator[Touch]:
    return _of((a.tensor for a in accesses(stmt)), False, actor, buffers)


def _of(names: Iterable[str], stores: bool, actor: Literal["first", "all"], buffers: Buffers) -> Iterator[Touch]:
    for name in names:
        while (base := buffers[name].base) is not None:
            name = base
        if buffers[name].space != "register":
            yield Touch(name, stores, actor)


def _parts(block: Block) -> Iterator[Stmt]:
    """Every statement, instructions as what they stand for."""
    for stmt in block:
        if isinstance(stmt, Instr):
            yield from _parts(expand(stmt))
        else:
            yield stmt
            yield from _parts(children(stmt))
