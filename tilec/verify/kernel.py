"""Floor 3: the verifier of kernels.

Checked: names in scope, a loop index bound once on a path; extents, ranks, dtypes; homogeneous expressions; integer
coefficients; modes of parameters; every affine access in bounds at every point where it runs, and the iterations of
`parallel`, `group`, `item` and `vector` loops independent (`tilec.verify.access` says how far); static extents of
vector and unrolled loops; where group and item loops stand (`tilec.groups`); with `scheduled`, constant indices of
register buffers, but for the items that own an element. Data-dependent indices are checked for type only, what a view
shares with its base not at all. An Instr is checked as the nest that it stands for, and for
the layout of its operands. Error: TILE0602.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from tilec.affine import Affine, Size
from tilec.dtypes import BOOL, DType
from tilec.errors import TileError
from tilec.expr import Access, Expr
from tilec.groups import in_group, item_axes, misplaced
from tilec.instructions import check_windows, expand
from tilec.loops import (
    LOOP_KINDS,
    Alloc,
    Barrier,
    Block,
    Buffer,
    For,
    If,
    Instr,
    Kernel,
    Let,
    LoopKind,
    Mode,
    Stmt,
    Store,
    While,
    accesses,
)
from tilec.verify.access import Region, Touch, collision, refute
from tilec.verify.expr import ExprChecker, check_monoid, fail

PRIVATE = ("register", "thread")
_CONCURRENT: tuple[LoopKind, ...] = ("parallel", "group", "item", "vector")
_EXPANDED: tuple[LoopKind, ...] = ("vector", "unroll")


@dataclass(frozen=True, slots=True)
class Scope:
    """What is in sight at a statement. `loops` are the enclosing loops; `modes` the parameters'; `owned` register
    buffers of a group, with how many of their axes are item indices."""

    buffers: dict[str, Buffer]
    modes: dict[str, Mode]
    sizes: frozenset[str] | None
    scheduled: bool
    loops: dict[str, For] = field(default_factory=dict)
    owned: dict[str, int] = field(default_factory=dict)
    scalars: dict[str, DType] = field(default_factory=dict)
    region: Region = Region({})  # noqa: RUF009  # frozen


def verify_kernel(kernel: Kernel, sizes: Sequence[str] | None = None, scheduled: bool = False) -> None:
    """Raises TileError TILE0602 at the first fault. `sizes` are the named sizes that may occur, None for any."""
    try:
        if why := misplaced(kernel.body):
            fail(why)
        _block(kernel.body, _kernel_scope(kernel, sizes, scheduled))
    except TileError as e:
        fail(f"kernel '{kernel.name}': {e.diagnostics[0].message}")


def _kernel_scope(kernel: Kernel, sizes: Sequence[str] | None, scheduled: bool) -> Scope:
    scope = Scope({}, {}, None if sizes is None else frozenset(sizes), scheduled)
    for p in kernel.params:
        if p.buffer.space != "param" or p.buffer.base is not None:
            fail(f"parameter '{p.buffer.name}' is not of space param, or is a view")
        scope = _declare(p.buffer, scope)
        scope.modes[p.buffer.name] = p.mode
    return scope


def _declare(buffer: Buffer, scope: Scope) -> Scope:
    if buffer.name in scope.buffers:
        fail(f"buffer '{buffer.name}' is declared twice")
    check_buffer(buffer, scope.sizes)
    return replace(scope, buffers={**scope.buffers, buffer.name: buffer})


def check_buffer(buffer: Buffer, sizes: frozenset[str] | None) -> None:
    """Shape, strides and offset are sizes and agree in number."""
    checker = ExprChecker(frozenset(), _no_read, {}, sizes)
    for size in (*buffer.shape, *(buffer.strides or ()), buffer.offset):
        checker.size(size)
    moving = Affine.of(buffer.moves)
    ExprChecker(moving.variables(), _no_read, {}, sizes).affine(moving)
    _integral(moving)
    if buffer.moves and buffer.base is None:
        fail(f"buffer '{buffer.name}' moves, and is no view")
    if buffer.strides is not None and len(buffer.strides) != len(buffer.shape):
        fail(f"buffer '{buffer.name}' has {len(buffer.shape)} axes and {len(buffer.strides)} strides")


def _no_read(access: Access, dtype: DType) -> None:
    fail(f"a read of '{access.tensor}' is not allowed here")


def _block(block: Block, scope: Scope) -> None:
    for position, stmt in enumerate(block):
        scope = _stmt(stmt, scope)
        if isinstance(stmt, Alloc) and stmt.buffer.space == "register" and in_group(tuple(scope.loops.values())):
            scope = _owned(stmt.buffer, block[position + 1 :], scope)


def _owned(buffer: Buffer, rest: Block, scope: Scope) -> Scope:
    count = item_axes(buffer, rest)
    if count is None and scope.scheduled:
        fail(f"register buffer '{buffer.name}' of a group is not indexed first by the items that use it")
    return replace(scope, owned={**scope.owned, buffer.name: count or 0})


def _stmt(stmt: Stmt, scope: Scope) -> Scope:
    """Checks one statement and gives the scope of those after it."""
    match stmt:
        case For():
            _block(stmt.body, _loop_scope(stmt, scope))
            if stmt.kind in _CONCURRENT:
                _independent(stmt, scope)
        case If(conditions, body):
            for form in conditions:
                _checker(scope).affine(form)
                _integral(form)
            _block(body, replace(scope, region=_narrowed(scope.region, conditions)))
        case Alloc(buffer):
            if buffer.space == "param":
                fail(f"'{buffer.name}' is allocated in space param")
            if buffer.moves:
                fail(f"'{buffer.name}' moves with the steps of a program, and belongs to a kernel")
            if buffer.base is not None and buffer.base not in scope.buffers:
                fail(f"base '{buffer.base}' of '{buffer.name}' is not in scope")
            return _declare(buffer, scope)
        case Let(name, value):
            if name in scope.scalars:
                fail(f"scalar '{name}' is bound twice")
            _checker(scope).expr(value)
            return replace(scope, scalars={**scope.scalars, name: value.dtype})
        case Store():
            _store(stmt, scope)
        case While(condition, body):
            _checker(scope).expr(condition)
            if condition.dtype != BOOL:
                fail(f"the condition of a while is {condition.dtype}")
            _block(body, scope)
        case Instr(name, operands):
            for window in operands:
                rank = len(_buffer(window.buffer, scope).shape)
                if not len(window.starts) == len(window.extents) == rank:
                    fail(f"an operand of '{name}' does not have the rank of '{window.buffer}'")
                for start in window.starts:
                    _checker(scope).affine(start)
            check_windows(stmt, scope.buffers)
            _block(expand(stmt), scope)
        case Barrier():
            pass
    return scope


def _narrowed(region: Region, conditions: Sequence[Affine]) -> Region:
    static = [c for c in conditions if _static(c)]
    return Region(region.box, (*region.conditions, *static), region.exact and len(static) == len(conditions))


def _loop_scope(loop: For, scope: Scope) -> Scope:
    if loop.index in scope.loops:
        fail(f"loop index '{loop.index}' is bound twice on a path")
    if loop.kind not in LOOP_KINDS or (loop.depth and loop.kind != "pipelined"):
        fail(f"loop '{loop.index}' has kind {loop.kind} and depth {loop.depth}")
    _checker(scope).size(loop.extent)
    if loop.kind in _EXPANDED and not isinstance(loop.extent, int):
        fail(f"{loop.kind} loop '{loop.index}' has the extent {loop.extent}")
    region = scope.region
    if isinstance(loop.extent, int):
        region = replace(region, box={**region.box, loop.index: loop.extent})
    else:
        region = replace(region, exact=False)
    return replace(scope, loops={**scope.loops, loop.index: loop}, region=region)


def _checker(scope: Scope) -> ExprChecker:
    def check(access: Access, dtype: DType) -> None:
        buffer = _buffer(access.tensor, scope)
        if buffer.dtype != dtype:
            fail(f"'{access.tensor}' is {buffer.dtype} and is read as {dtype}")
        if access.boundary != "skip":
            fail(f"a read of '{access.tensor}' has boundary '{access.boundary}', which Loops do not have")
        _access(access, buffer, scope)

    return ExprChecker(frozenset(scope.loops), check, scope.scalars, scope.sizes)


def _buffer(name: str, scope: Scope) -> Buffer:
    if name not in scope.buffers:
        fail(f"buffer '{name}' is not in scope")
    return scope.buffers[name]


def _store(stmt: Store, scope: Scope) -> None:
    buffer, checker = _buffer(stmt.buffer, scope), _checker(scope)
    if scope.modes.get(stmt.buffer) == "in":
        fail(f"parameter '{stmt.buffer}' is only read, and stored to")
    access = Access(stmt.buffer, stmt.indices)
    checker.indices_of(access)
    _access(access, buffer, scope)
    checker.expr(stmt.value)
    if stmt.value.dtype != buffer.dtype:
        fail(f"{stmt.value.dtype} is stored to '{stmt.buffer}', which is {buffer.dtype}")
    if stmt.stream and (stmt.monoid is not None or buffer.space in PRIVATE):
        fail(f"a streaming store aggregates, or stores to the private buffer '{stmt.buffer}'")
    if stmt.monoid is None:
        return
    if stmt.monoid.dtypes != (buffer.dtype,):
        fail(f"'{stmt.buffer}', which is {buffer.dtype}, is aggregated in {stmt.monoid.dtypes}")
    check_monoid(stmt.monoid)


def _access(access: Access, buffer: Buffer, scope: Scope) -> None:
    """Rank, integer coefficients, bounds; with `scheduled`, the rule of registers."""
    if len(access.indices) != len(buffer.shape):
        fail(f"'{access.tensor}' has rank {len(buffer.shape)} and {len(access.indices)} indices")
    for axis, (index, size) in enumerate(zip(access.indices, buffer.shape)):
        if isinstance(index, Affine):
            _integral(index)
            _in_bounds(access.tensor, axis, index, size, scope.region)
        if scope.scheduled and buffer.space == "register" and axis >= scope.owned.get(access.tensor, 0):
            _constant_index(access.tensor, index, scope)


def _integral(form: Affine) -> None:
    if form.denominator() != 1:
        fail(f"'{form}' does not have integer coefficients")


def _static(form: Affine) -> bool:
    return not form.sizes()


def _in_bounds(name: str, axis: int, form: Affine, size: Size, region: Region) -> None:
    if not isinstance(size, int) or not _static(form) or _is_empty(region):
        return
    for bound in (form, -form + (size - 1)):
        point = refute(bound, region)
        if point is not None:
            where = ", ".join(f"{n} = {v}" for n, v in point.items())
            at = f" at {where}" if where else ""
            fail(f"axis {axis} of '{name}': index {form} is outside of 0 .. {size - 1}{at}")


def _is_empty(region: Region) -> bool:
    return any(extent <= 0 for extent in region.box.values())


def _constant_index(name: str, index: Affine | Expr, scope: Scope) -> None:
    """A register buffer's index is constant once vector and unrolled loops are expanded."""
    if not isinstance(index, Affine):
        fail(f"register buffer '{name}' has a data-dependent index")
    for variable, c in index.terms:
        kind = scope.loops[variable].kind
        if kind not in _EXPANDED or (kind == "vector" and c != 1):
            fail(f"register buffer '{name}' is indexed by {c}*{variable} of a {kind} loop")


