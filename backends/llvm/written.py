"""What a block writes: register cells, which loops carry in phis, and memory, of which loads are no longer good."""

from __future__ import annotations

from tilec.affine import Affine
from tilec.backends.llvm import memory
from tilec.backends.llvm.address import Index, Lanes, Scalar, located, number
from tilec.backends.llvm.frame import Frame
from tilec.backends.llvm.registers import Cell, cell_of
from tilec.backends.llvm.types import Value
from tilec.instructions import expand, stored
from tilec.loops import Alloc, Block, For, If, Instr, Store, While, walk


def carry(frame: Frame, body: Block) -> tuple[dict[Cell, Value], dict[Cell, Value]]:
    """Values before the loop of the cells written in it, and fresh names for their phis: what they are from now on."""
    initial, carried = {}, {}
    for cell in cells(frame, body):
        register = frame.registers[cell[0]]
        value = frame.cells.get(cell, memory.undefined(register, frame.lanes))
        initial[cell] = value
        carried[cell] = Value(frame.emitter.fresh("r"), value.dtype, value.lanes)
    frame.cells.update(carried)
    return initial, carried


def phi(result: Value, first: Value, before: str, then: Value, after: str) -> str:
    """The instruction: `first` where control comes from the label `before`, `then` where it comes from `after`."""
    return f"  {result.ref} = phi {result.type} [ {first.ref}, %{before} ], [ {then.ref}, %{after} ]"


def cells(frame: Frame, body: Block) -> list[Cell]:
    """Cells of outer register buffers that a block may write, in order of their first writing."""
    found: dict[Cell, None] = {}
    _scan_writes(frame, body, frozenset(), found)
    return list(found)


def _scan_writes(frame: Frame, body: Block, inner: frozenset[str], found: dict[Cell, None]) -> None:
    for stmt in body:
        match stmt:
            case Alloc():
                inner |= {stmt.buffer.name}
            case Store() if stmt.buffer in frame.registers and stmt.buffer not in inner:
                register = frame.registers[stmt.buffer]
                position = tuple([located(i, frame.indices)[0] for i in stmt.indices if isinstance(i, Affine)])
                found[cell_of(register, position, frame.lanes)[0]] = None
            case If() | While():
                _scan_writes(frame, stmt.body, inner, found)
            case Instr() if stored(stmt) & frame.registers.keys():
                _scan_writes(frame, expand(stmt), inner, found)
            case For() if _stored_in(stmt.body) & frame.registers.keys():
                for index in _instances(frame, stmt):
                    with frame.index(stmt.index, index):
                        _scan_writes(frame, stmt.body, inner, found)


def _instances(frame: Frame, loop: For) -> list[Index]:
    """Indices under which register cells of a loop's body differ."""
    extent = number(loop.extent)
    if loop.kind == "vector" and frame.lanes:
        return [Lanes(base) for base in range(0, extent, frame.lanes)]
    if loop.kind in ("unroll", "vector"):
        return list(range(extent))
    return [0] if extent == 1 else [Scalar("?", 0, extent)]


def _stored_in(body: Block) -> set[str]:
    """Buffers that a block stores to."""
    names: set[str] = set()
    for stmt in walk(body):
        if isinstance(stmt, Store):
            names.add(stmt.buffer)
        elif isinstance(stmt, Instr):
            names |= stored(stmt)
    return names


def forget_loads(frame: Frame, body: Block) -> None:
    """Loads made before a loop are no longer good in its later iterations where the loop stores.

    A view declared in the loop is taken to be stored to.
    """
    names = _stored_in(body)
    names |= {s.buffer.base for s in walk(body) if isinstance(s, Alloc) and s.buffer.base is not None}
    for name in names & frame.storage.keys():
        frame.emitter.forget_loads(frame.storage[name].root)
