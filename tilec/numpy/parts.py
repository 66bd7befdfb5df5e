"""Floor 5: tensors taken apart and put together, as NumPy's older functions do."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from tilec.errors import error
from tilec.exact.domain import fixed
from tilec.numpy.axes import axis_of, count_of, whole
from tilec.numpy.creation import eye, ones, tril
from tilec.numpy.elementwise import where
from tilec.numpy.indexing import getitem_of
from tilec.numpy.joining import of_rank
from tilec.numpy.reductions import sum
from tilec.numpy.shapes import concat, flip, reshape, swapaxes
from tilec.numpy.sorting import argsort, sort
from tilec.tracing.dispatch import lift, operation
from tilec.tracing.elementwise import apply, as_float
from tilec.tracing.tensor import Tensor


@operation
def split(x: Any, /, indices_or_sections: int | Sequence[int], axis: int = 0) -> Any:
    """Parts along an axis, a list: as many equal ones as a number says, or cut at these indices. Raises TILE0209."""
    tensor = lift(x)
    size, cuts = _size(tensor, axis), _cuts(indices_or_sections)
    if isinstance(cuts, int) and (cuts < 1 or size % cuts):
        raise error("TILE0209", f"{size} elements cannot be split into {cuts} equal parts")
    return _cut(tensor, cuts, axis)


@operation
def array_split(x: Any, /, indices_or_sections: int | Sequence[int], axis: int = 0) -> Any:
    """As `split`, but parts may differ by one element; the larger ones come first."""
    tensor, cuts = lift(x), _cuts(indices_or_sections)
    if isinstance(cuts, int) and cuts < 1:
        raise error("TILE0209", f"a tensor is split into one part or more, not into {cuts}")
    return _cut(tensor, cuts, axis)


@operation
def vsplit(x: Any, /, indices_or_sections: int | Sequence[int]) -> Any:
    """`split` along the first axis."""
    return split(x, indices_or_sections, axis=0)


@operation
def hsplit(x: Any, /, indices_or_sections: int | Sequence[int]) -> Any:
    """`split` along the second axis, of a vector along its only one."""
    return split(x, indices_or_sections, axis=0 if lift(x).ndim == 1 else 1)


@operation
def dsplit(x: Any, /, indices_or_sections: int | Sequence[int]) -> Any:
    """`split` along the third axis."""
    return split(x, indices_or_sections, axis=2)


def _size(x: Tensor, axis: int) -> int:
    return fixed(x.type.shape[axis_of(axis, x.ndim)], "a tensor is split along an axis of that size")


def _cuts(given: Any) -> int | list[int]:
    """A number of parts, or the indices where they begin; raises TILE0210."""
    if isinstance(given, tuple | list):
        return [whole(k, "an index") for k in given]
    return whole(given, "a number of parts")


def _cut(x: Tensor, sections: int | Sequence[int], axis: int) -> list[Any]:
    along, size = axis_of(axis, x.ndim), _size(x, axis)
    if isinstance(sections, int):
        parts = np.array_split(np.empty((size, 0)), sections)
        cuts = np.cumsum([0, *(len(p) for p in parts)]).tolist()
    else:
        cuts = [0, *sections, size]
    before = [slice(None)] * along
    return [getitem_of(x, [*before, slice(a, b)]) for a, b in pairwise(cuts)]


@operation
def hstack(arrays: Sequence[Any], /) -> Any:
    """The tensors one after another along the second axis, vectors along their only one."""
    parts = [of_rank(a, 1) for a in arrays]
    return concat(parts, axis=0 if parts and parts[0].ndim == 1 else 1)


@operation
def vstack(arrays: Sequence[Any], /) -> Any:
    """The tensors one after another along the first axis, vectors as rows."""
    return concat([of_rank(a, 2) for a in arrays], axis=0)


@operation
def dstack(arrays: Sequence[Any], /) -> Any:
    """The tensors one after another along the third axis, matrices with a third axis of size 1."""
    parts = [of_rank(a, 2) for a in arrays]
    return concat([reshape(p, (*p.shape, 1)) if p.ndim == 2 else p for p in parts], axis=2)


@operation
def append(x: Any, values: Any, /, axis: int | None = None) -> Any:
    """`values` behind x along an axis, both flattened without one."""
    return concat([x, values], axis=axis)


@operation
def flipud(x: Any, /) -> Any:
    """The elements along the first axis in reverse order."""
    return flip(x, axis=0)


@operation
def fliplr(x: Any, /) -> Any:
    """The elements along the second axis in reverse order."""
    return flip(x, axis=1)


@operation
def rot90(x: Any, /, k: int = 1, axes: tuple[int, int] = (0, 1)) -> Any:
    """The tensor turned k times by a right angle in the plane of two axes, from the first one to the second."""
    tensor = lift(x)
    first, second = (axis_of(a, tensor.ndim) for a in axes)
    if first == second:
        raise error("TILE0212", f"a plane has two axes, not {first} twice")
    match whole(k, "a number of turns") % 4:
        case 0:
            return tensor
        case 1:
            return swapaxes(flip(tensor, axis=second), first, second)
        case 2:
            return flip(tensor, axis=(first, second))
        case _:
            return flip(swapaxes(tensor, first, second), axis=second)


@operation
def tri(n: int, m: int | None = None, k: int = 0, dtype: Any = "float32") -> Any:
    """Ones on and below the k-th diagonal of a matrix of n rows and m columns, zeros above."""
    return tril(ones((n, n if m is None else m), dtype=dtype), k)


@operation
def identity(n: int, dtype: Any = "float32") -> Any:
    """Ones on the diagonal of a square matrix, zeros elsewhere."""
    return eye(n, dtype=dtype)


@operation
def vander(x: Any, /, n: int | None = None, *, increasing: bool = False) -> Any:
    """Powers of a vector's elements as rows: x ** (n - 1) ... 1, or from 1 on."""
    tensor = lift(x)
    if tensor.ndim != 1:
        raise error("TILE0202", f"powers of a vector, not of a tensor of rank {tensor.ndim}")
    count = count_of(tensor.shape[0] if n is None else n, "a number of columns")
    column, one = reshape(tensor, (-1, 1)), ones((tensor.shape[0], 1), dtype=tensor.dtype)
    powers = [one]
    for _ in range(1, count):
        powers.append(apply("mul", powers[-1], column))
    found = concat(powers, axis=1) if count else reshape(getitem_of(tensor, [slice(0, 0)]), (0,))
    return found if increasing or not count else flip(found, axis=1)


