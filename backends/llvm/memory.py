"""Reads and writes: register cells, scalar, vector, gathered and scattered memory accesses, under lane masks."""

from __future__ import annotations

from typing import TypeAlias

from tilec.affine import Affine, Poly, Size
from tilec.backends.llvm.address import Offset, located, number, offset, pointer, size_value, split
from tilec.backends.llvm.frame import Frame, Storage
from tilec.backends.llvm.registers import Cell, Register, cell_of
from tilec.backends.llvm.shuffles import transposed
from tilec.backends.llvm.streams import alignment
from tilec.backends.llvm.types import Value, constant, constant_vector, mangled, memory_type, vector_type
from tilec.dtypes import BOOL, I64, DType
from tilec.expr import Expr
from tilec.loops import strides_of

Position: TypeAlias = list[tuple[int, int]]  # along each axis: a constant, and the coefficient of the lanes


def load(frame: Frame, name: str, indices: tuple[Affine | Expr, ...], dynamic: dict[int, Value]) -> Value:
    """The element, or in a vector loop the elements of the lanes; `dynamic` has the values of Expr indices by axis."""
    if name in frame.registers:
        return _load_cell(frame, frame.registers[name], _position(frame, indices))
    storage = frame.storage[name]
    form = _flat(frame, storage, indices)
    if any(v.lanes for v in dynamic.values()):
        return _gather(frame, storage, _pointers(frame, storage, form, dynamic))
    place = _dynamic(frame, storage, _address(frame, storage, form), dynamic)
    if form.lane == 0:
        if isinstance(frame.mask, str) and not _is_inside(frame, storage, indices):
            place = frame.emitter.pure(f"select i1 {any_lane(frame)}, ptr {place}, ptr {frame.emitter.nowhere()}")
        return _load_scalar(frame, storage, place)
    if form.lane == 1:
        return _load_vector(frame, storage, place)
    if isinstance(frame.mask, str):
        return _gather(frame, storage, _strided(frame, storage, place, form.lane))
    return _load_strided(frame, storage, place, form.lane)


def store(
    frame: Frame,
    name: str,
    indices: tuple[Affine | Expr, ...],
    dynamic: dict[int, Value],
    value: Value,
    stream: bool = False,
) -> None:
    """Writes the element, or the elements of the lanes that are on; with `stream` past the caches, where it can."""
    if name in frame.registers:
        return _store_cell(frame, frame.registers[name], _position(frame, indices), value)
    storage = frame.storage[name]
    form = _flat(frame, storage, indices)
    if frame.in_vector and any(v.lanes for v in dynamic.values()):
        _scatter(frame, storage, _pointers(frame, storage, form, dynamic), value)
    else:
        place = _dynamic(frame, storage, _address(frame, storage, form), dynamic)
        if form.lane == 0:
            _store_scalar(frame, storage, place, value)
        elif form.lane == 1:
            bytes_ = alignment(frame, storage, form) if stream and not dynamic else 0
            _store_vector(frame, storage, place, frame.ops.splat(value), bytes_)
        else:
            _store_strided(frame, storage, place, form.lane, frame.ops.splat(value))
    return None


def address(frame: Frame, name: str, indices: tuple[Affine, ...]) -> str:
    """Pointer to an element of a buffer in memory, that of the first lane."""
    storage = frame.storage[name]
    return _address(frame, storage, _flat(frame, storage, indices))


def is_uniform(frame: Frame, indices: tuple[Affine | Expr, ...], dynamic: dict[int, Value]) -> bool:
    """True where all lanes mean one element."""
    if any(v.lanes for v in dynamic.values()):
        return False
    return not any(lane for _, lane in _position(frame, indices))


def _position(frame: Frame, indices: tuple[Affine | Expr, ...]) -> Position:
    """Of the affine axes, as far as it is known: the axes of a register all are."""
    return [located(i, frame.indices) for i in indices if isinstance(i, Affine)]


# register cells ----------------------------------------------------------------------------------------------------


def undefined(register: Register, lanes: int) -> Value:
    """The content of a cell before its first store: not poison, for lanes that stay off may be divided by."""
    dtype = register.buffer.dtype
    return constant(0, dtype) if register.lane_axis is None else Value("zeroinitializer", dtype, lanes)


