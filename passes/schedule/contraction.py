"""The default schedule of contractions.

The classic plan (Goto, van de Geijn: Anatomy of high-performance matrix multiplication, 2008): the output axis of
stride 1 lies in vector lanes, a tile of `rows` by `vectors` accumulators stays in registers during the innermost
reduction, such that rows*vectors + vectors + 1 registers are enough; a large right operand is packed in panels of the
tile's width, block by block.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from tilec.affine import Affine
from tilec.passes.schedule.analysis import Use
from tilec.passes.schedule.dot import dot
from tilec.passes.schedule.plan import Limits, Nest, Plan, fresh, in_registers, step, threads
from tilec.schedule import Directive
from tilec.target import Target


@dataclass(frozen=True, slots=True)
class _Tiling:
    """Sizes chosen for one contraction."""

    lanes: int
    vectors: int
    rows: int
    packed: Use | None  # operand to pack, moved by the lane loop


def _tiling(plan: Plan, nest: Nest, lane: str, row: str | None, target: Target) -> _Tiling:
    lanes = target.lanes(nest.bits)
    extent = nest.extents[lane]
    if extent < lanes:
        lanes = 1 << (extent - 1).bit_length()  # the narrowest power of two that holds all
    packed = _operand_to_pack(plan, nest, lane)
    wide = 4 if target.registers >= 32 else 2
    vectors = min(wide if packed else 2, -(-extent // lanes))
    rows = max(1, min((target.registers - vectors - 1) // vectors, 14 if _shared(nest, lane, row) else _UNSHARED))
    return _Tiling(lanes, vectors, min(rows, nest.extents[row]) if row else 1, packed)


_UNSHARED = 4  # rows of a tile that only hide how long an addition takes


def _shared(nest: Nest, lane: str, row: str | None) -> bool:
    """Whether the rows of a tile have an operand in common, or its columns have."""
    moved = [(nest.stride(u, lane), nest.stride(u, row)) for u in nest.reads()] if row else []
    return any((a == 0) != (b == 0) for a, b in moved)


def _operand_to_pack(plan: Plan, nest: Nest, lane: str) -> Use | None:
    """The large operand along the lanes, where packing it is repaid by its reuse and no other operand is like it.

    A constant is packed once for all calls, which is always repaid.
    """
    limits = plan.limits
    moved = [u for u in nest.reads() if nest.stride(u, lane) not in (0, None)]
    if len(moved) != 1 or any(u.buffer == moved[0].buffer for u in nest.reads() if u is not moved[0]):
        return None
    use = moved[0]
    size = nest.buffers[use.buffer].dtype.bytes
    span = size * prod(e for n, e in nest.extents.items() if nest.stride(use, n) != 0)
    pitches = [abs(nest.stride(use, n) or 0) * size for n in nest.reductions]
    far = nest.stride(use, lane) != 1
    if not all(_bare(form) for form in use.indices or ()):
        return None
    if nest.reuse(use) < limits.pack_reuse and use.buffer not in plan.constant:
        return None
    return use if far or span > limits.pack_bytes or max(pitches, default=0) >= limits.pack_pitch else None


def _bare(form: object) -> bool:
    """Whether an index is one loop variable or constant, so that a region of it is a simple rectangle."""
    return isinstance(form, Affine) and len(form.terms) <= 1


def _row_loop(nest: Nest, lane: str) -> str | None:
    """The loop tiled against the lanes: a long one, along which the lanes' operands are reused."""
    along = [u for u in nest.reads() if nest.stride(u, lane) not in (0, None)]

    def worth(loop: str) -> tuple[int, int, int]:
        shared = sum(nest.stride(u, loop) == 0 for u in along)
        return shared, min(nest.extents[loop], 56), list(nest.extents).index(loop)

    candidates = [n for n in nest.extents if n in nest.free and n != lane and nest.extents[n] > 1]
    return max(candidates, key=worth, default=None)


