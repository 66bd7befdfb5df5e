"""Aggregations along contiguous memory: row sums, dot products, maxima. The items of a group share a row.

Each item adds up every 64th term in a register; then halves of the items' results are added to one another in local
memory. A long sum into few cells is first cut into blocks, one for each group, whose results a further kernel adds up.
The numbers of items and blocks follow from sizes alone, and with them the order of the sum.
"""

from __future__ import annotations

from tilec.passes.schedule.plan import Nest, Plan, fresh, in_registers, step
from tilec.passes.schedule.reduction import blocked, reduced_loop
from tilec.target import Target

ITEMS = 64  # that share a row: few enough for every device, and for rows that are not long
LEAST = 2 * ITEMS  # terms for which that pays


def reduction(plan: Plan, nest: Nest, target: Target) -> bool:
    """Schedules a nest of one aggregation; False where memory is not contiguous along it, or it is short."""
    loop = reduced_loop(plan, nest)
    if loop is None or nest.extents[loop] < LEAST or target.group < ITEMS or not target.local:
        return False
    outer = [n for n in nest.extents if n in nest.free]
    order = [*outer, *nest.reductions]
    if list(nest.extents) != order and not plan.attempt(step("reorder", *order)):
        return False
    blocks, terms = blocked(plan, nest, loop, outer)
    store = nest.stores()[0].buffer
    if not outer and not blocks:  # a single block
        blocks, terms = [f"{loop}.b"], f"{loop}.p"
        cut = step("tile", loop, nest.extents[loop], *blocks, terms)
        if not plan.attempt(cut, step("rfactor", blocks[0], fresh(plan.kernel, f"{store}.b"), "heap")):
            return False
    new, near = fresh(plan.kernel, f"{store}.s"), f"{loop}.i"
    far = [n for n in nest.reductions if n != loop]
    done = plan.attempt(
        *(step("bind", n, "group") for n in (*outer, *blocks)),
        step("tile", terms, ITEMS, f"{loop}.0", near, "guard"),
        step("rfactor", near, new, "local"),
        step("reorder", near, *far, f"{loop}.0"),
        step("stage", new, near, fresh(plan.kernel, f"{store}.r"), "register"),
    )
    if done:
        if outer and not blocks:
            in_registers(plan, store, outer[-1])
        plan.chosen.append(f"{ITEMS} items share a row")
    return done
