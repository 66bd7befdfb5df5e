"""The default schedule of long sums into few outputs, each read at a place of its own: gradients by a filter.

Windows overlap here as in `window.py`, but what slides is the reduction, and the taps are the outputs. All taps of a
vector of lanes stay in registers while the reductions run around them, once: what the taps have in common is loaded for
all of them, and neighbours in memory while they are in the nearest cache. Guards hold but at the ends of the
reductions, which become loops of their own; the order of the terms stays.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from tilec.passes.schedule.plan import Nest, Plan, in_registers, step, threads
from tilec.passes.schedule.window import MOST_STEPS, moved, shares_nothing
from tilec.target import Target

SPARE = 4  # registers for what is loaded
MOST_VECTORS = 4


@dataclass(frozen=True, slots=True)
class _Tile:
    """Loops over taps that are written out, and vectors of so many lanes beside one another."""

    taps: tuple[str, ...]
    vectors: int
    lanes: int

    def __str__(self) -> str:
        return f"taps {', '.join(self.taps)}, {self.vectors}x{self.lanes} lanes"


def taps(plan: Plan, nest: Nest, lane: str, target: Target) -> bool:
    """Schedules a nest of one aggregation into taps; False, and nothing done, where it is none."""
    tiles = _tiles(nest, lane, target)
    if not tiles:
        return False
    plan.more |= plan.rank + 1 < len(tiles)
    tile = tiles[min(plan.rank, len(tiles) - 1)]
    before = plan.kernel, list(plan.directives)
    if not _applied(plan, nest, lane, tile, target):
        plan.kernel, plan.directives = before
        return False
    plan.chosen.append(str(tile))
    return True


def _tiles(nest: Nest, lane: str, target: Target) -> list[_Tile]:
    """The best tile first: as many vectors as fit into registers with all taps, then fewer."""
    found = [n for n in moved(nest) if n != lane and nest.extents[n] > 1]
    lanes = target.lanes(nest.bits)
    outputs, free = prod(nest.extents[n] for n in found), target.registers - SPARE
    if not found or not shares_nothing(nest, lane) or outputs > free or nest.extents[lane] < lanes:
        return []
    fitting = min(MOST_VECTORS, free // outputs, nest.extents[lane] // lanes)
    versions = prod(3 for n in nest.reductions if n in nest.guarded)
    counts = (1 << k for k in reversed(range(fitting.bit_length())))
    return [_Tile(tuple(found), v, lanes) for v in counts if outputs * v * versions <= MOST_STEPS]


def _applied(plan: Plan, nest: Nest, lane: str, tile: _Tile, target: Target) -> bool:
    """Around the taps: other free loops, blocks of lanes, the reductions in their order."""
    outer = [n for n in nest.extents if n in nest.free and n not in (lane, *tile.taps)]
    inner = [*nest.reductions, *tile.taps]
    done = plan.attempt(
        step("reorder", *outer, lane, *inner),
        step("tile", lane, tile.lanes * tile.vectors, f"{lane}.0", f"{lane}.1"),
        step("reorder", *inner, f"{lane}.1"),
        step("tile", f"{lane}.1", tile.lanes, f"{lane}.v", f"{lane}.l", "guard"),
        step("vectorize", f"{lane}.l"),
        *(step("unroll", n) for n in (*tile.taps, f"{lane}.v")),
    )
    if not done or not in_registers(plan, nest.stores()[0].buffer, f"{lane}.0"):
        return False
    threads(plan, nest, [*outer, f"{lane}.0"], target)
    for loop in nest.reductions:
        if loop in nest.guarded:
            plan.separate(loop)
    return True
