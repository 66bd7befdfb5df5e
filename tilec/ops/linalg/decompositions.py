"""Floor 5: decompositions of matrices, by NumPy, with the derivatives that they have."""

from __future__ import annotations

from typing import Any

from tilec.errors import error
from tilec.numpy.creation import tril
from tilec.numpy.products import matmul
from tilec.numpy.shapes import concat, expand_dims
from tilec.ops.linalg.matrices import identity, matrices, turned
from tilec.ops.linalg.triangular import substituted
from tilec.tracing.custom import custom_gradient
from tilec.tracing.dispatch import operation
from tilec.tracing.elementwise import as_dtype
from tilec.tracing.host import host_call


@operation
def qr(x: Any, /, mode: str = "reduced") -> Any:
    """The pair (q, r) with x = q r: orthonormal columns q, and an upper triangle r.

    mode: "reduced" with min(m, n) columns, or "complete" with m, which has a derivative for m <= n only. Of the signs,
    those of LAPACK. Raises TILE0202, TILE0511.
    """
    matrix, wanted = matrices("qr", x)
    if mode not in ("reduced", "complete"):
        raise error("TILE0511", f"the mode of qr is 'reduced' or 'complete', not {mode!r}")
    m, n = matrix.shape[-2:]
    q, r = _qr_complete(matrix) if mode == "complete" and m > n else _qr(matrix)
    return as_dtype(q, wanted), as_dtype(r, wanted)


def _qr_complete(a: Any) -> Any:
    *batch, m, n = a.shape
    return host_call("qr_complete", [a], [(a.type.dtype, (*batch, m, m)), (a.type.dtype, (*batch, m, n))])


@custom_gradient
def _qr(a: Any) -> Any:
    *batch, m, n = a.shape
    k = min(m, n)
    return tuple(host_call("qr", [a], [(a.type.dtype, (*batch, m, k)), (a.type.dtype, (*batch, k, n))]))


@_qr.defgrad
def _qr_gradient(args: Any, result: Any, cotangent: Any) -> Any:
    """D. Roberts and L. Roberts, QR and LQ decomposition matrix backpropagation algorithms, arXiv 2009.10071."""
    (q, r), (gq, gr) = result, cotangent
    (a,), m = args, q.shape[-2]
    if r.shape[-1] <= m:
        return _of_tall(q, r, gq, gr)
    rest = a[..., m:]
    right = gr[..., m:]
    first = _of_tall(q, r[..., :m], gq + matmul(rest, turned(right)), gr[..., :m])
    return concat([first, matmul(q, right)], axis=-1)


def _of_tall(q: Any, r: Any, gq: Any, gr: Any) -> Any:
    """(gq + q copyltu(m)) r⁻ᵀ with m = r grᵀ - gqᵀ q, of which copyltu copies the lower triangle to the upper one."""
    m = matmul(r, turned(gr)) - matmul(turned(gq), q)
    symmetric = tril(m) + turned(tril(m, k=-1))
    return turned(substituted(r, turned(gq + matmul(q, symmetric)), True))


@operation
def svd(x: Any, /, *, full_matrices: bool = True, compute_uv: bool = True) -> Any:
    """The triple (u, s, vᵀ) with x = u diag(s) vᵀ, or s alone: singular values s, descending.

    full_matrices: whether u and v are square; then they have a derivative for square x only. That of u and v is not
    finite where two singular values are equal. Raises TILE0202.
    """
    matrix, wanted = matrices("svd", x)
    if not compute_uv:
        return as_dtype(singular_values(matrix), wanted)
    m, n = matrix.shape[-2:]
    found = _svd_full(matrix) if full_matrices and m != n else decomposed(matrix)
    return tuple(as_dtype(part, wanted) for part in found)


def _svd_full(a: Any) -> Any:
    *batch, m, n = a.shape
    dtype = a.type.dtype
    return host_call("svd_full", [a], [(dtype, (*batch, m, m)), (dtype, (*batch, min(m, n))), (dtype, (*batch, n, n))])


@custom_gradient
def decomposed(a: Any) -> Any:
    """The triple (u, s, vᵀ) of float matrices, with as many columns of u and v as there are singular values."""
    *batch, m, n = a.shape
    k, dtype = min(m, n), a.type.dtype
    return tuple(host_call("svd", [a], [(dtype, (*batch, m, k)), (dtype, (*batch, k)), (dtype, (*batch, k, n))]))


@decomposed.defgrad
def _svd_gradient(args: Any, result: Any, cotangent: Any) -> Any:
    """J. Townsend, Differentiating the singular value decomposition, 2016."""
    (u, s, vt), (gu, gs, gvt) = result, cotangent
    v, gv = turned(vt), turned(gvt)
    rows, columns = expand_dims(s, -2), expand_dims(s, -1)
    inverse = 1 / (rows * rows - columns * columns + identity(s)) - identity(s)
    first = matmul(inverse * _skew(matmul(turned(u), gu)), diagonal(s))
    second = matmul(diagonal(s), inverse * _skew(matmul(vt, gv)))
    inner = first + second + diagonal(gs)
    found = matmul(matmul(u, inner), vt)
    m, n, k = u.shape[-2], v.shape[-2], s.shape[-1]
    if m > k:
        rest = gu - matmul(u, matmul(turned(u), gu))
        found = found + matmul(rest / rows, vt)
    if n > k:
        rest = gvt - matmul(matmul(gvt, v), vt)
        found = found + matmul(u, rest / columns)
    return found


def _skew(x: Any) -> Any:
    return x - turned(x)


def diagonal(values: Any) -> Any:
    """Diagonal matrices."""
    return expand_dims(values, -1) * identity(values)


@custom_gradient
def singular_values(a: Any) -> Any:
    """The singular values of float matrices, descending, without their vectors."""
    *batch, m, n = a.shape
    return host_call("singular_values", [a], [(a.type.dtype, (*batch, min(m, n)))])[0]


@singular_values.defgrad
def _values_gradient(args: Any, result: Any, cotangent: Any) -> Any:
    u, _, vt = decomposed(args[0])
    return matmul(u * expand_dims(cotangent, -2), vt)


@operation
def cholesky(x: Any, /, *, upper: bool = False) -> Any:
    """The lower triangle l with x = l lᵀ, of symmetric and positive definite x, or the `upper` one, lᵀ.

    Only the lower triangle of x is read; the derivative is that of the symmetric matrix that it stands for, spread over
    both triangles. Raises TILE0202, TILE0203, and TILE0420 where x is not positive definite.
    """
    matrix, wanted = matrices("cholesky", x, square=True)
    found = as_dtype(_cholesky(matrix), wanted)
    return turned(found) if upper else found


@custom_gradient
def _cholesky(a: Any) -> Any:
    return host_call("cholesky", [a], [(a.type.dtype, a.shape)])[0]


@_cholesky.defgrad
def _cholesky_gradient(args: Any, lower: Any, g: Any) -> Any:
    """I. Murray, Differentiation of the Cholesky decomposition, arXiv 1602.07527, equation 9."""
    inner = tril(matmul(turned(lower), g))
    inner = inner - inner * identity(lower) / 2
    left = substituted(turned(lower), inner, True)
    found = turned(substituted(turned(lower), turned(left), True))
    return (found + turned(found)) / 2
