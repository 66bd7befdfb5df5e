"""Each cell of a result, or a few neighbours, belong to an item: elementwise nests, and aggregations as they come."""

from __future__ import annotations

from tilec.passes.schedule.gpu.shape import fast_loop, group_items, lanes, power_above
from tilec.passes.schedule.plan import Nest, Plan, in_registers, step
from tilec.target import Target


def cells(plan: Plan, nest: Nest, target: Target) -> bool:
    """Items along the loop that is contiguous, a vector of elements for each; where it is short, on several rows."""
    if not nest.free:
        return False
    fast = fast_loop(nest)
    width = lanes(nest, fast)
    items = group_items(target)
    columns = min(items, power_above(-(-nest.extents[fast] // width)))
    others = [n for n in nest.extents if n in nest.free and n != fast]
    slow = max(others, key=lambda n: (nest.extents[n], others.index(n)), default=None)
    rows = min(items // columns, power_above(nest.extents[slow])) if slow else 1
    tiled = slow if rows > 1 else None
    outer = [n for n in others if n != tiled]
    order = [*outer, *([tiled] if tiled else []), fast, *nest.reductions]
    if list(nest.extents) != order and not plan.attempt(step("reorder", *order)):
        return False
    inside = [f"{tiled}.y"] if tiled else []
    steps = []
    if tiled:
        steps += [step("tile", tiled, rows, f"{tiled}.g", f"{tiled}.y", "guard"), step("reorder", fast, f"{tiled}.y")]
    steps.append(step("tile", fast, columns * width, f"{fast}.g", f"{fast}.t" if width > 1 else f"{fast}.x", "guard"))
    inner = [f"{fast}.x"]
    if width > 1:
        steps += [step("tile", f"{fast}.t", width, f"{fast}.x", f"{fast}.v")]
        inner.append(f"{fast}.v")
    if inside or nest.reductions:
        steps.append(step("reorder", *inside, f"{fast}.x", *nest.reductions, *inner[1:]))
    steps += [step("vectorize", f"{fast}.v")] if width > 1 else []
    groups = [*outer, *([f"{tiled}.g"] if tiled else []), f"{fast}.g"]
    steps += [step("bind", n, "group") for n in groups]
    steps += [step("bind", n, "item") for n in (*inside, f"{fast}.x")]
    if not plan.attempt(*steps):
        return False
    if nest.reductions:
        in_registers(plan, nest.stores()[0].buffer, f"{fast}.x")
    plan.chosen.append(f"{rows}x{columns} items of {width}")
    return True


def rest(plan: Plan, nest: Nest, target: Target) -> bool:
    """An iteration of the outer loops, those that are independent, for each item."""
    free = [n for n in nest.extents if n in nest.free]
    order = [*free, *nest.reductions]
    if list(nest.extents) != order:
        plan.attempt(step("reorder", *order))
    done = False
    for loop in free:
        done = plan.attempt(step("bind", loop, "group")) or done
    return done
