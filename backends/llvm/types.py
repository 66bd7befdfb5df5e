"""LLVM spelling of element types and constants.

In SSA a bool is `i1`, and float16 and bfloat16 are held as `float` values that the narrow type can represent; in memory
a bool is `i8` (0 or 1), float16 and bfloat16 are their 16 bits.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np

from tilec.dtypes import BF16, BOOL, F16, F64, DType

NARROW = (F16, BF16)


@dataclass(frozen=True, slots=True)
class Value:
    """An SSA value or constant. `lanes` is 0 for a scalar, which stands for the same value in every lane."""

    ref: str
    dtype: DType
    lanes: int = 0

    @property
    def type(self) -> str:
        return vector_type(ssa_type(self.dtype), self.lanes)

    def __str__(self) -> str:
        """Operand with its type, as most instructions take it."""
        return f"{self.type} {self.ref}"


def vector_type(element: str, lanes: int) -> str:
    return f"<{lanes} x {element}>" if lanes else element


def ssa_type(dtype: DType) -> str:
    """Element type of a value in registers."""
    if dtype == BOOL:
        return "i1"
    if dtype.is_float:
        return "double" if dtype == F64 else "float"
    return f"i{dtype.bits}"


def ssa_bits(dtype: DType) -> int:
    """Bits of a value in a register."""
    return 32 if dtype in NARROW else 1 if dtype == BOOL else dtype.bits


def memory_type(dtype: DType) -> str:
    """Element type in memory."""
    if dtype == BOOL:
        return "i8"
    if dtype in NARROW:
        return "i16"
    return ssa_type(dtype)


def suffix(element: str) -> str:
    """Mangling of an element type in an intrinsic's name."""
    return {"float": "f32", "double": "f64", "half": "f16", "ptr": "p0"}.get(element, element)


def mangled(type_text: str) -> str:
    """Mangling of a scalar or vector type: `<16 x float>` is `v16f32`."""
    if type_text.startswith("<"):
        lanes, element = type_text[1:-1].split(" x ")
        return f"v{lanes}{suffix(element)}"
    return suffix(type_text)


def float_text(value: float, dtype: DType) -> str:
    """A float constant, exactly, in LLVM's hexadecimal form (the bits of a double also for `float`)."""
    with np.errstate(over="ignore"):
        value = float(dtype.numpy.type(value))
    return f"0x{struct.unpack('<Q', struct.pack('<d', value))[0]:016X}"


def scalar_text(value: int | float, dtype: DType) -> str:
    """A constant of `dtype` as the SSA element type spells it."""
    if dtype.is_float:
        return float_text(float(value), dtype)
    if dtype == BOOL:
        return "true" if value else "false"
    number = int(value) & ((1 << dtype.bits) - 1)
    return str(number - (1 << dtype.bits) if number >> (dtype.bits - 1) else number)


def constant(value: int | float, dtype: DType) -> Value:
    return Value(scalar_text(value, dtype), dtype)


def constant_vector(values: list[int], element: str) -> str:
    """Text of an integer constant vector, without its own type."""
    return "<" + ", ".join(f"{element} {v}" for v in values) + ">"


def mask_text(lanes: tuple[bool, ...]) -> str:
    return "<" + ", ".join("i1 true" if lane else "i1 false" for lane in lanes) + ">"


def is_constant(ref: str) -> bool:
    return not ref.startswith("%")