def contraction(plan: Plan, nest: Nest, lane: str, target: Target) -> bool:
    """Schedules a nest of one aggregation with `lane` in vector lanes; False, and nothing done, where it is refused."""
    row = _row_loop(nest, lane)
    if dot(plan, nest, lane, row, target):
        return True
    tiling = _tiling(plan, nest, lane, row, target)
    before = plan.kernel, list(plan.directives)
    if tiling.packed is not None and _blocked(plan, nest, lane, row, tiling, target):
        return True
    plan.kernel, plan.directives = before[0], list(before[1])
    if _register_tiled(plan, nest, lane, row, tiling, target):
        return True
    plan.kernel, plan.directives = before[0], list(before[1])
    return False


def _register_tiled(
    plan: Plan, nest: Nest, lane: str, row: str | None, tiling: _Tiling, target: Target
) -> bool:
    """Whole reductions in registers: outer loops, column tiles, row tiles, reductions, the tile."""
    reductions = nest.reductions
    outer = [n for n in nest.extents if n in nest.free and n not in (lane, row)]
    rows = [row] if row else []
    done = plan.attempt(
        step("reorder", *outer, lane, *rows, *reductions),
        step("tile", lane, tiling.lanes * tiling.vectors, f"{lane}.0", f"{lane}.1"),
    )
    done = done and _micro_kernel(plan, nest, lane, row, reductions, tiling)
    if done:
        _pack_constant(plan, lane, tiling)
        threads(plan, nest, [*outer, f"{lane}.0", *([f"{row}.0"] if row else [])], target)
    return done


def _pack_constant(plan: Plan, lane: str, tiling: _Tiling) -> None:
    """A constant operand along the lanes in panels of the tile's width: each is read from its begin to its end."""
    use = tiling.packed
    if use is not None and use.buffer in plan.constant:
        axis = next(i for i, form in enumerate(use.indices or ()) if lane in _variables(form))
        new = fresh(plan.kernel, f"{use.buffer}.p")
        plan.attempt(step("pack", use.buffer, f"{lane}.0", new, axis, tiling.lanes * tiling.vectors))


def _micro_kernel(
    plan: Plan, nest: Nest, lane: str, row: str | None, inner: list[str], tiling: _Tiling
) -> bool:
    """Under `lane.0`: tiles the rows, brings the reductions outside of the tile, and keeps the tile in registers."""
    tile = [f"{row}.1", f"{lane}.1"] if row else [f"{lane}.1"]
    at = f"{row}.0" if row else f"{lane}.0"
    if row and not plan.attempt(
        step("reorder", row, f"{lane}.1", *inner),
        *_interior(nest, row),
        step("tile", row, tiling.rows, f"{row}.0", f"{row}.1", "cut", "balanced"),
    ):
        return False
    steps = [
        step("reorder", *inner, *tile),
        step("tile", f"{lane}.1", tiling.lanes, f"{lane}.v", f"{lane}.l", "guard"),
        step("vectorize", f"{lane}.l"),
        step("unroll", f"{lane}.v"),
        *([step("unroll", f"{row}.1")] if row else []),
    ]
    if not plan.attempt(*steps):
        return False
    store = nest.stores()[0].buffer
    return in_registers(plan, store, at)


