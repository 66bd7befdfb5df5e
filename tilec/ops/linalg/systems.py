"""Floor 5: inverses and determinants of matrices, systems of equations."""

from __future__ import annotations

from typing import Any

import numpy as np

from tilec.dtypes import I32
from tilec.numpy.axes import number
from tilec.numpy.creation import tril
from tilec.numpy.elementwise import stop_gradient, where
from tilec.numpy.products import matmul
from tilec.numpy.reductions import max_or_zero, prod, sum
from tilec.numpy.shapes import broadcast_to, expand_dims
from tilec.ops.linalg.decompositions import decomposed, singular_values
from tilec.ops.linalg.matrices import identity, matrices, solved, turned
from tilec.ops.linalg.triangular import substituted
from tilec.tracing.custom import custom_gradient
from tilec.tracing.dispatch import operation
from tilec.tracing.elementwise import as_dtype
from tilec.tracing.host import host_call


@operation
def inv(x: Any, /) -> Any:
    """The inverse matrix. Raises TILE0202, TILE0203, and TILE0420 where there is none."""
    matrix, wanted = matrices("inv", x, square=True)
    return as_dtype(host_call("inv", [matrix], [(matrix.type.dtype, matrix.type.shape)])[0], wanted)


@operation
def solve(a: Any, b: Any, /) -> Any:
    """The x with a x = b, for square matrices a. b is a vector or holds matrices, whose columns are solved for.

    Raises TILE0202, TILE0203, and TILE0420 where a is singular.
    """
    left, wanted = matrices("solve", a, square=True)
    return as_dtype(solved("solve", left, b, _solved), wanted)


def _solved(a: Any, b: Any) -> Any:
    return host_call("solve", [a, b], [(b.type.dtype, b.type.shape)])[0]


@operation
def lstsq(a: Any, b: Any, /, *, rtol: float | None = None) -> Any:
    """The x with the least |a x - b|, and of these the shortest: pinv(a) b. b is a vector or holds matrices.

    `rtol` as in `pinv`. Raises TILE0202, TILE0203, TILE0210.
    """
    left, wanted = matrices("lstsq", a)
    share = cutoff(left, rtol)
    return as_dtype(solved("lstsq", left, b, lambda a, b: matmul(_pinv(a, share), b)), wanted)


@operation
def cholesky_inverse(x: Any, /, *, upper: bool = False) -> Any:
    """The inverse of l lᵀ, for a lower triangle l, or of uᵀ u for an `upper` one: of the matrix that `cholesky` was
    taken of. Raises TILE0202, TILE0203."""
    matrix, wanted = matrices("cholesky_inverse", x, square=True)
    lower = tril(turned(matrix) if upper else matrix)
    half = substituted(lower, broadcast_to(identity(matrix), matrix.type.shape), False)
    return as_dtype(matmul(turned(half), half), wanted)


@operation
def matrix_rank(x: Any, /, *, rtol: float | None = None) -> Any:
    """How many singular values are above `rtol` times the largest, int32; by default as in `pinv`. Raises TILE0202."""
    matrix, _ = matrices("matrix_rank", x)
    values = stop_gradient(singular_values(matrix))
    top = max_or_zero(values, axis=-1, keepdims=True)
    return sum(as_dtype(values > cutoff(matrix, rtol) * top, I32), -1)


# --- determinants -----------------------------------------------------------------------------------------------------


@operation
def slogdet(x: Any, /) -> Any:
    """The pair (sign, log |det|) of square matrices; (0, -inf) of singular ones, where there is no derivative.

    Raises TILE0202, TILE0203.
    """
    matrix, wanted = matrices("slogdet", x, square=True)
    return tuple(as_dtype(part, wanted) for part in _slogdet(matrix))


@custom_gradient
def _slogdet(a: Any) -> Any:
    shape = a.type.shape[:-2]
    return tuple(host_call("slogdet", [a], [(a.type.dtype, shape), (a.type.dtype, shape)]))


@_slogdet.defgrad
def _slogdet_gradient(args: Any, result: Any, cotangent: Any) -> Any:
    """M. Giles, as `passes.differentiate.host`, section 2.2.4."""
    (a,) = args
    return turned(host_call("inv", [a], [(a.type.dtype, a.type.shape)])[0]) * _spread(cotangent[1])


@operation
def det(x: Any, /) -> Any:
    """The determinants of square matrices; the derivative holds at singular ones too. Raises TILE0202, TILE0203."""
    matrix, wanted = matrices("det", x, square=True)
    return as_dtype(_det(matrix), wanted)


@custom_gradient
def _det(a: Any) -> Any:
    return host_call("det", [a], [(a.type.dtype, a.type.shape[:-2])])[0]


@_det.defgrad
def _det_gradient(args: Any, result: Any, g: Any) -> Any:
    return _cofactors(args[0]) * _spread(g)


@custom_gradient
def _cofactors(a: Any) -> Any:
    """det(a) a⁻ᵀ, which is there for singular matrices too: det(u vᵀ) u diag(products of other s) vᵀ, by singular
    values s."""
    u, s, vt = decomposed(a)
    others = prod(where(identity(s) != 0, 1, expand_dims(s, -2)), -1)
    sign, _ = _slogdet(matmul(u, vt))
    return matmul(u * expand_dims(others, -2), vt) * _spread(sign)


@_cofactors.defgrad
def _cofactors_gradient(args: Any, c: Any, g: Any) -> Any:
    """Of regular matrices a, of which it is det(a) a⁻ᵀ."""
    (a,) = args
    inverse = turned(host_call("inv", [a], [(a.type.dtype, a.type.shape)])[0])
    return inverse * _spread(sum(g * c, (-2, -1))) - matmul(inverse, matmul(turned(g), c))


def _spread(x: Any) -> Any:
    """Numbers as matrices of one element."""
    return expand_dims(x, (-2, -1))


# --- inverses of what has none ----------------------------------------------------------------------------------------


@operation
def pinv(x: Any, /, *, rtol: float | None = None) -> Any:
    """The inverse of E. H. Moore and R. Penrose, by singular values; those below `rtol` times the largest count as 0.

    rtol: the larger size times the distance of floats at 1, unless given. The derivative is that at a constant rank.
    Raises TILE0202, TILE0210.
    """
    matrix, wanted = matrices("pinv", x)
    return as_dtype(_pinv(matrix, cutoff(matrix, rtol)), wanted)


def cutoff(x: Any, rtol: float | None) -> float:
    """The share of the largest singular value below which others count as 0."""
    return max(x.shape[-2:]) * float(np.finfo(x.type.dtype.numpy).eps) if rtol is None else number(rtol, "rtol")


@custom_gradient
def _pinv(a: Any, rtol: Any) -> Any:
    u, s, vt = decomposed(a)
    some = s > rtol * max_or_zero(s, axis=-1, keepdims=True)
    inverse = where(some, 1 / where(some, s, 1), 0)
    return matmul(turned(vt) * expand_dims(inverse, -2), turned(u))


@_pinv.defgrad
def _pinv_gradient(args: Any, p: Any, g: Any) -> Any:
    """G. Golub and V. Pereyra, The differentiation of pseudo-inverses and nonlinear least squares problems whose
    variables separate, SIAM J. Numer. Anal. 10 (1973), equation 4.12, transposed."""
    a, pt, gt = args[0], turned(p), turned(g)
    second = matmul(gt, matmul(p, pt))
    third = matmul(matmul(pt, p), gt)
    found = second - matmul(a, matmul(p, second)) + third - matmul(matmul(third, p), a)
    return found - matmul(pt, matmul(g, pt)), None
