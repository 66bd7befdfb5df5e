"""The default schedule of sums of products that a machine instruction adds up several at once.

Which they are follows from the types of the two factors and of the sum, and from the features of the target. The factor
that lies along the lanes is packed so that the terms of one lane are neighbours; of the other, they are read where they
are, so they must be neighbours in memory already.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import prod

from tilec.affine import Affine
from tilec.expr import Call, Read
from tilec.instructions import NAMES, Instruction, instruction
from tilec.passes.schedule.analysis import Use
from tilec.passes.schedule.plan import Nest, Plan, fresh, staged, step, threads
from tilec.schedule import Directive
from tilec.target import Target

_LEAST_REUSE = 16  # of a packed element: copying it costs about as much as that many products
_BLOCK_BYTES = 1 << 18  # of a packed block, and of the rows that it meets: both fit into the second cache


@dataclass(frozen=True, slots=True)
class _Dot:
    """How a nest is the meaning of an instruction."""

    name: str
    group: int  # terms that it adds up in a lane
    backward: bool  # and the last of them lies first
    matrices: bool  # of several rows
    term: str  # the loop over them
    near: Use  # the factor that is the same in all lanes
    packed: Use
    axis: int  # of the packed factor, that the lanes move
    along: int  # of the packed factor, that the terms move


@dataclass(frozen=True, slots=True)
class Way:
    """One way to schedule a nest for an instruction."""

    dot: _Dot
    tile: _Tile
    block: int  # bytes of a packed block, and of the rows that it meets

    def __str__(self) -> str:
        return f"{self.dot.name}, {self.tile.rows}x{self.tile.columns}, blocks of {self.block >> 10} KiB"


def ways(plan: Plan, nest: Nest, lane: str, row: str | None, target: Target) -> list[Way]:
    """Ways to schedule a nest for instructions of the target, the better ones first; none where there are none."""
    if row is None:
        return []
    found = list(_dots(plan, nest, lane, row, target))
    best = [Way(dot, _tile(nest, dot, lane, row, target), _BLOCK_BYTES) for dot in found]
    blocks = [replace(way, block=size) for way in best for size in (_BLOCK_BYTES // 2, _BLOCK_BYTES * 2)]
    tiles = [replace(way, tile=tile) for way in best for tile in _smaller(way.tile)]
    return [*best, *blocks, *tiles]


def dot(plan: Plan, nest: Nest, way: Way, lane: str, row: str | None, target: Target) -> bool:
    """Schedules a nest for an instruction; False, and nothing done, where that is refused."""
    before = plan.kernel, list(plan.directives)
    if row is not None and _scheduled(plan, nest, way, lane, row, target):
        return True
    plan.kernel, plan.directives = before
    return False


def _dots(plan: Plan, nest: Nest, lane: str, row: str, target: Target) -> Iterator[_Dot]:
    """Ways to read the nest as an instruction of the target, the better ones first."""
    factors = _factors(nest)
    if factors is None or lane in nest.guarded:
        return
    near, packed = factors[::-1] if nest.stride(factors[0], lane) else factors
    if nest.stride(near, lane) != 0 or not nest.stride(packed, lane) or near.buffer == packed.buffer:
        return
    if nest.reuse(packed) < _LEAST_REUSE and packed.buffer not in plan.constant:
        return
    for found in _instructions(nest, near, packed, target):
        for way in _terms(nest, found, near, packed, lane):
            if not way.matrices or _fills(nest, way, lane, row):
                yield way


def _fills(nest: Nest, found: _Dot, lane: str, row: str) -> bool:
    """Whether matrix registers are filled everywhere."""
    rest = nest.extents[lane] % 16, nest.extents[row] % 16, nest.extents[found.term] % (16 * found.group)
    return rest == (0, 0, 0) and row not in nest.guarded


def _terms(nest: Nest, found: Instruction, near: Use, packed: Use, lane: str) -> Iterator[_Dot]:
    """With which loop over the terms an instruction can be used."""
    for term in reversed(nest.reductions):
        axis, along = _axis(packed, lane), _axis(packed, term)
        if nest.stride(near, term) == 1 and None not in (axis, along) and term not in nest.guarded:
            form = found.name, found.group, found.backward, "M" in found.most
            yield _Dot(*form, term, near, packed, axis or 0, along or 0)
        if found.operands[0].dtype.is_float:
            return  # the order of a float sum stays, so its terms are those of the innermost loop


def _factors(nest: Nest) -> tuple[Use, Use] | None:
    """The reads of a sum of products of two."""
    stores, reads = nest.stores(), nest.reads()
    if len(stores) != 1 or len(reads) != 2 or stores[0].store is None or stores[0].store.monoid is None:
        return None
    value = stores[0].store.value
    if stores[0].store.monoid.name != "sum" or not isinstance(value, Call) or value.op != "mul":
        return None
    plain = all(isinstance(a, Call) and a.op == "cast" and isinstance(a.args[0], Read) for a in value.args)
    return (reads[0], reads[1]) if plain else None


def _instructions(nest: Nest, near: Use, packed: Use, target: Target) -> Iterator[Instruction]:
    """Those of the target with these types, where they are worth it."""
    types = [nest.buffers[u.buffer].dtype for u in (nest.stores()[0], near, packed)]
    for name in NAMES:
        found = instruction(name)
        if found is None or [o.dtype for o in found.operands] != types:
            continue
        if found.runs_on(target.features) and not found.slow & frozenset(target.features):
            yield found


def _axis(use: Use, loop: str) -> int | None:
    """The one axis that the loop moves, alone and step by step."""
    moved = [i for i, f in enumerate(use.indices or ()) if isinstance(f, Affine) and loop in f.variables()]
    if len(moved) != 1:
        return None
    form = (use.indices or ())[moved[0]]
    return moved[0] if isinstance(form, Affine) and form.as_variable() == loop else None


@dataclass(frozen=True, slots=True)
class _Tile:
    """Rows and columns of a tile of sums, and of the instructions in it."""

    rows: int
    columns: int
    vectors: int  # columns of one instruction


def _tile(nest: Nest, found: _Dot, lane: str, row: str, target: Target) -> _Tile:
    """For matrix registers two by two of them; else as many rows as there are vector registers for."""
    if found.matrices:
        return _Tile(32, 32, 16)
    lanes = min(target.lanes(32), 1 << (nest.extents[lane] - 1).bit_length())
    vectors = min(2, -(-nest.extents[lane] // lanes))
    spare = 2 * vectors + 2  # packed vectors, what is the same for all rows, the other factor, a constant
    rows = min(max(1, (target.registers - spare) // vectors), 13, nest.extents[row])
    return _Tile(rows, lanes * vectors, lanes)


def _smaller(tile: _Tile) -> list[_Tile]:
    """Tiles of fewer sums: of one vector, or of fewer rows."""
    found = [replace(tile, columns=tile.vectors), *(replace(tile, rows=tile.rows * n // 12) for n in (10, 8, 6))]
    return [t for t in dict.fromkeys(found) if t != tile and t.rows > 1]


def _scheduled(plan: Plan, nest: Nest, way: Way, lane: str, row: str, target: Target) -> bool:
    """Blocks of packed columns, blocks of rows, panels, tiles of sums, and all terms of these before the next tile."""
    found, tile = way.dot, way.tile
    others = [n for n in nest.reductions if n != found.term]
    free = [n for n in nest.extents if n in nest.free and n not in (lane, row)]
    batch = [n for n in free if nest.stride(found.packed, n) != 0]
    shared = [n for n in free if n not in batch]
    depth = nest.buffers[found.packed.buffer].dtype.bytes * prod(nest.extents[n] for n in nest.reductions)
    width = max(tile.columns, way.block // depth // tile.columns * tile.columns)
    height = max(tile.rows, way.block // depth)
    term, unit = found.term, 16 if found.matrices else 1
    done = plan.attempt(
        step("reorder", *batch, lane, *shared, row, *others, term),
        step("tile", lane, width, f"{lane}.b", f"{lane}.p"),
        step("reorder", *shared, row, f"{lane}.p", *others, term),
        *([step("interior", row)] if row in nest.guarded else []),
        step("tile", row, _even(nest.extents[row], height, tile.rows, unit, target.threads), f"{row}.b", f"{row}.p"),
        step("reorder", f"{lane}.p", f"{row}.p", *others, term),
        step("tile", f"{lane}.p", tile.columns, f"{lane}.0", f"{lane}.1"),
        step("reorder", f"{row}.p", f"{lane}.1", *others, term),
        step("tile", f"{row}.p", tile.rows, f"{row}.0", f"{row}.1", "cut", *([] if found.matrices else ["balanced"])),
        step("reorder", *others, term, f"{row}.1", f"{lane}.1"),
        *(_matrices if found.matrices else _vectors)(found, lane, row, tile),
    )
    space = "thread" if found.matrices else "register"
    if not done or not _staged(plan, nest.stores()[0].buffer, f"{row}.0", space):
        return False
    new = fresh(plan.kernel, f"{found.packed.buffer}.p")
    wide = [n for n in batch if nest.extents[n] >= target.threads > 1 and nest.points >= plan.limits.many_terms]
    where = f"{lane}.b", new, found.axis, tile.columns, "thread" if wide else "heap", 0
    order = ["backward"] if found.backward else []
    packing = step("pack", found.packed.buffer, *where, found.along, found.group, *order)
    if not plan.attempt(packing, step("map_to", f"{term}.1", found.name)):
        return False
    threads(plan, nest, wide or [*shared, f"{row}.b", f"{row}.p"], target)
    return True


def _vectors(found: _Dot, lane: str, row: str, tile: _Tile) -> list[Directive]:
    """The terms of one instruction inside of the tile, around its lanes."""
    term = found.term
    return [
        step("tile", term, found.group, f"{term}.0", f"{term}.1"),
        step("reorder", f"{row}.1", f"{lane}.1", f"{term}.1"),
        step("tile", f"{lane}.1", tile.vectors, f"{lane}.v", f"{lane}.l"),
        step("reorder", f"{term}.1", f"{lane}.l"),
        step("vectorize", f"{lane}.l"),
        step("unroll", f"{lane}.v"),
        step("unroll", f"{row}.1"),
    ]


def _matrices(found: _Dot, lane: str, row: str, tile: _Tile) -> list[Directive]:
    """The terms of one instruction inside of the tile, around its rows and columns."""
    term = found.term
    inner = f"{term}.1", f"{term}.2"
    return [
        step("tile", term, 16 * found.group, f"{term}.0", f"{term}.t"),
        step("tile", f"{term}.t", found.group, *inner),
        step("reorder", f"{row}.1", f"{lane}.1", *inner),
        step("tile", f"{row}.1", 16, f"{row}.v", f"{row}.l"),
        step("reorder", f"{lane}.1", *inner, f"{row}.l"),
        step("tile", f"{lane}.1", tile.vectors, f"{lane}.v", f"{lane}.l"),
        step("reorder", *inner, f"{row}.l", f"{lane}.l"),
        step("unroll", f"{lane}.v"),
        step("unroll", f"{row}.v"),
    ]


def _even(extent: int, most: int, rows: int, unit: int, threads: int) -> int:
    """Rows of a block: about `most`, a multiple of the unit, the blocks alike and as many as keep all threads busy."""
    count = -(-extent // most)
    if extent >= rows * threads:
        count = -(-count // threads) * threads
    rows = -(-extent // count)
    return -(-rows // unit) * unit


def _staged(plan: Plan, store: str, loop: str, space: str) -> bool:
    """Keeps the tile apart; where that is safe it starts there, and the nest that uses it runs there."""
    new = staged(plan, store, loop, space)
    if new is None:
        return False
    for copy in (f"{new}.1", f"{new}.out.1") if space == "thread" else ():
        plan.attempt(step("vectorize", copy))
    return True