def _blocked(plan: Plan, nest: Nest, lane: str, row: str | None, tiling: _Tiling, target: Target) -> bool:
    """Blocks of columns and of the reduction, the lanes' operand packed per block; threads share blocks of rows."""
    use = tiling.packed
    if use is None or row is None:
        return False
    free = [n for n in nest.extents if n in nest.free and n not in (lane, row)]
    batch = [n for n in free if nest.stride(use, n) != 0]
    shared = [n for n in free if n not in batch]
    far, cut, block, near = _split_reductions(nest, plan.limits)
    middle, near = ([f"{cut}.0"], [f"{cut}.1", *near]) if cut else ([], near)
    split = [cut] if cut else []
    after = [n for n in near if n != f"{cut}.1"]
    column = tiling.lanes * tiling.vectors
    width = max(column, plan.limits.column_block // column * column)
    axis = next(i for i, form in enumerate(use.indices or ()) if lane in _variables(form))
    new = fresh(plan.kernel, f"{use.buffer}.p")
    at = [f"{lane}.b", *far, *middle][-1]
    # all loops that the packed operand depends on come before the pack, the others after it
    done = plan.attempt(
        step("reorder", *batch, lane, *far, *split, *shared, row, *after),
        step("tile", lane, width, f"{lane}.b", f"{lane}.p"),
        step("reorder", *far, *split, *shared, row, f"{lane}.p", *after),
        *([step("tile", cut, block, f"{cut}.0", f"{cut}.1", "cut", "balanced")] if cut else []),
        step("reorder", *shared, row, f"{lane}.p", *near),
        *_interior(nest, row),
        step("tile", row, _row_block(plan, nest, row, tiling, 1 if shared else target.threads), f"{row}.b", f"{row}.p"),
        step("reorder", f"{lane}.p", f"{row}.p", *near),
        step("tile", f"{lane}.p", column, f"{lane}.0", f"{lane}.1"),
        step("reorder", f"{row}.p", f"{lane}.1", *near),
        step("tile", f"{row}.p", tiling.rows, f"{row}.0", f"{row}.1", "cut", "balanced"),
        step("reorder", *near, f"{row}.1", f"{lane}.1"),
        step("tile", f"{lane}.1", tiling.lanes, f"{lane}.v", f"{lane}.l", "guard"),
        step("vectorize", f"{lane}.l"),
        step("unroll", f"{lane}.v"),
        step("unroll", f"{row}.1"),
    )
    store = nest.stores()[0].buffer
    done = done and in_registers(plan, store, f"{row}.0")
    # threads take the batch where that feeds them all, each with a pack of its own; else they share one pack
    wide = [n for n in batch if nest.extents[n] >= target.threads > 1 and nest.points >= plan.limits.many_terms]
    done = done and plan.attempt(step("pack", use.buffer, at, new, axis, column, "thread" if wide else "heap"))
    if done:
        threads(plan, nest, wide or [*shared, f"{row}.b", f"{row}.p"], target)
        _vectorize_pack(plan, nest, use, new, tiling)
    return done


def _interior(nest: Nest, row: str) -> list[Directive]:
    """Rows that need no guard apart from those at the edges."""
    return [step("interior", row)] if row in nest.guarded else []


def _vectorize_pack(plan: Plan, nest: Nest, use: Use, new: str, tiling: _Tiling) -> None:
    last = len(use.indices or ())
    loop = f"{new}.{last}"
    if tiling.vectors == 1:
        plan.attempt(step("vectorize", loop))
        return
    plan.attempt(
        step("tile", loop, tiling.lanes, f"{loop}.v", f"{loop}.l"),
        step("vectorize", f"{loop}.l"),
        step("unroll", f"{loop}.v"),
    )


def _split_reductions(nest: Nest, limits: Limits) -> tuple[list[str], str | None, int, list[str]]:
    """Reduction loops outside of a block of limited size, the one that is cut and into which size, those inside.

    Only a prefix can be outside: the order of a float sum stays.
    """
    loops = nest.reductions
    near: list[str] = []
    size = 1
    while loops and size * nest.extents[loops[-1]] <= limits.reduction_block:
        size *= nest.extents[loops[-1]]
        near.insert(0, loops.pop())
    if not loops or (near and size * 4 > limits.reduction_block):
        return loops, None, 0, near
    cut = loops.pop()
    return loops, cut, max(1, limits.reduction_block // size), near


def _row_block(plan: Plan, nest: Nest, row: str, tiling: _Tiling, threads: int) -> int:
    """Rows per block: about as many as the limit says, so that `threads` have equally much to do."""
    extent, threads = nest.extents[row], threads if nest.points >= plan.limits.many_terms else 1
    least = -(-extent // plan.limits.row_block)

    def cost(block: int) -> int:
        blocks, rest = divmod(extent, block)
        return -(-blocks // threads) * _row_cost(block, tiling.rows) + _row_cost(rest, tiling.rows)

    counts = [n for n in range(least, 2 * least + threads + 1) if n % threads == 0] or [least]
    return min((max(1, -(-extent // n)) for n in counts), key=cost)


def _row_cost(rows: int, tile: int) -> int:
    """Rows, and some more for a tile that is not full."""
    return rows + (2 if rows % tile else 0)


def _variables(form: object) -> frozenset[str]:
    return form.variables() if isinstance(form, Affine) else frozenset()
