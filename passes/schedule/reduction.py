"""The default schedule of aggregations along contiguous memory: row sums, dot products, maxima, whole arrays.

Where the operands are contiguous along the innermost reduction, and no output axis is, that reduction lies in vector
lanes: 256 bytes of partial results, which hide how long an addition takes. A sum into very few cells is also cut into
blocks, which threads share. Both numbers follow from sizes and types alone, so that results do not depend on the
target's vectors nor on the number of threads.
"""

from __future__ import annotations

from math import prod

from tilec.dtypes import BF16, F16
from tilec.passes.schedule.analysis import Use
from tilec.passes.schedule.plan import Nest, Plan, fresh, step, threads
from tilec.target import Target

PARTIAL_BYTES = 256
LEAST = 32  # terms below which a reduction is not worth vectors of its own
FEW_CELLS = 8  # outputs that are too few to feed threads
BLOCK = 1 << 14  # least terms of a block of a long sum
MOST_BLOCKS = 256


def reduction(plan: Plan, nest: Nest, target: Target) -> bool:
    """Schedules a nest of one aggregation into partial results; False, and nothing done, where that does not pay."""
    loop = reduced_loop(plan, nest)
    if loop is None:
        return False
    before = plan.kernel, list(plan.directives)
    outer = [n for n in nest.extents if n in nest.free]
    if list(nest.extents) != (order := [*outer, *nest.reductions]) and not plan.attempt(step("reorder", *order)):
        return False
    blocks, terms = blocked(plan, nest, loop, outer)
    if _in_lanes(plan, nest, terms, loop):
        if outer and not blocks:
            _in_registers(plan, nest.stores()[0].buffer, outer[-1])
        threads(plan, nest, blocks or outer, target)
        return True
    plan.kernel, plan.directives = before
    return False


def reduced_loop(plan: Plan, nest: Nest) -> str | None:
    """The innermost reduction, where memory is contiguous along it and vectors of output cells would do worse."""
    stores, loops = nest.stores(), nest.reductions
    if not loops or len(stores) != 1 or stores[0].store is None or stores[0].store.monoid is None:
        return None
    if nest.buffers[stores[0].buffer].dtype in (F16, BF16) or nest.extents[loops[-1]] < LEAST:
        return None
    reads = [nest.stride(u, loops[-1]) for u in nest.reads()]
    if 1 not in reads or any(r not in (0, 1) for r in reads):
        return None
    return None if any(_better(plan, nest, n) for n in nest.extents if n in nest.free) else loops[-1]


def _better(plan: Plan, nest: Nest, loop: str) -> bool:
    """Whether output cells along a loop are stored as a vector, of operands that are contiguous or worth packing."""
    if nest.extents[loop] < 8 or nest.stride(nest.stores()[0], loop) != 1:
        return False
    far = [u for u in nest.reads() if nest.stride(u, loop) not in (0, 1)]
    return all(_packed(plan, nest, u) for u in far)


def _packed(plan: Plan, nest: Nest, use: Use) -> bool:
    return nest.reuse(use) >= plan.limits.pack_reuse or use.buffer in plan.constant


def blocked(plan: Plan, nest: Nest, loop: str, outer: list[str]) -> tuple[list[str], str]:
    """Cuts a long reduction into few cells into blocks; the loop over these, and that over the terms of one."""
    extent, partials = nest.extents[loop], _partials(nest, loop)
    if prod(nest.extents[n] for n in outer) >= FEW_CELLS or len(nest.reductions) > 1 or extent < 4 * BLOCK:
        return [], loop
    block = -(-max(BLOCK, -(-extent // MOST_BLOCKS)) // partials) * partials
    new = fresh(plan.kernel, f"{nest.stores()[0].buffer}.b")
    cut = step("tile", loop, block, f"{loop}.b", f"{loop}.p"), step("rfactor", f"{loop}.b", new, "heap")
    return ([f"{loop}.b"], f"{loop}.p") if plan.attempt(*cut) else ([], loop)


def _partials(nest: Nest, loop: str) -> int:
    """A power of two, at most the number of terms."""
    most = PARTIAL_BYTES * 8 // max(32, nest.bits)
    return min(most, 1 << (nest.extents[loop].bit_length() - 1))


def _in_lanes(plan: Plan, nest: Nest, terms: str, loop: str) -> bool:
    new = fresh(plan.kernel, f"{nest.stores()[0].buffer}.v")
    return plan.attempt(
        step("tile", terms, _partials(nest, loop), f"{loop}.0", f"{loop}.l"),
        step("rfactor", f"{loop}.l", new),
    )


def _in_registers(plan: Plan, store: str, loop: str) -> None:
    """The cell begins where it is aggregated, and what uses it runs there, where that is safe."""
    new = fresh(plan.kernel, f"{store}.r")
    any(plan.attempt(step("stage", store, loop, new, "register", *how)) for how in (("init", 0, "finish"), ("init",)))
