"""Loop nests: names that are unique in a kernel, and conditions placed as far out as they are determined."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from tilec.affine import Affine, Size
from tilec.fresh import FreshNames
from tilec.loops import Block, For, If

Loops = Sequence[tuple[str, Size]]  # (index, extent), outermost first


class Names:
    """Gives out names, each once and none of `reserved`: `m`, then `m_2`, `m_3`."""

    def __init__(self, reserved: Collection[str] = ()) -> None:
        self.fresh = FreshNames(reserved, "_").like


def nest(loops: Loops, conditions: Sequence[Affine], body: Block) -> Block:
    """`body` under serial loops, wherever all conditions are >= 0; nothing where that is nowhere.

    Each condition stands just inside the outermost loop at which it is determined.
    """
    if any(extent == 0 for _, extent in loops) or any(_never(c) for c in conditions):
        return ()
    left = [c for c in dict.fromkeys(conditions) if not (c.is_constant and isinstance(c.const, int))]
    known = [{index for index, _ in loops[:depth]} for depth in range(len(loops) + 1)]
    placed: list[list[Affine]] = [[] for _ in known]
    for c in left:
        depth = next(d for d, names in enumerate(known) if c.variables() <= names)
        placed[depth].append(c)
    for depth in range(len(loops), 0, -1):
        if placed[depth]:
            body = (If(tuple(placed[depth]), body),)
        index, extent = loops[depth - 1]
        body = (For(index, extent, "serial", body),)
    return (If(tuple(placed[0]), body),) if placed[0] else body


def _never(condition: Affine) -> bool:
    return condition.is_constant and isinstance(condition.const, int) and condition.const < 0


def over(shape: Sequence[Size], names: Names) -> tuple[Loops, tuple[Affine, ...]]:
    """Loops over all cells of a shape and the cell's indices; an axis of size 1 needs no loop."""
    loops: list[tuple[str, Size]] = []
    cell: list[Affine] = []
    for axis, size in enumerate(shape):
        if size == 1:
            cell.append(Affine.constant(0))
        else:
            loops.append((names.fresh(f"i{axis}"), size))
            cell.append(Affine.var(loops[-1][0]))
    return loops, tuple(cell)
