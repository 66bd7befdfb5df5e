"""Floor 5: rates of optimizers that change with the number of updates: functions of a number, or of a traced tensor.

Each function here returns one: `cosine_decay(0.1, 1000)(500)` is 0.05. Rates are float32. All raise TILE0210 of what is
no number.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from math import log, pi
from typing import Any, TypeAlias

from tilec.dtypes import F32
from tilec.errors import error
from tilec.numpy.axes import number, positive, whole
from tilec.numpy.elementwise import clip, cos, exp, floor, maximum, minimum, where
from tilec.tracing.dispatch import lift, operation
from tilec.tracing.elementwise import as_dtype

Schedule: TypeAlias = Callable[[Any], Any]


def exponential_decay(rate: float, steps: int, factor: float, *, staircase: bool = False) -> Schedule:
    """rate * factor^(step / steps), where `staircase` takes the quotient without its fraction."""
    rate, count, slope = _number(rate), _steps(steps), log(positive(factor, "a factor"))

    @operation
    def schedule(step: Any, /) -> Any:
        share = _float(step) / count
        return exp((floor(share) if staircase else share) * slope) * rate

    return schedule


def polynomial_decay(rate: float, steps: int, end: float = 0.0, *, power: float = 1.0) -> Schedule:
    """From rate to end in that many steps, along (1 - step / steps)^power; from then on, end."""
    rate, count, end, exponent = _number(rate), _steps(steps), _number(end), positive(power, "a power")

    @operation
    def schedule(step: Any, /) -> Any:
        left = 1.0 - clip(_float(step) / count, 0.0, 1.0)
        return left**exponent * (rate - end) + end

    return schedule


def cosine_decay(rate: float, steps: int, end: float = 0.0) -> Schedule:
    """From rate to end in that many steps, along half a period of the cosine (Loshchilov, Hutter 2016)."""
    rate, count, end = _number(rate), _steps(steps), _number(end)

    @operation
    def schedule(step: Any, /) -> Any:
        share = clip(_float(step) / count, 0.0, 1.0)
        return (cos(share * pi) + 1.0) * (0.5 * (rate - end)) + end

    return schedule


def piecewise_constant(boundaries: Sequence[int], rates: Sequence[float]) -> Schedule:
    """The first rate up to and with the first boundary, the next one up to the next, the last one beyond the last.

    Raises TILE0511 unless there is one rate more than there are boundaries, and these rise.
    """
    places, values = [whole(b, "a boundary") for b in boundaries], [_number(r) for r in rates]
    if len(values) != len(places) + 1 or any(a >= b for a, b in pairwise(places)):
        raise error("TILE0511", f"rising boundaries between rates are wanted, not {places} for {len(values)} rates")

    @operation
    def schedule(step: Any, /) -> Any:
        count = lift(step)
        found: Any = as_dtype(lift(values[-1]), F32)
        for place, value in zip(reversed(places), reversed(values[:-1])):
            found = where(count <= place, value, found)
        return found

    return schedule


def warmup(schedule: Schedule | float, steps: int, start: float = 0.0) -> Schedule:
    """From start to the first rate of a schedule in that many steps, along a line; then the schedule from its begin."""
    count, start = _steps(steps), _number(start)
    after = schedule if callable(schedule) else _constant(_number(schedule))

    @operation
    def warmed(step: Any, /) -> Any:
        done = lift(step)
        first = after(done * 0)
        rising = (first - start) * minimum(_float(done) / count, 1.0) + start
        return where(done < count, rising, after(maximum(done - count, 0)))

    return warmed


def _constant(rate: float) -> Schedule:
    return lambda step: as_dtype(lift(rate), F32)


def _float(step: Any) -> Any:
    return as_dtype(lift(step), F32)


def _number(value: Any) -> float:
    return float(number(value, "a rate"))


def _steps(value: Any) -> int:
    found = whole(value, "a number of steps")
    if found < 1:
        raise error("TILE0210", f"a number of steps is 1 or more, not {value!r}")
    return found