@operation(arrays=("default",))
def select(conditions: Sequence[Any], choices: Sequence[Any], /, default: Any = 0) -> Any:
    """Elements of the first choice whose condition is not zero, else the default."""
    if len(conditions) != len(choices) or not conditions:
        raise error("TILE0204", f"{len(conditions)} conditions for {len(choices)} choices")
    found = default
    for condition, choice in zip(reversed(conditions), reversed(choices)):
        found = where(condition, choice, found)
    return found


@operation
def partition(x: Any, /, kth: int, axis: int = -1) -> Any:
    """The elements with the k-th smallest in its place, none larger before and none smaller behind it: sorted.

    Raises TILE0225 where there is no k-th one.
    """
    return sort(_with_element(x, kth, axis), axis=axis)


@operation
def argpartition(x: Any, /, kth: int, axis: int = -1) -> Any:
    """Where the elements of `partition` come from, int32."""
    return argsort(_with_element(x, kth, axis), axis=axis)


def _with_element(x: Any, kth: Any, axis: int) -> Tensor:
    tensor, k = lift(x), whole(kth, "the number of an element")
    size = tensor.type.shape[axis_of(axis, tensor.ndim)]
    if isinstance(size, int) and not -size <= k < size:
        raise error("TILE0225", f"element {k} of {size}")
    return tensor


@operation(arrays=("x",))
def trapezoid(y: Any, /, x: Any = None, dx: float = 1.0, axis: int = -1) -> Any:
    """The area under values at places x, or at distances dx, along an axis, by the trapezoidal rule."""
    values = as_float(y)
    along = axis_of(axis, values.ndim)
    before = [slice(None)] * along
    width: Any = dx
    if x is not None:
        places = lift(x)
        places = reshape(places, [-1 if a == along else 1 for a in range(values.ndim)]) if places.ndim == 1 else places
        width = apply("sub", _from(places, before, 1, None), _from(places, before, None, -1))
    pairs = apply("add", _from(values, before, 1, None), _from(values, before, None, -1))
    return sum(apply("mul", apply("mul", pairs, width), 0.5), along)


def _from(x: Any, before: list[slice], start: int | None, stop: int | None) -> Any:
    return getitem_of(x, [*before, slice(start, stop)])
