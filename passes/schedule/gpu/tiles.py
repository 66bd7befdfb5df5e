"""Contractions: a tile of registers for each item, a tile of the result for a group.

The classic plan for GPUs (V. Volkov, J. Demmel: Benchmarking GPUs to tune dense linear algebra, 2008; C. Nugteren:
CLBlast, 2018): neighbours along the output axis of stride 1 go to neighbouring items, as vectors; each item adds up
rows by vectors in registers. Where a group has fast memory of its own, the operands of a block of terms are copied
there first, by all items together; devices that share their memory with the host read them directly.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from tilec.affine import Affine
from tilec.loops import Alloc, walk
from tilec.passes.schedule.analysis import Use, static
from tilec.passes.schedule.gpu.shape import LANES, group_items, lanes, power_above
from tilec.passes.schedule.plan import Nest, Plan, fresh, staged, step
from tilec.schedule import Directive
from tilec.target import Target

TERMS = 16  # of a block that is copied to local memory
PAD = 1  # elements between rows there, where items read along a column: they meet different banks
LEAST = 16  # rows and columns of a result that is cut into tiles
REUSE = 4  # terms that are worth keeping what they aggregate into


@dataclass(frozen=True, slots=True)
class Tile:
    """rows by columns of items; each computes `high` rows by `wide` vectors of `lanes`. local: operands are copied."""

    rows: int
    columns: int
    high: int
    wide: int
    lanes: int
    local: bool

    @property
    def height(self) -> int:
        return self.rows * self.high

    @property
    def width(self) -> int:
        return self.columns * self.wide * self.lanes

    def __str__(self) -> str:
        where = ", operands in local memory" if self.local else ""
        return f"{self.rows}x{self.columns} items of {self.high}x{self.wide * self.lanes}{where}"


def tiles(plan: Plan, nest: Nest, target: Target) -> bool:
    """The tile at `plan.rank`, or the next one that is not refused; False, and nothing done, where none is right."""
    pair = _pair(nest)
    if pair is None:
        return False
    found = choices(nest, *pair, target)
    rank = min(plan.rank, len(found) - 1)
    plan.more |= rank + 1 < len(found)
    for tile in found[rank:]:
        if plan.trial(lambda p, n, t, tile=tile: _tiled(p, n, *pair, tile, t), nest, target):  # type: ignore[misc]
            plan.chosen.append(str(tile))
            return True
    return False


def _pair(nest: Nest) -> tuple[str, str] | None:
    """The loop along which the result is contiguous, and the longest that shares operands with it."""
    stores = nest.stores()
    if len(stores) != 1 or stores[0].store is None or stores[0].store.monoid is None or not nest.reductions:
        return None
    free = [n for n in nest.extents if n in nest.free and nest.extents[n] >= LEAST]
    fast = max((n for n in free if nest.stride(stores[0], n) == 1), key=lambda n: nest.extents[n], default=None)
    if fast is None or prod(nest.extents[n] for n in nest.reductions) < REUSE:
        return None
    shared = [u for u in nest.reads() if nest.stride(u, fast) != 0]
    slow = [n for n in free if n != fast and any(nest.stride(u, n) == 0 for u in shared)]
    return (fast, max(slow, key=lambda n: nest.extents[n])) if slow else None


def choices(nest: Nest, fast: str, slow: str, target: Target) -> list[Tile]:
    """The best tile by rule first: large ones where there are enough of them for all units."""
    width = lanes(nest, fast)
    found: list[Tile] = []
    for high, wide in ((8, 2), (4, 1), (4, 2), (2, 1), (8, 1)):
        wide = wide * LANES // width if width < LANES else wide
        items = group_items(target)
        columns = min(16, items, power_above(-(-nest.extents[fast] // (width * wide))))
        rows = min(items // columns, 16, power_above(-(-nest.extents[slow] // high)))
        tile = Tile(rows, columns, high, wide, width, False)
        groups = nest.points // prod(nest.extents[n] for n in nest.reductions) // (tile.height * tile.width)
        if groups >= 2 * target.threads or (high, wide) != (8, 2):
            found.append(tile)
    local = [Tile(t.rows, t.columns, t.high, t.wide, t.lanes, True) for t in found]
    both = (found, local) if target.unified or not target.local else (local, found)
    return [tile for pair in zip(*both) for tile in pair if target.local or not tile.local]


def _tiled(plan: Plan, nest: Nest, fast: str, slow: str, tile: Tile, target: Target) -> bool:
    outer = [n for n in nest.extents if n in nest.free and n not in (fast, slow)]
    near = nest.reductions[-1] if tile.local else None
    items = [f"{slow}.y", f"{fast}.x"]
    several = tile.wide > 1 or tile.lanes == 1
    registers = [f"{slow}.r", *([f"{fast}.u"] if several else []), *([f"{fast}.v"] if tile.lanes > 1 else [])]
    steps = [
        step("reorder", *outer, slow, fast, *nest.reductions),
        step("tile", slow, tile.height, f"{slow}.g", f"{slow}.t", "guard"),
        step("reorder", fast, f"{slow}.t"),
        step("tile", fast, tile.width, f"{fast}.g", f"{fast}.t", "guard"),
        step("reorder", f"{slow}.t", f"{fast}.t", *nest.reductions),
        step("tile", f"{slow}.t", tile.high, *items[:1], f"{slow}.r"),
        step("reorder", f"{fast}.t", f"{slow}.r"),
        *_columns(fast, tile),
        step("reorder", *nest.reductions, *items, *registers),
    ]
    if near is not None:
        steps += [
            step("tile", near, TERMS, f"{near}.0", f"{near}.1"),
            step("reorder", *items, f"{near}.1", *registers),
        ]
    else:
        steps.append(step("reorder", *items, *nest.reductions, *registers))
    steps += [step("vectorize", f"{fast}.v")] if tile.lanes > 1 else []
    steps += [step("unroll", n) for n in registers if n != f"{fast}.v"]
    steps += [step("bind", n, "group") for n in (*outer, f"{slow}.g", f"{fast}.g")]
    steps += [step("bind", n, "item") for n in items]
    if not plan.attempt(*steps):
        return False
    if staged(plan, nest.stores()[0].buffer, f"{fast}.g", "register") is None:
        return False
    return near is None or _in_local(plan, nest, f"{near}.0", fast, tile, target)


def _columns(fast: str, tile: Tile) -> list[Directive]:
    """An item's part of a row: `wide` vectors, next to those of the other items."""
    x, u, v = (f"{fast}.{part}" for part in "xuv")
    if tile.lanes == 1:
        return [step("tile", f"{fast}.t", tile.columns, u, x)]
    if tile.wide == 1:
        return [step("tile", f"{fast}.t", tile.lanes, x, v)]
    whole = step("tile", f"{fast}.t", tile.columns * tile.lanes, u, f"{fast}.c")
    return [whole, step("tile", f"{fast}.c", tile.lanes, x, v)]


