"""Floor 5: sorting along an axis."""

from __future__ import annotations

from typing import Any

from tilec.graph import Special
from tilec.numpy.axes import axis_of
from tilec.numpy.shapes import flip
from tilec.tracing.dispatch import lift, operation, scope
from tilec.tracing.tensor import Tensor


@operation
def sort(x: Any, /, *, axis: int = -1, descending: bool = False) -> Any:
    """The elements along an axis in order, NaN last."""
    return _sorted(x, axis, descending)[0]


@operation
def argsort(x: Any, /, *, axis: int = -1, descending: bool = False) -> Any:
    """Where the elements of the sorted tensor come from, int32; equal elements keep their order if ascending."""
    return _sorted(x, axis, descending)[1]


def _sorted(x: Any, axis: int, descending: bool) -> list[Tensor]:
    tensor = lift(x)
    along = axis_of(axis, tensor.ndim)
    node = Special("sort", scope().names([tensor]), (("axis", along),))
    found = scope().bind_all(node, ("sorted", "order"))
    return [flip(t, axis=along) for t in found] if descending else found
