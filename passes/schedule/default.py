"""The default schedule: directives by rule, for any kernel that the lowering makes.

Each top-level nest is scheduled by itself. A directive is kept only when it applies, so the result always does; where a
step is refused, the nest keeps the loops it has.
Elementwise nests: contiguous loops are merged, the innermost runs in vector lanes, the outermost in threads where there
is much to do. Contractions: see `reduction.py` where they run along contiguous memory, `window.py` where windows
overlap that nothing else is shared by, `taps.py` for gradients by a filter, and `contraction.py`.
"""

from __future__ import annotations

from dataclasses import replace

from tilec.errors import TileError
from tilec.loops import Kernel
from tilec.passes.schedule.columns import columns
from tilec.passes.schedule.contraction import contraction
from tilec.passes.schedule.gpu.default import planned as gpu_planned
from tilec.passes.schedule.merging import merge_loops, nests_of
from tilec.passes.schedule.plan import DEFAULT, Limits, Nest, Plan, fresh, step, threads
from tilec.passes.schedule.reduction import reduction
from tilec.passes.schedule.rows import fuse_rows, is_chain, shared_axes
from tilec.passes.schedule.streaming import streams
from tilec.passes.schedule.taps import taps
from tilec.passes.schedule.transposition import transposition
from tilec.passes.schedule.window import window
from tilec.schedule import Schedule
from tilec.target import Target

ROWS = 4  # that share what they read of an operand without rows
SHORT = 1 << 10  # bytes of such a row, at most: several long ones at a time are too many streams
BLOCK = 128  # longer rows that share a copy of it


def default_schedule(
    kernel: Kernel, target: Target, limits: Limits = DEFAULT, constant: frozenset[str] = frozenset()
) -> Schedule:
    """Directives that make the kernel fast on `target`; applying them never fails. Deterministic.

    `constant`: as for `scheduled`.
    """
    return tuple(planned(kernel, target, limits, constant).directives)


def scheduled(
    kernel: Kernel, target: Target, limits: Limits = DEFAULT, constant: frozenset[str] = frozenset()
) -> Kernel:
    """The kernel after its default schedule: making the schedule has applied it already.

    `constant`: parameters that hold the same in every call, which pass `prepack` will pack once.
    """
    return planned(kernel, target, limits, constant).kernel


def planned(
    kernel: Kernel, target: Target, limits: Limits = DEFAULT, constant: frozenset[str] = frozenset(), rank: int = 0
) -> Plan:
    """The plan of the default schedule, or with a rank that of the choice so far down in the model's order."""
    if target.group and target.kind != "cpu":
        return gpu_planned(Plan(kernel, limits, constant, rank), target)
    if (chain := _by_rows(Plan(kernel, limits, constant, rank), target)) is not None:
        streams(chain, target)
        return chain
    plan = Plan(kernel, limits, constant, rank)
    try:
        merge_loops(plan)
        for nest in sorted(nests_of(plan), key=lambda n: not n.reductions):  # aggregations take in other nests
            _schedule_nest(plan, nest, target)
        streams(plan, target)
    except TileError:  # symbolic sizes: what was planned so far applies
        pass
    return plan


def _by_rows(plan: Plan, target: Target) -> Plan | None:
    """A chain scheduled row by row; None where the kernel is none, or its nests cannot share their rows."""
    try:
        if not is_chain(plan.kernel):
            return None
        nests = nests_of(plan)
        axes = shared_axes(nests)
        for nest in sorted(nests, key=lambda n: not n.reductions):
            if len(nest.extents) > axes:  # what is one number a row has no loop of its own
                _schedule_nest(plan, nest, replace(target, threads=1), tile=False)
        return plan if fuse_rows(plan, target) else None
    except TileError:
        return None


def _schedule_nest(plan: Plan, nest: Nest, target: Target, tile: bool = True) -> None:
    """`tile`: the outer loops of elementwise nests may be cut."""
    if nest.points < plan.limits.small or reduction(plan, nest, target) or not nest.free:
        return
    lane = _vector_loop(nest, target)
    if lane is None:
        threads(plan, nest, [n for n in nest.extents if n in nest.free], target)
    elif tile and transposition(plan, nest, lane, target):
        pass
    elif not (_is_contraction(nest) and _aggregation(plan, nest, lane, target)):
        _elementwise(plan, nest, lane, target, tile)


