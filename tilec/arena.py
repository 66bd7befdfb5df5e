"""Floor 3: places of buffers in one arena, by their lifetimes; and which arguments say what open sizes are.

Each buffer goes to the lowest aligned offset at which it overlaps no buffer alive at the same time, largest first
(greedy by size; Y. Pisarchyk and J. Lee, Efficient Memory Management for Deep Neural Net Inference, 2020). Where the
arena is then larger than the buffers that live together at the worst moment, other orders are tried: the longest-lived
first, or those first that lay highest before. Done at compile time where all sizes are numbers, else once for each
vector of sizes that calls bring.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tilec.affine import named_size
from tilec.errors import error
from tilec.exact.domain import must_be_fixed
from tilec.loops import Program


@dataclass(frozen=True, slots=True)
class Life:
    """A buffer's size in bytes and the first and last moment at which it is needed."""

    name: str
    size: int
    first: int
    last: int


def assign(lives: Sequence[Life], alignment: int, tries: int = 32) -> tuple[dict[str, int], int]:
    """Byte offset of every buffer, and the size of the arena. Raises TileError TILE0414.

    `tries`: how many other orders of each kind may be tried.
    """
    best = _first_fit(sorted(lives, key=_by_size), alignment)
    least, _ = largest_live_set(lives, alignment)
    for key in (_by_size, _by_length):
        order = sorted(lives, key=key)
        for _ in range(min(tries, _WORK // max(1, len(lives)))):
            if _up(best[1], alignment) <= least:
                return best
            places, arena = found = _first_fit(order, alignment)
            best = min(best, found, key=lambda f: f[1])
            order.sort(key=lambda b: places[b.name] + b.size < arena)  # the highest ones choose first next time
    return best


_WORK = 10_000  # buffers that are placed, at most, in all orders of one kind


def _by_size(life: Life) -> tuple[int, int]:
    return -life.size, life.first


def _by_length(life: Life) -> tuple[int, int]:
    return life.first - life.last, -life.size


def largest_live_set(lives: Sequence[Life], alignment: int) -> tuple[int, int]:
    """Bytes that every placement needs, sizes rounded up to `alignment`, and the first moment that needs so many."""
    change: dict[int, int] = {}
    for life in lives:
        change[life.first] = change.get(life.first, 0) + _up(life.size, alignment)
        change[life.last + 1] = change.get(life.last + 1, 0) - _up(life.size, alignment)
    best = now = at = 0
    for moment in sorted(change):
        now += change[moment]
        if now > best:
            best, at = now, moment
    return best, at


def _up(size: int, alignment: int) -> int:
    return -(-size // alignment) * alignment


def _first_fit(order: Sequence[Life], alignment: int) -> tuple[dict[str, int], int]:
    """Every buffer, in this order, at the lowest offset that is free while it lives."""
    places: dict[str, int] = {}
    placed = _Placed(len(order))
    arena = 0
    for life in order:
        offset = placed.gap(life)
        end = offset + life.size
        if _up(end, alignment) >= 1 << 63:
            raise error("TILE0414", f"the program needs {end} bytes of memory", help="make the tensors smaller")
        placed.add(offset, _up(end, alignment), life)
        places[life.name] = offset
        arena = max(arena, end)
    return places, arena


class _Placed:
    """Buffers that have their places, by offset: rows of an int64 array, so that a search is a few array operations.

    most: how many buffers there may be.
    """

    def __init__(self, most: int) -> None:
        self._space = np.zeros((4, most), np.int64)  # start, aligned end, first and last moment
        self._count = 0

    def gap(self, life: Life) -> int:
        """The lowest offset at which `life` overlaps no buffer that is alive at the same time."""
        starts, ends, first, last = self._space[:, : self._count]
        meets = (first <= life.last) & (last >= life.first)
        free = np.maximum.accumulate(np.append(0, ends[meets]))  # from where on the memory up to each start is free
        fits = starts[meets] - free[:-1] >= life.size
        return int(free[np.argmax(fits)] if fits.any() else free[-1])

    def add(self, start: int, end: int, life: Life) -> None:
        at = int(self._space[0, : self._count].searchsorted(start, "right"))
        self._space[:, at + 1 : self._count + 1] = self._space[:, at : self._count].copy()
        self._space[:, at] = start, end, life.first, life.last
        self._count += 1


def size_sources(program: Program) -> list[tuple[str, str, int]]:
    """Every open size with a parameter and the axis that has it. Raises TileError TILE0210 where there is none."""
    found = []
    constants = {name for name, _ in program.constants}
    shapes = {p: program.buffer(p).shape for p in program.params if p not in constants}
    for name in program.sizes:
        size = named_size(name)
        param = next((p for p, shape in shapes.items() if size in shape), None)
        if param is None:
            raise must_be_fixed(name, "it is not the size of an axis of any input")
        found.append((name, param, shapes[param].index(size)))
    return found
