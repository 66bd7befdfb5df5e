"""Schedules of a kernel to choose from by measuring them: the default one first, then others, the likeliest first."""

from __future__ import annotations

from collections.abc import Iterator

from tilec.loops import Kernel
from tilec.passes.schedule.default import planned
from tilec.passes.schedule.plan import DEFAULT
from tilec.schedule import Schedule
from tilec.target import Target

MOST = 32


def candidates(
    kernel: Kernel, target: Target, constant: frozenset[str] = frozenset(), most: int = MOST
) -> Iterator[tuple[str, Schedule]]:
    """Distinct schedules that apply, at most `most`, each with a few words; the first is the default schedule.

    They differ in how aggregations are cut: register tiles, blocks, order of the loops, copies of operands. Each is
    made when it is asked for. `constant`: parameters that hold the same in every call.
    """
    seen: set[Schedule] = set()
    rank = 0
    while len(seen) < most:
        plan = planned(kernel, target, DEFAULT, constant, rank)
        schedule = tuple(plan.directives)
        if schedule not in seen:
            seen.add(schedule)
            yield ", ".join(map(str, plan.chosen)) or "default", schedule
        if not plan.more:
            return
        rank += 1
