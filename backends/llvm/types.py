"""LLVM spelling of element types and constants.

In SSA a bool is `i1`, and float16 and bfloat16 are held as `float` values that the narrow type can represent; in memory
a bool is `i8` (0 or 1), float16 and bfloat16 are their 16 bits.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from tilec.dtypes import ALL, BF16, BOOL, F16, F32, DType

NARROW = (F16, BF16)
_SSA_TYPES = {d.name: f"i{d.bits}" for d in ALL} | {d.name: "float" for d in (F16, BF16, F32)}
_SSA_TYPES |= {"f64": "double", "bool": "i1"}
_MEMORY_TYPES = _SSA_TYPES | {"f16": "i16", "bf16": "i16", "bool": "i8"}


@dataclass(frozen=True, slots=True)
class Value:
    """An SSA value or constant. `lanes` is 0 for a scalar, which stands for the same value in every lane."""

    ref: str
    dtype: DType
    lanes: int = 0

    @property
    def type(self) -> str:
        element = _SSA_TYPES[self.dtype.name]
        return f"<{self.lanes} x {element}>" if self.lanes else element

    def __str__(self) -> str:
        """Operand with its type, as most instructions take it."""
        return f"{self.type} {self.ref}"


def vector_type(element: str, lanes: int) -> str:
    return f"<{lanes} x {element}>" if lanes else element


def ssa_type(dtype: DType) -> str:
    """Element type of a value in registers."""
    return _SSA_TYPES[dtype.name]


def ssa_bits(dtype: DType) -> int:
    """Bits of a value in a register."""
    return 32 if dtype in NARROW else 1 if dtype == BOOL else dtype.bits


def memory_type(dtype: DType) -> str:
    """Element type in memory."""
    return _MEMORY_TYPES[dtype.name]


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
    return _float_text(struct.pack("<d", value), dtype)


@lru_cache(4096)
def _float_text(double: bytes, dtype: DType) -> str:
    """Known by its bits: 0.0 equals -0.0, and NaN not even itself."""
    with np.errstate(over="ignore"):
        value = float(dtype.numpy.type(struct.unpack("<d", double)[0]))
    return f"0x{struct.unpack('<Q', struct.pack('<d', value))[0]:016X}"


def float_of(ref: str) -> float | None:
    """The number that `float_text` spells; None for anything else."""
    return float(struct.unpack("<d", struct.pack("<Q", int(ref, 16)))[0]) if ref.startswith("0x") else None


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
    return _vector_text([f"{element} {v}" for v in values])


def mask_text(lanes: tuple[bool, ...]) -> str:
    return _vector_text(["i1 true" if lane else "i1 false" for lane in lanes])


def _vector_text(typed: list[str]) -> str:
    return splat_text(typed[0]) if len(set(typed)) == 1 else f"<{', '.join(typed)}>"


def splat_text(typed: str) -> str:
    """A constant vector of one value, given with its type."""
    return f"splat ({typed})"


def is_constant(ref: str) -> bool:
    return not ref.startswith("%")
