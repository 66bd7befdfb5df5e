"""Floor 5: dense layers and embeddings."""

from __future__ import annotations

from typing import Any

from tilec.errors import error
from tilec.numpy.indexing import take
from tilec.numpy.products import tensordot
from tilec.rules import shape_text
from tilec.tracing.dispatch import lift, operation


@operation(arrays=("bias",))
def dense(x: Any, kernel: Any, /, bias: Any = None) -> Any:
    """x @ kernel + bias: `x[..., inputs]`, `kernel[inputs, outputs]`, `bias[outputs]`.

    Raises TILE0202 of a kernel that is no matrix or a bias that is no vector, TILE0203 where sizes differ.
    """
    features, weights = lift(x), lift(kernel)
    if features.ndim < 1 or weights.ndim != 2:
        text = f"dense takes x[..., inputs] and kernel[inputs, outputs], not ranks {features.ndim} and {weights.ndim}"
        raise error("TILE0202", text)
    result = tensordot(features, weights, 1)
    if bias is None:
        return result
    added = lift(bias)
    if added.ndim != 1:
        raise error("TILE0202", f"a bias is a vector, not a tensor of rank {added.ndim}")
    if added.type.shape != weights.type.shape[1:]:
        raise error("TILE0203", f"a bias of {shape_text(added.type.shape)} for {weights.shape[1]} outputs")
    return result + added


@operation
def embedding(indices: Any, table: Any, /) -> Any:
    """Rows of a table: `[...]` integers and `table[rows, features]` give `[..., features]`.

    A traced index outside of the table is clamped, a negative one counts from the end. The gradient adds up, for each
    row, what flows to it. Raises TILE0202 of a table that is no matrix, TILE0304 of indices that are no integers,
    TILE0225 of an index that is known and outside.
    """
    rows = lift(table)
    if rows.ndim != 2:
        raise error("TILE0202", f"an embedding takes table[rows, features], not a tensor of rank {rows.ndim}")
    return take(rows, indices, axis=0)
