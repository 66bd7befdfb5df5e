"""Floor 5: running sums along an axis."""

from __future__ import annotations

from math import prod
from typing import Any

from tilec.affine import Affine
from tilec.dtypes import BOOL, I32, accumulator
from tilec.graph import Constraint, Scan, TensorType
from tilec.numpy.axes import axis_of
from tilec.numpy.creation import zeros
from tilec.numpy.shapes import moveaxis, reshape
from tilec.tracing.contraction import contraction, element, variables
from tilec.tracing.dispatch import lift, operation, scope
from tilec.tracing.elementwise import apply, as_dtype, dtype_of
from tilec.tracing.subgraph import subgraph
from tilec.tracing.tensor import Tensor

LONGEST = 256  # of the axes along which every sum is computed by itself, which takes the square of their length


@operation
def cumulative_sum(x: Any, /, axis: int | None = None, *, dtype: Any = None) -> Any:
    """Sums of all elements up to and including each one along an axis, or of the flattened tensor.

    The work grows with the number of elements; along an open axis, with the square of its size.
    """
    tensor = lift(x) if dtype is None else as_dtype(lift(x), dtype_of(dtype))
    if axis is None:
        tensor = reshape(tensor, (prod(tensor.type.shape),))
    along = 0 if axis is None else axis_of(axis, tensor.ndim)
    size = tensor.type.shape[along]
    return _in_turn(tensor, along) if isinstance(size, int) and size > LONGEST else _each(tensor, along)


cumsum = cumulative_sum


def _each(x: Tensor, along: int) -> Any:
    """Every sum from its first term on: one contraction."""
    names, forms = variables(x.ndim)
    last = Affine.var("last")
    sink = [last if a == along else f for a, f in enumerate(forms)]
    before = Constraint(last - forms[along], x.type.shape[along])
    return contraction(
        "sum", (*names, "last"), element(x, forms), sink, x.type.shape, constraints=(before,), stem="cumsum"
    )


def _in_turn(x: Tensor, along: int) -> Any:
    """Every sum from the one before it: a loop. Narrow types are added up in wide ones, as in any sum."""
    own = x.type.dtype
    wide, result = accumulator(own, "sum"), I32 if own == BOOL else own
    rows = moveaxis(as_dtype(x, own), along, 0)
    row = rows.type.shape[1:]

    def step(tensors: list[Tensor]) -> Any:
        total = apply("add", tensors[0], as_dtype(tensors[1], wide))
        return total, as_dtype(total, result)

    graph = subgraph("step", [TensorType(wide, row), TensorType(own, row)], step).graph
    here = scope()
    start = here.names([zeros(row, dtype=wide)])
    node = Scan(graph, start, here.names([rows]), (), rows.type.shape[0])
    _, sums = here.bind_all(node, ["total", "cumsum"])
    return moveaxis(sums, 0, along)
