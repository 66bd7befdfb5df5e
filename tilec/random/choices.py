"""Floor 5: choices among several things, and their order."""

from __future__ import annotations

from math import inf
from typing import Any

import numpy as np

from tilec.dtypes import F32, F64, I32, U32, U64
from tilec.errors import error
from tilec.numpy import argsort, squeeze, take, where
from tilec.numpy import max as largest
from tilec.numpy import min as smallest
from tilec.random.streams import blocks
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
