"""Floor 5: the type that functions of several steps compute in: 16-bit floats are rounded once, at the end."""

from __future__ import annotations

from typing import Any

from tilec.dtypes import F32, DType
from tilec.tracing.elementwise import as_dtype, as_float
from tilec.tracing.tensor import Tensor


def widened(x: Any) -> tuple[Tensor, DType]:
    """A tensor in float32 or float64, and the float type that the result is to have: integers become float32."""
    tensor = as_float(x)
    dtype = tensor.type.dtype
    return as_dtype(tensor, F32) if dtype.bits < 32 else tensor, dtype
