"""Floor 5: eigenvalues, and triangles of matrices with their rows exchanged; by NumPy."""

from __future__ import annotations

from typing import Any

from tilec.dtypes import I32
from tilec.numpy.creation import arange, tril, triu
from tilec.numpy.elementwise import where
from tilec.numpy.products import matmul
from tilec.numpy.shapes import expand_dims
from tilec.ops.linalg.decompositions import diagonal
from tilec.ops.linalg.matrices import identity, matrices, turned
from tilec.ops.linalg.triangular import substituted
from tilec.tracing.custom import custom_gradient
from tilec.tracing.dispatch import operation
from tilec.tracing.elementwise import as_dtype
from tilec.tracing.host import host_call


@operation
def eigh(x: Any, /) -> Any:
    """The pair (values, vectors) of symmetric matrices: eigenvalues, ascending, and orthonormal columns.

    Only the lower triangle of x is read; the derivative is spread over both. That of vectors is not finite where two
    eigenvalues are equal. Raises TILE0202, TILE0203.
    """
    matrix, wanted = matrices("eigh", x, square=True)
    values, vectors = _eigh(matrix)
    return as_dtype(values, wanted), as_dtype(vectors, wanted)


@custom_gradient
def _eigh(a: Any) -> Any:
    return tuple(host_call("eigh", [a], [(a.type.dtype, a.type.shape[:-1]), (a.type.dtype, a.type.shape)]))


@_eigh.defgrad
def _eigh_gradient(args: Any, result: Any, cotangent: Any) -> Any:
    """M. Giles, An extended collection of matrix derivative results for forward and reverse mode AD, 2008, 3.1."""
    (w, u), (gw, gu) = result, cotangent
    one = identity(w)
    distances = expand_dims(w, -2) - expand_dims(w, -1) + one
    inner = diagonal(gw) + (1 / distances - one) * matmul(turned(u), gu)
    found = matmul(u, matmul(inner, turned(u)))
    return (found + turned(found)) / 2


@operation
def eig(x: Any, /) -> Any:
    """Eigenvalues and right eigenvectors of any square matrices, both as pairs of real and imaginary parts:
    ((values, their imaginary parts), (vectors, their imaginary parts)). In the order of LAPACK; they have no
    derivative. Raises TILE0202, TILE0203."""
    matrix, wanted = matrices("eig", x, square=True)
    shape, dtype = matrix.type.shape, matrix.type.dtype
    found = host_call("eig", [matrix], [(dtype, s) for s in (shape[:-1], shape[:-1], shape, shape)])
    real, imaginary, vectors, imaginary_vectors = (as_dtype(part, wanted) for part in found)
    return (real, imaginary), (vectors, imaginary_vectors)


@operation
def lu_factor(x: Any, /) -> Any:
    """The pair (lu, pivots): x with its rows exchanged as a product of a lower triangle, with ones on its diagonal, and
    an upper one, both in `lu`; pivots[k], int32, is the row that row k was exchanged with, one after the other.

    The derivative is there for square matrices. Raises TILE0202.
    """
    matrix, wanted = matrices("lu_factor", x)
    square = matrix.type.shape[-1] == matrix.type.shape[-2]
    lu, pivots, _ = (_lu if square else _factored)(matrix)
    return as_dtype(lu, wanted), pivots


def _factored(a: Any) -> Any:
    *batch, m, n = a.type.shape
    return tuple(host_call("lu", [a], [(a.type.dtype, (*batch, m, n)), (I32, (*batch, min(m, n))), (I32, (*batch, m))]))


@custom_gradient
def _lu(a: Any) -> Any:
    return _factored(a)


@_lu.defgrad
def _lu_gradient(args: Any, result: Any, cotangent: Any) -> Any:
    """F. de Hoog, R. Anderssen and M. Lukas, Differentiation of matrix functionals using triangular factorization,
    Math. of Comp. 80 (2011); transposed: pᵀ l⁻ᵀ (tril(lᵀ gl) + triu(gu uᵀ)) u⁻ᵀ."""
    (lu, _, rows), g = result, cotangent[0]
    lower, upper = tril(lu, k=-1) + identity(lu), triu(lu)
    inner = tril(matmul(turned(lower), tril(g, k=-1)), k=-1) + triu(matmul(triu(g), turned(upper)))
    left = substituted(turned(lower), inner, True)
    both = turned(substituted(upper, turned(left), True))
    order = where(expand_dims(rows, -1) == arange(lu.shape[-1], dtype="int32"), 1, 0)
    return matmul(turned(as_dtype(order, lu.type.dtype)), both)
