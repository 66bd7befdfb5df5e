"""Boxes of cells: a start and an extent for each axis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

Box: TypeAlias = tuple[tuple[int, int], ...]


def whole(shape: Sequence[int]) -> Box:
    """All cells of a tensor."""
    return tuple((0, n) for n in shape)


def extents(box: Box) -> tuple[int, ...]:
    """How many cells a box has along each axis."""
    return tuple(n for _, n in box)


def moved(box: Box, shift: Sequence[int]) -> Box:
    """The box, its start moved."""
    return tuple((start + by, extent) for (start, extent), by in zip(box, shift, strict=True))


def meets(a: Box, b: Box) -> bool:
    """Whether two boxes have a cell in common."""
    return all(s < t + m and t < s + n for (s, n), (t, m) in zip(a, b, strict=True))


def minus(box: Box, other: Box) -> list[Box]:
    """Boxes of the cells that are in the first box only."""
    if not meets(box, other):
        return [box]
    found: list[Box] = []
    left = list(box)
    for axis, ((start, extent), (begin, length)) in enumerate(zip(box, other, strict=True)):
        low, high = max(start, begin), min(start + extent, begin + length)
        for first, last in ((start, low), (high, start + extent)):
            if first < last:
                found.append((*left[:axis], (first, last - first), *left[axis + 1 :]))
        left[axis] = (low, high - low)
    return found


def is_dense(box: Box, shape: Sequence[int]) -> bool:
    """Whether a box is contiguous in a dense tensor of this shape."""
    sizes = extents(box)
    first = next((k for k, n in enumerate(sizes) if n != 1), len(sizes))
    return list(sizes[first + 1 :]) == list(shape[first + 1 :])
