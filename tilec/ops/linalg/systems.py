"""Floor 5: inverses and determinants of matrices, systems of equations."""

from __future__ import annotations

from typing import Any

import numpy as np

from tilec.numpy.axes import number
from tilec.numpy.elementwise import negative, where
from tilec.numpy.products import matmul
from tilec.numpy.reductions import max as largest
from tilec.numpy.shapes import expand_dims
from tilec.ops.linalg.decompositions import decomposed
from tilec.ops.linalg.matrices import matrices, turned
from tilec.tracing.custom import custom_gradient
from tilec.tracing.dispatch import operation
from tilec.tracing.elementwise import as_dtype
from tilec.tracing.host import host_call


@operation
def inv(x: Any, /) -> Any:
    """The inverse matrix. Raises TILE0202, TILE0203, and TILE0420 where there is none."""
    matrix, wanted = matrices("inv", x, square=True)
    return as_dtype(_inv(matrix), wanted)


@custom_gradient
def _inv(a: Any) -> Any:
    return host_call("inv", [a], [(a.type.dtype, a.shape)])[0]


@_inv.defgrad
def _inv_gradient(args: Any, x: Any, g: Any) -> Any:
    """M. Giles, An extended collection of matrix derivative results for forward and reverse mode AD, 2008, 2.2.3."""
    return negative(matmul(turned(x), matmul(g, turned(x))))


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
    some = s > rtol * largest(s, axis=-1, keepdims=True)
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
