"""Expressions of Tile as text with the parentheses they need, and with their types in mind.

A number in a Tile program is weak: it takes the type of what it meets. Where it meets nothing that has a type, it must
be written with its own, as in `as_float(0.5, 64)`. `combine` knows which.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isinf, isnan

import numpy as np

from tilec.builtins import BUILTINS
from tilec.dtypes import BF16, BOOL, F32, I32, I64, U64, DType
from tilec.frontends.tile.functions import BINARY, ELEMENTWISE, UNARY

_SYMBOLS: Mapping[str, str] = {op: symbol for symbol, op in BINARY.items()}
_PREFIXES: Mapping[str, str] = {op: symbol for symbol, op in UNARY.items() if symbol != "+"}
_LEVELS: Mapping[str, int] = {
    **{"^": 1, "|": 2, "&": 3, "==": 4, "!=": 4, "<": 5, "<=": 5, ">": 5, ">=": 5},
    **{"<<": 6, ">>": 6, "+": 7, "-": 7, "*": 8, "/": 8, "%": 8},
}
_CHAINLESS = (4, 5)
CHOICE, SUM, PRODUCT, PREFIX, ATOM = 0, 7, 8, 9, 10


@dataclass(frozen=True, slots=True)
class Term:
    """Text that binds as tightly as `level`. `strong` is set for a weak term: the same value with its own type."""

    text: str
    level: int
    dtype: DType
    strong: Term | None = None
    number: bool = False

    def at(self, level: int) -> str:
        """The text where an expression of at least this level can stand."""
        return self.text if self.level >= level else f"({self.text})"


def name(text: str, dtype: DType) -> Term:
    return Term(text, ATOM, dtype)


def number(value: int | float, dtype: DType) -> Term:
    """A constant."""
    if dtype == BOOL:
        return Term(f"as_bool({int(value)})", ATOM, dtype)
    text = _float_text(float(value), dtype) if dtype.is_float else _integer_text(int(value))
    level = PRODUCT if "/" in text else PREFIX if text.startswith("-") else ATOM
    return Term(text, level, dtype, convert(Term(text, level, dtype), dtype), number=True)


def _integer_text(value: int) -> str:
    if value > I64.max:  # only uint64 has such values, and wraps
        return _integer_text(value - int(U64.max) - 1)
    return f"({value + 1} - 1)" if value == I64.min else str(value)


def _float_text(value: float, dtype: DType) -> str:
    """The shortest digits that mean the value in its type."""
    if isnan(value):
        return "0.0 / 0.0"
    if isinf(value):
        return "1.0 / 0.0" if value > 0 else "-1.0 / 0.0"
    with np.errstate(over="ignore"):
        short = str(np.float32(value)) if dtype == F32 else repr(value)
    return short if any(c in short for c in ".e") else f"{short}.0"


def convert(term: Term, dtype: DType) -> Term:
    """`as_float(x, 32)` and the like."""
    if dtype == BOOL:
        return Term(f"as_bool({term.text})", ATOM, dtype)
    kind = "as_bfloat" if dtype == BF16 else {"float": "as_float", "int": "as_int", "uint": "as_uint"}[dtype.kind]
    return Term(f"{kind}({term.text}, {dtype.bits})", ATOM, dtype)


def known(op: str) -> bool:
    """Whether the language has the operation."""
    return op in ELEMENTWISE or op == "cast"


def combine(op: str, args: Sequence[Term], dtype: DType, weak: bool = False) -> Term:
    """An elementwise operation; `weak`: its operands and its result may stay weak."""
    if op == "cast":
        return convert(args[0], dtype)
    first = 1 if op == "cond" else 0
    values = args[first:]
    plain = _spelled(op, args, dtype)
    if weak:
        return Term(plain.text, plain.level, dtype, convert(plain, dtype))
    if any(v.strong is None for v in values):
        return plain
    exact = _spelled(op, [*args[:first], values[0].strong or values[0], *values[1:]], dtype)
    if _alone(op, values):
        return Term(plain.text, plain.level, dtype, exact if BUILTINS[op].rule != "compare" else None)
    return exact


def _alone(op: str, values: Sequence[Term]) -> bool:
    """Whether weak operands mean the same among themselves: they are of the types that weak values have alone.

    Constants would be folded in double, and the quotient of an index is exact.
    """
    if op == "cond":
        return all(v.dtype in (F32, I32) for v in values)
    return all(v.dtype == I32 for v in values) and not all(v.number for v in values) and op != "div"


def _spelled(op: str, args: Sequence[Term], dtype: DType) -> Term:
    if op == "cond":
        condition, then, orelse = args
        text = f"{condition.at(CHOICE + 1)} ? {then.at(CHOICE)} : {orelse.at(CHOICE)}"
        return Term(text, CHOICE, dtype)
    if op in _PREFIXES:
        return Term(f"{_PREFIXES[op]}{args[0].at(PREFIX)}", PREFIX, dtype)
    if op in _SYMBOLS:
        symbol = _SYMBOLS[op]
        level = _LEVELS[symbol]
        left = args[0].at(level + 1 if level in _CHAINLESS else level)
        return Term(f"{left} {symbol} {args[1].at(level + 1)}", level, dtype)
    return Term(f"{op}({', '.join(a.text for a in args)})", ATOM, dtype)
