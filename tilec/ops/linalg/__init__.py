"""Floor 5: linear algebra over the last two axes; all others are batches."""

from tilec.ops.linalg.decompositions import cholesky, qr, svd
from tilec.ops.linalg.norms import norm
from tilec.ops.linalg.systems import inv, pinv
from tilec.ops.linalg.triangular import solve_triangular

__all__ = ["cholesky", "inv", "norm", "pinv", "qr", "solve_triangular", "svd"]
