"""Floor 3: places of buffers in one arena, by their lifetimes.

Each buffer goes to the lowest aligned offset at which it overlaps no buffer alive at the same time, largest first
(greedy by size; Y. Pisarchyk and J. Lee, Efficient Memory Management for Deep Neural Net Inference, 2020). Done at
compile time where all sizes are numbers, else once for each vector of sizes that calls bring.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tilec.errors import error


@dataclass(frozen=True, slots=True)
class Life:
    """A buffer's size in bytes and the first and last moment at which it is needed."""

    name: str
    size: int
    first: int
    last: int


def assign(lives: Sequence[Life], alignment: int) -> tuple[dict[str, int], int]:
    """Byte offset of every buffer, and the size of the arena. Raises TileError TILE0414."""
    places: dict[str, int] = {}
    placed = _Placed()
    arena = 0
    for life in sorted(lives, key=lambda b: (-b.size, b.first, b.name)):
        offset = placed.gap(life)
        end = offset + life.size
        after = -(-end // alignment) * alignment
        if after >= 1 << 63:
            raise error("TILE0414", f"the program needs {end} bytes of memory", help="make the tensors smaller")
        placed.add(offset, after, life)
        places[life.name] = offset
        arena = max(arena, end)
    return places, arena


class _Placed:
    """Buffers that have their places, by offset: rows of an int64 array, so that a search is a few array operations."""

    def __init__(self) -> None:
        self._rows = np.zeros((4, 0), np.int64)  # start, aligned end, first and last moment

    def gap(self, life: Life) -> int:
        """The lowest offset at which `life` overlaps no buffer that is alive at the same time."""
        starts, ends, first, last = self._rows
        meets = (first <= life.last) & (last >= life.first)
        free = np.maximum.accumulate(np.append(0, ends[meets]))  # from where on the memory up to each start is free
        fits = starts[meets] - free[:-1] >= life.size
        return int(free[np.argmax(fits)] if fits.any() else free[-1])

    def add(self, start: int, end: int, life: Life) -> None:
        at = int(np.searchsorted(self._rows[0], start, "right"))
        self._rows = np.insert(self._rows, at, (start, end, life.first, life.last), axis=1)
