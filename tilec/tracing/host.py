"""Floor 5: calls of host functions (`tilec.host_functions`) in the scope being traced."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tilec.dtypes import DType
from tilec.exact.domain import fixed
from tilec.graph import Special
from tilec.tracing.dispatch import lift, scope
from tilec.tracing.tensor import Tensor


def host_call(function: str, operands: Sequence[Any], results: Sequence[tuple[DType, Sequence[Any]]]) -> list[Tensor]:
    """The results, each of a dtype and a shape. Raises TILE0210 for open sizes; a call can raise TILE0420."""
    given = [lift(x) for x in operands]
    for size in (s for t in given for s in t.type.shape):
        fixed(size, f"NumPy computes '{function}' on a tensor of that size")
    types = tuple((dtype, *shape) for dtype, shape in results)
    node = Special("host_call", scope().names(given), (("function", function), ("types", types)))
    return scope().bind_all(node, [function] * len(types))
