"""Floor 5: rates of optimizers that change with the number of updates: functions of a number, or of a traced tensor.

Each function here returns one: `cosine_decay(0.1, 1000)(500)` is 0.05. All raise TILE0210 of what is no number.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import log, pi
from typing import Any

from tilec.dtypes import F32, F64, DType
from tilec.errors import error
from tilec.numpy.axes import number, positive, whole
from tilec.numpy.elementwise import clip, cos, exp, floor, maximum, minimum, where
from tilec.tracing.dispatch import lift, operation
from tilec.tracing.elementwise import as_dtype, dtype_of
from tilec.tracing.tensor import Tensor


@dataclass(frozen=True, slots=True)
class Schedule:
    """A rate by the number of updates done before: `schedule(step)` in float32, `schedule(step, "float64")` with more
    digits. An optimizer takes it in the type that it computes a parameter in. Raises TILE0301, TILE0303.
    """

    rate: Callable[..., Any]

    def __call__(self, step: Any, /, dtype: Any = "float32") -> Any:
        return self.rate(step, dtype=dtype)


def _schedule(formula: Callable[[Tensor, DType], Any]) -> Schedule:
    """From a function of the number of updates, in float32 or float64."""

    @operation
    def rate(step: Any, /, dtype: Any) -> Any:
        wanted = dtype_of(dtype)
        if not wanted.is_float:
            raise error("TILE0301", f"a rate is of floats, not of {wanted.long}")
        return as_dtype(formula(lift(step), F64 if wanted == F64 else F32), wanted)

    return Schedule(rate)


def exponential_decay(rate: float, steps: int, factor: float, *, staircase: bool = False) -> Schedule:
    """rate * factor^(step / steps), where `staircase` takes the quotient without its fraction."""
    rate, count, slope = _number(rate), _steps(steps), log(positive(factor, "a factor"))

    @_schedule
    def schedule(step: Tensor, dtype: DType) -> Any:
        share = as_dtype(step, dtype) / count
        return exp((floor(share) if staircase else share) * slope) * rate

    return schedule


def polynomial_decay(rate: float, steps: int, end: float = 0.0, *, power: float = 1.0) -> Schedule:
    """From rate to end in that many steps, along (1 - step / steps)^power; from then on, end."""
    rate, count, end, exponent = _number(rate), _steps(steps), _number(end), positive(power, "a power")

    @_schedule
    def schedule(step: Tensor, dtype: DType) -> Any:
        left = 1.0 - clip(as_dtype(step, dtype) / count, 0.0, 1.0)
        return left**exponent * (rate - end) + end

    return schedule


def cosine_decay(rate: float, steps: int, end: float = 0.0) -> Schedule:
    """From rate to end in that many steps, along half a period of the cosine (Loshchilov, Hutter 2016)."""
    rate, count, end = _number(rate), _steps(steps), _number(end)

    @_schedule
    def schedule(step: Tensor, dtype: DType) -> Any:
        share = clip(as_dtype(step, dtype) / count, 0.0, 1.0)
        return (cos(share * pi) + 1.0) * (0.5 * (rate - end)) + end

    return schedule


def piecewise_constant(boundaries: Sequence[int], rates: Sequence[float]) -> Schedule:
    """The first rate up to and with the first boundary, the next one up to the next, the last one beyond the last.

    Raises TILE0511 unless there is one rate more than there are boundaries, and these rise.
    """
    places, values = [whole(b, "a boundary") for b in boundaries], [_number(r) for r in rates]
    if len(values) != len(places) + 1 or any(a >= b for a, b in pairwise(places)):
        raise error("TILE0511", f"rising boundaries between rates are wanted, not {places} for {len(values)} rates")

    @_schedule
    def schedule(step: Tensor, dtype: DType) -> Any:
        found: Any = as_dtype(values[-1], dtype)
        for place, value in zip(reversed(places), reversed(values[:-1])):
            found = where(step <= place, value, found)
        return found

    return schedule


def warmup(schedule: Callable[[Any], Any] | float, steps: int, start: float = 0.0) -> Schedule:
    """From start to the first rate of a schedule in that many steps, along a line; then the schedule from its begin."""
    count, start = _steps(steps), _number(start)
    after = schedule if callable(schedule) else piecewise_constant([], [_number(schedule)])

    @_schedule
    def warmed(step: Tensor, dtype: DType) -> Any:
        first = rate_at(after, step * 0, dtype)
        rising = (first - start) * minimum(as_dtype(step, dtype) / count, 1.0) + start
        return where(step < count, rising, rate_at(after, maximum(step - count, 0), dtype))

    return warmed


def rate_at(rate: Any, step: Tensor, dtype: DType) -> Any:
    """What an optimizer multiplies with: a rate that is a number, as it is, or the value of a tensor or a function, in
    float32 or float64.
    """
    found = rate(step, dtype) if isinstance(rate, Schedule) else rate(step) if callable(rate) else rate
    return as_dtype(found, dtype) if isinstance(found, Tensor) else found


def _number(value: Any) -> float:
    return float(number(value, "a rate"))


def _steps(value: Any) -> int:
    found = whole(value, "a number of steps")
    if found < 1:
        raise error("TILE0210", f"a number of steps is 1 or more, not {value!r}")
    return found
