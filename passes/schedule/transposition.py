"""The default schedule of nests that store along one loop what they load along another: transposes, and chains with a
transposed operand.

Both loops are tiled by the lanes of a vector, and the operands transposed in registers, tile by tile. Some tiles that
store neighbouring cache lines follow one another; then the loads go on along memory, which is what prefetchers follow.
"""

from __future__ import annotations

from tilec.dtypes import BF16, F16
from tilec.expr import Expr, moved, walk
from tilec.passes.schedule.analysis import Use
from tilec.passes.schedule.plan import Nest, Plan, fresh, step, threads
from tilec.target import Target

MOST_LANES = 16  # of a tile: as many vectors as registers hold, with some to shuffle them into
BLOCK = 512  # bytes of a row that are stored one after another


def transposition(plan: Plan, nest: Nest, lane: str, target: Target) -> bool:
    """Schedules a nest with operands that lie apart along `lane`; False, and nothing done, where there are none."""
    row = _row_loop(nest, lane)
    if nest.reductions or row is None:
        return False
    size = min(MOST_LANES, target.lanes(_bits(nest)))
    if 2 * nest.extents[lane] < size or nest.extents[row] < 2 or size < 2:
        return False
    before = plan.kernel, list(plan.directives)
    if _tiled(plan, nest, lane, row, size) and _staged(plan, nest, lane, row, f"{lane}.t"):
        threads(plan, nest, [*_outer(nest, lane, row), f"{lane}.0", f"{row}.0"], target)
        return True
    plan.kernel, plan.directives = before[0], list(before[1])
    return False


def _apart(nest: Nest, lane: str) -> list[Use]:
    return [u for u in nest.reads() if nest.stride(u, lane) not in (0, 1, None)]


def _row_loop(nest: Nest, lane: str) -> str | None:
    """The free loop along which most operands are contiguous that are not so along the lanes."""

    def contiguous(loop: str) -> int:
        return sum(nest.stride(u, loop) == 1 for u in _apart(nest, lane))

    candidates = [n for n in nest.extents if n in nest.free and n != lane and contiguous(n)]
    return max(candidates, key=contiguous, default=None)


def _bits(nest: Nest) -> int:
    """Of the widest value computed with. What is only moved keeps its width; 16-bit floats compute in 32."""
    values: list[Expr] = [u.store.value for u in nest.stores() if u.store is not None]
    only_moved = all(moved(v) for v in values)
    found = [e.dtype for v in values for e in walk(v)]
    return max(32 if d in (F16, BF16) and not only_moved else max(d.bits, 8) for d in found)


def _outer(nest: Nest, lane: str, row: str) -> list[str]:
    """The other loops, those first that move furthest."""

    def reach(loop: str) -> int:
        return min((abs(s) for u in nest.uses if (s := nest.stride(u, loop))), default=0)

    return sorted((n for n in nest.extents if n not in (lane, row)), key=reach, reverse=True)


def _tiled(plan: Plan, nest: Nest, lane: str, row: str, size: int) -> bool:
    """Outer loops, blocks of the lanes, tiles of rows, tiles of lanes, and a tile in registers."""
    block = max(size, BLOCK * 8 // max(8, nest.bits))
    return plan.attempt(
        step("reorder", *_outer(nest, lane, row), lane, row),
        step("tile", lane, block, f"{lane}.0", f"{lane}.1"),
        step("reorder", row, f"{lane}.1"),
        step("tile", row, size, f"{row}.0", f"{row}.1"),
        step("reorder", f"{lane}.1", f"{row}.1"),
        step("tile", f"{lane}.1", size, f"{lane}.t", f"{lane}.l"),
        step("reorder", f"{row}.1", f"{lane}.l"),
        step("vectorize", f"{lane}.l"),
        step("unroll", f"{row}.1"),
    )


def _staged(plan: Plan, nest: Nest, lane: str, row: str, loop: str) -> bool:
    """Transposes every operand that is contiguous along the rows; whether there was one."""
    found = dict.fromkeys(u.buffer for u in _apart(nest, lane) if nest.stride(u, row) == 1)
    return any([plan.attempt(step("transpose", b, loop, fresh(plan.kernel, f"{b}.r"))) for b in found])
