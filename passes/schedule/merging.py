"""Which loops the default schedule merges: those that walk through memory as one."""

from __future__ import annotations

from math import prod

from tilec.loops import For, Kernel
from tilec.passes.schedule.analysis import buffers
from tilec.passes.schedule.plan import Nest, Plan, fresh, step

LEAST_ROWS = 12  # of a loop of which register tiles are made without merging it with another


def merge_loops(plan: Plan) -> None:
    """Merges loops that walk through memory as one: those of aggregations first, then others that fit these.

    An aggregation whose result others read along loops that do not merge keeps its own: tile by tile, they then use it
    in registers.
    """
    before = plan.kernel, list(plan.directives)
    found = _merge_all(plan, frozenset())
    apart = frozenset(u.buffer for n in found if n.reductions and not _read_alike(n, found) for u in n.stores())
    if apart:
        plan.kernel, plan.directives = before
        _merge_all(plan, apart)


def _merge_all(plan: Plan, kept: frozenset[str]) -> list[Nest]:
    """The nests after merging all but those that aggregate into one of the buffers `kept`."""
    found = nests_of(plan)
    aggregations = [n for n in found if n.reductions]
    busy = frozenset(u.buffer for n in aggregations for u in n.uses)
    for nest in [*aggregations, *(n for n in found if not n.reductions)]:
        if nest.points >= plan.limits.small and kept.isdisjoint(u.buffer for u in nest.stores() if nest.reductions):
            _merge_nest(plan, nest, None if not aggregations or nest.reductions else busy)
    return nests_of(plan)


def nests_of(plan: Plan) -> list[Nest]:
    return [Nest.of(plan.kernel, s) for s in plan.kernel.body if isinstance(s, For)]


def _read_alike(nest: Nest, nests: list[Nest]) -> bool:
    """Whether the nests that go on with an aggregation's result, cell by cell, do it in as few loops; or in short ones,
    which make no tiles unless merged.
    """
    stored = {u.buffer for u in nest.stores()}
    own = [e for n, e in nest.extents.items() if n in nest.free and e > 1]
    for other in nests:
        theirs = [e for e in other.extents.values() if e > 1]
        follows = not other.reductions and not stored.isdisjoint(u.buffer for u in other.reads())
        if follows and prod(theirs) == prod(own) and len(theirs) > len(own) and theirs[-2] >= LEAST_ROWS:
            return False
    return True


def _merge_nest(plan: Plan, nest: Nest, busy: frozenset[str] | None) -> None:
    """Pairs of neighbouring loops, innermost first. The axes of buffers that others read stay as these want them: of
    all where `busy` is given, views of others than those are added.
    """
    loops = list(nest.extents)
    for at in range(len(loops) - 2, -1, -1):
        outer, inner = loops[at : at + 2]
        if (outer in nest.free) != (inner in nest.free):
            continue
        before = plan.kernel, list(plan.directives)
        new = fresh(plan.kernel, f"{outer}.{inner}")
        if not plan.attempt(step("merge", outer, inner, new)):
            continue
        if busy is not None and not _leaves_alone(before[0], plan.kernel, busy):
            plan.kernel, plan.directives = before
            continue
        loops[at : at + 2] = [new]


def _leaves_alone(before: Kernel, after: Kernel, busy: frozenset[str]) -> bool:
    """Whether nothing has changed but that there are views of buffers that are not `busy`."""
    old, new = buffers(before), buffers(after)
    same = all(new[name].shape == buffer.shape for name, buffer in old.items())
    return same and busy.isdisjoint(b.base for name, b in new.items() if name not in old and b.base is not None)
