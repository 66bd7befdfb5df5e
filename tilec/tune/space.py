"""Floor 5: candidates: the schedules that rules and models propose, and small changes of good ones."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from tilec.loops import Kernel
from tilec.passes.schedule.candidates import candidates
from tilec.schedule import Directive, Schedule
from tilec.target import Target

# Where the size of a tile stands in directives that have one; equal sizes belong together.
_SIZES = {"tile": 1, "pack": 4, "peel": 1}
_MOST = 1 << 16
_PROPOSED = 64


def proposed(kernel: Kernel, target: Target, constant: frozenset[str]) -> Iterator[tuple[str, Schedule]]:
    """Schedules with names, the most promising first, each once; the default schedule is not among them."""
    found = candidates(kernel, target, constant, _PROPOSED)
    next(found, None)
    for number, (_, schedule) in enumerate(found):
        yield f"c{number}", schedule


def mutation(schedule: Schedule, random: Random) -> Schedule | None:
    """The schedule with one size of its tiles changed, everywhere where it is that size; None where it has none."""
    sizes = sorted({size for d in schedule if (size := _size(d)) is not None and size > 1})
    if not sizes:
        return None
    old = random.choice(sizes)
    new = random.choice([old * 2, old // 2, old + 1, old - 1, old * 3 // 2, old * 3 // 4])
    new = min(max(2, new), _MOST)
    return tuple(_resized(d, old, new) for d in schedule)


def _size(directive: Directive) -> int | None:
    at = _SIZES.get(directive.name)
    found = None if at is None or at >= len(directive.args) else directive.args[at]
    return found if isinstance(found, int) else None


def _resized(directive: Directive, old: int, new: int) -> Directive:
    if _size(directive) != old:
        return directive
    at = _SIZES[directive.name]
    return Directive(directive.name, (*directive.args[:at], new, *directive.args[at + 1 :]))
