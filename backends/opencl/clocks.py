"""What single launches take, by the device's clock where that can be believed."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import Any

from tilec.backend import StepTime


def timed(name: str, launch: Callable[[], Any], finish: Callable[[], None]) -> StepTime:
    """Launches and waits, with nothing else to do.

    Some drivers have events that say 0, or count in units of their own: a time that is not above 0, or that is more
    than has passed on the host, is not taken.
    """
    finish()  # what is copied before is not counted
    begun = perf_counter()
    event = launch()
    finish()
    passed = perf_counter() - begun
    try:
        seconds = (event.profile.end - event.profile.start) * 1e-9
    except Exception:  # there are no times
        seconds = 0.0
    is_sane = 0 < seconds <= passed
    return StepTime(name, seconds if is_sane else passed, is_sane)
