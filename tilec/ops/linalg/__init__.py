"""Floor 5: linear algebra over the last two axes; all others are batches."""

from tilec.ops.linalg.decompositions import cholesky, qr, svd
from tilec.ops.linalg.eigen import eig, eigh, lu_factor
from tilec.ops.linalg.norms import norm
from tilec.ops.linalg.powers import expm, matrix_power, multi_dot
from tilec.ops.linalg.systems import cholesky_inverse, det, inv, lstsq, matrix_rank, pinv, slogdet, solve
from tilec.ops.linalg.triangular import solve_triangular

__all__ = [
    "cholesky",
    "cholesky_inverse",
    "det",
    "eig",
    "eigh",
    "expm",
    "inv",
    "lstsq",
    "lu_factor",
    "matrix_power",
    "matrix_rank",
    "multi_dot",
    "norm",
    "pinv",
    "qr",
    "slogdet",
    "solve",
    "solve_triangular",
    "svd",
]
