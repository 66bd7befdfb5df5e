"""Floor 5: diagonals of matrices, read and written, each a contraction."""

from __future__ import annotations

from typing import Any

from tilec.affine import Size
from tilec.errors import error
from tilec.exact.domain import fixed
from tilec.numpy.axes import axes_of, plus, whole
from tilec.numpy.reductions import sum
from tilec.numpy.shapes import moveaxis, reshape
from tilec.tracing.contraction import contraction, element, rearranged, variables
from tilec.tracing.dispatch import lift, operation
from tilec.tracing.tensor import Tensor


@operation
def diagonal(x: Any, /, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    """The elements [..., k, k + offset] of two axes, as a new last one; raises TILE0202, TILE0210, TILE0212."""
    tensor = lift(x)
    if tensor.ndim < 2:
        raise error("TILE0202", f"a tensor of rank {tensor.ndim} has no diagonal")
    axes, shift = axes_of((axis1, axis2), tensor.ndim), whole(offset, "an offset")
    tensor = moveaxis(tensor, axes, (-2, -1))
    *batch, rows, columns = tensor.type.shape
    _, (*others, place) = variables(len(batch) + 1)
    source = [*others, place + max(-shift, 0), place + max(shift, 0)]
    return rearranged(tensor, source, [*batch, _length(rows, columns, shift)], "diagonal")


@operation
def trace(x: Any, /, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    """The sum of a diagonal; see `diagonal`."""
    return sum(diagonal(x, offset, axis1, axis2), -1)


@operation
def diag(x: Any, /, k: int = 0) -> Any:
    """The diagonal k of a matrix, or a matrix of zeros with a vector for its diagonal; raises TILE0202."""
    tensor = lift(x)
    if tensor.ndim not in (1, 2):
        raise error("TILE0202", f"diag takes a vector or a matrix, not a tensor of rank {tensor.ndim}")
    return diagonal(tensor, k) if tensor.ndim == 2 else _matrix(tensor, whole(k, "a diagonal"))


@operation
def diagflat(x: Any, /, k: int = 0) -> Any:
    """A matrix of zeros with all elements, flattened, for its diagonal k."""
    return _matrix(reshape(x, -1), whole(k, "a diagonal"))


def _matrix(vector: Tensor, k: int) -> Tensor:
    names, (place,) = variables(1)
    size = plus(vector.type.shape[0], abs(k))
    sink = [place + max(-k, 0), place + max(k, 0)]
    return contraction("assign", names, element(vector, [place]), sink, (size, size), stem="diag")


def _length(rows: Size, columns: Size, offset: int) -> Size:
    """The number of elements of a diagonal."""
    if rows == columns and not offset:
        return rows
    height, width = (fixed(n, "a diagonal of a matrix that need not be square") for n in (rows, columns))
    return max(min(height + min(offset, 0), width - max(offset, 0)), 0)