def _in_local(plan: Plan, nest: Nest, loop: str, fast: str, tile: Tile, target: Target) -> bool:
    """Copies of what a block of terms reads, by all items; what is no rectangle is read in place."""
    for name, use in {u.buffer: u for u in nest.reads() if _is_copied(nest, u)}.items():
        new = fresh(plan.kernel, f"{name}.s")
        before = plan.kernel, list(plan.directives)
        pad = PAD if nest.stride(use, fast) == 0 else 0  # vectors along the lanes stay aligned
        copied = plan.attempt(
            step("stage", name, loop, new, "local", "copy", pad),
            step("spread", f"{new}.0", tile.rows * tile.columns, tile.lanes),
        )
        if not copied or _local_bytes(plan) > target.local:
            plan.kernel, plan.directives = before
    return _local_bytes(plan) > 0


def _is_copied(nest: Nest, use: Use) -> bool:
    """Several items use an element; it is not what is aggregated into."""
    alone = sum(u.buffer == use.buffer for u in nest.uses) == 1
    return alone and nest.reuse(use) > 1 and all(isinstance(form, Affine) for form in use.indices or ())


def _local_bytes(plan: Plan) -> int:
    found = {s.buffer.name: s.buffer for s in walk(plan.kernel.body) if isinstance(s, Alloc)}
    local = [b for b in found.values() if b.space == "local"]
    return sum(prod(map(static, b.shape[:-1])) * (static(b.shape[-1]) + PAD) * b.dtype.bytes for b in local if b.shape)
