"""Schedules of contractions.

The classic plan (Goto, van de Geijn: Anatomy of high-performance matrix multiplication, 2008): the output axis of
stride 1 lies in vector lanes, a tile of `rows` by `vectors` accumulators stays in registers during the innermost
reduction, and around it are blocks that stay in the caches; an operand is copied, block by block, into the order in
which it is read. `blocking.py` says which sizes there are to choose from, and estimates them.
"""

from __future__ import annotations

from math import prod

from tilec.affine import Affine
from tilec.passes.schedule import edges
from tilec.passes.schedule.blocking import Blocking, Facts, blockings
from tilec.passes.schedule.dot import dot, ways
from tilec.passes.schedule.plan import Nest, Plan, fresh, in_registers, step, threads
from tilec.passes.schedule.transposition import MOST_LANES
from tilec.schedule import Directive
from tilec.target import Target


def contraction(plan: Plan, nest: Nest, lane: str, target: Target) -> bool:
    """Schedules a nest of one aggregation with `lane` in vector lanes; False, and nothing done, where it is refused.

    Of the ways to use instructions, and then of the blockings in the order of their estimates, the one at `plan.rank`
    is taken; where it is refused, the next.
    """
    row = _row_loop(nest, lane)
    instructions = ways(plan, nest, lane, row, target)
    for way in instructions[plan.rank :]:
        if dot(plan, nest, way, lane, row, target):
            plan.chosen.append(str(way))
            plan.more = True
            return True
    facts = Facts.of(plan, nest, lane, row)
    found, rank = blockings(facts, target), max(0, plan.rank - len(instructions))
    plan.more |= rank + 1 < len(found)
    for blocking in found[min(rank, len(found) - 1) :]:
        before = plan.kernel, list(plan.directives)
        make = _blocked if blocking.blocked else _register_tiled
        if make(plan, facts, blocking, target):
            plan.chosen.append(str(blocking))
            return True
        plan.kernel, plan.directives = before[0], list(before[1])
    return False


def _row_loop(nest: Nest, lane: str) -> str | None:
    """The loop tiled against the lanes: a long one, along which the lanes' operands are reused."""
    along = [u for u in nest.reads() if nest.stride(u, lane) not in (0, None)]

    def worth(loop: str) -> tuple[int, int, int]:
        shared = sum(nest.stride(u, loop) == 0 for u in along)
        return shared, min(nest.extents[loop], 56), list(nest.extents).index(loop)

    candidates = [n for n in nest.extents if n in nest.free and n != lane and nest.extents[n] > 1]
    return max(candidates, key=worth, default=None)


def _register_tiled(plan: Plan, facts: Facts, blocking: Blocking, target: Target) -> bool:
    """Whole reductions in registers: outer loops, the two loops over tiles, reductions, the tile."""
    nest, lane, row = facts.nest, facts.lane, facts.row
    loops = _tile_loops(facts, blocking, (lane, row))
    done = plan.attempt(
        step("reorder", *facts.outer, *(loop for loop, _, _ in loops), *nest.reductions),
        *edges.before(nest, row, nest.reductions),
    )
    done = done and _micro_kernel(plan, facts, blocking, loops, nest.reductions)
    if done:
        if blocking.pack == "panel" and not _pack(plan, facts, blocking, loops[0][1], "thread"):
            return False
        threads(plan, nest, [*facts.outer, *(tile for _, tile, _ in loops)], target)
    return done


_TileLoop = tuple[str, str, str]  # a loop, its tiles, the inside of one


def _tile_loops(facts: Facts, blocking: Blocking, names: tuple[str, str | None]) -> list[_TileLoop]:
    """The loops to tile, outer one first."""
    (lane, row), own = names, facts
    loops = [(lane, f"{own.lane}.0", f"{own.lane}.1")]
    if row is not None:
        loops.append((row, f"{own.row}.0", f"{own.row}.1"))
    return loops[::-1] if blocking.outer == "rows" else loops


def _micro_kernel(
    plan: Plan, facts: Facts, blocking: Blocking, loops: list[_TileLoop], inner: list[str]
) -> bool:
    """Tiles the loops, brings the reductions outside of the tile, and keeps the tile in registers.

    The loops are perfectly nested, outer one first, and the reductions `inner` are inside.
    """
    lane, row = facts.lane, facts.row
    steps: list[Directive] = []
    for at, (loop, tiles, inside) in enumerate(loops):
        how: tuple[str, ...] = ("cut", "balanced") if tiles == f"{row}.0" else ()
        size = blocking.rows if tiles == f"{row}.0" else blocking.width
        steps.append(step("tile", loop, size, tiles, inside, *how))
        rest = [name for name, _, _ in loops[at + 1 :]]
        steps += [step("reorder", *rest, inside, *inner)] if rest else []
    tile = [f"{row}.1", f"{lane}.1"] if row else [f"{lane}.1"]
    steps += [
        step("reorder", *inner, *tile),
        step("tile", f"{lane}.1", blocking.lanes, f"{lane}.v", f"{lane}.l", "guard"),
        step("vectorize", f"{lane}.l"),
        step("unroll", f"{lane}.v"),
        *([step("unroll", f"{row}.1")] if row else []),
    ]
    if not plan.attempt(*steps) or not in_registers(plan, facts.nest.stores()[0].buffer, loops[-1][1]):
        return False
    return edges.after(plan, facts.nest, row, inner)


