"""Floor 5: choices among several things, and their order."""

from __future__ import annotations

from math import inf, prod
from typing import Any

import numpy as np

from tilec.dtypes import F32, F64, I32, U32, U64
from tilec.errors import error
from tilec.numpy import argsort, asarray, cumulative_sum, reshape, searchsorted, squeeze, take, where
from tilec.numpy import max as largest
from tilec.numpy import min as smallest
from tilec.numpy.axes import shape_of
from tilec.random.continuous import gumbel
from tilec.random.streams import blocks, randint, unit
from tilec.tracing.dispatch import lift, operation
from tilec.tracing.elementwise import apply, as_dtype


@operation(arrays=("offset", "logits"))
def categorical(key: Any, /, offset: Any = 0, logits: Any = (0.0,)) -> Any:
    """One index, int32, for each row of `logits` along the last axis, with probability softmax(logits); -1 for a row
    that gives no probabilities: one with a NaN, or of -infinity throughout.

    The place of the greatest logit to which Gumbel noise, -log(-log(1 - v)), is added (E. J. Gumbel, 1954). v has 32
    bits, as the noise that wins comes from those close to 0.
    """
    given = lift(logits)
    if not given.ndim or not given.shape[-1]:
        raise error("TILE0511", "categorical takes logits along a last axis that is not empty")
    v = (as_dtype(blocks(key, offset, given.shape, U32), F32) + 0.5) * 2.0**-32
    below_one = apply("min", v, 1 - 2.0**-24)  # what is rounded up to 1 would make infinite noise
    wide = F64 if given.type.dtype == F64 else F32
    noisy = as_dtype(given, wide) - apply("log", -apply("log1p", -below_one))
    best = largest(noisy, axis=-1, keepdims=True)
    count = given.shape[-1]
    places = np.arange(count, dtype=np.int32)
    place = smallest(where(apply("cmp_eq", noisy, best), places, np.int32(count - 1)), axis=-1)
    return where(apply("cmp_gt", squeeze(best, -1), -inf), place, np.int32(-1))


@operation(arrays=("offset",))
def permutation(key: Any, /, offset: Any = 0, n: int = 1) -> Any:
    """The numbers 0 to n - 1, int32, in random order: the order of n blocks, which are equal with probability 2^-64."""
    return as_dtype(argsort(blocks(key, offset, (n,), U64), axis=0), I32)


@operation(arrays=("offset", "x"))
def shuffle(key: Any, /, offset: Any = 0, x: Any = (0.0,)) -> Any:
    """The rows of x, along its first axis, in random order."""
    given = lift(x)
    if not given.ndim:
        raise error("TILE0511", "a single number cannot be shuffled")
    return take(given, argsort(blocks(key, offset, (given.shape[0],), U64), axis=0), axis=0)


@operation(arrays=("offset", "x", "p"))
def choice(
    key: Any, /, offset: Any = 0, x: Any = (0.0,), shape: Any = (), *, replace: bool = True, p: Any = None
) -> Any:
    """Rows of x, along its first axis, at random: as many as `shape` says, each as likely as its share of the weights
    `p`, or as any other; each at most once unless `replace`.

    With weights by inversion of their running sums, in float64, or without replacement as the first in the order of
    log p + Gumbel's numbers (T. Vieira, Gumbel-max trick and weighted reservoir sampling, 2014). Raises TILE0202,
    TILE0203, TILE0511.
    """
    rows, sizes = asarray(x), shape_of(shape)
    if not rows.ndim or not rows.shape[0]:
        raise error(
            "TILE0511", "there is nothing to choose from", help="choose from arange(n), or from a tensor's rows"
        )
    weights = None if p is None else as_dtype(asarray(p), F64)
    if weights is not None and weights.type.shape != rows.type.shape[:1]:
        raise error("TILE0203", f"{rows.shape[0]} rows have as many weights, not {list(weights.shape)}")
    count = prod(sizes)
    if not replace and count > rows.shape[0]:
        raise error("TILE0511", f"{count} rows of {rows.shape[0]}, each at most once", help="replace=True")
    if replace:
        return take(rows, _places(key, offset, sizes, rows.shape[0], weights), axis=0)
    order = argsort(_order(key, offset, rows.shape[0], weights), axis=0)
    return take(rows, reshape(order[:count], sizes), axis=0)


def _places(key: Any, offset: Any, shape: Any, count: int, weights: Any) -> Any:
    if weights is None:
        return randint(key, offset, shape, high=count)
    sums = cumulative_sum(weights)
    share = unit(key, offset, shape, F64) * sums[-1]
    return apply("min", searchsorted(sums, share, side="right"), _last(weights, count))


def _last(weights: Any, count: int) -> Any:
    """The last place that can be chosen: rounding must not choose one behind it."""
    return largest(where(weights > 0, np.arange(count, dtype=np.int32), 0))


def _order(key: Any, offset: Any, count: int, weights: Any) -> Any:
    if weights is None:
        return blocks(key, offset, (count,), U64)
    return -(apply("log", weights) + gumbel(key, offset, (count,), "float64"))
