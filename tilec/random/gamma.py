"""Floor 5: gamma, beta and binomial numbers: by rejection, in loops that end when every element has its number.

A round has a stream of its own, so that an element depends on its own blocks alone, as with all random numbers.
"""

from __future__ import annotations

from math import inf, nan
from typing import Any

from tilec.dtypes import BF16, BOOL, F16, F32, F64, I32, DType
from tilec.errors import error
from tilec.numpy.creation import full, full_like, ones, zeros_like
from tilec.numpy.elementwise import clip, exp, isnan, sigmoid, sqrt, where
from tilec.numpy.elementwise import log_e as log
from tilec.numpy.reductions import any as some
from tilec.numpy.shapes import broadcast_to
from tilec.numpy.special import log_gamma_slope
from tilec.random.normal import drawn
from tilec.random.streams import fold_in, unit
from tilec.tracing.control import fori_loop, while_loop
from tilec.tracing.custom import custom_gradient
from tilec.tracing.dispatch import lift, operation
from tilec.tracing.elementwise import as_dtype, as_float

_LARGE = 1e4  # a shape parameter whose gamma numbers are nearly normal


@operation(arrays=("offset", "alpha"))
def gamma(key: Any, /, offset: Any = 0, alpha: Any = 1.0, shape: Any = None) -> Any:
    """Gamma numbers of shape parameters alpha > 0, of scale 1, in alpha's type; of alpha's shape unless another is
    given, to which alpha broadcasts. NaN where alpha is not above 0.

    By G. Marsaglia and W. W. Tsang, A simple method for generating gamma variables, 2000; for alpha < 1 a number of
    alpha + 1 times u^(1/alpha). The derivative by alpha, at a constant value of the distribution function, is implicit:
    M. Figurnov et al., Implicit reparameterization gradients, 2018.
    """
    given, wide = _parameters(alpha)
    return as_dtype(exp(log_gamma_numbers(key, offset, _spread(given, shape, wide))), given.type.dtype)


@operation(arrays=("offset", "a", "b"))
def beta(key: Any, /, offset: Any = 0, a: Any = 1.0, b: Any = 1.0, shape: Any = None) -> Any:
    """Beta numbers of the parameters a > 0 and b > 0, which broadcast: x / (x + y) of gamma numbers x and y, found from
    their logarithms. Differentiable by a and b, as `gamma`."""
    (first, wide), (second, other) = _parameters(a), _parameters(b)
    common = F64 if F64 in (wide, other) else F32
    whole = first + second if shape is None else None
    target = whole.shape if whole is not None else shape
    x, y = (
        log_gamma_numbers(fold_in(lift(key), k), offset, _spread(part, target, common))
        for k, part in enumerate((first, second))
    )
    return as_dtype(sigmoid(x - y), (first + second).type.dtype)


def _parameters(alpha: Any) -> tuple[Any, DType]:
    given = as_float(lift(alpha))
    return given, F32 if given.type.dtype in (F16, BF16) else given.type.dtype


def _spread(alpha: Any, shape: Any, dtype: DType) -> Any:
    wide = as_dtype(alpha, dtype)
    return wide if shape is None else broadcast_to(wide, shape)


@custom_gradient
def log_gamma_numbers(key: Any, offset: Any, alpha: Any) -> Any:
    """The logarithms of gamma numbers."""
    small = alpha < 1
    d = where(small, alpha + 1, alpha) - 1 / 3
    c = 1 / sqrt(9 * d)

    def more(state: Any) -> Any:
        return some(state[1])

    def again(state: Any) -> Any:
        turn, open_, found = state
        x = drawn(fold_in(key, 2 * turn + 1), offset, alpha.shape, alpha.type.dtype)
        u = _above_zero(fold_in(key, 2 * turn + 2), offset, alpha)
        root = 1 + c * x
        log_v = 3 * log(where(root > 0, root, 1))
        bound = x * x / 2 + d - d * exp(log_v) + d * log_v
        taken = open_ & (root > 0) & (log(u) < bound)
        return turn + 1, open_ & ~taken, where(taken, log(d) + log_v, found)

    valid = (alpha > 0) & (alpha < inf)  # of infinity no number would ever be taken
    start = (
        full((), 0, dtype="int32"),
        valid & ones(alpha.shape, "bool"),
        where(alpha == inf, inf, full_like(alpha, nan)),
    )
    found = while_loop(more, again, start)[2]
    boost = log(_above_zero(fold_in(key, 0), offset, alpha)) / where(small & valid, alpha, 1)
    return where(small, found + boost, found)