def _cell(frame: Frame, register: Register, position: Position) -> tuple[Cell, int, bool]:
    """Cell, lane in it, and whether the access is of all its lanes."""
    across = register.lane_axis is not None and position[register.lane_axis][1] == 1
    cell, lane = cell_of(register, tuple([const for const, _ in position]), frame.lanes)
    return cell, lane, across


def _load_cell(frame: Frame, register: Register, position: Position) -> Value:
    if register.lane_axis is not None:
        for axis, (_, step) in enumerate(position):
            if step and axis != register.lane_axis:
                return _load_across(frame, register, position, axis)
    cell, lane, across = _cell(frame, register, position)
    value = frame.cells.get(cell, undefined(register, frame.lanes))
    if across and lane:
        return frame.ops.shifted(value, frame.cells.get(_next(register, cell), undefined(register, frame.lanes)), lane)
    return value if across or register.lane_axis is None else frame.ops.pick(value, lane)


def _load_across(frame: Frame, register: Register, position: Position, axis: int) -> Value:
    """One lane of every cell along `axis`: a row of the transposed tile."""
    assert register.lane_axis is not None
    cell, lane, _ = _cell(frame, register, position)
    cells = [(cell[0], tuple(row if a == axis else i for a, i in enumerate(cell[1]))) for row in range(frame.lanes)]
    empty = undefined(register, frame.lanes)
    return transposed(frame.ops, [frame.ops.splat(frame.cells.get(c, empty)) for c in cells], lane)


def _next(register: Register, cell: Cell) -> Cell:
    """The neighbour of a cell along the lanes."""
    return cell[0], tuple(i + (axis == register.lane_axis) for axis, i in enumerate(cell[1]))


def _store_cell(frame: Frame, register: Register, position: Position, value: Value) -> None:
    cell, lane, across = _cell(frame, register, position)
    old = frame.cells.get(cell)
    if across:
        value = frame.ops.splat(value)
        if old is not None and not _only_dead(frame, register, cell):
            value = frame.ops.select(Value(frame.mask_ref(), BOOL, frame.lanes), value, old)
    else:
        value = _last_lane(frame, value)
        if register.lane_axis is not None:
            value = frame.ops.insert(old or undefined(register, frame.lanes), lane, value)
    frame.cells[cell] = value


def _only_dead(frame: Frame, register: Register, cell: Cell) -> bool:
    """Whether the lanes that are off, if any, are never read from this cell."""
    if register.lane_axis is None or isinstance(frame.mask, str):
        return False
    first, end = cell[1][register.lane_axis] * frame.lanes, register.end(cell[1])
    return all(on or first + lane >= end for lane, on in enumerate(frame.mask or ()))


def _last_lane(frame: Frame, value: Value) -> Value:
    """What remains when all lanes write one element in order: the last lane that is on (known masks only)."""
    assert not isinstance(frame.mask, str)
    return frame.ops.pick(value, lanes_on(frame)[-1]) if value.lanes else value


# addresses ---------------------------------------------------------------------------------------------------------


def base_pointer(frame: Frame, storage: Storage) -> str:
    if storage.offset == 0:
        return storage.base
    return frame.emitter.hoist(f"getelementptr i8, ptr {storage.base}, i64 {storage.offset}", 0)


def _flat(frame: Frame, storage: Storage, indices: tuple[Affine | Expr, ...]) -> Offset:
    """Offset in elements of the affine axes."""
    strides = strides_of(storage.buffer)
    return offset([(i, s) for i, s in zip(indices, strides) if isinstance(i, Affine)], frame.indices)


def _size(frame: Frame, size: Size) -> str:
    return size_value(frame.emitter, size, frame.sizes.__getitem__)


def _address(frame: Frame, storage: Storage, form: Offset) -> str:
    element = memory_type(storage.buffer.dtype)
    return pointer(frame.emitter, base_pointer(frame, storage), element, form, frame.sizes.__getitem__)


def _dynamic(frame: Frame, storage: Storage, place: str, dynamic: dict[int, Value]) -> str:
    """Adds data-dependent scalar indices to a pointer."""
    element, strides = memory_type(storage.buffer.dtype), strides_of(storage.buffer)
    for axis, value in dynamic.items():
        step = frame.emitter.pure(f"mul i64 {value.ref}, {_size(frame, strides[axis])}")
        place = frame.emitter.pure(f"getelementptr {element}, ptr {place}, i64 {step}")
    return place


