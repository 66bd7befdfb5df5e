"""Floor 5: norms of vectors and matrices."""

from __future__ import annotations

from math import inf
from typing import Any

from tilec.errors import error
from tilec.numpy.axes import axes_of
from tilec.numpy.elementwise import abs, not_equal, where
from tilec.numpy.reductions import max_or_zero, min, sum
from tilec.numpy.shapes import expand_dims, moveaxis
from tilec.ops.linalg.decompositions import singular_values
from tilec.ops.linalg.matrices import floats
from tilec.tracing.dispatch import operation
from tilec.tracing.elementwise import apply, as_dtype
from tilec.tracing.tensor import Tensor

_HELP = "of a vector any number, inf or -inf; of a matrix 'fro', 'nuc', 1, -1, 2, -2, inf or -inf"


@operation
def norm(x: Any, /, ord: Any = None, axis: Any = None, *, keepdims: bool = False) -> Any:
    """The norm of vectors along one axis, or of matrices along two, as NumPy's `linalg.norm`.

    Without `ord` it is the root of the sum of squares, over all axes unless some are given. Without `axis`, but with
    `ord`, x is a vector or a matrix. Its gradient where all elements are 0 is 0. The matrix norms 2, -2 and 'nuc' are
    of singular values, by NumPy. Raises TILE0202, TILE0204, TILE0212, and TILE0403 for the least of no elements, the
    norms -inf, -1 and -2.
    """
    tensor, wanted = floats(x)
    if isinstance(ord, bool):
        raise error("TILE0204", f"there is no norm of order {ord!r}", help=_HELP)
    if axis is None and ord is not None and tensor.ndim not in (1, 2):
        raise error("TILE0202", f"a norm of order {ord!r} of a tensor of rank {tensor.ndim} needs an axis, or two")
    axes = axes_of(axis, tensor.ndim)
    if ord is None:
        found = _euclidean(tensor, axes)
    elif len(axes) == 1:
        found = _of_vectors(tensor, ord, axes[0])
    elif len(axes) == 2:
        found = _of_matrices(tensor, ord, axes)
    else:
        raise error("TILE0212", f"a norm is taken along one axis, or two, not along {len(axes)}")
    return as_dtype(expand_dims(found, tuple(sorted(axes))) if keepdims else found, wanted)


def _euclidean(x: Tensor, axes: tuple[int, ...]) -> Any:
    return _root(sum(x * x, axes))


def _root(squares: Any) -> Any:
    """The square root, with the derivative 0 at 0."""
    some = not_equal(squares, 0)
    return where(some, apply("sqrt", where(some, squares, 1)), 0)


def _of_vectors(x: Tensor, order: Any, axis: int) -> Any:
    if not isinstance(order, int | float):
        raise error("TILE0204", f"there is no norm of vectors of order {order!r}", help=_HELP)
    match order:
        case 2:
            return _euclidean(x, (axis,))
        case 1:
            return sum(abs(x), axis)
        case 0:
            return sum(as_dtype(not_equal(x, 0), x.type.dtype), axis)
        case _ if order in (inf, -inf):
            return (max_or_zero if order > 0 else min)(abs(x), axis)
        case _:
            powers = sum(apply("pow", abs(x), float(order)), axis)
            some = not_equal(powers, 0)  # where powers are too small for the type, the derivative is 0, too
            return where(some, apply("pow", where(some, powers, 1), 1 / order), 0 if order > 0 else inf)


def _of_matrices(x: Tensor, order: Any, axes: tuple[int, ...]) -> Any:
    rows, columns = axes
    match order:
        case "fro":
            return _euclidean(x, axes)
        case 1 | -1:
            pass
        case _ if order in (inf, -inf):
            rows, columns = columns, rows
        case "nuc" | 2 | -2:
            values = singular_values(moveaxis(x, axes, (-2, -1)))
            return sum(values, -1) if order == "nuc" else (max_or_zero if order > 0 else min)(values, -1)
        case _:
            raise error("TILE0204", f"there is no norm of matrices of order {order!r}", help=_HELP)
    sums = sum(abs(x), rows)
    return (max_or_zero if order > 0 else min)(sums, columns - (columns > rows))