def _above_zero(key: Any, offset: Any, like: Any) -> Any:
    """Uniform numbers in (0, 1]."""
    dtype = like.type.dtype
    return unit(key, offset, like.shape, dtype) + 2.0 ** -(54 if dtype == F64 else 25)


@log_gamma_numbers.defgrad
def _log_gamma_gradient(args: Any, log_x: Any, g: Any) -> Any:
    return None, None, g * as_dtype(_slope(as_dtype(args[2], F64), as_dtype(log_x, F64)), g.type.dtype)


def _slope(a: Any, log_x: Any) -> Any:
    """d log x / da where P(a, x) stays the same, for the regularised incomplete gamma function P, in float64.

    P is x^a e^-x / gamma(a + 1) times the sum of x^n / (a + 1) ... (a + n), whose terms are differentiated one by one;
    for large a the expansion of E. A. Cornish and R. A. Fisher (1937).
    """
    near = where(a > _LARGE, 1, a)
    logs = where(a > _LARGE, 0, log_x)
    x = exp(logs)

    def more(state: Any) -> Any:
        n, term, _, slope, harmonic = state
        return some((term * harmonic > 1e-17 * slope) & (n < 3 * _LARGE)) | (n < 2)

    def add(state: Any) -> Any:
        n, term, total, slope, harmonic = state
        term, harmonic = term * x / (near + n), harmonic + 1 / (near + n)
        return n + 1, term, total + term, slope + term * harmonic, harmonic

    zero = zeros_like(x)
    _, _, total, slope, _ = while_loop(more, add, (full((), 1.0, dtype="float64"), zero + 1, zero + 1, zero, zero))
    exact = -((logs - log_gamma_slope(near + 1)) * total - slope) / near
    far, y = sqrt(where(a > _LARGE, a, 1)), exp(log_x)
    w = (y - a) / far
    z = w - (w * w - 1) / (3 * far)
    return where(a > _LARGE, (1 + z / (2 * far) - (z**3 - 7 * z) / (72 * far**3)) / y, exact)


# --- binomial numbers -------------------------------------------------------------------------------------------------

_FEW = 16  # trials that are made one by one


@operation(arrays=("offset", "count", "p"))
def binomial(key: Any, /, offset: Any = 0, count: Any = 1, p: Any = 0.5, shape: Any = None) -> Any:
    """How many of `count` trials succeed, each with probability p, int32; counts and probabilities broadcast, counts
    are taken into [0, 2^31 - 1] and p into [0, 1]; -1 where p is NaN. There is no derivative. Raises TILE0301
    of counts that are no integers.

    Exact, for the middle one of n uniform numbers is a beta number, which leaves half of the trials to be decided:
    L. Devroye, Non-Uniform Random Variate Generation, 1986, section X.4.3.
    """
    trials, chance = lift(count), as_dtype(as_float(lift(p)), F64)
    if not trials.type.dtype.is_integer or trials.type.dtype == BOOL:
        raise error("TILE0301", f"trials are counted by integers, not {trials.type.dtype.long}")
    target = (trials + as_dtype(zeros_like(chance), I32)).shape if shape is None else shape
    n = broadcast_to(_held(trials), target)
    q = broadcast_to(where(chance > 0, where(chance < 1, chance, 1.0), 0.0), target)
    start = full((), 0, dtype="int32"), n, q, n * 0
    turn, left, q, found = while_loop(_many, lambda state: _halved(key, offset, state), start)

    def trial(k: Any, known: Any) -> Any:
        u = unit(fold_in(lift(key), turn + 1 + k), offset, q.shape, F64)
        return known + where((u < q) & (k < left), 1, 0)

    return where(isnan(chance), -1, fori_loop(0, _FEW, trial, found))


def _held(trials: Any) -> Any:
    """Counts in int32, as many as it holds."""
    wide = trials.type.dtype.bits > 31 and trials.type.dtype != I32
    return as_dtype(clip(trials, 0, I32.max) if wide else trials, I32)


def _many(state: Any) -> Any:
    return some(state[1] > _FEW)


def _halved(key: Any, offset: Any, state: Any) -> Any:
    """Counts the trials below or above a middle one of n, where there are many."""
    turn, n, p, found = state
    many = n > _FEW
    middle = where(many, n - n // 2, 1)  # n + 1 may be too large
    b = beta(fold_in(lift(key), turn), offset, as_dtype(middle, F64), as_dtype(where(many, n, 1) - middle + 1, F64))
    below = b <= p
    rest = where(below, (p - b) / (1 - b), p / b)
    left = where(below, n - middle, middle - 1)
    return turn + 1, where(many, left, n), where(many, rest, p), found + where(many & below, middle, 0)