def _blocked(plan: Plan, facts: Facts, blocking: Blocking, target: Target) -> bool:
    """Blocks of columns, of the reduction and of rows around the tiles; packs per block; threads share blocks."""
    nest, lane, row = facts.nest, facts.lane, facts.row
    if row is None or facts.along is None:
        return False
    use = facts.along.use
    batch = [n for n in facts.outer if nest.stride(use, n) != 0]
    shared = [n for n in facts.outer if n not in batch]
    far, cut, near = _split_reductions(nest, blocking.terms)
    middle, near = ([f"{cut}.0"], [f"{cut}.1", *near]) if cut else ([], near)
    split = [cut] if cut else []
    after = [n for n in near if n != f"{cut}.1"]
    inner = prod(nest.extents[n] for n in after)
    loops = _tile_loops(facts, blocking, (f"{lane}.p", f"{row}.p"))
    # all loops that the packed operand depends on come before the pack, the others after it
    done = plan.attempt(
        step("reorder", *batch, lane, *far, *split, *shared, row, *after),
        step("tile", lane, blocking.columns or nest.extents[lane], f"{lane}.b", f"{lane}.p"),
        step("reorder", *far, *split, *shared, row, f"{lane}.p", *after),
        *([step("tile", cut, max(1, blocking.terms // inner), *middle, f"{cut}.1", "cut", "balanced")] if cut else []),
        step("reorder", *shared, row, f"{lane}.p", *near),
        *edges.before(nest, row, near),
        step("tile", row, blocking.block or nest.extents[row], f"{row}.b", f"{row}.p"),
        step("reorder", *(loop for loop, _, _ in loops), *near),
    )
    if not done or not _micro_kernel(plan, facts, blocking, loops, near):
        return False
    return _pack_blocks(plan, facts, blocking, batch, shared, [f"{lane}.b", *far, *middle], target)


def _pack_blocks(
    plan: Plan,
    facts: Facts,
    blocking: Blocking,
    batch: list[str],
    shared: list[str],
    around: list[str],
    target: Target,
) -> bool:
    """Copies of the operands, and threads: over the batch, over blocks of columns, or over those of rows."""
    nest, row, left = facts.nest, facts.row, facts.across.use if facts.across else None
    wide = [n for n in batch if nest.extents[n] >= target.threads > 1 and nest.points >= plan.limits.many_terms]
    if blocking.parallel == "columns":
        wide = wide or around[:1]
    if blocking.pack == "block" and not _pack(plan, facts, blocking, around[-1], "thread" if wide else "heap"):
        return False
    if blocking.left and left is not None:
        new = fresh(plan.kernel, f"{left.buffer}.p")
        if not plan.attempt(step("stage", left.buffer, f"{row}.b", new, "thread", "copy", facts.padding)):
            return False
        _vector_copy(plan, f"{new}.{len(left.indices or ()) - 1}", blocking.lanes)
    threads(plan, nest, wide or [*shared, f"{row}.b", f"{row}.0", f"{facts.lane}.0"], target)
    return True


def _pack(plan: Plan, facts: Facts, blocking: Blocking, loop: str, space: str) -> bool:
    """The operand along the lanes in panels of the tile's width: each is read from its begin to its end."""
    if facts.along is None:
        return False
    use = facts.along.use
    axis = next(i for i, form in enumerate(use.indices or ()) if facts.lane in _variables(form))
    new = fresh(plan.kernel, f"{use.buffer}.p")
    if not plan.attempt(step("pack", use.buffer, loop, new, axis, blocking.width, space)):
        return False
    inner = f"{new}.{len(use.indices or ())}"
    along = None if facts.constant else facts.along.contiguous  # constants are packed once, by plain copies
    if along is None or along == axis or not _transposed(plan, facts, new, inner, 1 + along - (along > axis), blocking):
        _vector_copy(plan, inner, blocking.lanes, blocking.width)
    return True


def _transposed(plan: Plan, facts: Facts, new: str, inner: str, at: int, blocking: Blocking) -> bool:
    """Copies squares that are read along memory, and turned in registers."""
    if facts.along is None or blocking.lanes > MOST_LANES:
        return False
    loop, size = f"{new}.{at}", blocking.lanes
    between = [f"{new}.{i}" for i in range(at + 1, len(facts.along.use.indices or ()))]
    return plan.attempt(
        step("reorder", *between, inner, loop),
        step("tile", inner, size, f"{inner}.v", f"{inner}.l"),
        step("reorder", loop, f"{inner}.l"),
        step("tile", loop, size, f"{loop}.0", f"{loop}.1"),
        step("vectorize", f"{inner}.l"),
        step("unroll", f"{loop}.1"),
        step("transpose", facts.along.use.buffer, f"{loop}.0", fresh(plan.kernel, f"{facts.along.use.buffer}.t")),
    )


def _vector_copy(plan: Plan, loop: str, lanes: int, extent: int = 0) -> None:
    if extent == lanes:
        plan.attempt(step("vectorize", loop))
        return
    plan.attempt(
        step("tile", loop, lanes, f"{loop}.v", f"{loop}.l"),
        step("vectorize", f"{loop}.l"),
        *([step("unroll", f"{loop}.v")] if extent else []),
    )


def _split_reductions(nest: Nest, terms: int) -> tuple[list[str], str | None, list[str]]:
    """Reduction loops outside of a block of so many terms (0: all), the one that is cut, those inside.

    Only a prefix can be outside: the order of a float sum stays.
    """
    loops = nest.reductions
    near: list[str] = []
    size = 1
    while loops and (not terms or size * nest.extents[loops[-1]] <= terms):
        size *= nest.extents[loops[-1]]
        near.insert(0, loops.pop())
    if not loops or (near and size * 4 > terms):
        return loops, None, near
    return loops[:-1], loops[-1], near


def _variables(form: object) -> frozenset[str]:
    return form.variables() if isinstance(form, Affine) else frozenset()
