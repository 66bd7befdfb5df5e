"""Floor 5: types of elements as values, what can be asked of them, and constants."""

from __future__ import annotations

import builtins
from typing import Any

import ml_dtypes
import numpy as np

from tilec.dtypes import BY_NAME, DType
from tilec.errors import error
from tilec.graph import TensorType
from tilec.rules import weak_dtype
from tilec.tracing.elementwise import common_of, dtype_of
from tilec.tracing.operators import is_number
from tilec.tracing.place import located
from tilec.tracing.tensor import Tensor

bool = np.bool_
int8, int16, int32, int64 = np.int8, np.int16, np.int32, np.int64
uint8, uint16, uint32, uint64 = np.uint8, np.uint16, np.uint32, np.uint64
float16, bfloat16, float32, float64 = np.float16, ml_dtypes.bfloat16, np.float32, np.float64

e, inf, nan, pi, newaxis = np.e, np.inf, np.nan, np.pi, None

_KINDS = {
    "bool": ("bool",),
    "signed integer": ("int",),
    "unsigned integer": ("uint",),
    "integral": ("int", "uint"),
    "real floating": ("float",),
    "complex floating": (),
    "numeric": ("int", "uint", "float"),
}


def finfo(type: Any, /) -> Any:
    """Limits of a float type, or of a tensor's: bits, eps, max, min, smallest_normal. Raises TILE0303."""
    with located():
        dtype = _dtype(type)
        if not dtype.is_float:
            raise error("TILE0303", f"{dtype.long} is no type of floats", help="tilec.numpy.iinfo is for integers")
        return ml_dtypes.finfo(dtype.numpy)  # type: ignore[no-untyped-call]


def iinfo(type: Any, /) -> Any:
    """Limits of an integer type, or of a tensor's: bits, max, min. Raises TILE0303."""
    with located():
        dtype = _dtype(type)
        if dtype.kind not in ("int", "uint"):
            raise error("TILE0303", f"{dtype.long} is no type of integers", help="tilec.numpy.finfo is for floats")
        return np.iinfo(dtype.numpy)


def isdtype(dtype: Any, kind: Any) -> Any:
    """Whether a type is of a kind: "bool", "signed integer", "integral", "real floating", "numeric" ..., or is the type
    given, or any of a tuple of these. Raises TILE0303, TILE0511.
    """
    with located():
        found = dtype_of(dtype)
        for k in kind if isinstance(kind, tuple) else (kind,):
            if isinstance(k, str) and k not in _KINDS and k not in BY_NAME:
                raise error("TILE0511", f"there is no kind of types {k!r}", help=f"kinds: {', '.join(_KINDS)}")
            if found.kind in _KINDS[k] if isinstance(k, str) and k in _KINDS else found == dtype_of(k):
                return True
        return False


def can_cast(from_: Any, to: Any, /) -> Any:
    """Whether every value of a type, or of a tensor's, is one of another type. Raises TILE0303."""
    with located():
        return np.can_cast(_dtype(from_).numpy, dtype_of(to).numpy)


def result_type(*operands: Any) -> np.dtype[Any]:
    """The type that an operation gives of operands: tensors, arrays, types and Python numbers. Raises TILE0303,
    TILE0511.
    """
    with located():
        if not operands:
            raise error("TILE0511", "result_type of nothing")
        return common_of([operand_type(o) for o in operands]).numpy


def _dtype(given: Any) -> DType:
    """A type, or that of a tensor or array."""
    return dtype_of(given if isinstance(given, builtins.type) else getattr(given, "dtype", given))


def operand_type(operand: Any) -> TensorType:
    """The type of a tensor, array, type or Python number, whose shape is not looked at. Raises TILE0303."""
    if isinstance(operand, Tensor):
        return TensorType(operand.type.dtype, (), operand.type.weak)
    if is_number(operand):
        return TensorType(weak_dtype(operand), (), weak=True)
    return TensorType(_dtype(operand), ())


class Info:
    """What `__array_namespace_info__` returns; devices are for `tilec.jit(target=...)` to choose."""

    def capabilities(self) -> dict[str, Any]:
        """Shapes never depend on values: there are no masks as indices, no `nonzero`, no `unique`."""
        return {"boolean indexing": False, "data-dependent shapes": False, "max dimensions": 16}

    def default_device(self) -> str:
        return "cpu"

    def devices(self) -> list[str]:
        return ["cpu"]

    def default_dtypes(self, *, device: Any = None) -> dict[str, Any]:
        return {"real floating": np.dtype(float32), "integral": np.dtype(int32), "indexing": np.dtype(int32)}

    def dtypes(self, *, device: Any = None, kind: Any = None) -> dict[str, Any]:
        """Types by name, those of the array API only."""
        names = ["bool", *(f"{k}{n}" for k in ("int", "uint") for n in (8, 16, 32, 64)), "float32", "float64"]
        return {n: BY_NAME[n].numpy for n in names if kind is None or isdtype(n, kind)}


def __array_namespace_info__() -> Info:  # noqa: N807  # the array API's name
    """What there is of the array API's options."""
    return Info()
