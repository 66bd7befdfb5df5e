"""Floor 5: what the functions of linear algebra share: their operands, and parts of matrices."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tilec.dtypes import BF16, F16, F32, DType
from tilec.errors import error
from tilec.numpy.creation import eye
from tilec.numpy.shapes import broadcast_to, expand_dims, squeeze, swapaxes
from tilec.rules import broadcast, shape_text
from tilec.tracing.dispatch import lift
from tilec.tracing.elementwise import as_dtype, as_float
from tilec.tracing.tensor import Tensor


def floats(x: Any) -> tuple[Tensor, DType]:
    """An operand in float32 or float64, and the type that results have: integers become float32."""
    tensor = as_float(lift(x))
    wanted = tensor.type.dtype
    return as_dtype(tensor, F32 if wanted in (F16, BF16) else wanted), wanted


def matrices(name: str, x: Any, square: bool = False) -> tuple[Tensor, DType]:
    """`floats` of what must be a matrix or a batch of them. Raises TILE0202 for other ranks, TILE0203 for a matrix that
    is not `square`."""
    tensor, wanted = floats(x)
    if tensor.ndim < 2:
        raise error("TILE0202", f"{name} takes a matrix or a batch of them, not a tensor of rank {tensor.ndim}")
    if square and tensor.type.shape[-1] != tensor.type.shape[-2]:
        raise error("TILE0203", f"{name} takes square matrices, not {shape_text(tensor.type.shape)}")
    return tensor, wanted


def solved(name: str, a: Tensor, b: Any, solve: Callable[[Any, Any], Any]) -> Any:
    """`solve(a, b)` for matrices b of the batch of both; a single vector b is a column. Raises TILE0202, TILE0203."""
    right = as_dtype(lift(b), a.type.dtype)
    if right.ndim == 0:
        raise error("TILE0202", f"the right side of {name} is a vector, a matrix or a batch of them, not a number")
    columns = expand_dims(right, -1) if right.ndim == 1 else right
    if columns.type.shape[-2] != a.type.shape[-2]:
        text = f"{name} of matrices {shape_text(a.type.shape)} and a right side {shape_text(right.type.shape)}"
        raise error("TILE0203", f"{text}: {a.type.shape[-2]} rows, {columns.type.shape[-2]} rows")
    batch = broadcast([a.type.shape[:-2], columns.type.shape[:-2]])
    left = broadcast_to(a, (*batch, *a.type.shape[-2:]))
    x = solve(left, broadcast_to(columns, (*batch, *columns.type.shape[-2:])))
    return squeeze(x, -1) if right.ndim == 1 else x


def turned(x: Any) -> Any:
    """The transposed matrices."""
    return swapaxes(x, -1, -2)


def identity(like: Tensor) -> Any:
    """The identity matrix of the size of the last axis."""
    return eye(like.shape[-1], dtype=like.type.dtype.long)
