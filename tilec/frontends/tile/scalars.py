"""Compile-time arithmetic on sizes and literals.

Integers are exact (Python's, held within 64 bits), `/` truncates toward zero; as soon as a float takes part, everything
is done in double by the NumPy meaning of the builtin table. Errors raised: TILE0216 division by zero, TILE0301 a bit
operation on a float, TILE0415 a result beyond 64 bits.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from math import prod
from typing import overload

import numpy as np

from tilec.affine import Coef, Poly
from tilec.builtins import ALIASES, BUILTINS
from tilec.dtypes import DType
from tilec.errors import Span, error
from tilec.frontends.tile.values import Constant, Number
from tilec.rules import constant

MAX_TERMS, MAX_DEGREE = 10_000, 100  # of a polynomial in open sizes
_LOW, _HIGH = -(1 << 63), (1 << 64) - 1


def truncate(a: int, b: int) -> int:
    """a / b toward zero, exact."""
    quotient = abs(a) // abs(b)
    return quotient if (a < 0) == (b < 0) else -quotient


def _left(a: int, count: int) -> int:
    return a << count if 0 <= count < 64 else 0


def _right(a: int, count: int) -> int:
    return a >> count if 0 <= count < 64 else (-1 if a < 0 else 0)


_INTEGER: Mapping[str, Callable[..., int]] = {
    "add": operator.add,
    "sub": operator.sub,
    "mul": operator.mul,
    "div": truncate,
    "mod": operator.mod,
    "neg": operator.neg,
    "abs": abs,
    "max": max,
    "min": min,
    "relu": lambda a: max(a, 0),
    "ident": lambda a: a,
    "stop_gradient": lambda a: a,
    "reverse_grad": lambda a, scale: a,
    "floor": lambda a: a,
    "ceil": lambda a: a,
    "round": lambda a: a,
    "cmp_eq": operator.eq,
    "cmp_ne": operator.ne,
    "cmp_lt": operator.lt,
    "cmp_gt": operator.gt,
    "cmp_le": operator.le,
    "cmp_ge": operator.ge,
    "logical_not": operator.not_,
    "bit_and": operator.and_,
    "bit_or": operator.or_,
    "bit_xor": operator.xor,
    "bit_not": operator.invert,
    "bit_left": _left,
    "bit_right": _right,
    "cond": lambda c, a, b: a if c else b,
}


@overload
def fold(op: str, values: Sequence[Number], span: Span) -> Number: ...
@overload
def fold(op: str, values: Sequence[Constant], span: Span) -> Constant | None: ...
def fold(op: str, values: Sequence[Constant], span: Span) -> Constant | None:
    """An elementwise builtin applied to constants; None where an open size leaves it to run time."""
    op = ALIASES.get(op, op)
    if any(isinstance(v, Poly) for v in values):
        return _fold_open(op, values, span)
    return _fold_numbers(op, [v for v in values if not isinstance(v, Poly)], span)


_OPEN: Mapping[str, Callable[..., Coef]] = {
    "add": operator.add,
    "sub": operator.sub,
    "mul": operator.mul,
    "neg": operator.neg,
    "ident": lambda a: a,
}


def _fold_open(op: str, values: Sequence[Constant], span: Span) -> Constant | None:
    if op not in _OPEN or any(isinstance(v, float) for v in values):
        return None
    factors = [v.terms for v in values if isinstance(v, Poly)]
    degree = sum(max(len(names) for names, _ in terms) for terms in factors)
    if op == "mul" and (prod(map(len, factors)) > MAX_TERMS or degree > MAX_DEGREE):
        raise error("TILE0414", f"a product of sizes has more than {MAX_TERMS} terms, or {MAX_DEGREE} factors", span)
    found = _OPEN[op](*values)
    assert not isinstance(found, Fraction)  # of integers
    return found


def _fold_numbers(op: str, values: Sequence[Number], span: Span) -> Number:
    if op == "cond":
        return _choose(*values)
    if op in _INTEGER and not any(isinstance(v, float) for v in values):
        return _fold_integers(op, [_number(op, v) for v in values], span)
    if BUILTINS[op].rule in ("bits", "shift"):
        raise error("TILE0301", f"'{op}' is not defined for a float constant", span)
    result: Number = BUILTINS[op].numpy(*(np.asarray(float(v)) for v in values)).item()
    return result


def _number(op: str, value: Number) -> Number:
    """bool constants stay bool only where bit operations need them."""
    return value if BUILTINS[op].rule in ("bits", "order") else int(value)


def _choose(condition: Number, then: Number, orelse: Number) -> Number:
    chosen = then if condition else orelse
    return float(chosen) if isinstance(then, float) or isinstance(orelse, float) else chosen


def _fold_integers(op: str, values: Sequence[Number], span: Span) -> int:
    if op in ("div", "mod") and values[1] == 0:
        raise error("TILE0216", "division by zero in a constant expression", span)
    if op == "bit_not" and isinstance(values[0], bool):
        return not values[0]
    result = _INTEGER[op](*values)
    if not _LOW <= result <= _HIGH:
        raise error("TILE0415", f"the value of this constant expression, {result}, exceeds 64 bits", span)
    return result


def convert(value: Number, dtype: DType) -> Number:
    """A constant as a value of `dtype`: integers wrap, floats to integer saturate, floats round."""
    result = constant(value, dtype).value
    if dtype.is_float:
        with np.errstate(all="ignore"):
            return float(np.asarray(result, np.float64).astype(dtype.numpy))
    return bool(result) if dtype.kind == "bool" else result
