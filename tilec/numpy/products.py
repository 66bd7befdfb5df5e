"""Floor 5: products of matrices, vectors and tensors, each a contraction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tilec.affine import Affine, Size
from tilec.errors import error
from tilec.numpy.axes import axes_of, axis_of, whole
from tilec.numpy.einstein import contracted, product
from tilec.numpy.shapes import expand_dims, moveaxis, reshape, roll, squeeze
from tilec.rules import broadcast, shape_text
from tilec.tracing.contraction import contraction, element, variables
from tilec.tracing.dispatch import lift, operation
from tilec.tracing.elementwise import alike


@operation
def matmul(x1: Any, x2: Any, /) -> Any:
    """The matrix product of the last two axes, with broadcasting of the others; a vector is a row, or a column."""
    a, b = alike([lift(x1), lift(x2)])
    if a.ndim == 0 or b.ndim == 0:
        raise error("TILE0202", "matmul takes tensors of rank 1 or more; multiply numbers with *")
    first, second = a.type.shape, b.type.shape
    left, right = (1, *first) if a.ndim == 1 else first, (*second, 1) if b.ndim == 1 else second
    if left[-1] != right[-2]:
        text = f"shapes {shape_text(first)} and {shape_text(second)}: {left[-1]} columns, {right[-2]} rows"
        raise error("TILE0203", text)
    batch = broadcast([left[:-2], right[:-2]])
    names, forms = variables(len(batch))
    m, n, k = (Affine.var(v) for v in "mnk")
    body = product(
        [
            element(a, [*_aligned(forms, left[:-2]), m, k][a.ndim == 1 :] if a.ndim > 1 else [k]),
            element(b, [*_aligned(forms, right[:-2]), k, n] if b.ndim > 1 else [k]),
        ]
    )
    sink = [*forms, *([m] if a.ndim > 1 else []), *([n] if b.ndim > 1 else [])]
    shape = [*batch, *([left[-2]] if a.ndim > 1 else []), *([right[-1]] if b.ndim > 1 else [])]
    used = [*names, *("m" if a.ndim > 1 else ""), *("n" if b.ndim > 1 else ""), "k"]
    return contraction("sum", used, body, sink, shape, stem="matmul")


def _aligned(forms: Sequence[Affine], shape: Sequence[Size]) -> list[Affine]:
    """Index forms of an operand's batch axes: 0 along those of size 1."""
    own = forms[len(forms) - len(shape) :]
    return [Affine.constant(0) if n == 1 else f for f, n in zip(own, shape, strict=True)]


@operation
def tensordot(x1: Any, x2: Any, /, axes: Any = 2) -> Any:
    """Sums of products over axes of both: the last of x1 and the first of x2, or two lists of axes."""
    a, b = lift(x1), lift(x2)
    if isinstance(axes, tuple | list):
        if len(axes) != 2:
            raise error("TILE0204", f"tensordot takes a pair of lists of axes, not {axes!r}")
        first, second = axes_of(axes[0], a.ndim), axes_of(axes[1], b.ndim)
    else:
        count = whole(axes, "the number of axes")
        if not 0 <= count <= min(a.ndim, b.ndim):
            raise error("TILE0212", f"tensors of rank {a.ndim} and {b.ndim} do not have {count} axes in common")
        first, second = tuple(range(a.ndim - count, a.ndim)), tuple(range(count))
    if len(first) != len(second):
        raise error("TILE0204", f"{len(first)} axes are paired with {len(second)}")
    if [a.type.shape[k] for k in first] != [b.type.shape[k] for k in second]:
        shapes = shape_text(a.type.shape), shape_text(b.type.shape)
        raise error("TILE0203", f"axes {first} of {shapes[0]} and {second} of {shapes[1]} differ in size")
    left = [f"a{k}" for k in range(a.ndim)]
    right = [left[first[second.index(k)]] if k in second else f"b{k}" for k in range(b.ndim)]
    kept = [n for k, n in enumerate(left) if k not in first] + [n for k, n in enumerate(right) if k not in second]
    return contracted([(a, tuple(left)), (b, tuple(right))], kept)


