"""Which `register` buffers can live in SSA values, and their cells.

A cell is one element, or along the lane axis (the one that a vector loop's index runs over) one vector of `lanes`
elements. A buffer whose accesses do not all name cells at compile time, or that crosses into a parallel loop, is kept
in the thread's scratch memory instead: slower, never wrong.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import prod
from typing import TypeAlias

from tilec.affine import Affine
from tilec.backends.llvm.address import number
from tilec.expr import Expr
from tilec.loops import Alloc, Block, Buffer, For, If, Stmt, Store, While, accesses

Cell: TypeAlias = tuple[str, tuple[int, ...]]

_MOST_CELLS = 1024


@dataclass(frozen=True, slots=True)
class Register:
    """A buffer held in SSA values; `lane_axis` is None where its cells are scalars."""

    buffer: Buffer
    lane_axis: int | None


@dataclass(slots=True)
class _Finding:
    buffer: Buffer
    parallel: int  # parallel loops around the Alloc
    lane_axis: int | None = None
    fits: bool = True


@dataclass(slots=True)
class _Scan:
    lanes: int
    found: dict[str, _Finding]
    kinds: dict[str, str]

    def block(self, block: Block, parallel: int) -> None:
        for stmt in block:
            self.statement(stmt, parallel)

    def statement(self, stmt: Stmt, parallel: int) -> None:
        for access in accesses(stmt):
            self.access(access.tensor, access.indices, parallel)
        match stmt:
            case Alloc(buffer) if buffer.space == "register":
                fits = buffer.base is None and buffer.name not in self.found
                self.found[buffer.name] = _Finding(buffer, parallel, fits=fits)
            case Alloc(buffer) if buffer.base in self.found:
                self.found[str(buffer.base)].fits = False
            case Store():
                self.access(stmt.buffer, stmt.indices, parallel)
            case For():
                self.kinds[stmt.index] = "unroll" if stmt.extent == 1 else stmt.kind
                self.block(stmt.body, parallel + (stmt.kind == "parallel"))
            case If() | While():
                self.block(stmt.body, parallel)

    def access(self, name: str, indices: Iterable[Affine | Expr], parallel: int) -> None:
        finding = self.found.get(name)
        if finding is None or not finding.fits:
            return
        lane_axes = []
        for axis, index in enumerate(indices):
            if not isinstance(index, Affine) or any(self.kinds[n] not in ("unroll", "vector") for n, _ in index.terms):
                finding.fits = False
                return
            if any(self.kinds[n] == "vector" for n, _ in index.terms):
                lane_axes.append(axis)
                finding.fits &= self._is_lane_axis(index)
        finding.fits &= finding.parallel == parallel and len(lane_axes) <= 1
        if lane_axes:
            finding.fits &= finding.lane_axis in (None, lane_axes[0])
            finding.lane_axis = lane_axes[0]

    def _is_lane_axis(self, index: Affine) -> bool:
        """One lane index with coefficient 1, all else a multiple of the lanes."""
        vectors = [number(c) for n, c in index.terms if self.kinds[n] == "vector"]
        others = [number(index.const), *(number(c) for n, c in index.terms if self.kinds[n] != "vector")]
        return vectors == [1] and all(c % self.lanes == 0 for c in others)


def plan(body: Block, lanes: int) -> dict[str, Register]:
    """Register buffers of a kernel that become SSA values, by name. `lanes` is 0 where vector loops are unrolled."""
    scan = _Scan(max(1, lanes), {}, {})
    scan.block(body, 0)
    kept = {}
    for name, finding in scan.found.items():
        axis = finding.lane_axis if lanes else None
        cells = prod(number(s) for s in finding.buffer.shape) // (max(1, lanes) if axis is not None else 1)
        if finding.fits and cells <= _MOST_CELLS:
            kept[name] = Register(finding.buffer, axis)
    return kept


def cell_of(register: Register, position: tuple[int, ...], lanes: int) -> tuple[Cell, int]:
    """The cell that holds the element at a constant position, and its lane there."""
    index = list(position)
    lane = 0
    if register.lane_axis is not None:
        index[register.lane_axis], lane = divmod(index[register.lane_axis], lanes)
    return (register.buffer.name, tuple(index)), lane
