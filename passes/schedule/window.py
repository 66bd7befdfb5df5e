"""The default schedule of windows: depthwise convolutions, pooling, stencils, filters.

An aggregation of few terms whose operands move with the lanes and with every other output axis has nothing to share
along a tile, as a product of matrices has; but the windows of neighbouring outputs overlap. So a small tile of outputs
stays in registers while the loops over the window are unrolled: what two outputs read of one place is loaded once.
Tiles at the edges are nests of their own, in which the guards are constants. Tiles that follow one another are not
neighbours in memory: a load waits for earlier stores to addresses that are equal in the last 12 bits. Where what a tile
reads crowds into few sets of the cache, the tile is wider along the lanes: of these lines each is fetched once.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from math import gcd, prod

from tilec.affine import Affine
from tilec.passes.schedule.analysis import static
from tilec.passes.schedule.blocking import WAYS
from tilec.passes.schedule.plan import Nest, Plan, busy, in_registers, step
from tilec.schedule import Directive
from tilec.target import Target

MOST_TERMS = 128  # of one output
LEAST_OUTPUTS, MOST_OUTPUTS = 4, 8  # vectors of outputs of a tile: enough to hide how long an addition takes
MOST_STEPS = 4096  # aggregations that are written out, in all versions of the tile
HOPS = 8, 4  # tiles between one and the next along the lanes
WAY = 4096  # bytes of one way of the nearest cache: lines so far apart share a set, of `WAYS` lines


@dataclass(frozen=True, slots=True)
class _Tile:
    """Outputs per free loop, along the lanes in vectors, and the reductions that are unrolled."""

    lane: str
    lanes: int
    sizes: Mapping[str, int]
    unrolled: tuple[str, ...]
    hop: int = 1

    @property
    def outputs(self) -> int:
        return prod(self.sizes.values())

    @property
    def rows(self) -> list[str]:
        return [n for n in self.sizes if n != self.lane]

    def __str__(self) -> str:
        return "x".join(map(str, self.sizes.values())) + f" vectors, every {self.hop}"


def window(plan: Plan, nest: Nest, lane: str, target: Target) -> bool:
    """Schedules a nest of one aggregation over windows; False, and nothing done, where it is none."""
    sliding = moved(nest)
    if not sliding or prod(nest.extents[n] for n in nest.reductions) > MOST_TERMS or not shares_nothing(nest, lane):
        return False
    tile = _tile(nest, lane, [n for n in sliding if n != lane][-2:], target)
    others = _others(nest, tile) if plan.rank else [tile]
    plan.more |= plan.rank < len(others)
    if plan.rank:
        tile = others[min(plan.rank, len(others)) - 1]
    before = plan.kernel, list(plan.directives)
    if not _applied(plan, nest, tile, target):
        plan.kernel, plan.directives = before
        return False
    plan.chosen.append(str(tile))
    return True


def moved(nest: Nest) -> list[str]:
    """Free loops that move a window: those in one index together with a reduction."""
    found = set[str]()
    for use in nest.reads():
        for form in use.indices or ():
            names = form.variables() if isinstance(form, Affine) else frozenset()
            if not names <= nest.free:
                found |= names & nest.free
    return [n for n in nest.extents if n in found]


def shares_nothing(nest: Nest, lane: str) -> bool:
    """Vectors are contiguous, and there is no loop to tile along which all that the lanes move is shared."""
    if any(nest.stride(u, lane) not in (0, 1) for u in nest.reads()):
        return False
    along = [u for u in nest.reads() if nest.stride(u, lane) == 1]
    others = [n for n in nest.extents if n in nest.free and n != lane and nest.extents[n] > 1]
    return all(any(nest.stride(u, n) != 0 for u in along) for n in others)


# the tile ----------------------------------------------------------------------------------------------------------


def _others(nest: Nest, best: _Tile) -> list[_Tile]:
    """Other tiles than the best, those first that load least for an output."""
    others = [replace(best, sizes=dict.fromkeys(best.sizes, 1))]
    for tile in others:  # which grows by what it leads to
        larger = (_doubled(nest, tile, n) for n in tile.sizes)
        others += [t for t in larger if t and t not in others and t.outputs <= 2 * MOST_OUTPUTS]
    fitting = [_hopping(nest, t) for t in others if t.outputs >= LEAST_OUTPUTS and _steps(nest, t) <= MOST_STEPS]
    fitting.sort(key=lambda t: _loads(nest, t) / t.outputs)
    return [*(replace(best, hop=h) for h in (*HOPS, 1)), *fitting]


def _tile(nest: Nest, lane: str, rows: list[str], target: Target) -> _Tile:
    """Doubles the size along which loads are saved most, as long as all fits into registers."""
    lanes = target.lanes(nest.bits)
    if nest.extents[lane] < lanes:
        lanes = 1 << (nest.extents[lane] - 1).bit_length()
    best = _Tile(lane, lanes, dict.fromkeys([*rows, lane], 1), tuple(nest.reductions))
    while len(best.unrolled) > 1 and _steps(nest, best) * MOST_OUTPUTS > MOST_STEPS:
        best = replace(best, unrolled=best.unrolled[1:])
    tile = _grown(nest, best, [*rows, lane], target)
    if _crowding(nest, tile) > 1:
        wide = _doubled(nest, _grown(nest, best, [*rows[::-1], lane], target), lane)
        if wide is not None and 2 * wide.outputs <= target.registers and _steps(nest, wide) <= MOST_STEPS:
            tile = _flattened(nest, wide)
    return _hopping(nest, tile)


def _grown(nest: Nest, best: _Tile, loops: Sequence[str], target: Target) -> _Tile:
    while best.outputs < MOST_OUTPUTS:
        larger = [t for n in loops if (t := _doubled(nest, best, n)) and _pressure(nest, t) < target.registers]
        chosen = min(larger, key=lambda t: _loads(nest, t) / t.outputs, default=None)
        if chosen is None:
            break
        best = chosen
    return best


def _flattened(nest: Nest, tile: _Tile) -> _Tile:
    """As many outputs, in fewer rows, where the lines of several tiles would displace one another."""
    row = tile.rows[0]
    while _crowding(nest, tile) > 2 and tile.sizes[row] > 1:
        wide = _doubled(nest, tile, tile.lane)
        if wide is None:
            break
        tile = replace(wide, sizes={**wide.sizes, row: tile.sizes[row] // 2})
    return tile


def _crowding(nest: Nest, tile: _Tile) -> float:
    """Lines side by side that a tile reads, for each that the sets of the cache hold in which they lie."""
    moved = [u for u in nest.reads() if any(nest.stride(u, n) for n in tile.rows)]
    pitch = gcd(*(nest.stride(u, n) or 0 for u in moved for n in (*tile.rows, *tile.unrolled))) * nest.bits // 8
    lines = _loads(nest, tile, [nest.reads().index(u) for u in moved]) // tile.sizes[tile.lane]
    return lines / (WAY // gcd(WAY, pitch) * WAYS)


def _hopping(nest: Nest, tile: _Tile) -> _Tile:
    """The tile, of which those that follow one another are far apart, where there are enough of them."""
    count = nest.extents[tile.lane] // (tile.lanes * tile.sizes[tile.lane])
    alike = bool(tile.rows) and tile.lane not in nest.guarded
    return replace(tile, hop=next((h for h in HOPS if alike and count >= 2 * h), 1))


def _doubled(nest: Nest, tile: _Tile, loop: str) -> _Tile | None:
    size = 2 * tile.sizes[loop]
    if size * (tile.lanes if loop == tile.lane else 1) > nest.extents[loop]:
        return None
    return replace(tile, sizes={**tile.sizes, loop: size})


def _steps(nest: Nest, tile: _Tile) -> int:
    """Aggregations written out: those of a tile, in each of its versions (edges, and what is left over)."""
    versions = prod(3 if n in nest.guarded else 2 for n in tile.sizes)
    return prod(nest.extents[n] for n in tile.unrolled) * tile.outputs * versions


def _vectors(nest: Nest, tile: _Tile) -> Iterator[list[tuple[int, ...]]]:
    """The vectors that each aggregation of a tile reads, in their order."""
    forms = [[f for f in u.indices or () if isinstance(f, Affine)] for u in nest.reads()]
    names = [*tile.unrolled, *tile.sizes]
    counts = [nest.extents[n] for n in tile.unrolled] + list(tile.sizes.values())
    for point in product(*map(range, counts)):
        at = dict(zip(names, point))
        at[tile.lane] *= tile.lanes
        yield [
            (i, *(sum(static(c) * at.get(n, 0) for n, c in form.terms) for form in axes))
            for i, axes in enumerate(forms)
        ]


def _loads(nest: Nest, tile: _Tile, operands: Collection[int] | None = None) -> int:
    """Vectors that a tile reads, of all operands or of some."""
    return len({v for read in _vectors(nest, tile) for v in read if operands is None or v[0] in operands})


def _pressure(nest: Nest, tile: _Tile) -> int:
    """Registers in use at most: the outputs, and what has been loaded and is needed again."""
    last = {v: time for time, read in enumerate(_vectors(nest, tile)) for v in read}
    most, live = 0, set[tuple[int, ...]]()
    for time, read in enumerate(_vectors(nest, tile)):
        live |= set(read)
        most = max(most, len(live))
        live -= {v for v in read if last[v] == time}
    return tile.outputs + most


# the schedule ------------------------------------------------------------------------------------------------------


def _applied(plan: Plan, nest: Nest, tile: _Tile, target: Target) -> bool:
    """Around the tile: free loops that are not tiled, tiles of rows, tiles along the lanes."""
    lane, rows = tile.lane, tile.rows
    outer = [n for n in nest.extents if n in nest.free and n not in tile.sizes]
    count = nest.extents[lane] // (tile.lanes * tile.sizes[lane])
    steps = [step("reorder", *outer, *rows, lane, *nest.reductions)]
    steps += _tiles(nest, tile)
    steps += [step("tile", f"{lane}.0", tile.hop, f"{lane}.h", f"{lane}.i"), step("reorder", f"{lane}.i", f"{lane}.h")]
    steps += [step("unroll", n) for n in (*tile.unrolled, *(f"{row}.1" for row in rows), f"{lane}.v")]
    steps.append(step("vectorize", f"{lane}.l"))
    if not plan.attempt(*steps) or not in_registers(plan, nest.stores()[0].buffer, f"{lane}.h"):
        return False
    loops = {**{n: nest.extents[n] for n in outer}, **{f"{n}.0": -(-nest.extents[n] // tile.sizes[n]) for n in rows}}
    shared = _shared(plan, nest, loops or {f"{lane}.h": count}, target)
    shared = shared if shared is not None and plan.attempt(step("parallel", shared)) else None
    for loop in (*loops, f"{lane}.h"):
        plan.separate(loop, "inside" if loop == shared else "apart")
    return True


def _tiles(nest: Nest, tile: _Tile) -> list[Directive]:
    """Cuts rows and lanes into tiles; innermost are the reductions, then the tile."""
    lane, rows, inner, steps = tile.lane, tile.rows, nest.reductions, list[Directive]()
    done: list[str] = []
    for at, row in enumerate(rows):
        steps.append(step("tile", row, tile.sizes[row], f"{row}.0", f"{row}.1", "guard", "balanced"))
        done.append(f"{row}.1")
        steps.append(step("reorder", *rows[at + 1 :], lane, *done, *inner))
    steps.append(step("tile", lane, tile.lanes * tile.sizes[lane], f"{lane}.0", f"{lane}.1"))
    steps.append(step("reorder", *inner, *done, f"{lane}.1"))
    steps.append(step("tile", f"{lane}.1", tile.lanes, f"{lane}.v", f"{lane}.l", "guard"))
    return steps


def _shared(plan: Plan, nest: Nest, loops: Mapping[str, int], target: Target) -> str | None:
    """The loop whose iterations threads share: the first that feeds all of them well, or the best.

    Threads pay sooner than in products, whose terms take half the time. They never share the lanes of a row: cache
    lines at the borders would go to and fro.
    """
    if target.threads < 2 or nest.points < plan.limits.many_terms // 4:
        return None
    fit = [n for n, c in loops.items() if c > 1]
    good = (n for n in fit if busy(loops[n], target.threads) > 0.8)
    return next(good, max(fit, key=lambda n: busy(loops[n], target.threads), default=None))
