"""Matrix registers (AMX): sums of products of tiles, held in registers across the loops over their terms.

A matrix instruction alone loads its sums, adds to them and stores them. In a serial loop that holds nothing but such
instructions, whose sums it does not move, they are loaded before the loop and stored behind it. LLVM assigns the
registers, configures them, and releases them at the end of a function. A tile that does not fill a register is left to
the instruction's meaning.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

from tilec.backends.llvm import memory
from tilec.backends.llvm.address import Form, Scalar, number, split
from tilec.backends.llvm.frame import Frame
from tilec.instructions import known
from tilec.loops import Block, For, Instr, Stmt, Window, strides_of, walk

Cell: TypeAlias = tuple[str, tuple[Form, ...], tuple[int, ...]]  # buffer, where a tile of sums begins, its extents
_MOST_CELLS = 4  # of eight registers; the factors need three
_FULL = (16, 64)  # rows, and bytes of a row


@dataclass(slots=True)
class _Sums:
    """A tile of sums: where it is in memory, and the value that the register has now."""

    window: Window
    place: str
    value: str


def is_matrix(stmt: Instr) -> bool:
    return "M" in known(stmt).most


def emit(frame: Frame, stmt: Instr) -> bool:
    """One instruction by itself; False, and nothing emitted, where it cannot be used here."""
    if not _fits(frame, stmt):
        return False
    sums = _loaded(frame, stmt.operands[0])
    sums.value = _multiplied(frame, stmt, sums.value)
    _put(frame, sums)
    return True


def region(frame: Frame, loop: For) -> bool:
    """A serial loop of matrix instructions; False, and nothing emitted, where it is none."""
    parts = list(walk(loop.body))
    found = [s for s in parts if isinstance(s, Instr)]
    if not found or not all(isinstance(s, Instr) or (isinstance(s, For) and _plain(s)) for s in parts):
        return False
    if not all(is_matrix(s) and _fits(frame, s) for s in found):
        return False
    moved = {s.index for s in (loop, *parts) if isinstance(s, For) and s.kind == "serial" and s.extent != 1}
    if any(start.variables() & moved for s in found for start in s.operands[0].starts):
        return False
    cells = {_cell(frame, s.operands[0]) for s in _instances(frame, loop)}
    read = {w.buffer for s in found for w in s.operands[1:]}
    if len(cells) > _MOST_CELLS or not _apart(list(cells)) or read & {buffer for buffer, _, _ in cells}:
        return False
    sums: dict[Cell, _Sums] = {}
    for stmt in _instances(frame, loop):
        cell = _cell(frame, stmt.operands[0])
        if cell not in sums:
            sums[cell] = _loaded(frame, stmt.operands[0])
    _statement(frame, loop, sums)
    for tile in sums.values():
        _put(frame, tile)
    return True


def _plain(loop: For) -> bool:
    return loop.kind in ("serial", "unroll") and number(loop.extent) > 0


def _fits(frame: Frame, stmt: Instr) -> bool:
    """Whether all operands are in memory, their rows a known number of elements apart, and fill their registers.

    LLVM gives a register one shape in all of a function, and ends the process where registers do not suffice.
    """
    if frame.in_vector or frame.mask is not None or not known(stmt).runs_on(frame.target.features):
        return False
    names = [w.buffer for w in stmt.operands]
    if any(n in frame.registers or n not in frame.storage for n in names):
        return False
    if not all(isinstance(s, int) for n in names for s in strides_of(frame.storage[n].buffer)):
        return False
    return all(_shape(frame, w) == _FULL for w in stmt.operands)


def _instances(frame: Frame, stmt: Stmt) -> Iterator[Instr]:
    """The instructions of a region, with the indices of unrolled loops set; those of serial loops stand for any."""
    if isinstance(stmt, Instr):
        yield stmt
    elif isinstance(stmt, For):
        extent = number(stmt.extent)
        if stmt.kind == "unroll" or extent == 1:
            for i in range(extent):
                with frame.index(stmt.index, i):
                    for inner in stmt.body:
                        yield from _instances(frame, inner)
        else:
            with frame.index(stmt.index, Scalar("?", 0, extent)):
                for inner in stmt.body:
                    yield from _instances(frame, inner)


def _cell(frame: Frame, window: Window) -> Cell:
    starts = tuple(split(start, frame.indices) for start in window.starts)
    return window.buffer, starts, tuple(1 if e is None else number(e) for e in window.extents)


def _apart(cells: list[Cell]) -> bool:
    """Whether no two tiles share an element."""
    return all(_are_apart(a, b) for i, a in enumerate(cells) for b in cells[:i])


def _are_apart(a: Cell, b: Cell) -> bool:
    if a[0] != b[0]:
        return True
    return any(
        x.terms == y.terms and (x.const + m <= y.const or y.const + n <= x.const)
        for x, y, m, n in zip(a[1], b[1], a[2], b[2])
    )


# code --------------------------------------------------------------------------------------------------------------


def _statement(frame: Frame, stmt: Stmt, sums: dict[Cell, _Sums]) -> None:
    if isinstance(stmt, Instr):
        tile = sums[_cell(frame, stmt.operands[0])]
        tile.value = _multiplied(frame, stmt, tile.value)
    elif isinstance(stmt, For):
        extent = number(stmt.extent)
        if stmt.kind == "unroll" or extent == 1:
            for i in range(extent):
                with frame.index(stmt.index, i):
                    _block(frame, stmt.body, sums)
        else:
            _loop(frame, stmt, extent, sums)


def _block(frame: Frame, body: Block, sums: dict[Cell, _Sums]) -> None:
    for stmt in body:
        _statement(frame, stmt, sums)


def _loop(frame: Frame, loop: For, extent: int, sums: dict[Cell, _Sums]) -> None:
    """A do-while loop whose phis are the index and the tiles."""
    emitter = frame.emitter
    before, header, leave, index = emitter.block, emitter.fresh("loop"), emitter.fresh("done"), emitter.fresh("i")
    emitter.jump(header)
    emitter.label(header)
    phis = emitter.placeholder()
    first = {cell: tile.value for cell, tile in sums.items()}
    carried = {cell: emitter.fresh("tile") for cell in sums}
    for cell, tile in sums.items():
        tile.value = carried[cell]
    with frame.index(loop.index, Scalar(index, emitter.depth + 1, extent)), emitter.scope():
        _block(frame, loop.body, sums)
        following = emitter.emit(f"add nuw nsw i64 {index}, 1")
        again = emitter.emit(f"icmp slt i64 {following}, {extent}")
        emitter.branch(again, header, leave)
    latch = emitter.block
    phis.append(f"  {index} = phi i64 [ 0, %{before} ], [ {following}, %{latch} ]")
    for cell, tile in sums.items():
        phi = f"phi x86_amx [ {first[cell]}, %{before} ], [ {tile.value}, %{latch} ]"
        phis.append(f"  {carried[cell]} = {phi}")
    emitter.label(leave)


def _multiplied(frame: Frame, stmt: Instr, sums: str) -> str:
    (rows, columns), (_, depth) = _shape(frame, stmt.operands[0]), _shape(frame, stmt.operands[1])
    a, b = (_tile(frame, window) for window in stmt.operands[1:])
    shape = (f"i16 {rows}", f"i16 {columns}", f"i16 {depth}")
    tiles = (f"x86_amx {sums}", f"x86_amx {a}", f"x86_amx {b}")
    return frame.emitter.emit(frame.emitter.call(f"llvm.x86.{stmt.name}.internal", "x86_amx", *shape, *tiles))


def _shape(frame: Frame, window: Window) -> tuple[int, int]:
    """Rows, and bytes of a row."""
    rows, *row = (number(e) for e in window.extents if e is not None)
    size = frame.storage[window.buffer].buffer.dtype.bytes
    for extent in row:
        size *= extent
    return rows, size


def _place(frame: Frame, window: Window) -> tuple[str, int]:
    """Pointer to a tile in memory, and the bytes from one of its rows to the next."""
    buffer = frame.storage[window.buffer].buffer
    pitch = next(s for s, e in zip(strides_of(buffer), window.extents) if e is not None)
    return memory.address(frame, window.buffer, window.starts), number(pitch) * buffer.dtype.bytes


def _tile(frame: Frame, window: Window) -> str:
    """A tile loaded from memory, once for all that use it."""
    (rows, size), (place, pitch) = _shape(frame, window), _place(frame, window)
    root, emitter = frame.storage[window.buffer].root, frame.emitter
    key = (root, place, f"tile {rows} {size} {pitch}")
    ref = emitter.loaded(key)
    if ref is None:
        arguments = (f"i16 {rows}", f"i16 {size}", f"ptr {place}", f"i64 {pitch}")
        ref = emitter.emit(emitter.call("llvm.x86.tileloadd64.internal", "x86_amx", *arguments))
        emitter.remember_load(key, ref)
    return ref


def _loaded(frame: Frame, window: Window) -> _Sums:
    return _Sums(window, _place(frame, window)[0], _tile(frame, window))


def _put(frame: Frame, sums: _Sums) -> None:
    (rows, size), buffer = _shape(frame, sums.window), frame.storage[sums.window.buffer]
    pitch = next(s for s, e in zip(strides_of(buffer.buffer), sums.window.extents) if e is not None)
    bytes_ = number(pitch) * buffer.buffer.dtype.bytes
    arguments = (f"i16 {rows}", f"i16 {size}", f"ptr {sums.place}", f"i64 {bytes_}", f"x86_amx {sums.value}")
    frame.emitter.line(frame.emitter.call("llvm.x86.tilestored64.internal", "void", *arguments))
    frame.emitter.forget_loads(buffer.root)
