"""Floor 5: continuous distributions beside the normal and uniform ones: by inversion, or from normal and gamma numbers.

Scales and places are the caller's: `place + scale * laplace(key, 0, shape)`, which is differentiable by both.
"""

from __future__ import annotations

from math import pi
from typing import Any

from tilec.dtypes import BF16, F16, F32, F64, U64, DType
from tilec.errors import error
from tilec.numpy.axes import shape_of
from tilec.numpy.creation import asarray
from tilec.numpy.elementwise import where
from tilec.numpy.products import matmul
from tilec.numpy.reductions import softmax
from tilec.numpy.shapes import broadcast_to, expand_dims, squeeze
from tilec.random.gamma import gamma, log_gamma_numbers
from tilec.random.normal import drawn
from tilec.random.streams import blocks, fold_in
from tilec.rules import broadcast, shape_text
from tilec.tracing.dispatch import lift, operation
from tilec.tracing.elementwise import apply, as_dtype, as_float, dtype_of
from tilec.tracing.tensor import Tensor

# --- by inversion -----------------------------------------------------------------------------------------------------


def above_zero(key: Any, offset: Any, shape: Any, dtype: DType) -> tuple[Any, Any]:
    """Uniform numbers in (0, 1], small ones with all their digits, of float32 or float64, and whether a bit is set."""
    block = blocks(key, offset, shape, U64)
    share = (as_dtype(apply("bit_right", block, 1), dtype) + 1.0) * 2.0**-63
    return apply("min", share, 1), apply("cmp_ne", apply("bit_and", block, 1), 0)


def _wide(dtype: Any) -> tuple[DType, DType]:
    """The type of the result, and that of the computation. Raises TILE0301, TILE0303."""
    target = dtype_of(dtype)
    if not target.is_float:
        raise error("TILE0301", f"random numbers of this distribution are floats, not {target.long}")
    return target, F32 if target in (F16, BF16) else target


@operation(arrays=("offset",))
def exponential(key: Any, /, offset: Any = 0, shape: Any = (), dtype: Any = "float32") -> Any:
    """Exponential numbers of rate 1: -log u."""
    target, wide = _wide(dtype)
    return as_dtype(_exponential(key, offset, shape, wide), target)


def _exponential(key: Any, offset: Any, shape: Any, dtype: DType) -> Any:
    return apply("neg", apply("log", above_zero(key, offset, shape, dtype)[0]))


@operation(arrays=("offset",))
def rayleigh(key: Any, /, offset: Any = 0, shape: Any = (), dtype: Any = "float32") -> Any:
    """Rayleigh's numbers of scale 1, the lengths of vectors of two normal numbers: sqrt(-2 log u)."""
    target, wide = _wide(dtype)
    return as_dtype(apply("sqrt", 2 * _exponential(key, offset, shape, wide)), target)


@operation(arrays=("offset",))
def gumbel(key: Any, /, offset: Any = 0, shape: Any = (), dtype: Any = "float32") -> Any:
    """Gumbel's numbers, -log(-log(1 - u)), whose distribution function is exp(-exp(-x))."""
    target, wide = _wide(dtype)
    share = above_zero(key, offset, shape, wide)[0]
    below_one = apply("min", share, 1 - 2.0 ** -(53 if wide == F64 else 24))
    return as_dtype(-apply("log", -apply("log1p", -below_one)), target)


@operation(arrays=("offset",))
def laplace(key: Any, /, offset: Any = 0, shape: Any = (), dtype: Any = "float32") -> Any:
    """Laplace's numbers of scale 1: exponential ones with a random sign."""
    return _signed(key, offset, shape, dtype, lambda u: -apply("log", u))


@operation(arrays=("offset",))
def logistic(key: Any, /, offset: Any = 0, shape: Any = (), dtype: Any = "float32") -> Any:
    """Logistic numbers, whose distribution function is the sigmoid: log((2 - u) / u) with a random sign."""
    return _signed(key, offset, shape, dtype, lambda u: apply("log", (2 - u) / u))


@operation(arrays=("offset",))
def cauchy(key: Any, /, offset: Any = 0, shape: Any = (), dtype: Any = "float32") -> Any:
    """Cauchy's numbers of scale 1, which have no mean: cot(pi u / 2) with a random sign."""
    return _signed(key, offset, shape, dtype, lambda u: apply("cos", u * (pi / 2)) / apply("sin", u * (pi / 2)))


def _signed(key: Any, offset: Any, shape: Any, dtype: Any, size: Any) -> Any:
    """Numbers of a symmetric distribution, from u the size of each: both tails are as long."""
    target, wide = _wide(dtype)
    share, minus = above_zero(key, offset, shape, wide)
    found = size(share)
    return as_dtype(where(minus, -found, found), target)


@operation(arrays=("offset", "concentration"))
def weibull(key: Any, /, offset: Any = 0, concentration: Any = 1.0, shape: Any = None) -> Any:
    """Weibull's numbers of scale 1 and a concentration k > 0, NaN else: (-log u) ** (1 / k), in k's type and of its
    shape unless another is given, to which k broadcasts. Differentiable by k.
    """
    k, target = _parameter(concentration, shape)
    size = _exponential(key, offset, k.shape, k.type.dtype)
    found = apply("pow", size, 1 / where(k > 0, k, 1))
    return as_dtype(_valid(k > 0, found), target)


