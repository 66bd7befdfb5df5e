"""Floor 5: aggregations of rows by the segment that each belongs to."""

from __future__ import annotations

from typing import Any

from tilec.errors import error
from tilec.monoid import Standard
from tilec.numpy.axes import shape_of
from tilec.numpy.scattering import scattered
from tilec.rules import shape_text
from tilec.tracing.dispatch import lift, operation


@operation
def segment_sum(data: Any, segment_ids: Any, /, num_segments: int, *, sorted: bool = False) -> Any:
    """Sums of rows: row s of the result is the sum of all data[j] with segment_ids[j] == s, 0 where there is none.

    data: [N, ...]; segment_ids: [N] integers, in any order; rows of other ids are dropped. `sorted` changes nothing:
    rows are always added in their order. Raises TILE0202, TILE0204, TILE0211, TILE0304.
    """
    return _segments("sum", data, segment_ids, num_segments)


@operation
def segment_max(data: Any, segment_ids: Any, /, num_segments: int, *, sorted: bool = False) -> Any:
    """The largest elements of segments, -inf or the least integer where there is none; otherwise as `segment_sum`."""
    return _segments("max", data, segment_ids, num_segments)


@operation
def segment_min(data: Any, segment_ids: Any, /, num_segments: int, *, sorted: bool = False) -> Any:
    """The smallest elements of segments, inf or the largest integer where there is none; otherwise as `segment_sum`."""
    return _segments("min", data, segment_ids, num_segments)


@operation
def segment_prod(data: Any, segment_ids: Any, /, num_segments: int, *, sorted: bool = False) -> Any:
    """Products of segments, 1 where there is none; otherwise as `segment_sum`."""
    return _segments("prod", data, segment_ids, num_segments)


def _segments(monoid: Standard, data: Any, segment_ids: Any, num_segments: int) -> Any:
    values, ids = lift(data), lift(segment_ids)
    sizes = shape_of(num_segments)
    if len(sizes) != 1:
        raise error("TILE0204", f"the number of segments is one number, not {num_segments!r}")
    if not ids.type.dtype.is_integer:
        raise error("TILE0304", f"segments are named by integers, not by {ids.type.dtype.long}")
    if ids.ndim != 1 or values.type.shape[:1] != ids.type.shape:
        shapes = f"{shape_text(values.type.shape)} and ids of shape {shape_text(ids.type.shape)}"
        raise error("TILE0202", f"each row has one segment: data of shape {shapes}")
    return scattered(monoid, ids, values, sizes[0])
