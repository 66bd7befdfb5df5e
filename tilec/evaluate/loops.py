"""Floor 3: runs Loops on NumPy arrays: the slow and obvious meaning that primitives and backends are tested against.

A statement is executed at several points at once (the lanes of a vector loop; one point outside of vector loops), each
lane with its own values of loop indices and scalars. A perfect nest that never reads what it writes is expanded into
all its points in the order of execution, whatever the kinds of its loops: an aggregation applies the terms of a cell
in that order.

Every access is checked: an index outside of its buffer raises TileError TILE0602.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from tilec.affine import Affine, resolve
from tilec.errors import error
from tilec.evaluate.expr import Mode, evaluate_expr, storage
from tilec.evaluate.memory import arena_of, fault, numbers, spoil, uninitialised, view_of
from tilec.evaluate.order import rounds
from tilec.expr import Access, Expr, Read, walk
from tilec.host_functions import call_host
from tilec.instructions import expand
from tilec.loops import (
    Alloc,
    Assign,
    Barrier,
    Block,
    Branch,
    Buffer,
    Check,
    Copy,
    For,
    HostCall,
    If,
    Instr,
    Iterate,
    Kernel,
    Launch,
    Let,
    Program,
    Repeat,
    Step,
    Stmt,
    Store,
    While,
)
from tilec.numpy_semantics import Array, cast

MAX_POINTS = 1 << 16  # of a nest that is expanded at once


def evaluate_kernel(
    kernel: Kernel, buffers: Mapping[str, Array], sizes: Mapping[str, int] | None = None, mode: Mode = "typed"
) -> None:
    """Runs the kernel in place on `buffers`, one array per parameter of the parameter's shape.

    Named sizes are given by `sizes`. In the mode `float64` arrays of floats are float64.
    """
    known = dict(sizes or {})
    state = _State({}, known, mode)
    for param in kernel.params:
        name = param.buffer.name
        if name not in buffers:
            raise fault(f"kernel '{kernel.name}' misses its parameter '{name}'")
        array, shape = buffers[name], numbers(param.buffer.shape, known)
        if array.shape != shape or array.dtype != storage(param.buffer.dtype, mode):
            raise fault(f"'{name}' is {array.dtype}{list(array.shape)}, not {param.buffer.dtype}{list(shape)}")
        state.buffers[name] = array
    _run(kernel.body, _Lanes({}, {}, 1), state)


def evaluate_program(
    program: Program,
    inputs: Mapping[str, Array],
    sizes: Mapping[str, int] | None = None,
    mode: Mode = "typed",
) -> dict[str, Array]:
    """Runs `init`, then `steps`; gives the results by name. `inputs` (params and constants) are not changed.

    Where the program is placed, its buffers really share an arena, so that a wrong placement shows.
    """
    known = program.all_sizes(sizes or {})
    arena = arena_of(program, known, mode)
    constants = {name for name, _ in program.constants}
    for buffer in program.buffers:
        if buffer.name in program.params or buffer.name in constants:
            value = inputs[buffer.name]
            arena[buffer.name] = np.array(value, storage(buffer.dtype, mode)).reshape(numbers(buffer.shape, known))
    for buffer in program.buffers:
        if buffer.name not in arena and buffer.base is None:
            arena[buffer.name] = uninitialised(buffer, known, mode)
    runner = _Runner(program, arena, known, mode)
    runner.look({})
    runner.run(program.init)
    runner.run(program.steps)
    return {name: np.array(arena[name]) for name in program.results}


# --- programs ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Runner:
    """`arrays` by buffer; `indices` are those of the Iterates that are counting."""

    program: Program
    arrays: dict[str, Array]
    sizes: Mapping[str, int]
    mode: Mode
    indices: dict[str, int] = field(default_factory=dict)

    def look(self, new: Mapping[str, int]) -> None:
        """Sets indices, and the views that move with them; every view that moves with no other, without any."""
        self.indices.update(new)
        for buffer in self.program.buffers:
            moving = {i for i, _ in buffer.moves}
            if buffer.base is not None and moving <= self.indices.keys() and (moving & new.keys() or not new):
                self.arrays[buffer.name] = view_of(buffer, self.arrays, self.sizes, self.indices)

    def run(self, steps: tuple[Step, ...]) -> None:
        for step in steps:
            self.step(step)

    def step(self, step: Step) -> None:
        match step:
            case Launch():
                kernel = self.program.kernel(step.kernel)
                names = [p.buffer.name for p in kernel.params]
                arrays = {n: self.arrays[a] for n, a in zip(names, step.args, strict=True)}
                for param in kernel.params:
                    if param.mode == "out":  # what is there does not matter
                        spoil(arrays[param.buffer.name])
                evaluate_kernel(kernel, arrays, self.sizes, self.mode)
            case Copy():
                self.arrays[step.target][...] = self.arrays[step.source]
            case Assign(target, form):
                self.arrays[target][...] = form.evaluate({**self.sizes, **self.indices})
            case HostCall():
                shapes = [self.arrays[n].shape for n in step.outputs]
                given = [self.arrays[n].copy() for n in step.inputs]
                values = call_host(step.function, shapes, given, step.span)
                for name, value in zip(step.outputs, values, strict=True):
                    self.arrays[name][...] = value
            case Check(condition, message, span, code):
                if not bool(self.arrays[condition]):
                    raise error(code, message, span)
            case Iterate():
                self.iterate(step)
            case Repeat():
                self.run(step.test)
                while bool(self.arrays[step.condition]):
                    self.run(step.steps)
                    self.run(step.test)
            case Branch():
                self.run(step.then if bool(self.arrays[step.condition]) else step.orelse)

    def iterate(self, step: Iterate) -> None:
        extent = int(resolve(step.extent, self.sizes))
        if step.count is not None:
            extent = max(0, min(int(self.arrays[step.count]), extent))
        for value in reversed(range(extent)) if step.reverse else range(extent):
            self.look({step.index: value})
            self.run(step.steps)
        self.indices.pop(step.index, None)


# --- kernels -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _State:
    buffers: dict[str, Array]
    sizes: Mapping[str, int]
    mode: Mode


@dataclass(frozen=True, slots=True)
class _Lanes:
    """Points at which a statement is executed, in order: values of loop indices and scalars, each of shape [count]."""

    indices: Mapping[str, Array]
    scalars: Mapping[str, Array]
    count: int

    def expand(self, index: str, extent: int) -> _Lanes:
        """Every point becomes `extent` points, the new index varying fastest."""
        values = np.tile(np.arange(extent, dtype=np.int64), self.count)
        indices = {n: np.repeat(v, extent) for n, v in self.indices.items()}
        scalars = {n: np.repeat(v, extent) for n, v in self.scalars.items()}
        return _Lanes({**indices, index: values}, scalars, self.count * extent)

    def fix(self, index: str, value: int) -> _Lanes:
        return replace(self, indices={**self.indices, index: np.full(self.count, value, np.int64)})

    def bind(self, name: str, value: Array) -> _Lanes:
        return replace(self, scalars={**self.scalars, name: np.broadcast_to(value, (self.count,))})

    def select(self, mask: Array) -> _Lanes:
        if mask.all():
            return self
        indices = {n: v[mask] for n, v in self.indices.items()}
        scalars = {n: v[mask] for n, v in self.scalars.items()}
        return _Lanes(indices, scalars, int(mask.sum()))


def _run(block: Block, lanes: _Lanes, state: _State) -> None:
    state = replace(state, buffers=dict(state.buffers))  # the block's own allocations
    for stmt in block:
        if isinstance(stmt, Let):
            lanes = lanes.bind(stmt.name, _value(stmt.value, lanes, state))
        else:
            _execute(stmt, lanes, state)


def _execute(stmt: Stmt, lanes: _Lanes, state: _State) -> None:
    match stmt:
        case For():
            _loop(stmt, lanes, state)
        case If():
            inside = lanes.select(_holds(stmt.conditions, lanes, state))
            if inside.count:
                _run(stmt.body, inside, state)
        case Store():
            _store(stmt, lanes, state)
        case Alloc():
            state.buffers[stmt.buffer.name] = _allocate(stmt.buffer, state)
        case While():
            while (running := lanes.select(_value(stmt.condition, lanes, state).astype(bool))).count:
                _run(stmt.body, running, state)
        case Barrier():
            pass  # items run one after the other
        case Instr():
            _run(expand(stmt), lanes, state)
        case Let():
            raise AssertionError("a Let is bound by its block")


def _allocate(buffer: Buffer, state: _State) -> Array:
    if buffer.base is not None:
        return view_of(buffer, state.buffers, state.sizes)
    return uninitialised(buffer, state.sizes, state.mode)


def _loop(loop: For, lanes: _Lanes, state: _State) -> None:
    extent = int(resolve(loop.extent, state.sizes))
    if extent <= 0:
        return
    small = lanes.count * _points(loop, state.sizes) <= MAX_POINTS
    if loop.kind == "vector" or (small and _expandable(loop, state)):
        _run(loop.body, lanes.expand(loop.index, extent), state)
        return
    for value in range(extent):
        _run(loop.body, lanes.fix(loop.index, value), state)


def _points(loop: For, sizes: Mapping[str, int]) -> int:
    inner = loop.body[0] if loop.body else None
    while isinstance(inner, If) and inner.body:
        inner = inner.body[0]
    return int(resolve(loop.extent, sizes)) * (_points(inner, sizes) if isinstance(inner, For) else 1)


def _expandable(loop: For, state: _State) -> bool:
    """Whether a perfect nest never reads memory that it writes and stores once to each part of it: then all its points
    can be evaluated together, statement by statement.
    """
    block: Block = (loop,)
    while len(block) == 1 and isinstance(block[0], For | If):
        block = block[0].body
    if not all(isinstance(s, Store | Let) for s in block):
        return False
    stores = [s for s in block if isinstance(s, Store)]
    values = [s.value for s in block if isinstance(s, Store | Let)]
    values += [i for s in stores for i in s.indices if not isinstance(i, Affine)]
    written = [_array(s.buffer, state) for s in stores]
    read = [_array(name, state) for name in {e.access.tensor for v in values for e in walk(v) if isinstance(e, Read)}]
    return not any(np.may_share_memory(a, b) for k, a in enumerate(written) for b in (*written[:k], *read))


def _holds(conditions: tuple[Affine, ...], lanes: _Lanes, state: _State) -> Array:
    mask = np.ones(lanes.count, bool)
    for form in conditions:
        mask &= _form(form, lanes, state) >= 0
    return mask


def _form(form: Affine, lanes: _Lanes, state: _State) -> Array:
    """Integer values of an affine form."""
    total = np.full(lanes.count, _integer(resolve(form.const, state.sizes), form), np.int64)
    for name, coef in form.terms:
        if name not in lanes.indices:
            raise fault(f"index '{name}' is not bound")
        total += _integer(resolve(coef, state.sizes), form) * lanes.indices[name]
    return total


def _integer(value: object, form: Affine) -> int:
    if not isinstance(value, int):
        raise fault(f"index '{form}' has a fractional coefficient")
    return value


def _value(expr: Expr, lanes: _Lanes, state: _State) -> Array:
    def var(name: str) -> Array:
        if name not in lanes.scalars:
            raise fault(f"scalar '{name}' is not bound")
        return lanes.scalars[name]

    def read(access: Access) -> Array:
        return _array(access.tensor, state)[_cells(access.tensor, access.indices, lanes, state)]

    value = evaluate_expr(expr, read, lambda form: _form(form, lanes, state), var, state.mode)
    return np.broadcast_to(value, (lanes.count,))


def _array(name: str, state: _State) -> Array:
    if name not in state.buffers:
        raise fault(f"there is no buffer '{name}'")
    return state.buffers[name]


def _cells(name: str, indices: tuple[Affine | Expr, ...], lanes: _Lanes, state: _State) -> tuple[Array, ...]:
    """Index arrays, one per axis, every one in bounds."""
    shape = _array(name, state).shape
    if len(shape) != len(indices):
        raise fault(f"'{name}' has {len(shape)} axes, {len(indices)} indices were given")
    cells = []
    for axis, (index, size) in enumerate(zip(indices, shape)):
        at = _form(index, lanes, state) if isinstance(index, Affine) else _value(index, lanes, state).astype(np.int64)
        if at.size and (at.min() < 0 or at.max() >= size):
            raise fault(f"'{name}' is accessed at {at.min()} to {at.max()} on axis {axis} of extent {size}: {index}")
        cells.append(at)
    return tuple(cells)


def _store(store: Store, lanes: _Lanes, state: _State) -> None:
    target = _array(store.buffer, state)
    cells = _cells(store.buffer, store.indices, lanes, state)
    if not cells:
        target, cells = target.reshape(1), (np.zeros(lanes.count, np.int64),)
    value = cast(_value(store.value, lanes, state), target.dtype)
    if store.monoid is None:
        target[cells] = value  # of equal cells, the last one stays
        return
    flat = np.asarray(np.ravel_multi_index(cells, target.shape))
    for chosen in rounds(flat):
        at = tuple(c[chosen] for c in cells)
        terms = _Lanes({}, {"a0": target[at], "b0": value[chosen]}, len(chosen))
        target[at] = _value(store.monoid.combine[0], terms, state)