@operation(arrays=("offset", "b"))
def pareto(key: Any, /, offset: Any = 0, b: Any = 1.0, shape: Any = None) -> Any:
    """Pareto's numbers, 1 or more, of a shape parameter b > 0, NaN else: u ** (-1 / b). Shapes, types, the derivative
    as for `weibull`.
    """
    k, target = _parameter(b, shape)
    found = apply("exp", _exponential(key, offset, k.shape, k.type.dtype) / where(k > 0, k, 1))
    return as_dtype(_valid(k > 0, found), target)


def _parameter(given: Any, shape: Any) -> tuple[Tensor, DType]:
    """A parameter in float32 or float64, repeated to the shape of the result, and the type of that."""
    tensor = as_float(lift(given))
    target = tensor.type.dtype
    wide = as_dtype(tensor, F32 if target in (F16, BF16) else target)
    return wide if shape is None else broadcast_to(wide, shape), target


def _valid(condition: Any, found: Any) -> Any:
    return where(condition, found, float("nan"))


# --- from normal numbers ----------------------------------------------------------------------------------------------


@operation(arrays=("offset", "sigma"))
def lognormal(key: Any, /, offset: Any = 0, sigma: Any = 1.0, shape: Any = None) -> Any:
    """Numbers whose logarithms are normal, of mean 0 and standard deviation sigma. Shapes, types and the derivative as
    for `weibull`.
    """
    scale, target = _parameter(sigma, shape)
    return as_dtype(apply("exp", scale * drawn(key, offset, scale.shape, scale.type.dtype)), target)


@operation(arrays=("offset", "mean", "covariance"))
def multivariate_normal(
    key: Any, /, offset: Any = 0, mean: Any = (0.0,), covariance: Any = ((1.0,),), shape: Any = None
) -> Any:
    """Normal vectors of means [..., n] and covariances [..., n, n], which are positive definite: mean + l z, for the
    lower triangle l of `tilec.ops.cholesky`, a host call. `shape` is that of all axes but the last; by default the one
    that means and covariances have together. Differentiable by both.

    Raises TILE0202, TILE0203, and TILE0420 where a covariance is not positive definite.
    """
    from tilec.ops.linalg import cholesky

    middle, spread = as_float(asarray(mean)), as_float(asarray(covariance))
    if middle.ndim < 1 or spread.ndim < 2:
        raise error("TILE0202", f"means of rank {middle.ndim} and covariances of rank {spread.ndim}: vectors, matrices")
    count = middle.type.shape[-1]
    if spread.type.shape[-2:] != (count, count):
        text = f"{shape_text(middle.type.shape)} means and {shape_text(spread.type.shape)} covariances"
        raise error("TILE0203", text)
    together = broadcast([middle.type.shape[:-1], spread.type.shape[:-2]])
    batch = together if shape is None else shape_of(shape)
    target = (middle + spread[..., 0]).type.dtype if count else middle.type.dtype
    wide = F32 if target in (F16, BF16) else target
    z = drawn(key, offset, (*batch, count), wide)
    moved = matmul(cholesky(as_dtype(spread, wide)), expand_dims(z, -1))
    return as_dtype(as_dtype(middle, wide) + squeeze(moved, -1), target)


# --- from gamma numbers -----------------------------------------------------------------------------------------------


@operation(arrays=("offset", "df"))
def chisquare(key: Any, /, offset: Any = 0, df: Any = 1.0, shape: Any = None) -> Any:
    """Sums of squares of `df` normal numbers, df > 0: twice gamma numbers of df / 2; see `gamma` for shapes, types and
    the derivative.
    """
    return 2 * gamma(key, offset, as_float(lift(df)) / 2, shape)


@operation(arrays=("offset", "df"))
def t(key: Any, /, offset: Any = 0, df: Any = 1.0, shape: Any = None) -> Any:
    """Student's numbers of `df` > 0 degrees of freedom: normal ones over the root of `chisquare` numbers over df."""
    free, target = _parameter(df, shape)
    size = log_gamma_numbers(fold_in(lift(key), 1), offset, free / 2)
    scale = apply("exp", (apply("log", where(free > 0, free, 1) / 2) - size) / 2)
    return as_dtype(scale * drawn(fold_in(lift(key), 0), offset, free.shape, free.type.dtype), target)


@operation(arrays=("offset", "alpha"))
def dirichlet(key: Any, /, offset: Any = 0, alpha: Any = (1.0,), shape: Any = None) -> Any:
    """Vectors of numbers above 0 whose sum is 1, of the parameters alpha > 0 along the last axis: gamma numbers over
    their sum. `shape` is that of all axes but the last. The derivative is that of `gamma`. Raises TILE0202.
    """
    given = as_float(asarray(alpha))
    if given.ndim == 0:
        raise error("TILE0202", "dirichlet takes parameters along a last axis, not a number")
    full = None if shape is None else (*shape_of(shape), given.type.shape[-1])
    wide, target = _parameter(given, full)
    logs = log_gamma_numbers(key, offset, wide)
    return as_dtype(softmax(logs, axis=-1), target)
