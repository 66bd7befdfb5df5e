"""How a contraction is cut into blocks: what there is to choose, and what a choice is estimated to cost.

The model follows T. Low, F. Igual, T. Smith, E. Quintana-Orti: Analytical modeling is enough for high-performance BLIS
(2016): blocks are as large as the caches hold, with the sets that rows at a power-of-two pitch share taken into
account. Time is counted in multiply-adds of one vector.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from math import gcd, prod
from typing import Literal

from tilec.affine import Affine
from tilec.loops import Buffer, strides_of
from tilec.passes.schedule.analysis import Use
from tilec.passes.schedule.plan import Nest, Plan, busy
from tilec.target import Target

Packing = Literal["none", "panel", "block"]
Loop = Literal["columns", "rows"]

LATENCY = 4.0  # independent operations that keep the unit busy
LINE = 64  # bytes of a cache line
WAYS = 8  # of the first cache
L2_RATE, L3_RATE, MEMORY_RATE = 16.0, 12.0, 3.0  # bytes delivered in the time of one multiply-add of a vector
L3 = 16 << 20
TILE_START = 200.0  # what a register tile costs beside its multiply-adds
BLOCK_START = 500.0
STORE_LINE = 15.0  # to store a line that no cache holds, in an order that nothing foresees
STREAMS, LATE = 8, 8.0  # rows that are fetched ahead at once; how much later the others come
OVERLAP = 0.1  # share of the shorter of arithmetic and deliveries that is not hidden behind the longer
COPY_RATE = 2.0  # bytes copied in the time of one multiply-add
GATHER = 2.5  # an element that is not beside the one before
TURNED = 0.5  # an element of a square that is turned in registers
FORK = 5000.0  # to tell threads of work and to wait for them
UNSHARED = 4  # rows of a tile that only hide how long an addition takes


@dataclass(frozen=True, slots=True)
class Blocking:
    """One way to cut a contraction. The register tile is `rows` by `vectors` of `lanes` elements.

    outer: which tiles the outer one of the two loops over tiles visits; its operand stays in the nearest cache. pack:
    the operand along the lanes is read in place, copied panel by panel, or block by block. terms, columns, block:
    extents of the blocks of reductions, columns and rows; 0 where these are not cut. left: each block of the operand
    along the rows is copied as well. parallel: whose blocks threads share.
    """

    lanes: int
    vectors: int
    rows: int
    outer: Loop = "columns"
    pack: Packing = "none"
    terms: int = 0
    columns: int = 0
    block: int = 0
    left: bool = False
    parallel: Loop = "rows"

    @property
    def width(self) -> int:
        return self.lanes * self.vectors

    @property
    def blocked(self) -> bool:
        return bool(self.terms or self.columns or self.block)

    @property
    def kind(self) -> tuple[object, ...]:
        return self.vectors, self.outer, self.pack, bool(self.terms), self.left, self.parallel

    def __str__(self) -> str:
        sizes = f", blocks {self.block}x{self.columns}x{self.terms}" if self.blocked else ""
        packed = "" if self.pack == "none" else f", {self.pack}s packed"
        return f"{self.rows}x{self.width}, {self.outer} outside{sizes}{packed}{', rows copied' if self.left else ''}"


@dataclass(frozen=True, slots=True)
class Operand:
    """An operand that can be copied.

    adjacent: neighbours in the loop that it moves with are neighbours in memory. contiguous: the axis of neighbours in
    memory, where it is a long one.
    """

    use: Use
    span: int  # bytes
    pitch: int  # bytes between the rows that are read one after another
    adjacent: bool
    contiguous: int | None

    @staticmethod
    def of(nest: Nest, found: list[Use], loop: str, rows: str, fixed: frozenset[str] = frozenset()) -> Operand | None:
        """The only use found, where a region of it is a simple rectangle, and no other operand is like it.

        fixed: loops around the copy of a region, which move it as a whole.
        """
        if len(found) != 1 or sum(u.buffer == found[0].buffer for u in nest.uses) != 1:
            return None
        use, size = found[0], nest.bits // 8 or 1
        if not all(isinstance(form, Affine) and len(form.variables() - fixed) <= 1 for form in use.indices or ()):
            return None
        moving = [n for form in use.indices or () if isinstance(form, Affine) for n in form.variables()]
        if len(set(moving)) < len(moving):  # a diagonal: the rectangle around it is its square
            return None
        buffer = nest.buffers[use.buffer]
        axes = [a for a, step in enumerate(strides_of(buffer)) if step == 1 and buffer.shape[a] != 1]
        span = size * prod(e for n, e in nest.extents.items() if nest.stride(use, n) != 0)
        pitch, adjacent = abs(nest.stride(use, rows) or 0) * size, nest.stride(use, loop) == 1
        return Operand(use, span, pitch, adjacent, axes[-1] if axes else None)


@dataclass(frozen=True, slots=True)
class Facts:
    """What the model knows of a nest: `lane` lies in vector lanes, `row` is tiled against it."""

    nest: Nest
    lane: str
    row: str | None
    outer: tuple[str, ...]  # the other loops over output cells
    along: Operand | None  # the operand that moves with the lanes, where it can be packed
    across: Operand | None  # the operand that moves with the rows but not with the lanes, where it can be copied
    constant: bool  # `along` is the same in every call: packing it is free
    shared: bool  # the rows of a tile have an operand in common, or its columns have
    bytes: int  # of an element
    n: int
    m: int
    k: int
    batch: tuple[int, ...]  # extents of those of the loops `outer` that `along` moves with
    apart: tuple[int, ...]  # extents of the others of them
    others: int  # iterations of the loops `outer`
    streams: int  # operands that move with the lanes
    many: bool  # worth threads

    @staticmethod
    def of(plan: Plan, nest: Nest, lane: str, row: str | None) -> Facts:
        reads = nest.reads()
        moved = [u for u in reads if nest.stride(u, lane) not in (0, None)]
        along = Operand.of(nest, moved, lane, nest.reductions[-1], nest.free - {lane, row})
        still = [u for u in reads if row and nest.stride(u, lane) == 0 and nest.stride(u, row) not in (0, None)]
        outer = tuple(n for n in nest.extents if n in nest.free and n not in (lane, row))
        batch = [n for n in outer if along is not None and nest.stride(along.use, n) != 0]
        moves = [(nest.stride(u, lane), nest.stride(u, row)) for u in reads] if row else []
        return Facts(
            nest,
            lane,
            row,
            outer,
            along,
            Operand.of(nest, still, nest.reductions[-1], row or ""),
            along is not None and _root(nest.buffers, along.use.buffer) in plan.constant,
            any((a == 0) != (b == 0) for a, b in moves),
            nest.bits // 8 or 1,
            nest.extents[lane],
            nest.extents[row] if row else 1,
            prod(nest.extents[n] for n in nest.reductions),
            tuple(nest.extents[n] for n in batch),
            tuple(nest.extents[n] for n in outer if n not in batch),
            prod(nest.extents[n] for n in outer),
            max(1, len(moved)),
            nest.points >= plan.limits.many_terms,
        )

    @property
    def padding(self) -> int:
        """Elements that keep copied rows from starting in the same set of the cache."""
        return LINE // self.bytes


def _root(known: Mapping[str, Buffer], name: str) -> str:
    while (base := known[name].base) is not None:
        name = base
    return name


def blockings(facts: Facts, target: Target) -> list[Blocking]:
    """All choices: first the best of each kind, then the others, those of the least estimate first."""
    found = sorted(dict.fromkeys(_choices(facts, target)), key=lambda b: estimate(facts, b, target))
    best = {b.kind: b for b in reversed(found)}
    return [*(b for b in found if best[b.kind] is b), *(b for b in found if best[b.kind] is not b)]


def _choices(facts: Facts, target: Target) -> Iterator[Blocking]:
    for tile in _tiles(facts, target):
        packed = replace(tile, pack="panel")
        orders = (tile, replace(tile, outer="rows")) if facts.row else (tile,)
        if not facts.constant or facts.along is None or facts.along.span <= target.l1 // 2:
            yield from orders
        if facts.along is None:
            continue
        yield packed
        if facts.row is None:
            continue
        if facts.constant:
            yield replace(packed, outer="rows")
        for terms, columns, block in _blocks(facts, tile, target):
            for cut in _shared(facts, replace(tile, terms=terms, columns=columns, block=block, pack="block"), target):
                yield cut
                yield replace(cut, outer="rows")
                if facts.across is not None:
                    yield replace(cut, left=True)


def _shared(facts: Facts, cut: Blocking, target: Target) -> list[Blocking]:
    """Threads share blocks of rows, or of columns: as many as keep all of them busy."""
    if target.threads < 2 or not facts.many:
        return [cut]
    block = _even(facts.m, cut.block, cut.rows, target.threads) if cut.block else 0
    columns = _even(facts.n, cut.columns or facts.n, cut.width, target.threads)
    return [replace(cut, block=block), replace(cut, columns=columns, parallel="columns")]


def _even(extent: int, size: int, unit: int, threads: int) -> int:
    """The size of a block, or one of about that size in whole units that leaves threads with less to wait for."""
    count = -(-extent // size // threads) * threads
    sizes = size, max(1, extent // count // unit) * unit, -(-extent // count // unit) * unit
    return min(sizes, key=lambda s: _busiest(extent, s, threads))


def _tiles(facts: Facts, target: Target) -> Iterator[Blocking]:
    """Register tiles: rows*vectors accumulators, a row of vectors of each operand and an element are in registers."""
    lanes = target.lanes(facts.nest.bits)
    if facts.n < lanes:
        lanes = 1 << (facts.n - 1).bit_length()  # the narrowest power of two that holds all
    for vectors in range(1, min(4 if target.registers >= 32 else 3, -(-facts.n // lanes)) + 1):
        most = max(1, (target.registers - facts.streams * vectors - 1) // vectors)
        most = min(most, 14 if facts.shared else UNSHARED, facts.m)
        for rows in {most, min(most, 8), min(most, 6)}:
            yield Blocking(lanes, vectors, rows)


def _blocks(facts: Facts, tile: Blocking, target: Target) -> Iterator[tuple[int, int, int]]:
    """Extents of blocks of terms, columns and rows; 0 where one block holds all."""
    for terms in (256, 512, facts.k):
        columns = max(tile.width, target.l2 // 2 // (terms * facts.bytes) // tile.width * tile.width)
        for width in (columns, 2 * columns):
            rows = max(tile.rows, 168 // tile.rows * tile.rows)
            sizes = zip((terms, width, rows), (facts.k, facts.n, facts.m))
            found = tuple(0 if size >= extent else size for size, extent in sizes)
            if any(found):
                yield found[0], found[1], found[2]


def estimate(facts: Facts, blocking: Blocking, target: Target) -> float:
    """Time of the nest, in multiply-adds of one vector, on the busiest thread."""
    f, b = facts, blocking
    terms = min(b.terms or f.k, f.k)
    k_blocks, columns, rows = -(-f.k // terms), min(b.columns or f.n, f.n), min(b.block or f.m, f.m)
    column_tiles, row_tiles = -(-f.n // b.width), -(-f.m // b.rows)
    tiles = f.others * column_tiles * row_tiles
    row_extent = f.m / row_tiles
    vectors = -(-f.n // b.lanes) / column_tiles
    gathered = b.pack == "none" and f.along is not None and not f.along.adjacent
    loads = vectors * (GATHER * b.lanes if gathered else f.streams) + row_extent
    arithmetic = f.k * max(vectors * row_extent, loads, LATENCY)
    panel, strip = terms * b.width * f.bytes, terms * row_extent * f.bytes
    block, left = terms * columns * f.bytes, rows * terms * f.bytes
    near = target.l1 // 2
    if b.pack == "none" and f.along is not None:
        near = min(near, _reach(f.along.pitch))
    columns_outside = b.outer == "columns"
    along = _delivered(panel, panel if columns_outside else block, near, target)
    if f.along is not None and f.along.span > target.l2 and f.others > 1 and not b.blocked:
        along += panel / MEMORY_RATE / row_tiles  # each iteration of the outer loops fetches all of it again
    conflict = 1.0 if b.left or f.across is None else _conflict(f.across.pitch, b.rows, f.bytes)
    across = _delivered(strip * conflict, left if columns_outside else strip, target.l1 // 2 / conflict, target)
    if f.across is not None and f.across.span > target.l2 and not columns_outside and not b.left:
        across += strip / L3_RATE / -(-columns // b.width) * (LATE if row_extent > STREAMS else 1.0)
    moved = k_blocks * (along + across)
    tile = max(arithmetic, moved) + OVERLAP * min(arithmetic, moved)
    lines = row_extent * vectors * b.lanes * f.bytes / LINE
    tile += k_blocks * TILE_START + (2 * k_blocks - 1) * 2 * vectors * row_extent
    size = f.others * f.m * f.n * f.bytes
    if size > target.l2 // 2:
        far = columns_outside and column_tiles > 1
        tile += (2 * k_blocks if k_blocks > 1 else 1) * lines * (STORE_LINE if far else 5)
    share, forks = _threads(f, b, k_blocks, target)
    return tiles * tile * share + _packing(f, b, share, target) + forks * FORK


def _delivered(bytes: float, home: float, near: float, target: Target) -> float:
    """Time to deliver operands to a tile from where all that is read again lies; the nearest cache is free."""
    if home <= near:
        return 0.0
    return bytes / (L2_RATE if home <= target.l2 * 0.75 else L3_RATE if home <= L3 else MEMORY_RATE)


def _reach(pitch: int) -> int:
    """Bytes of the first cache that rows at a pitch can occupy: those a multiple of a power of two apart share sets."""
    sets = 4096 // gcd(pitch, 4096) if pitch else 64
    return max(1, min(sets, 64)) * WAYS * LINE // 2


def _conflict(pitch: int, rows: int, bytes: int) -> float:
    """How often a line of a row is fetched: rows in the same set put out one another."""
    if pitch == 0:
        return 1.0
    sets = 4096 // gcd(pitch, 4096)
    return LINE / bytes if rows > sets * (WAYS - 1) else 1.0


def _packing(facts: Facts, blocking: Blocking, share: float, target: Target) -> float:
    """Time of the copies. What is constant is copied before the first call."""
    f, b, time = facts, blocking, 0.0
    if b.pack != "none" and f.along is not None and not f.constant:
        together = b.pack == "block" and b.parallel == "rows"  # one thread copies what all of them read
        apart = TURNED if f.along.contiguous is not None else GATHER
        copy = f.along.span / f.bytes * (3.0 / b.lanes if f.along.adjacent else apart)
        time += copy if together else copy * share
    if b.left and f.across is not None:
        time += f.across.span / COPY_RATE * -(-f.n // (b.columns or f.n)) * share
    return time


def _threads(facts: Facts, blocking: Blocking, k_blocks: int, target: Target) -> tuple[float, int]:
    """The share of all work that the busiest thread does, and how often threads begin anew."""
    if target.threads < 2 or not facts.many:
        return 1.0, 0
    loops, outside = _loops(facts, blocking, k_blocks, target)
    counts = [extent // size for extent, size in loops]
    shares = [min(busy(n, target.threads), 0.8) for n in counts]
    if not any(shares):
        return 1.0, 0
    at = shares.index(max(shares))
    extent, size = loops[at]
    return _busiest(extent, size, target.threads) / extent, outside * prod(-(-e // s) for e, s in loops[:at])


def _loops(facts: Facts, blocking: Blocking, k_blocks: int, target: Target) -> tuple[list[tuple[int, int]], int]:
    """Loops that threads may share, outer ones first: extents and sizes of blocks; iterations around all of these."""
    f, b = facts, blocking
    columns, block = b.columns or f.n, b.block or f.m
    tiles = [(f.n, b.width), (f.m, b.rows)]
    if not b.blocked:
        return [*((f.nest.extents[n], 1) for n in f.outer), *(tiles if b.outer == "columns" else tiles[::-1])], 1
    wide = [(e, 1) for e in f.batch if e >= target.threads]
    if wide:
        return wide, 1
    if b.parallel == "columns":
        return [(f.n, columns)], prod(f.batch)
    shared = [*((e, 1) for e in f.apart), (f.m, block), (block, b.rows), (columns, b.width)]
    return shared, prod(f.batch) * -(-f.n // columns) * k_blocks


def _busiest(extent: int, size: int, threads: int) -> int:
    """How much of an extent the busiest thread does, of blocks that threads share; all wait while one does the rest."""
    count, rest = divmod(extent, size)
    return -(-count // threads) * size + rest
