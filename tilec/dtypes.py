"""Floor 0: the element types of tilec.

One `DType` value per type; compare with `==` or `is`. NumPy has no bfloat16 of its own: `ml_dtypes` supplies it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import numpy as np

Kind = Literal["bool", "int", "uint", "float"]


@dataclass(frozen=True, slots=True)
class DType:
    """An element type: short name (`f32`), long name (`float32`), category and width in bits (bool: 8 stored)."""

    name: str
    long: str
    kind: Kind
    bits: int

    def __str__(self) -> str:
        return self.name

    def __repr__(self) -> str:
        return self.name

    @property
    def bytes(self) -> int:
        return self.bits // 8

    @property
    def is_float(self) -> bool:
        return self.kind == "float"

    @property
    def is_integer(self) -> bool:
        return self.kind in ("int", "uint")

    @property
    def is_signed(self) -> bool:
        return self.kind in ("int", "float")

    @property
    def numpy(self) -> np.dtype[Any]:
        """The NumPy dtype (ml_dtypes' for bfloat16)."""
        return _numpy_dtype(self.long)

    @property
    def min(self) -> int | float:
        """Smallest value: for floats minus infinity, for bool 0."""
        if self.is_float:
            return float("-inf")
        return -(1 << (self.bits - 1)) if self.kind == "int" else 0

    @property
    def max(self) -> int | float:
        """Largest value: for floats infinity, for bool 1."""
        if self.is_float:
            return float("inf")
        if self.kind == "bool":
            return 1
        return (1 << (self.bits - (self.kind == "int"))) - 1


@cache
def _numpy_dtype(long: str) -> np.dtype[Any]:
    if long == "bfloat16":
        import ml_dtypes

        bfloat16: np.dtype[Any] = np.dtype(ml_dtypes.bfloat16)
        return bfloat16
    return np.dtype(long)


BOOL = DType("bool", "bool", "bool", 8)
I8, I16, I32, I64 = (DType(f"i{b}", f"int{b}", "int", b) for b in (8, 16, 32, 64))
U8, U16, U32, U64 = (DType(f"u{b}", f"uint{b}", "uint", b) for b in (8, 16, 32, 64))
F16, F32, F64 = (DType(f"f{b}", f"float{b}", "float", b) for b in (16, 32, 64))
BF16 = DType("bf16", "bfloat16", "float", 16)

ALL: tuple[DType, ...] = (BOOL, I8, I16, I32, I64, U8, U16, U32, U64, F16, BF16, F32, F64)
BY_NAME: dict[str, DType] = {n: d for d in ALL for n in (d.name, d.long)}


def from_numpy(dtype: np.dtype[Any]) -> DType | None:
    """The `DType` of a NumPy dtype of native byte order, or None where tilec has none."""
    return BY_NAME.get(dtype.name) if dtype.isnative else None


def promote(a: DType, b: DType) -> DType:
    """Common type of two operands: a float beats any integer, else the wider, on a tie the left one.

    float16 with bfloat16 gives float32, for neither holds the other. bool counts as the narrowest integer.
    """
    if a == b:
        return a
    if a.is_float != b.is_float:
        return a if a.is_float else b
    if {a, b} == {F16, BF16}:
        return F32
    rank_a, rank_b = (0 if d.kind == "bool" else d.bits for d in (a, b))
    return a if rank_a >= rank_b else b


def accumulator(dtype: DType, monoid: str) -> DType:
    """Type in which an aggregation of `dtype` is carried out when the program does not say.

    Sums and products of narrow types are carried out wide (float16/bfloat16 in float32, 8- and 16-bit integers and
    bool in 32 bits); maxima, minima and assignments never need more than the operand's own type.
    """
    if monoid not in ("sum", "prod"):
        return dtype
    if dtype.is_float:
        return F32 if dtype.bits < 32 else dtype
    if dtype.kind == "bool":
        return I32
    return dtype if dtype.bits >= 32 else I32
