"""The default schedule of aggregations across contiguous memory: column sums, means over leading axes, pooling.

An operand of which each element is used once comes from memory, so it is read in the order in which it lies there: the
output axis of stride 1 is in vector lanes, and the reductions go outside of it. A few of the terms of a cell, next to
each other, are added in registers before the cell goes back to the cache; where all terms are few, they all are. The
terms of a cell keep their order.
"""

from __future__ import annotations

from math import prod

from tilec.passes.schedule.plan import Nest, Plan, fresh, in_registers, step, threads
from tilec.schedule import Directive
from tilec.target import Target

FEW_TERMS = 16  # of one cell: they are added in registers at once
TOGETHER = 4  # terms of one cell between reading and storing it
VECTORS = 4  # cells side by side, in vectors
LEAST_BLOCK = 256  # cells of a block, at least: shorter pieces of rows are no stream


def columns(plan: Plan, nest: Nest, lane: str, target: Target) -> bool:
    """Schedules a nest of one aggregation with `lane` in vector lanes; False, and nothing done, where an operand is
    used again and again, or is a constant."""
    fixed = any(u.buffer in plan.constant for u in nest.reads())  # it is packed before the first call
    if not nest.reductions or fixed or not _streams(nest, lane):
        return False
    before = plan.kernel, list(plan.directives)
    few = prod(nest.extents[n] for n in nest.reductions) <= FEW_TERMS
    if _few_terms(plan, nest, lane, target) if few else _many_terms(plan, nest, lane, target):
        return True
    plan.kernel, plan.directives = before
    return False


def _streams(nest: Nest, lane: str) -> bool:
    """Whether there is an operand of which each element is used once, and any other does not move with the lanes or
    is contiguous along them."""
    strides = [nest.stride(u, lane) for u in nest.reads()]
    sizes = {u.buffer: prod(s for s in nest.buffers[u.buffer].shape if isinstance(s, int)) for u in nest.reads()}
    once = any(s == 1 and sizes[u.buffer] == nest.points for u, s in zip(nest.reads(), strides))
    return once and not nest.guarded and all(s in (0, 1) for s in strides)


def _few_terms(plan: Plan, nest: Nest, lane: str, target: Target) -> bool:
    """All terms of some vectors of cells, in registers."""
    outer = [n for n in nest.extents if n in nest.free and n != lane]
    done = plan.attempt(
        step("reorder", *outer, lane, *nest.reductions),
        step("tile", lane, VECTORS * target.lanes(nest.bits), f"{lane}.0", f"{lane}.1"),
        step("reorder", *nest.reductions, f"{lane}.1"),
        *_lanes(nest, lane, target),
        *(step("unroll", n) for n in nest.reductions),
    )
    if done := done and in_registers(plan, nest.stores()[0].buffer, f"{lane}.0"):
        threads(plan, nest, [*outer, f"{lane}.0"], target)
    return done


def _many_terms(plan: Plan, nest: Nest, lane: str, target: Target) -> bool:
    """Blocks of cells that stay in the nearest cache; to each of them a few terms are added at a time."""
    outer = [n for n in nest.extents if n in nest.free and n != lane]
    *far, near = nest.reductions
    done = plan.attempt(
        step("reorder", *outer, lane, *far, near),
        step("tile", lane, _block(nest, lane, outer, target), f"{lane}.b", f"{lane}.p"),
        step("reorder", *far, near, f"{lane}.p"),
        step("tile", near, TOGETHER, f"{near}.0", f"{near}.1"),
        step("reorder", f"{lane}.p", f"{near}.1"),
        step("tile", f"{lane}.p", VECTORS * target.lanes(nest.bits), f"{lane}.0", f"{lane}.1"),
        step("reorder", f"{near}.1", f"{lane}.1"),
        *_lanes(nest, lane, target),
        step("unroll", f"{near}.1"),
    )
    store = nest.stores()[0].buffer
    new = fresh(plan.kernel, f"{store}.r")
    if done := done and plan.attempt(step("stage", store, f"{lane}.0", new, "register")):
        threads(plan, nest, [*outer, f"{lane}.b"], target)
    return done


def _lanes(nest: Nest, lane: str, target: Target) -> tuple[Directive, ...]:
    return (
        step("tile", f"{lane}.1", target.lanes(nest.bits), f"{lane}.v", f"{lane}.l", "guard"),
        step("vectorize", f"{lane}.l"),
        step("unroll", f"{lane}.v"),
    )


def _block(nest: Nest, lane: str, outer: list[str], target: Target) -> int:
    """Cells of a block: as many as fill a part of the cache, fewer where each thread is to get one."""
    extent, whole = nest.extents[lane], VECTORS * target.lanes(nest.bits)
    share = extent if outer else -(-extent // target.threads)
    cells = min(target.l1 * 2 // nest.bits, max(share, LEAST_BLOCK))
    return -(-cells // whole) * whole