def _pointers(frame: Frame, storage: Storage, form: Offset, dynamic: dict[int, Value]) -> str:
    """A vector of pointers, one per lane."""
    element, strides = memory_type(storage.buffer.dtype), strides_of(storage.buffer)
    wide, emitter = f"<{frame.lanes} x i64>", frame.emitter
    offsets = _lane_offsets(frame, form.lane)
    for axis, value in dynamic.items():
        scaled = frame.ops.splat(value).ref
        if strides[axis] != 1:
            factor = _everywhere(frame, strides[axis])
            scaled = emitter.pure(f"mul {wide} {scaled}, {factor}")
        offsets = emitter.pure(f"add {wide} {offsets}, {scaled}")
    return emitter.pure(f"getelementptr {element}, ptr {_address(frame, storage, form)}, {wide} {offsets}")


def _times(frame: Frame, lane: int, stride: Size) -> str:
    product = stride * lane
    assert isinstance(product, int | Poly)
    return _size(frame, product)


def _everywhere(frame: Frame, size: Size) -> str:
    """A vector of i64, the size in every lane."""
    if isinstance(size, int):
        return constant_vector([size] * frame.lanes, "i64")
    return frame.ops.splat(Value(_size(frame, size), I64)).ref


def _lane_offsets(frame: Frame, stride: Size) -> str:
    """A vector of i64: lane i holds i * stride."""
    if isinstance(stride, int):
        return constant_vector([lane * stride for lane in range(frame.lanes)], "i64")
    lanes = constant_vector(list(range(frame.lanes)), "i64")
    return frame.emitter.pure(f"mul <{frame.lanes} x i64> {lanes}, {_everywhere(frame, stride)}")


def _strided(frame: Frame, storage: Storage, place: str, stride: Size) -> str:
    offsets = _lane_offsets(frame, stride)
    element = memory_type(storage.buffer.dtype)
    return frame.emitter.pure(f"getelementptr {element}, ptr {place}, <{frame.lanes} x i64> {offsets}")


# memory ------------------------------------------------------------------------------------------------------------


def _load_scalar(frame: Frame, storage: Storage, place: str) -> Value:
    dtype = storage.buffer.dtype
    key = (storage.root, place, dtype.name)
    ref = frame.emitter.loaded(key)
    if ref is None:
        ref = frame.emitter.emit(f"load {memory_type(dtype)}, ptr {place}, align {dtype.bytes}")
        frame.emitter.remember_load(key, ref)
    return frame.ops.from_memory(ref, dtype, 0)


def _load_vector(frame: Frame, storage: Storage, place: str) -> Value:
    dtype = storage.buffer.dtype
    wide = vector_type(memory_type(dtype), frame.lanes)
    key = (storage.root, place, f"{dtype.name} {'' if frame.mask is None else frame.mask_ref()}")
    ref = frame.emitter.loaded(key)
    if ref is None:
        if frame.mask is None:
            ref = frame.emitter.emit(f"load {wide}, ptr {place}, align {dtype.bytes}")
        else:
            ref = _masked_load(frame, f"llvm.masked.load.{mangled(wide)}.p0", wide, f"ptr {place}", dtype)
        frame.emitter.remember_load(key, ref)
    return frame.ops.from_memory(ref, dtype, frame.lanes)


def _masked_load(frame: Frame, intrinsic: str, wide: str, places: str, dtype: DType) -> str:
    mask = f"<{frame.lanes} x i1> {frame.mask_ref()}"
    arguments = (places, f"i32 {dtype.bytes}", mask, f"{wide} zeroinitializer")
    return frame.emitter.emit(frame.emitter.call(intrinsic, wide, *arguments))


def _gather(frame: Frame, storage: Storage, places: str) -> Value:
    dtype = storage.buffer.dtype
    wide = vector_type(memory_type(dtype), frame.lanes)
    name = f"llvm.masked.gather.{mangled(wide)}.v{frame.lanes}p0"
    ref = _masked_load(frame, name, wide, f"<{frame.lanes} x ptr> {places}", dtype)
    return frame.ops.from_memory(ref, dtype, frame.lanes)


def any_lane(frame: Frame) -> str:
    """Whether any lane is on, as an i1."""
    return any_of(frame, Value(frame.mask_ref(), BOOL, frame.lanes))


