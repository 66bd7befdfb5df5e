"""Floor 5: functions that repeat elements, and that make several tensors of one or alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tilec.affine import Size
from tilec.errors import error
from tilec.exact.domain import fixed
from tilec.numpy.axes import axis_of, count_of
from tilec.numpy.indexing import getitem_of, take
from tilec.numpy.shapes import broadcast_to, expand_dims, reshape
from tilec.rules import broadcast
from tilec.tracing.dispatch import lift, operation


@operation
def repeat(x: Any, /, repeats: int | Sequence[int], axis: int | None = None) -> Any:
    """Each element along an axis, or of the flattened tensor, several times: as often as `repeats` says, one number for
    all or one for each.
    """
    tensor = reshape(x, -1) if axis is None else lift(x)
    along = axis_of(0 if axis is None else axis, tensor.ndim)
    shape = tensor.type.shape
    if isinstance(repeats, tuple | list | np.ndarray):
        counts = [count_of(n, "a number of repeats") for n in repeats]
        size = fixed(shape[along], "its elements are repeated each as often as a list says")
        if len(counts) not in (1, size):
            raise error("TILE0204", f"{len(counts)} numbers of repeats for an axis of size {size}")
        return take(tensor, np.repeat(np.arange(size), counts), axis=along)
    count = count_of(repeats, "a number of repeats")
    wide = broadcast_to(expand_dims(tensor, along + 1), (*shape[: along + 1], count, *shape[along + 1 :]))
    return reshape(wide, (*shape[:along], shape[along] * count, *shape[along + 1 :]))


@operation
def tile(x: Any, /, repetitions: int | Sequence[int]) -> Any:
    """The whole tensor several times along each axis; new axes come first."""
    given = repetitions if isinstance(repetitions, tuple | list) else (repetitions,)
    counts = [count_of(n, "a number of repeats") for n in given]
    tensor = lift(x)
    rank = max(len(counts), tensor.ndim)
    counts = [1] * (rank - len(counts)) + counts
    shape = (*(1,) * (rank - tensor.ndim), *tensor.type.shape)
    apart = [s for n in shape for s in (1, n)]
    wide = [s for n, count in zip(shape, counts, strict=True) for s in (count, n)]
    joined: list[Size] = [n * count for n, count in zip(shape, counts, strict=True)]  # type: ignore[misc]
    return reshape(broadcast_to(reshape(tensor, apart), wide), joined)


@operation
def unstack(x: Any, /, axis: int = 0) -> Any:
    """The slices along an axis, as a tuple."""
    tensor = lift(x)
    along = axis_of(axis, tensor.ndim)
    size = fixed(tensor.type.shape[along], "a tensor is taken apart along an axis of that size")
    return tuple(getitem_of(tensor, [*[slice(None)] * along, k]) for k in range(size))


@operation
def broadcast_arrays(*arrays: Any) -> Any:
    """The tensors, each repeated to the shape that all have together; a list."""
    tensors = [lift(a) for a in arrays]
    shape = broadcast([t.type.shape for t in tensors])
    return [broadcast_to(t, shape) for t in tensors]


@operation
def meshgrid(*arrays: Any, indexing: str = "xy") -> Any:
    """Coordinates of a grid from those of its axes, a list: with "ij" axis k of each is that of array k, with "xy" the
    first two are exchanged.
    """
    if indexing not in ("xy", "ij"):
        raise error("TILE0511", f"the indexing of a grid is 'xy' or 'ij', not {indexing!r}")
    tensors = [reshape(a, -1) for a in arrays]
    rank = len(tensors)
    order = list(range(rank))
    if indexing == "xy" and rank > 1:
        order[:2] = 1, 0
    apart = [reshape(t, [-1 if a == order[k] else 1 for a in range(rank)]) for k, t in enumerate(tensors)]
    return broadcast_arrays(*apart)


__all__ = ["broadcast_arrays", "meshgrid", "repeat", "tile", "unstack"]
