"""Which rule schedules a nest for a GPU.

Every top-level nest becomes a kernel of its own, so each is scheduled by itself; an aggregation takes in the nest that
initialises it and the one that goes on with its result. Where a rule is refused, the next one is tried; the last leaves
each iteration of the outer loops to an item.
"""

from __future__ import annotations

from tilec.errors import TileError
from tilec.loops import For
from tilec.passes.schedule.gpu.cells import cells, rest
from tilec.passes.schedule.gpu.reduction import reduction
from tilec.passes.schedule.gpu.tiles import tiles
from tilec.passes.schedule.merging import merge_loops, nests_of
from tilec.passes.schedule.plan import Plan
from tilec.target import Target

RULES = (tiles, reduction, cells, rest)
FEW = 16  # points of a nest that one item may as well do


def planned(plan: Plan, target: Target) -> Plan:
    """Adds directives to a plan that has none."""
    try:
        merge_loops(plan)
        for _ in range(2):  # a rule may leave new nests: what combines partial results
            for nest in sorted(nests_of(plan), key=lambda n: not n.reductions):  # aggregations take in other nests
                left = {s.index for s in plan.kernel.body if isinstance(s, For) and s.kind == "serial"}
                if nest.points >= FEW and next(iter(nest.extents)) in left:
                    any(plan.trial(rule, nest, target) for rule in RULES)
    except TileError:  # symbolic sizes: what was planned so far applies
        pass
    return plan