@operation
def outer(x1: Any, x2: Any, /) -> Any:
    """All products of an element of x1 and one of x2."""
    a, b = reshape(x1, -1), reshape(x2, -1)
    return contracted([(a, ("i",)), (b, ("j",))], "ij")


@operation
def vecdot(x1: Any, x2: Any, /, *, axis: int = -1) -> Any:
    """Sums of products along one axis, with broadcasting."""
    from tilec.numpy.elementwise import multiply
    from tilec.numpy.reductions import sum

    return sum(multiply(x1, x2), axis)


@operation
def dot(x1: Any, x2: Any, /) -> Any:
    """NumPy's: sums of products over the last axis of x1 and the last but one of x2 (its only one); of numbers the
    product. Unlike `matmul`, it does not pair the other axes.
    """
    a, b = lift(x1), lift(x2)
    return tensordot(a, b, 0) if a.ndim == 0 or b.ndim == 0 else tensordot(a, b, (-1, max(b.ndim - 2, 0)))


@operation
def inner(x1: Any, x2: Any, /) -> Any:
    """Sums of products over the last axes of both; of numbers the product."""
    a, b = lift(x1), lift(x2)
    return tensordot(a, b, 0) if a.ndim == 0 or b.ndim == 0 else tensordot(a, b, (-1, -1))


@operation
def vdot(x1: Any, x2: Any, /) -> Any:
    """The sum of all products of elements in the same place of two tensors, flattened first."""
    return tensordot(reshape(x1, -1), reshape(x2, -1), 1)


@operation
def matvec(x1: Any, x2: Any, /) -> Any:
    """Matrices times vectors, with broadcasting of all axes before. Raises TILE0202, TILE0203."""
    a, b = lift(x1), lift(x2)
    _of_ranks(a, 2, b, 1)
    return squeeze(matmul(a, expand_dims(b, -1)), -1)


@operation
def vecmat(x1: Any, x2: Any, /) -> Any:
    """Vectors times matrices, with broadcasting of all axes before. Raises TILE0202, TILE0203."""
    a, b = lift(x1), lift(x2)
    _of_ranks(a, 1, b, 2)
    return squeeze(matmul(expand_dims(a, -2), b), -2)


def _of_ranks(a: Any, first: int, b: Any, second: int) -> None:
    if a.ndim < first or b.ndim < second:
        text = f"ranks of {first} and {second} or more are multiplied, not of {a.ndim} and {b.ndim}"
        raise error("TILE0202", text)


@operation
def kron(x1: Any, x2: Any, /) -> Any:
    """Kronecker's product: x2 in place of each element of x1, times that element."""
    a, b = lift(x1), lift(x2)
    rank = max(a.ndim, b.ndim)
    first, second = ((1,) * (rank - t.ndim) + t.type.shape for t in (a, b))
    left, right = reshape(a, first), reshape(b, second)
    rows, columns = [f"a{k}" for k in range(rank)], [f"b{k}" for k in range(rank)]
    both = contracted([(left, tuple(rows)), (right, tuple(columns))], [n for pair in zip(rows, columns) for n in pair])
    return reshape(both, tuple(m * n for m, n in zip(first, second)))


@operation
def cross(x1: Any, x2: Any, /, axis: int = -1) -> Any:
    """The vector product along an axis of size 3 of both, with broadcasting of the others.

    Raises TILE0202, TILE0203, TILE0212.
    """
    a, b = lift(x1), lift(x2)
    if a.ndim == 0 or b.ndim == 0:
        raise error("TILE0202", "cross takes tensors of rank 1 or more")
    along = axis_of(axis, a.ndim), axis_of(axis, b.ndim)
    sizes = a.type.shape[along[0]], b.type.shape[along[1]]
    if sizes != (3, 3):
        raise error("TILE0203", f"the vector product is of vectors of 3 elements, not of {sizes[0]} and {sizes[1]}")
    left, right = moveaxis(a, along[0], -1), moveaxis(b, along[1], -1)
    found = _turned(left, 1) * _turned(right, 2) - _turned(left, 2) * _turned(right, 1)
    return moveaxis(found, -1, axis)


def _turned(x: Any, by: int) -> Any:
    return roll(x, -by, axis=-1)
