"""Floor 5: distributions of whole numbers: how often something happens, and how long that takes."""

from __future__ import annotations

from typing import Any

from tilec.dtypes import F64, I32, U32
from tilec.errors import error
from tilec.numpy.creation import full, ones
from tilec.numpy.elementwise import isnan, where
from tilec.numpy.reductions import any as some
from tilec.numpy.shapes import broadcast_to
from tilec.numpy.special import log_gamma
from tilec.random.continuous import above_zero
from tilec.random.streams import blocks, fold_in, unit
from tilec.tracing.control import while_loop
from tilec.tracing.dispatch import lift, operation
from tilec.tracing.elementwise import apply, as_dtype, as_float, dtype_of

_FEW = 10.0  # a rate from which on numbers are found by rejection
_MOST = 2.0e9  # a rate whose numbers int32 holds


@operation(arrays=("offset",))
def rademacher(key: Any, /, offset: Any = 0, shape: Any = (), dtype: Any = "int32") -> Any:
    """-1 or 1, both equally likely. Raises TILE0301 of types without a sign."""
    target = dtype_of(dtype)
    if not target.is_signed:
        raise error("TILE0301", f"there is no -1 of {target.long}")
    return as_dtype(as_dtype(apply("bit_and", blocks(key, offset, shape, U32), 2), I32) - 1, target)


@operation(arrays=("offset", "p"))
def geometric(key: Any, /, offset: Any = 0, p: Any = 0.5, shape: Any = None) -> Any:
    """How many trials there are up to the first that succeeds, each with probability p, int32, of p's shape unless
    another is given; at most 2^31 - 1, and -1 where p is NaN. By inversion, in float64: 1 + floor(log u / log(1 - p)).
    """
    chance = as_dtype(as_float(lift(p)), F64)
    chance = chance if shape is None else broadcast_to(chance, shape)
    usable = apply("bit_and", chance > 0, chance < 1)
    u = above_zero(key, offset, chance.shape, F64)[0]
    found = 1 + apply("floor", apply("log", u) / apply("log1p", -where(usable, chance, 0.5)))
    certain = where(chance >= 1, 1.0, where(isnan(chance), -1.0, float(I32.max)))
    return as_dtype(where(usable, found, certain), I32)


@operation(arrays=("offset", "rate"))
def poisson(key: Any, /, offset: Any = 0, rate: Any = 1.0, shape: Any = None) -> Any:
    """How often something happens that happens `rate` times on average, int32, of the shape of the rate unless another
    is given, to which it broadcasts; -1 where the rate is NaN. Rates are taken into [0, 2e9]. There is no derivative.

    Below a rate of 10 by inversion, from 0 upwards (L. Devroye, Non-Uniform Random Variate Generation, 1986, section
    X.3.3); above by transformed rejection with a squeeze (W. Hoermann, The transformed rejection method for generating
    Poisson random variables, 1993: PTRS); in float64.
    """
    given = as_dtype(as_float(lift(rate)), F64)
    given = given if shape is None else broadcast_to(given, shape)
    held = where(given > 0, apply("min", given, _MOST), 0.0)
    large = held >= _FEW
    few = _counted_up(key, offset, where(large, 1.0, held))
    many = _rejected(key, offset, large, where(large, held, _FEW))
    return as_dtype(where(isnan(given), -1.0, where(large, many, few)), I32)


def _counted_up(key: Any, offset: Any, rate: Any) -> Any:
    """The first k at which the distribution function is above a uniform number."""

    def more(state: Any) -> Any:
        return some(state[1] >= state[2])

    def again(state: Any) -> Any:
        k, rest, chance, found = state
        open_ = rest >= chance
        rest, chance = where(open_, rest - chance, rest), where(open_, chance * rate / (k + 1), chance)
        # a chance that no longer counts ends the search, as the rest may stay above by rounding
        return k + 1, where(chance > 1e-30, rest, -1.0), chance, where(open_, k + 1, found)

    u = unit(key, offset, rate.shape, F64)
    start = full((), 0.0, dtype="float64"), u, apply("exp", -rate), u * 0
    return while_loop(more, again, start)[3]


def _rejected(key: Any, offset: Any, wanted: Any, rate: Any) -> Any:
    """PTRS, in Hoermann's names, for the elements that are wanted."""
    root, logs = apply("sqrt", rate), apply("log", rate)
    b = 0.931 + 2.53 * root
    a = -0.059 + 0.02483 * b
    inverse_alpha, v_r = 1.1239 + 1.1328 / (b - 3.4), 0.9277 - 3.6224 / (b - 2)

    def more(state: Any) -> Any:
        return some(state[1])

    def again(state: Any) -> Any:
        turn, open_, found = state
        u = unit(fold_in(lift(key), 2 * turn), offset, rate.shape, F64) - 0.5
        v = above_zero(fold_in(lift(key), 2 * turn + 1), offset, rate.shape, F64)[0]
        us = 0.5 - apply("abs", u)
        there = us > 0
        us = where(there, us, 0.5)
        k = apply("floor", (2 * a / us + b) * u + rate + 0.43)
        quick = (us >= 0.07) & (v <= v_r)
        possible = there & (k >= 0) & ((us >= 0.013) | (v <= us))
        held = where(possible, k, 0.0)
        chance = held * logs - rate - log_gamma(held + 1)
        exact = apply("log", v * inverse_alpha / (a / (us * us) + b)) <= chance
        taken = open_ & possible & (quick | exact)
        return turn + 1, open_ & ~taken, where(taken, k, found)

    start = full((), 0, dtype="int32"), wanted & ones(rate.shape, "bool"), rate * 0
    return while_loop(more, again, start)[2]
