"""Which `register` buffers can live in SSA values, and their cells.

A cell is one element, or along the lane axis (the one that a vector loop's index runs over) one vector of `lanes`
elements. A tile of at most `lanes` by `lanes` may be stored in lanes along one axis and read in lanes along another:
its cells are then transposed by shuffles.

A buffer whose accesses do not all name cells at compile time, or that crosses into a parallel loop, is kept
in the thread's scratch memory instead: slower, never wrong.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import product
from math import prod
from typing import TypeAlias

from tilec.affine import Affine, Coef
from tilec.backends.llvm.address import number
from tilec.expr import Expr
from tilec.loops import Alloc, Block, Buffer, For, If, Stmt, Store, While, accesses

Cell: TypeAlias = tuple[str, tuple[int, ...]]

# Of one read: axes beside the lane axis, and for positions on these where it ends along the lane axis.
Live: TypeAlias = tuple[tuple[int, ...], dict[tuple[int, ...], int]]

_MOST_CELLS = 1024


@dataclass(frozen=True, slots=True)
class Register:
    """A buffer held in SSA values; `lane_axis`, along which it is stored, is None where its cells are scalars.

    live: how far along the lane axis elements are read at all: what later ones hold does not matter.
    """

    buffer: Buffer
    lane_axis: int | None
    live: tuple[Live, ...]

    def end(self, cell: tuple[int, ...]) -> int:
        """Where the elements end, along the lane axis, that are read of the row of a cell."""
        return max((ends.get(tuple(cell[a] for a in axes), 0) for axes, ends in self.live), default=0)


@dataclass(slots=True)
class _Finding:
    buffer: Buffer
    parallel: int  # parallel loops around the Alloc
    lane_axis: int | None = None
    fits: bool = True
    live: list[Live] = field(default_factory=list)


@dataclass(slots=True)
class _Scan:
    lanes: int
    found: dict[int, _Finding]  # by identity of the Alloc: names may be used again in another scope
    kinds: dict[str, str]
    scope: dict[str, _Finding]
    extents: dict[str, int] = field(default_factory=dict)
    guards: tuple[Affine, ...] = ()

    def block(self, block: Block, parallel: int) -> None:
        outer = dict(self.scope)
        for stmt in block:
            self.statement(stmt, parallel)
        self.scope = outer

    def statement(self, stmt: Stmt, parallel: int) -> None:
        for access in accesses(stmt):
            self.access(access.tensor, access.indices, parallel, read=True)
        match stmt:
            case Alloc(buffer) if buffer.space == "register":
                finding = _Finding(buffer, parallel, fits=buffer.base is None)
                self.scope[buffer.name] = self.found.setdefault(id(stmt), finding)
            case Alloc(buffer):
                self.scope.pop(buffer.name, None)
                if buffer.base in self.scope:
                    self.scope[buffer.base].fits = False
            case Store():
                self.access(stmt.buffer, stmt.indices, parallel)
            case For():
                single = stmt.extent == 1 and stmt.kind != "vector"  # its index is 0; one lane alone is still a lane
                self.kinds[stmt.index] = "unroll" if single else stmt.kind
                self.extents[stmt.index] = number(stmt.extent)
                self.block(stmt.body, parallel + (stmt.kind == "parallel"))
            case If():
                outer, self.guards = self.guards, (*self.guards, *stmt.conditions)
                self.block(stmt.body, parallel)
                self.guards = outer
            case While():
                self.block(stmt.body, parallel)

    def access(self, name: str, indices: Iterable[Affine | Expr], parallel: int, read: bool = False) -> None:
        finding = self.scope.get(name)
        if finding is None or not finding.fits:
            return
        forms: list[Affine] = []
        lane_axes = []
        for axis, index in enumerate(indices):
            if not isinstance(index, Affine) or any(self.kinds[n] not in ("unroll", "vector") for n, _ in index.terms):
                finding.fits = False
                return
            forms.append(index)
            if any(self.kinds[n] == "vector" for n, _ in index.terms):
                lane_axes.append(axis)
                finding.fits &= self._is_lane_axis(index, 1 if read else self.lanes)
        finding.fits &= finding.parallel == parallel and len(lane_axes) <= 1
        across = read and finding.lane_axis is not None and lane_axes != [finding.lane_axis]
        if read and finding.fits:
            single = across or not lane_axes  # lanes of a cell
            whole: Live = (), {(): max(map(number, finding.buffer.shape), default=0)}
            finding.live.append(whole if single else self._live(forms, lane_axes[0]))
        if lane_axes:
            axis = lane_axes[0]
            same = finding.lane_axis in (None, axis)
            finding.fits &= self._is_tile(finding, tuple(indices), axis) if across else same
            finding.lane_axis = finding.lane_axis if across else axis

    def _is_tile(self, finding: _Finding, indices: tuple[Affine | Expr, ...], axis: int) -> bool:
        """Whether one vector holds all that a read touches along `axis`, and what is stored along the lane axis."""
        assert finding.lane_axis is not None
        form, shape = indices[axis], finding.buffer.shape
        whole = isinstance(form, Affine) and form.as_variable() is not None
        return whole and max(number(shape[axis]), number(shape[finding.lane_axis])) <= self.lanes

    def _live(self, forms: Sequence[Affine], axis: int) -> Live:
        """Where the elements end that a read reaches along `axis`, as far as guards on its own variables tell."""
        known = frozenset[str]().union(*(form.variables() for form in forms))
        guards = [c for c in self.guards if c.variables() <= known and c.variables() & forms[axis].variables()]
        names = forms[axis].variables().union(*(c.variables() for c in guards))
        axes = tuple(a for a, form in enumerate(forms) if a != axis and form.variables() & names)
        names = names.union(*(forms[a].variables() for a in axes))
        ends: dict[tuple[int, ...], int] = {}
        for point in product(*(range(self.extents[n]) for n in names)):
            at: dict[str, Affine | Coef] = dict(zip(names, point))
            if all(number(c.substitute(at).const) >= 0 for c in guards):
                row = tuple(number(forms[a].substitute(at).const) for a in axes)
                ends[row] = max(ends.get(row, 0), number(forms[axis].substitute(at).const) + 1)
        return axes, ends

    def _is_lane_axis(self, index: Affine, step: int) -> bool:
        """One lane index with coefficient 1, all else a multiple of `step`: reads may begin within a cell."""
        vectors = [number(c) for n, c in index.terms if self.kinds[n] == "vector"]
        others = [number(index.const), *(number(c) for n, c in index.terms if self.kinds[n] != "vector")]
        return vectors == [1] and all(c % step == 0 for c in others)


def plan(body: Block, lanes: int) -> dict[int, Register]:
    """Register buffers that become SSA values, by identity of their Alloc; `lanes` is 0 where there are no vectors."""
    scan = _Scan(max(1, lanes), {}, {}, {})
    scan.block(body, 0)
    kept = {}
    for alloc, finding in scan.found.items():
        axis = finding.lane_axis if lanes else None
        cells = prod(number(s) for s in finding.buffer.shape) // (max(1, lanes) if axis is not None else 1)
        if finding.fits and cells <= _MOST_CELLS:
            kept[alloc] = Register(finding.buffer, axis, tuple(finding.live))
    return kept


def cell_of(register: Register, position: tuple[int, ...], lanes: int) -> tuple[Cell, int]:
    """The cell that holds the element at a constant position, and its lane there."""
    index = list(position)
    lane = 0
    if register.lane_axis is not None:
        index[register.lane_axis], lane = divmod(index[register.lane_axis], lanes)
    return (register.buffer.name, tuple(index)), lane