def any_of(frame: Frame, condition: Value) -> str:
    """Whether a bool holds in any lane, as an i1."""
    if not condition.lanes:
        return condition.ref
    call = frame.emitter.call(f"llvm.vector.reduce.or.v{condition.lanes}i1", "i1", str(condition))
    return frame.emitter.pure(call)


def _is_inside(frame: Frame, storage: Storage, indices: tuple[Affine | Expr, ...]) -> bool:
    """Whether an element exists whatever the values of the loops' indices: conditions may be what keeps it inside."""
    forms = [split(i, frame.indices) for i in indices if isinstance(i, Affine)]
    if len(forms) < len(indices):
        return False
    ranges = [form.range(frame.lanes) for form in forms]
    return all(low >= 0 and high < number(n) for (low, high), n in zip(ranges, storage.buffer.shape))


def lanes_on(frame: Frame) -> list[int]:
    return [i for i in range(frame.lanes) if frame.mask is None or frame.mask[i]]


def _load_strided(frame: Frame, storage: Storage, place: str, stride: Size) -> Value:
    """Scalar loads put together; only of lanes that are on."""
    element = memory_type(storage.buffer.dtype)
    value = Value("zeroinitializer", storage.buffer.dtype, frame.lanes)
    for lane in lanes_on(frame):
        at = frame.emitter.pure(f"getelementptr {element}, ptr {place}, i64 {_times(frame, lane, stride)}")
        value = frame.ops.insert(value, lane, _load_scalar(frame, storage, at))
    return value


def _store_scalar(frame: Frame, storage: Storage, place: str, value: Value) -> None:
    """One element; written by several lanes, the last that is on wins."""
    _write(frame, storage, place, _last_lane(frame, value))


def _write(frame: Frame, storage: Storage, place: str, value: Value) -> None:
    dtype = storage.buffer.dtype
    frame.emitter.line(f"store {frame.ops.to_memory(value)}, ptr {place}, align {dtype.bytes}")
    frame.emitter.forget_loads(storage.root)


def _store_vector(frame: Frame, storage: Storage, place: str, value: Value, aligned: int) -> None:
    """A vector of elements; one that is `aligned`, to so many bytes, goes past the caches."""
    if frame.mask is None and aligned:
        frame.emitter.line(f"store {frame.ops.to_memory(value)}, ptr {place}, align {aligned}, !nontemporal !0")
        return frame.emitter.forget_loads(storage.root)
    if frame.mask is None:
        return _write(frame, storage, place, value)
    if not isinstance(frame.mask, str) and sum(frame.mask) == 1:
        # LLVM 22 turns a one-lane masked store of a truncated vector into a scalar store of the wide element.
        return _store_strided(frame, storage, place, 1, value)
    wide = vector_type(memory_type(value.dtype), frame.lanes)
    return _masked_store(frame, storage, f"llvm.masked.store.{mangled(wide)}.p0", f"ptr {place}", value)


def _masked_store(frame: Frame, storage: Storage, intrinsic: str, places: str, value: Value) -> None:
    mask = f"<{frame.lanes} x i1> {frame.mask_ref()}"
    arguments = (frame.ops.to_memory(value), places, f"i32 {value.dtype.bytes}", mask)
    frame.emitter.line(frame.emitter.call(intrinsic, "void", *arguments))
    frame.emitter.forget_loads(storage.root)


def _scatter(frame: Frame, storage: Storage, places: str, value: Value) -> None:
    wide = vector_type(memory_type(value.dtype), frame.lanes)
    name = f"llvm.masked.scatter.{mangled(wide)}.v{frame.lanes}p0"
    _masked_store(frame, storage, name, f"<{frame.lanes} x ptr> {places}", frame.ops.splat(value))


def _store_strided(frame: Frame, storage: Storage, place: str, stride: Size, value: Value) -> None:
    if isinstance(frame.mask, str):
        return _scatter(frame, storage, _strided(frame, storage, place, stride), value)
    element = memory_type(value.dtype)
    for lane in lanes_on(frame):
        at = frame.emitter.pure(f"getelementptr {element}, ptr {place}, i64 {_times(frame, lane, stride)}")
        _write(frame, storage, at, frame.ops.pick(value, lane))
    return None
