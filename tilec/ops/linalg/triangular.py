"""Floor 5: systems of equations with triangular matrices."""

from __future__ import annotations

from typing import Any

from tilec.numpy.creation import arange, tril, triu, zeros_like
from tilec.numpy.elementwise import negative, where
from tilec.numpy.products import matmul
from tilec.numpy.reductions import sum
from tilec.numpy.shapes import expand_dims, moveaxis, squeeze
from tilec.ops.linalg.matrices import identity, matrices, solved, turned
from tilec.tracing.control import scan
from tilec.tracing.custom import custom_gradient
from tilec.tracing.dispatch import operation
from tilec.tracing.elementwise import as_dtype


@operation
def solve_triangular(
    a: Any, b: Any, /, *, lower: bool = False, transposed: bool = False, unit_diagonal: bool = False
) -> Any:
    """The x with a x = b, or with aᵀ x = b where `transposed`, for triangular matrices a.

    b is a vector or holds matrices, whose columns are solved for. Of a, only one triangle is read, the `lower` or the
    upper one, and not the diagonal where it is taken for ones. A zero on the diagonal divides by zero. By substitution,
    row after row. Raises TILE0202, TILE0203.
    """
    left, wanted = matrices("solve_triangular", a, square=True)
    part = tril if lower else triu
    inner = part(left, k=-1 if lower else 1) + identity(left) if unit_diagonal else part(left)
    upper = lower == bool(transposed)
    matrix = turned(inner) if transposed else inner
    return as_dtype(solved("solve_triangular", matrix, b, lambda t, y: substituted(t, y, upper)), wanted)


def substituted(t: Any, b: Any, upper: bool) -> Any:
    """The x with t x = b for triangular t, the zeros of which are there. Its derivative: M. Giles, An extended
    collection of matrix derivative results for forward and reverse mode AD, 2008, section 2.3.1."""
    return (_from_the_last if upper else _from_the_first)(t, b)


@custom_gradient
def _from_the_first(t: Any, b: Any) -> Any:
    return _forward(t, b, False)


@custom_gradient
def _from_the_last(t: Any, b: Any) -> Any:
    return _forward(t, b, True)


@_from_the_first.defgrad
def _lower_gradient(args: Any, x: Any, g: Any) -> Any:
    slope = _forward(turned(args[0]), g, True)
    return negative(tril(matmul(slope, turned(x)))), slope


@_from_the_last.defgrad
def _upper_gradient(args: Any, x: Any, g: Any) -> Any:
    slope = _forward(turned(args[0]), g, False)
    return negative(triu(matmul(slope, turned(x)))), slope


def _forward(t: Any, b: Any, upper: bool) -> Any:
    """Row after row; from the last one on where the matrix is `upper`."""
    rows, right = (moveaxis(x, -2, 0) for x in (t, b))
    places = arange(t.shape[-1], dtype="int32")

    def step(x: Any, given: Any) -> Any:
        row, y, i = given
        known = squeeze(matmul(expand_dims(row, -2), x), -2)
        pivot = sum(where(places == i, row, 0), -1)
        value = (y - known) / expand_dims(pivot, -1)
        return where(expand_dims(places == i, -1), expand_dims(value, -2), x), ()

    return scan(step, zeros_like(b), (rows, right, places), reverse=upper)[0]
