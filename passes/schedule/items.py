"""Registers of the items of a group: how a tile that all of them work on is shared out among them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

from tilec.affine import Affine
from tilec.groups import item_axes
from tilec.loops import Alloc, Block, Buffer, For, walk
from tilec.passes.schedule.analysis import Scope, Use, refuse, static
from tilec.passes.schedule.copies import Layout
from tilec.passes.schedule.regions import Region


def items_of(use: Use, loop: For) -> tuple[str, ...]:
    """Item loops between a group's loop and a use, outermost first, but for those of one iteration that it ignores."""
    kinds = {s.index for s in walk(loop.body) if isinstance(s, For) and s.kind == "item"}
    moving = {n for form in use.indices or () if isinstance(form, Affine) for n in form.variables()}
    return tuple(n for n, extent in use.ranges.items() if n in kinds and (extent > 1 or n in moving))


def item_layout(found: Sequence[Use], box: Region, items: Sequence[str], widths: Mapping[int, int]) -> Layout:
    """Leading axes for the items, in the order of their loops, and for each what is left of the box.

    widths: vector lanes, by axis. Raises TILE0604 where an item's part of the box is no rectangle of its own.
    """
    use = found[0]
    places = {name: _place(use, name) for name in items}
    split: dict[int, tuple[int, ...]] = {}
    for axis, extent in enumerate(box.extents):
        own = [(step, use.ranges[name]) for name, (a, step) in places.items() if a == axis]
        cuts = {size for step, count in own for size in (step, step * count)} | {widths.get(axis, 1)}
        tiles = sorted((size for size in cuts if 1 < size < extent), reverse=True)
        if any(a % b for a, b in pairwise(tiles)):
            raise refuse(f"stage: items of '{use.buffer}' do not lie in equal steps along axis {axis}")
        if tiles:
            split[axis] = tuple(tiles)
    first = [_part(axis, step, split) for axis, step in places.values()]
    parts = [(a, p) for a in range(len(box.extents)) for p in (range(1, len(split[a]) + 2) if a in split else [0])]
    return Layout(split, (*first, *(p for p in parts if p not in first)), items=len(first))


def _place(use: Use, name: str) -> tuple[int, int]:
    """The one axis that an item loop moves, and by how much."""
    moved = [(a, static(f.coefficient(name))) for a, f in enumerate(use.indices or ()) if isinstance(f, Affine)]
    moved = [(axis, step) for axis, step in moved if step]
    if len(moved) != 1 or moved[0][1] < 0:
        raise refuse(f"stage: each item of '{name}' needs elements of '{use.buffer}' of its own, along one axis")
    return moved[0]


def _part(axis: int, step: int, split: Mapping[int, tuple[int, ...]]) -> tuple[int, int]:
    tiles = split.get(axis, ())
    return (axis, (*tiles, 1).index(step) + 1) if tiles else (axis, 0)


def check_owner(loop: For, scope: Scope, source: Buffer, primitive: str) -> None:
    """Raises TILE0604 where a copy of registers would be indexed by other loops than the items that own them."""
    if source.space == "register" and any(f.kind == "group" for f in (*scope.loops, loop)):
        raise refuse(f"{primitive}: '{source.name}' is already in registers of items")


def check_items(body: Block, layout: Layout, primitive: str) -> None:
    """Raises TILE0604 where the staged buffer is not indexed first by the items that use it."""
    alloc, *rest = body
    assert isinstance(alloc, Alloc)
    if item_axes(alloc.buffer, tuple(rest)) != layout.items:
        raise refuse(f"{primitive}: '{alloc.buffer.name}' is in registers, and not each item uses its own part")
