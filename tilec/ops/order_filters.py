"""Floor 5: filters by the order of the elements of a window: extrema, ranks, percentiles, after those of SciPy."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

from tilec.errors import error
from tilec.graph import Constraint
from tilec.numpy.axes import each_axis, number, whole
from tilec.numpy.indexing import getitem_of
from tilec.numpy.shapes import reshape
from tilec.numpy.sorting import sort
from tilec.ops.neighbourhoods import Axes, around, filtered_axes, padded, sliding
from tilec.ops.windows import per_axis
from tilec.tracing.contraction import contraction
from tilec.tracing.dispatch import lift, operation
from tilec.tracing.tensor import Tensor


@operation(arrays=("value",))
def maximum_filter(
    x: Any,
    /,
    size: int | Sequence[int] = 3,
    *,
    mode: str = "reflect",
    value: Any = 0,
    origin: int | Sequence[int] = 0,
    axes: Axes = None,
) -> Any:
    """The largest element of a window, NaN where there is one: `scipy.ndimage.maximum_filter`."""
    return _extreme("max", x, size, mode, value, origin, axes)


@operation(arrays=("value",))
def minimum_filter(
    x: Any,
    /,
    size: int | Sequence[int] = 3,
    *,
    mode: str = "reflect",
    value: Any = 0,
    origin: int | Sequence[int] = 0,
    axes: Axes = None,
) -> Any:
    """The smallest element of a window, NaN where there is one: `scipy.ndimage.minimum_filter`."""
    return _extreme("min", x, size, mode, value, origin, axes)


@operation(arrays=("value",))
def rank_filter(
    x: Any,
    /,
    rank: int,
    size: int | Sequence[int] = 3,
    *,
    mode: str = "reflect",
    value: Any = 0,
    origin: int | Sequence[int] = 0,
    axes: Axes = None,
) -> Any:
    """Element `rank` of a window in ascending order; a negative one counts from the last: `scipy.ndimage.rank_filter`.

    Raises TILE0225.
    """
    tensor = lift(x)
    along = filtered_axes(tensor, axes)
    sizes = per_axis(size, len(along), "size")
    chosen, count = whole(rank, "a rank"), prod(sizes)
    if not -count <= chosen < count:
        raise error("TILE0225", f"element {chosen} of a window of {count}")
    continued = padded(tensor, along, around(sizes, origin), mode, value)
    names, forms, offsets, read = sliding(continued, along)
    seen = contraction("assign", names, read, [*forms, *offsets], [*tensor.type.shape, *sizes], stem="windows")
    ordered = sort(reshape(seen, (*tensor.type.shape, count)))
    return getitem_of(ordered, [..., chosen])


@operation(arrays=("value",))
def percentile_filter(
    x: Any,
    /,
    percentile: float,
    size: int | Sequence[int] = 3,
    *,
    mode: str = "reflect",
    value: Any = 0,
    origin: int | Sequence[int] = 0,
    axes: Axes = None,
) -> Any:
    """The element of a window that so many percent of it are below: `scipy.ndimage.percentile_filter`."""
    part = number(percentile, "a percentile")
    if not -100 <= part <= 100:
        raise error("TILE0511", f"a percentile is between 0 and 100, not {percentile!r}")
    count = prod(per_axis(size, len(filtered_axes(lift(x), axes)), "size"))
    part = part + 100 if part < 0 else part
    rank = count - 1 if part == 100 else int(float(count) * part / 100)
    return rank_filter(x, rank, size, mode=mode, value=value, origin=origin, axes=axes)


@operation(arrays=("value",))
def median_filter(
    x: Any,
    /,
    size: int | Sequence[int] = 3,
    *,
    mode: str = "reflect",
    value: Any = 0,
    origin: int | Sequence[int] = 0,
    axes: Axes = None,
) -> Any:
    """The middle element of a window, of an even number the larger one: `scipy.ndimage.median_filter`."""
    count = prod(per_axis(size, len(filtered_axes(lift(x), axes)), "size"))
    return rank_filter(x, count // 2, size, mode=mode, value=value, origin=origin, axes=axes)


def _extreme(monoid: str, x: Any, size: Any, mode: str, value: Any, origin: Any, axes: Axes) -> Tensor:
    """Along one axis after the other."""
    tensor = lift(x)
    along = filtered_axes(tensor, axes)
    sizes, origins = per_axis(size, len(along), "size"), each_axis(origin, len(along), "origin", whole)
    for axis, n, shift in zip(along, sizes, origins):
        continued = padded(tensor, [axis], around([n], shift), mode, value)
        names, forms, (tap,), read = sliding(continued, [axis])
        inside = [Constraint(tap, n)]
        stem = f"{monoid}_filter"
        tensor = contraction(monoid, names, read, forms, tensor.type.shape, constraints=inside, stem=stem)
    return tensor
