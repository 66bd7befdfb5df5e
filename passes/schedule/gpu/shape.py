"""How many items a group has, and along which loop neighbours among them are neighbours in memory."""

from __future__ import annotations

from tilec.passes.schedule.plan import Nest
from tilec.target import Target

ITEMS = 256  # of a group, where the device allows them: enough to hide latency, as many as all devices of note run
LANES = 4  # elements that an item loads and stores at once
WIDE = 16  # bytes of them, at most


def group_items(target: Target, most: int = ITEMS) -> int:
    """A power of two."""
    return 1 << (max(1, min(target.group, most)).bit_length() - 1)


def power_above(count: int) -> int:
    """The least power of two that is not below."""
    return 1 << max(0, count - 1).bit_length()


def fast_loop(nest: Nest) -> str:
    """The free loop along which stores, and as many reads as can be, are contiguous; else the innermost one."""
    free = [n for n in nest.extents if n in nest.free]

    def worth(loop: str) -> tuple[bool, int, int, int]:
        stores = all(nest.stride(u, loop) == 1 for u in nest.stores())
        reads = sum(nest.stride(u, loop) in (0, 1) for u in nest.reads())
        return stores, reads, min(nest.extents[loop], ITEMS), free.index(loop)

    return max(free, key=worth)


def lanes(nest: Nest, loop: str) -> int:
    """Elements along a loop that an item takes at once: one where memory is not contiguous along it."""
    count = min(LANES, max(1, WIDE * 8 // nest.bits))
    near = all(nest.stride(u, loop) == 1 for u in nest.stores())
    reads = [nest.stride(u, loop) for u in nest.reads()]
    good = 2 * sum(s in (0, 1) for s in reads) >= len(reads)
    return count if near and good and nest.extents[loop] >= 2 * count else 1
