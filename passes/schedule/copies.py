"""A region of a buffer and its staged form: how it is stored, and the nests that copy between the two."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tilec.affine import Affine
from tilec.expr import read
from tilec.loops import Block, Buffer, For, If, LoopKind, Space, Store
from tilec.passes.schedule.regions import Region, divide, edge_guards


@dataclass(frozen=True, slots=True)
class Layout:
    """Storage of a region: axes in storage order, each an axis of the region, or its tiles, or the place in a tile.

    split: tile sizes per split axis, from large to small, each a multiple of the next. order: (axis, part), part 0 an
    unsplit axis, 1 the largest tiles, 2 the next ones in one of these, the last part the place in a smallest tile.
    pad: elements added to the pitch of the last but one axis. backward: split axes whose places in a tile count down.
    items: how many leading axes of storage are loops of items, where each has registers of its own.
    """

    split: Mapping[int, tuple[int, ...]]
    order: tuple[tuple[int, int], ...]
    pad: int = 0
    backward: frozenset[int] = frozenset()
    items: int = 0

    def shape(self, extents: Sequence[int]) -> tuple[int, ...]:
        return tuple(self._size(extents[axis], self.split.get(axis, ()), which) for axis, which in self.order)

    def _size(self, extent: int, tiles: tuple[int, ...], which: int) -> int:
        if which < 2:
            return -(-extent // tiles[0]) if which else extent
        return tiles[which - 2] // (*tiles, 1)[which - 1]

    def is_place(self, axis: int, which: int) -> bool:
        """Whether a part steps from one element to the next."""
        return which == 0 or which > len(self.split[axis])

    def strides(self, shape: tuple[int, ...]) -> tuple[int, ...] | None:
        if not self.pad or len(shape) < 2:
            return None
        steps = [1]
        for i, size in enumerate(reversed(shape[1:])):
            steps.append(steps[-1] * size + (self.pad if i == 0 else 0))
        return tuple(reversed(steps))

    def place(self, local: Sequence[Affine], ranges: Mapping[str, int]) -> tuple[Affine, ...] | None:
        """Storage indices of a local index; None where a split is not affine."""
        parts: dict[tuple[int, int], Affine] = {}
        for axis, form in enumerate(local):
            parts[axis, 0] = rest = form
            for at, tile in enumerate(self.split.get(axis, ())):
                pair = divide(rest, tile, ranges)
                if pair is None:
                    return None
                parts[axis, at + 1], rest = pair
            if axis in self.split:
                parts[axis, len(self.split[axis]) + 1] = self._turned(axis, rest)
        return tuple(parts[key] for key in self.order)

    def local(self, stored: Sequence[Affine], rank: int) -> tuple[Affine, ...]:
        """Inverse of `place`."""
        forms = [Affine()] * rank
        for (axis, which), form in zip(self.order, stored):
            place = self.is_place(axis, which)
            forms[axis] = forms[axis] + (self._turned(axis, form) if place else form * self.split[axis][which - 1])
        return tuple(forms)

    def _turned(self, axis: int, place: Affine) -> Affine:
        return -place + (self.split[axis][-1] - 1) if axis in self.backward else place


@dataclass(frozen=True, slots=True)
class Copies:
    """The two copies between a region and its staged form."""

    source: Buffer
    new: str
    space: Space
    box: Region
    layout: Layout
    shape: tuple[int, ...]
    outer: Mapping[str, int]
    lanes: frozenset[int]  # region axes that lie in vector lanes

    def buffer(self) -> Buffer:
        shape = self.layout.shape(self.box.extents)
        return Buffer(self.new, self.source.dtype, shape, self.space, self.layout.strides(shape))

    def loops(self, prefix: str) -> tuple[tuple[str, int, LoopKind], ...]:
        """Name, extent and kind of the copy loops, in storage order."""
        kinds: list[LoopKind] = ["item"] * self.layout.items
        for axis, which in self.layout.order[len(kinds) :]:
            lane = self.space == "register" and axis in self.lanes and self.layout.is_place(axis, which)
            kinds.append("vector" if lane else "unroll" if self.space == "register" else "serial")
        shape = self.layout.shape(self.box.extents)
        return tuple((f"{prefix}.{i}", size, kind) for i, (size, kind) in enumerate(zip(shape, kinds)))

    def stored(self, prefix: str) -> tuple[Affine, ...]:
        return tuple(Affine.var(name) for name, _, _ in self.loops(prefix))

    def cell(self, prefix: str) -> tuple[Affine, ...]:
        """Indices into the source."""
        local = self.layout.local(self.stored(prefix), len(self.shape))
        return tuple(s + i for s, i in zip(self.box.starts, local))

    def guards(self, prefix: str) -> tuple[Affine, ...]:
        local = self.layout.local(self.stored(prefix), len(self.shape))
        ranges = {**self.outer, **{name: size for name, size, _ in self.loops(prefix)}}
        edges = edge_guards(self.box.starts, local, self.shape, ranges)
        return tuple(dict.fromkeys((*edges, *self._tile_ends(local))))

    def _tile_ends(self, local: Sequence[Affine]) -> list[Affine]:
        """A split axis may reach over the region's end, and there is no more to copy there."""
        extents = self.box.extents
        return [-local[a] + (extents[a] - 1) for a, tiles in self.layout.split.items() if extents[a] % tiles[0]]

    def inward(self) -> Block:
        value = read(self.source.name, self.cell(self.new), self.source.dtype)
        store = Store(self.new, self.stored(self.new), value)
        return nest(self.loops(self.new), self.guards(self.new), (store,))

    def outward(self) -> Block:
        prefix = f"{self.new}.out"
        value = read(self.new, self.stored(prefix), self.source.dtype)
        store = Store(self.source.name, self.cell(prefix), value)
        return nest(self.loops(prefix), self.guards(prefix), (store,))


def nest(loops: Sequence[tuple[str, int, LoopKind]], guards: tuple[Affine, ...], body: Block) -> Block:
    """Perfectly nested loops around a guarded body; a vector loop is put innermost."""
    if guards:
        body = (If(guards, body),)
    ordered = [x for x in loops if x[2] != "vector"] + [x for x in loops if x[2] == "vector"]
    for name, extent, kind in reversed(ordered):
        body = (For(name, extent, kind, body),)
    return body
