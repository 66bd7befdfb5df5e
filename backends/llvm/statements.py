"""Statements of a kernel: loops with register cells carried by phis, branches, lane masks, stores."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import assert_never

from tilec.backends.llvm import exprs, instructions, memory, tiles, written
from tilec.backends.llvm.address import Form, Index, Lanes, Scalar, number, split
from tilec.backends.llvm.frame import Frame, Mask, Storage
from tilec.backends.llvm.types import Value
from tilec.buffers import elements
from tilec.dtypes import BOOL
from tilec.errors import error
from tilec.instructions import expand
from tilec.loops import (
    Alloc,
    Barrier,
    Block,
    For,
    If,
    Instr,
    Let,
    Stmt,
    Store,
    While,
    accesses,
    walk,
)
from tilec.monoid import Monoid

Outliner = Callable[[Frame, For], None]

_DECLARATIONS = (Alloc, Let)
_WRITTEN_OUT = 16  # vectors of a loop that are emitted one after another, with constant masks


def block(frame: Frame, body: Block, outline: Outliner) -> None:
    """Emits statements in order; names declared among them end with the block."""
    if any(isinstance(s, _DECLARATIONS) for s in body):
        with frame.block():
            for stmt in body:
                statement(frame, stmt, outline)
    else:
        for stmt in body:
            statement(frame, stmt, outline)


def statement(frame: Frame, stmt: Stmt, outline: Outliner) -> None:
    match stmt:
        case For():
            _loop(frame, stmt, outline)
        case If():
            _guard(frame, stmt, outline)
        case Alloc():
            _allocate(frame, stmt)
        case Let():
            frame.lets[stmt.name] = exprs.emit(frame, stmt.value)
        case Store():
            _store(frame, stmt)
        case While():
            _while(frame, stmt, outline)
        case Barrier():
            pass  # work-items run one after another here, and loops that hold a barrier were refused
        case Instr():
            if not instructions.emit(frame, stmt):
                block(frame, expand(stmt), outline)
        case _:
            assert_never(stmt)


# loops -------------------------------------------------------------------------------------------------------------


def _loop(frame: Frame, loop: For, outline: Outliner) -> None:
    extent = number(loop.extent)
    if extent <= 0:
        return
    if loop.kind == "item" and any(isinstance(s, Barrier) for s in walk(loop.body)):
        raise error("TILE0602", "a barrier between work-items is not available on the LLVM backend")
    if extent == 1 and loop.kind != "vector":
        return _instance(frame, loop, 0, outline)
    match loop.kind:
        case "unroll":
            for i in range(extent):
                _instance(frame, loop, i, outline)
        case "vector":
            _vector(frame, loop, extent, outline)
        case "parallel" if frame.outline and not frame.in_vector:
            outline(frame, loop)
        case "serial" if tiles.region(frame, loop):
            pass
        case _:
            serial(frame, loop, "0", str(extent), outline)


def _instance(frame: Frame, loop: For, index: Index, outline: Outliner) -> None:
    outer = frame.indices
    frame.indices = {**outer, loop.index: index}
    block(frame, loop.body, outline)
    frame.indices = outer


def _vector(frame: Frame, loop: For, extent: int, outline: Outliner) -> None:
    """All lanes of a register at once, register after register; inside another vector loop one after another."""
    if frame.lanes == 0 or frame.in_vector:
        for i in range(extent):
            _instance(frame, loop, i, outline)
        return
    start = 0
    if extent > _WRITTEN_OUT * frame.lanes and not _touches_registers(frame, loop.body):
        start = _vector_blocks(frame, loop, extent // frame.lanes, outline)
    for base in range(start, extent, frame.lanes):
        on = min(frame.lanes, extent - base)
        mask = None if on == frame.lanes else tuple(lane < on for lane in range(frame.lanes))
        outer, frame.mask, frame.in_vector = frame.mask, mask, True
        _instance(frame, loop, Lanes(base), outline)
        frame.mask, frame.in_vector = outer, False


def _touches_registers(frame: Frame, body: Block) -> bool:
    """Cells must be named by constants, which only a loop that is written out gives them."""
    names = {a.tensor for s in walk(body) for a in accesses(s)}
    names |= {s.buffer for s in walk(body) if isinstance(s, Store)}
    return not names.isdisjoint(frame.registers) or any(id(s) in frame.plan for s in walk(body))


def _vector_blocks(frame: Frame, loop: For, blocks: int, outline: Outliner) -> int:
    """A serial loop over full vectors; returns where the rest begins."""
    frame.in_vector = True
    numbered = replace(loop, extent=blocks)
    serial(frame, numbered, "0", str(blocks), outline, lambda number_: Lanes(0, number_, frame.lanes))
    frame.in_vector = False
    return blocks * frame.lanes


def _itself(index: Scalar) -> Index:
    return index


def serial(
    frame: Frame,
    loop: For,
    first: str,
    last: str,
    outline: Outliner,
    meaning: Callable[[Scalar], Index] = _itself,
) -> None:
    """A do-while loop over `first .. last-1` (i64, at least one); written register cells become phis.

    meaning: what the loop's index stands for, given the counter.
    """
    emitter = frame.emitter
    before, header, leave = emitter.block, emitter.fresh("loop"), emitter.fresh("done")
    index = emitter.fresh("i")
    written.forget_loads(frame, loop.body)
    emitter.jump(header)
    emitter.label(header)
    phis = emitter.placeholder()
    scalar = Scalar(index, emitter.depth + 1, number(loop.extent))
    with frame.index(loop.index, meaning(scalar)):
        initial, carried = written.carry(frame, loop.body)
    with emitter.scope():
        _instance(frame, loop, meaning(scalar), outline)
        following = emitter.emit(f"add nuw nsw i64 {index}, 1")
        again = emitter.emit(f"icmp slt i64 {following}, {last}")
        emitter.branch(again, header, leave)
    latch = emitter.block
    phis.append(f"  {index} = phi i64 [ {first}, %{before} ], [ {following}, %{latch} ]")
    for cell, phi in carried.items():
        phis.append(written.phi(phi, initial[cell], before, frame.cells[cell], latch))
    emitter.label(leave)


def _while(frame: Frame, stmt: While, outline: Outliner) -> None:
    emitter = frame.emitter
    before, header = emitter.block, emitter.fresh("while")
    inside, leave = emitter.fresh("do"), emitter.fresh("done")
    written.forget_loads(frame, stmt.body)
    emitter.jump(header)
    emitter.label(header)
    phis = emitter.placeholder()
    initial, carried = written.carry(frame, stmt.body)
    with emitter.scope():
        test = exprs.emit(frame, stmt.condition)
        if test.lanes:
            raise error("TILE0602", "the condition of a while loop differs between lanes")
        ref = test.ref
        if isinstance(frame.mask, str):  # without a lane the condition means nothing, and might hold for ever
            ref = emitter.pure(f"and i1 {ref}, {memory.any_lane(frame)}")
        emitter.branch(ref, inside, leave)
        emitter.label(inside)
        block(frame, stmt.body, outline)
        emitter.jump(header)
    for cell, phi in carried.items():
        phis.append(written.phi(phi, initial[cell], before, frame.cells[cell], emitter.block))
    frame.cells.update(carried)
    emitter.label(leave)


# conditions --------------------------------------------------------------------------------------------------------


def _guard(frame: Frame, stmt: If, outline: Outliner) -> None:
    """Branches on what is the same in all lanes, masks by what is not."""
    uniform: list[Value] = []
    mask: Mask | None = frame.mask
    for form in (split(c, frame.indices) for c in stmt.conditions):
        if form.lane and not form.terms:
            mask = exprs.both(frame, mask, _known_lanes(frame, form))
            continue
        found = exprs.condition(frame, form)
        if found is False:
            return
        if found is not True and found.lanes:
            mask = exprs.both(frame, mask, found.ref)
        elif found is not True:
            uniform.append(found)
    if isinstance(mask, tuple):
        if not any(mask):
            return
        mask = None if all(mask) else mask
    outer, frame.mask = frame.mask, mask
    if uniform:
        with _branch(frame, uniform):
            block(frame, stmt.body, outline)
    else:
        block(frame, stmt.body, outline)
    frame.mask = outer


def _known_lanes(frame: Frame, form: Form) -> Mask:
    return tuple(form.const + lane * form.lane >= 0 for lane in range(frame.lanes))


@contextmanager
def _branch(frame: Frame, conditions: list[Value]) -> Iterator[None]:
    """The region runs where all conditions hold; register cells that it writes are merged after it."""
    if not conditions:
        yield
        return
    emitter = frame.emitter
    test = conditions[0].ref
    for other in conditions[1:]:
        test = emitter.pure(f"and i1 {test}, {other.ref}")
    before, then, join = emitter.block, emitter.fresh("then"), emitter.fresh("join")
    cells = dict(frame.cells)
    emitter.branch(test, then, join)
    emitter.label(then)
    with emitter.scope():
        yield
    after = emitter.block
    emitter.jump(join)
    emitter.label(join)
    for cell, value in list(frame.cells.items()):
        old = cells.get(cell) or memory.undefined(frame.registers[cell[0]], frame.lanes)
        if old != value:
            phi = Value(emitter.fresh("r"), value.dtype, value.lanes)
            emitter.line(written.phi(phi, old, before, value, after).strip())
            frame.cells[cell] = phi


# memory ------------------------------------------------------------------------------------------------------------


def _allocate(frame: Frame, stmt: Alloc) -> None:
    buffer = stmt.buffer
    frame.registers.pop(buffer.name, None)
    if id(stmt) in frame.plan:
        frame.registers[buffer.name] = frame.plan[id(stmt)]
    elif buffer.base is not None:
        base = frame.storage[buffer.base]
        offset = base.offset + number(buffer.offset) * buffer.dtype.bytes
        frame.storage[buffer.name] = replace(base, buffer=buffer, offset=offset)
    else:
        offset = frame.scratch.take(elements(buffer) * buffer.dtype.bytes)
        frame.emitter.forget_loads(buffer.name)
        frame.storage[buffer.name] = Storage(buffer, frame.scratch_base, offset, buffer.name)


def _store(frame: Frame, stmt: Store) -> None:
    places = exprs.dynamic(frame, stmt.indices)
    uniform = memory.is_uniform(frame, stmt.indices, places)
    scattered = any(v.lanes for v in places.values())
    if frame.in_vector and ((uniform and isinstance(frame.mask, str)) or (scattered and stmt.monoid is not None)):
        _per_lane(frame, stmt, places)
    elif frame.in_vector and uniform and stmt.monoid is not None:
        _reduce_lanes(frame, stmt, places)
    else:
        _put(frame, stmt, places, _terms(frame, stmt))


def _terms(frame: Frame, stmt: Store) -> tuple[Value, ...]:
    """What is stored or aggregated: one value, or the two factors of a term of a fused sum."""
    return tuple(exprs.emit(frame, e) for e in exprs.product_factors(stmt) or (stmt.value,))


def _put(frame: Frame, stmt: Store, places: dict[int, Value], terms: tuple[Value, ...]) -> None:
    """Stores the value, or what its aggregation with the present content gives."""
    value = terms[0] if stmt.monoid is None else _added(frame, stmt.monoid, _old(frame, stmt, places), terms)
    memory.store(frame, stmt.buffer, stmt.indices, places, value, stmt.stream)


def _added(frame: Frame, monoid: Monoid, state: Value, terms: tuple[Value, ...]) -> Value:
    """The aggregation of a state and a term, which is fused wherever it stands: no schedule changes a bit."""
    if len(terms) == 2:
        return frame.ops.muladd(*terms, state)
    return exprs.combined(frame, monoid, state, terms[0])


def _old(frame: Frame, stmt: Store, places: dict[int, Value]) -> Value:
    return memory.load(frame, stmt.buffer, stmt.indices, places)


def _reduce_lanes(frame: Frame, stmt: Store, places: dict[int, Value]) -> None:
    """All lanes aggregate into one element: in the order of the lanes."""
    assert stmt.monoid is not None
    terms = [frame.ops.splat(t) for t in _terms(frame, stmt)]
    state = _old(frame, stmt, places)
    for lane in memory.lanes_on(frame):
        state = _added(frame, stmt.monoid, state, tuple(frame.ops.pick(t, lane) for t in terms))
    memory.store(frame, stmt.buffer, stmt.indices, places, state)


def _per_lane(frame: Frame, stmt: Store, places: dict[int, Value]) -> None:
    """Terms of all lanes at once, then one write after another: where lanes may meet in one element."""
    terms = _terms(frame, stmt)
    (name, index), mask = _lane_index(frame), frame.mask
    frame.in_vector = False
    for lane in range(frame.lanes):
        if isinstance(mask, tuple) and not mask[lane]:
            continue
        conditions = [frame.ops.pick(Value(mask, BOOL, frame.lanes), lane)] if isinstance(mask, str) else []
        alone = replace(index, base=index.base + lane, wide=False)
        with frame.masked(None), frame.index(name, alone), _branch(frame, conditions):
            here = {axis: frame.ops.pick(v, lane) for axis, v in places.items()}
            _put(frame, stmt, here, tuple(frame.ops.pick(t, lane) for t in terms))
    frame.in_vector = True


def _lane_index(frame: Frame) -> tuple[str, Lanes]:
    return next((n, i) for n, i in frame.indices.items() if isinstance(i, Lanes))
