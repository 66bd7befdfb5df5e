"""Floor 5: candidates: the schedules that rules and models propose, and small changes of good ones."""

from __future__ import annotations

from collections.abc import Iterator

from tilec.loops import Kernel
from tilec.passes.schedule.candidates import candidates
from tilec.schedule import Directive, Schedule
from tilec.target import Target

# Where the size of a tile stands in directives that have one; equal sizes mostly belong together.
_SIZES = {"tile": 1, "pack": 4, "peel": 1}
_MOST = 1 << 16
_STEPS = ((3, 2, 0), (3, 4, 0), (2, 1, 0), (1, 2, 0), (1, 1, 1), (1, 1, -1))  # size * a / b + c
_PROPOSED = 64


def proposed(kernel: Kernel, target: Target, constant: frozenset[str]) -> Iterator[tuple[str, Schedule]]:
    """Schedules with names, the most promising first, each once; the default schedule is not among them."""
    found = candidates(kernel, target, constant, _PROPOSED)
    next(found, None)
    for number, (_, schedule) in enumerate(found):
        yield f"c{number}", schedule


def changes(schedule: Schedule) -> Iterator[Schedule]:
    """The schedule with one size of its tiles changed: first wherever it is that size, then in one directive only."""
    sizes: dict[int, list[int]] = {}
    for at, directive in enumerate(schedule):
        if (size := _size(directive)) is not None and size > 1:
            sizes.setdefault(size, []).append(at)
    alone = [(size, [at]) for size, places in sizes.items() if len(places) > 1 for at in places]
    for places in (list(sizes.items()), alone):
        for times, parts, more in _STEPS:
            for old, where in places:
                new = min(max(2, old * times // parts + more), _MOST)
                if new != old:
                    yield tuple(_resized(d, new) if at in where else d for at, d in enumerate(schedule))


def _size(directive: Directive) -> int | None:
    at = _SIZES.get(directive.name)
    found = None if at is None or at >= len(directive.args) else directive.args[at]
    return found if isinstance(found, int) else None


def _resized(directive: Directive, size: int) -> Directive:
    at = _SIZES[directive.name]
    return Directive(directive.name, (*directive.args[:at], size, *directive.args[at + 1 :]))
