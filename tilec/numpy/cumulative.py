"""Floor 5: running sums, products and extrema along an axis, and differences of neighbours."""

from __future__ import annotations

from math import prod
from typing import Any

from tilec.affine import Affine
from tilec.dtypes import BOOL, I32, accumulator
from tilec.errors import error
from tilec.graph import Constraint, Scan, TensorType
from tilec.numpy.axes import axis_of, whole
from tilec.numpy.creation import full
from tilec.numpy.elementwise import subtract
from tilec.numpy.indexing import getitem_of
from tilec.numpy.shapes import concat, moveaxis, reshape
from tilec.tracing.contraction import contraction, element, variables
from tilec.tracing.dispatch import lift, operation, scope
from tilec.tracing.elementwise import apply, as_dtype, as_total, dtype_of
from tilec.tracing.subgraph import subgraph
from tilec.tracing.tensor import Tensor

LONGEST = 256  # of the axes along which every result is computed by itself, which takes the square of their length
_STEPS = {"sum": "add", "prod": "mul", "max": "max", "min": "min"}  # how a term is taken in
_FIRST = {"sum": 0, "prod": 1}  # what there is before the first


@operation
def cumulative_sum(x: Any, /, axis: int | None = None, *, dtype: Any = None, include_initial: bool = False) -> Any:
    """Sums of all elements up to and including each one along an axis, or of the flattened tensor; with
    `include_initial` a 0 comes first.

    The work grows with the number of elements; along an open axis, with the square of its size.
    """
    return _running("sum", _converted(x, dtype), axis, include_initial)


cumsum = cumulative_sum


@operation
def cumulative_prod(x: Any, /, axis: int | None = None, *, dtype: Any = None, include_initial: bool = False) -> Any:
    """Products of all elements up to and including each one along an axis, or of the flattened tensor; with
    `include_initial` a 1 comes first. The work grows as that of `cumulative_sum`.
    """
    tensor = _converted(x, dtype)
    return _running("prod", as_dtype(tensor, I32) if tensor.type.dtype == BOOL else tensor, axis, include_initial)


@operation
def cummax(x: Any, /, axis: int | None = None) -> Any:
    """The largest of all elements up to and including each one, as `cumulative_sum`; NaN from the first one on."""
    return _running("max", lift(x), axis)


@operation
def cummin(x: Any, /, axis: int | None = None) -> Any:
    """The smallest of all elements up to and including each one, as `cumulative_sum`; NaN from the first one on."""
    return _running("min", lift(x), axis)


def _converted(x: Any, dtype: Any) -> Tensor:
    return as_total(x) if dtype is None else as_dtype(lift(x), dtype_of(dtype))


def _running(monoid: str, tensor: Tensor, axis: int | None, include_initial: bool = False) -> Any:
    if axis is None:
        tensor = reshape(tensor, (prod(tensor.type.shape),))
    along = axis_of(0 if axis is None else axis, tensor.ndim)
    size = tensor.type.shape[along]
    short = not isinstance(size, int) or size <= LONGEST
    found = _each(monoid, tensor, along) if short else _in_turn(monoid, tensor, along)
    if not include_initial:
        return found
    first = [1 if a == along else n for a, n in enumerate(tensor.type.shape)]
    return concat([full(first, _FIRST[monoid], dtype=found.type.dtype), found], axis=along)


def _each(monoid: str, x: Tensor, along: int) -> Any:
    """Every result from its first term on: one contraction."""
    names, forms = variables(x.ndim)
    last = Affine.var("last")
    sink = [last if a == along else f for a, f in enumerate(forms)]
    before = Constraint(last - forms[along], x.type.shape[along])
    body = element(x, forms)
    return contraction(monoid, (*names, "last"), body, sink, x.type.shape, constraints=(before,), stem=f"cum{monoid}")


def _in_turn(monoid: str, x: Tensor, along: int) -> Any:
    """Every result from the one before it: a loop. Narrow types are added up in wide ones, as in any sum."""
    own = x.type.dtype
    wide, result = accumulator(own, monoid), I32 if (own, monoid) == (BOOL, "sum") else own
    rows = moveaxis(as_dtype(x, own), along, 0)
    row = rows.type.shape[1:]

    def step(tensors: list[Tensor]) -> Any:
        total = apply(_STEPS[monoid], tensors[0], as_dtype(tensors[1], wide))
        return total, as_dtype(total, result)

    graph = subgraph("step", [TensorType(wide, row), TensorType(own, row)], step).graph
    here = scope()
    # an extremum starts from the first row: of equal elements the first takes the gradient
    start = full(row, _FIRST[monoid], dtype=wide) if monoid in _FIRST else getitem_of(rows, [0])
    node = Scan(graph, here.names([start]), here.names([rows]), (), rows.type.shape[0])
    _, found = here.bind_all(node, ["total", f"cum{monoid}"])
    return moveaxis(found, 0, along)


@operation(arrays=("prepend", "append"))
def diff(x: Any, /, n: int = 1, axis: int = -1, *, prepend: Any = None, append: Any = None) -> Any:
    """Differences of neighbours along an axis, n times over; `prepend` and `append` are joined to x first."""
    parts = [lift(p) for p in (prepend, x, append) if p is not None]
    tensor = concat(parts, axis=axis) if len(parts) > 1 else parts[0]
    along = axis_of(axis, tensor.ndim)
    count = whole(n, "a number of times")
    if count < 0:
        raise error("TILE0511", f"differences are taken a number of times, not {count}")
    before = [slice(None)] * along
    for _ in range(count):
        tensor = subtract(getitem_of(tensor, [*before, slice(1, None)]), getitem_of(tensor, [*before, slice(None, -1)]))
    return tensor


__all__ = ["cummax", "cummin", "cumsum", "cumulative_prod", "cumulative_sum", "diff"]