# --- independence of concurrent iterations ----------------------------------------------------------------------------


def _independent(loop: For, scope: Scope) -> None:
    """No cell that one iteration writes is touched by another, but for memory private to an iteration; that of a group
    is not private to an item."""
    touches: dict[str, list[Touch]] = {}
    for name, touch in _touches(loop.body, _loop_scope(loop, scope), frozenset()):
        touches.setdefault(name, []).append(touch)
    for name, found in touches.items():
        found = [touch for touch in found if not _is_empty(touch.region)]
        if not found or (loop.kind != "item" and scope.buffers[name].space in PRIVATE):
            continue
        text = collision(loop.index, found)
        if text:
            fail(f"iterations {text} of the {loop.kind} loop '{loop.index}' meet in a cell of '{name}'")


def _touches(block: Block, scope: Scope, inner: frozenset[str]) -> Iterator[tuple[str, Touch]]:
    """Affine accesses to buffers from outside the loop."""
    own = {stmt.buffer.name for stmt in block if isinstance(stmt, Alloc)}
    for stmt in block:
        for name, touch in _touches_of(stmt, scope, inner):
            if name not in own:
                yield name, touch


def _touches_of(stmt: Stmt, scope: Scope, inner: frozenset[str]) -> Iterator[tuple[str, Touch]]:
    region = scope.region
    match stmt:
        case For(index, _, _, body):
            yield from _touches(body, _loop_scope(stmt, scope), inner | {index})
        case If(conditions, body):
            yield from _touches(body, replace(scope, region=_narrowed(region, conditions)), inner)
        case While(_, body):
            yield from _touches(body, scope, inner)
        case Instr():
            yield from _touches(expand(stmt), scope, inner)
    found = [(a, False) for a in accesses(stmt)]
    if isinstance(stmt, Store):
        found.append((Access(stmt.buffer, stmt.indices), True))
    for access, writes in found:
        indices = tuple(i for i in access.indices if isinstance(i, Affine))
        if len(indices) == len(access.indices) and all(map(_static, indices)):
            yield access.tensor, Touch(indices, region, inner, writes)
