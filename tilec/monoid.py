"""Floor 1: aggregations as values.

A monoid over a tuple of components has an identity and a combine function per component. `combine[c]` is an Expr over
`Var("a0") .. Var("a<n-1>")`, the state so far, and `Var("b0") ..`, the new element. One-component monoids of the
language (`sum prod max min assign any all`) are made by `standard` for a dtype.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tilec.dtypes import BOOL, DType
from tilec.expr import Call, Const, Expr, Var

Standard = Literal["sum", "prod", "max", "min", "assign"]
STANDARD: tuple[Standard, ...] = ("sum", "prod", "max", "min", "assign")
_OPS = {"sum": "add", "prod": "mul", "max": "max", "min": "min"}
_BOOL_OPS = {"sum": "bit_or", "prod": "bit_and", "max": "bit_or", "min": "bit_and"}


@dataclass(frozen=True, slots=True)
class Monoid:
    """`name` is one of STANDARD, or free for a user's own; `assign` has at most one writer, its identity is unused."""

    name: str
    identity: tuple[Const, ...]
    combine: tuple[Expr, ...]

    @property
    def arity(self) -> int:
        return len(self.identity)

    @property
    def dtypes(self) -> tuple[DType, ...]:
        return tuple(c.dtype for c in self.identity)


def identity(name: str, dtype: DType) -> Const:
    """Neutral element of a standard monoid in `dtype`."""
    values: dict[str, int | float] = {"sum": 0, "prod": 1, "max": dtype.min, "min": dtype.max, "assign": 0}
    value = values[name]
    return Const(float(value) if dtype.is_float else int(value), dtype)


def standard(name: str, dtype: DType) -> Monoid:
    """A one-component monoid of the language. On bool, sum is `or` and prod is `and`."""
    a, b = Var("a0", dtype), Var("b0", dtype)
    if name == "assign":
        return Monoid(name, (identity(name, dtype),), (b,))
    op = (_BOOL_OPS if dtype == BOOL else _OPS)[name]
    return Monoid(name, (identity(name, dtype),), (Call(op, (a, b), dtype),))
