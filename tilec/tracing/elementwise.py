"""Floor 5: elementwise builtins of anything that can be an operand: tensors, arrays, numbers, elements in a body."""

from __future__ import annotations

from typing import Any

from tilec.dtypes import BOOL, BY_NAME, F32, I32, DType
from tilec.errors import error
from tilec.tracing.dispatch import lift, scope
from tilec.tracing.tensor import Tensor


def apply(op: str, *args: Any, dtype: DType | None = None) -> Any:
    """The builtin of these operands."""
    handler = next((h for a in args if (h := getattr(a, "apply_builtin", None)) is not None), None)
    if handler is not None:
        return handler(op, args, dtype)
    return scope().apply(op, *map(lift, args), dtype=dtype)


def dtype_of(given: Any) -> DType:
    """A dtype by any of its names: "f32", "float32", numpy.float32, a NumPy dtype; float is float32 and int int32.

    Raises TILE0303.
    """
    if isinstance(given, DType):
        return given
    for python, dtype in ((bool, BOOL), (int, I32), (float, F32)):
        if given is python:
            return dtype
    name = given if isinstance(given, str) else getattr(given, "name", None) or getattr(given, "__name__", None)
    found = BY_NAME.get(str(name))
    if found is None:
        raise error("TILE0303", f"{given!r} is no type of elements", help=f"known: {', '.join(BY_NAME)}")
    return found


def as_dtype(x: Any, dtype: DType) -> Any:
    """Converted to `dtype`, and strong."""
    if isinstance(x, Tensor) and x.type.dtype == dtype and not x.type.weak:
        return x
    return apply("cast", x, dtype=dtype)


def as_float(x: Any) -> Tensor:
    """A float tensor: integers and bool become float32."""
    tensor = lift(x)
    return tensor if tensor.type.dtype.is_float else scope().apply("cast", tensor, dtype=F32)
