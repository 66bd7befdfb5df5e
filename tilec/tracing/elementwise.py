"""Floor 5: elementwise builtins of anything that can be an operand: tensors, arrays, numbers, elements in a body."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tilec.dtypes import BOOL, BY_NAME, F32, I32, DType
from tilec.errors import error
from tilec.graph import TensorType
from tilec.promotion import common, quotient, total
from tilec.tracing.dispatch import lift, scope
from tilec.tracing.operators import is_number
from tilec.tracing.tensor import Tensor
from tilec.tracing.trace import current, fitting


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


def of_type(x: Any, dtype: DType) -> Any:
    """Converted to `dtype`; a Python integer is one that it holds. Raises TILE0511."""
    return as_dtype(lift(fitting(x, dtype) if is_number(x) else x), dtype)


def as_float(x: Any) -> Tensor:
    """A float tensor: integers and bool become float32, or what the rules of promotion say."""
    tensor = lift(x)
    if tensor.type.dtype.is_float:
        return tensor
    return scope().apply("cast", tensor, dtype=quotient(tensor.type.dtype, scope().promotion))


def as_total(x: Any) -> Tensor:
    """A tensor of the type that its sums have by the rules of promotion; the language keeps it as it is."""
    tensor = lift(x)
    wanted = total(tensor.type.dtype, scope().promotion)
    return tensor if tensor.type.dtype == wanted else scope().apply("cast", tensor, dtype=wanted)


def alike(tensors: Sequence[Tensor]) -> list[Tensor]:
    """Tensors in their common type by the rules of promotion; as they are where these are those of the language, which
    converts them itself.
    """
    if scope().promotion == "tile":
        return list(tensors)
    dtype = common_of([t.type for t in tensors])
    return [as_dtype(t, dtype) for t in tensors]


def common_of(types: Sequence[TensorType]) -> DType:
    """The type of operands together, by the rules of promotion of the scope being traced, if there is one."""
    trace = current()
    return common([TensorType(t.dtype, (), t.weak) for t in types], trace.promotion if trace else "tile").dtype
