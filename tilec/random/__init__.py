"""Floor 5: random numbers as functions of a key and an offset: no hidden state, the same everywhere.

A *key* is two uint32 words (`key(seed)`). Element n of what a function returns is made from block `offset + n` of the
key's stream (Threefry-2x32, `tilec.mathlib.threefry`), so a call gives the same numbers on every backend, for every
number of threads and however the work is split: `bits(k, o, n)` is `bits(k, 0, o + n)[o:]`. Two calls with one key and
overlapping ranges of blocks give dependent numbers: give each its own key (`split`, `fold_in`), or its own range.

The functions take arrays and run at once, or tensors while `tilec.jit` traces; there they fuse with what uses them.
Normal and uniform numbers are differentiable in what they are scaled by: `mean + std * normal(k, o, shape)`.
"""

from tilec.random.choices import categorical, choice, permutation, shuffle
from tilec.random.continuous import (
    cauchy,
    chisquare,
    dirichlet,
    exponential,
    gumbel,
    laplace,
    logistic,
    lognormal,
    multivariate_normal,
    pareto,
    rayleigh,
    t,
    weibull,
)
from tilec.random.counts import geometric, poisson, rademacher
from tilec.random.gamma import beta, binomial, gamma
from tilec.random.normal import normal, truncated_normal
from tilec.random.streams import bernoulli, bits, fold_in, key, randint, split, uniform

__all__ = [
    "bernoulli",
    "beta",
    "binomial",
    "bits",
    "categorical",
    "cauchy",
    "chisquare",
    "choice",
    "dirichlet",
    "exponential",
    "fold_in",
    "gamma",
    "geometric",
    "gumbel",
    "key",
    "laplace",
    "logistic",
    "lognormal",
    "multivariate_normal",
    "normal",
    "pareto",
    "permutation",
    "poisson",
    "rademacher",
    "randint",
    "rayleigh",
    "shuffle",
    "split",
    "t",
    "truncated_normal",
    "uniform",
    "weibull",
]