def _aggregation(plan: Plan, nest: Nest, lane: str, target: Target) -> bool:
    return any(rule(plan, nest, lane, target) for rule in (columns, window, taps, contraction))


def _is_contraction(nest: Nest) -> bool:
    stores = nest.stores()
    if not nest.reductions or len(stores) != 1:
        return False
    return stores[0].store is not None and stores[0].store.monoid is not None


def _vector_loop(nest: Nest, target: Target) -> str | None:
    """The free loop along which the stores, and as many reads as can be, are contiguous."""
    best: tuple[int, int, str] | None = None
    for loop in nest.extents:
        if loop not in nest.free or nest.extents[loop] < 2:
            continue
        if any(nest.stride(u, loop) != 1 for u in nest.stores()):
            continue
        good = sum(nest.stride(u, loop) in (0, 1) for u in nest.reads())
        wide = min(nest.extents[loop], 4 * target.lanes(nest.bits))
        if best is None or (good, wide) > best[:2]:
            best = good, wide, loop
    return best[2] if best else None


def _elementwise(plan: Plan, nest: Nest, lane: str, target: Target, tile: bool) -> None:
    others = [n for n in nest.extents if n != lane]
    if list(nest.extents)[-1] != lane and not plan.attempt(step("reorder", *others, lane)):
        return
    if not others and nest.points >= plan.limits.many and target.threads > 1:
        chunk = -(-nest.points // (4 * target.threads))
        chunk = -(-chunk // target.lanes(nest.bits)) * target.lanes(nest.bits)
        if plan.attempt(step("tile", lane, chunk, f"{lane}.p", f"{lane}.c"), step("parallel", f"{lane}.p")):
            _lanes(plan, f"{lane}.c", lane, min(chunk, nest.points), nest, target)
            return
    _lanes(plan, lane, lane, nest.extents[lane], nest, target)
    outer = [n for n in others if n in nest.free]
    if tile and outer and others[-1] == outer[-1] and _share_columns(plan, nest, outer[-1], lane, target):
        outer[-1] = f"{outer[-1]}.0"
    threads(plan, nest, outer, target)


def _share_columns(plan: Plan, nest: Nest, row: str, lane: str, target: Target) -> bool:
    """Several rows at a time, where operands are the same in each row."""
    found = {u.buffer: u for u in nest.reads() if nest.stride(u, row) == 0 and nest.stride(u, lane) == 1}
    if not found or not plan.extent(f"{lane}.0"):
        return False
    if nest.extents[lane] * nest.bits > 8 * SHORT:
        return _copy_columns(plan, nest, list(found), row, lane, target)
    return nest.extents[row] >= 2 * ROWS and plan.attempt(
        step("tile", row, ROWS, f"{row}.0", f"{row}.1"),
        step("reorder", f"{lane}.0", f"{row}.1"),
        step("unroll", f"{row}.1"),
    )


def _copy_columns(plan: Plan, nest: Nest, shared: list[str], row: str, lane: str, target: Target) -> bool:
    """A copy of what a block of rows shares begins a cache line, as no caller's array need: half as many loads."""
    size = sum(nest.buffers[name].dtype.bytes for name in shared) * nest.extents[lane]
    if nest.extents[row] < 2 * BLOCK or 2 * size > target.l1:
        return False
    before = plan.kernel, list(plan.directives)
    done = plan.attempt(step("tile", row, BLOCK, f"{row}.0", f"{row}.1"))
    for name in shared:
        new = fresh(plan.kernel, f"{name}.c")
        last = len(nest.buffers[name].shape) - 1
        done = done and plan.attempt(
            step("stage", name, f"{row}.0", new, "thread"),
            step("tile", f"{new}.{last}", target.lanes(nest.bits), f"{new}.t", f"{new}.l"),
            step("vectorize", f"{new}.l"),
        )
    if not done:
        plan.kernel, plan.directives = before
    return done


def _lanes(plan: Plan, loop: str, name: str, extent: int, nest: Nest, target: Target) -> None:
    width = target.lanes(nest.bits)
    if extent <= width:
        plan.attempt(step("vectorize", loop))
    else:
        plan.attempt(step("tile", loop, width, f"{name}.0", f"{name}.l"), step("vectorize", f"{name}.l"))
