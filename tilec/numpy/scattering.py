"""Floor 5: aggregations of rows at places that data name."""

from __future__ import annotations

from typing import Any

from tilec.affine import Size
from tilec.dtypes import BOOL, accumulator
from tilec.graph import Special
from tilec.monoid import Standard
from tilec.numpy.creation import zeros
from tilec.specials import SCATTERS
from tilec.tracing.dispatch import scope
from tilec.tracing.elementwise import as_dtype
from tilec.tracing.tensor import Tensor

_OF = {monoid: op for op, monoid in SCATTERS.items()}


def scattered(monoid: Standard, places: Tensor, values: Tensor, count: Size) -> Any:
    """`count` rows: each the aggregation, in order, of the values of those places that name it.

    Narrow types are added and multiplied up in wide ones, bool is counted in int32, as in any sum.
    """
    own = values.type.dtype
    wide = accumulator(own, monoid)
    like = zeros((count, *values.type.shape[places.ndim :]), dtype=wide)
    node = Special(_OF[monoid], scope().names([as_dtype(values, wide), places, like]))
    found = scope().bind(node, "scattered")
    return found if own == BOOL and monoid in ("sum", "prod") else as_dtype(found, own)
