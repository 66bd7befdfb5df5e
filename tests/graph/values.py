"""Independent meanings for the tests: exact rounding of rationals to float formats, in Python integers only."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from tilec.affine import Affine
from tilec.builtins import BUILTINS
from tilec.dtypes import BF16, F16, F32, F64, DType
from tilec.evaluate.expr import evaluate_expr
from tilec.expr import Access, Expr, Var

FORMATS = {F16: (11, -14, 15), BF16: (8, -126, 127), F32: (24, -126, 127), F64: (53, -1022, 1023)}


def round_to(value: Fraction, dtype: DType) -> float:
    """`value` rounded to nearest, ties to even, as a Python float; overflow gives infinity."""
    precision, low, high = FORMATS[dtype]
    if value == 0:
        return 0.0
    magnitude = abs(value)
    exponent = magnitude.numerator.bit_length() - magnitude.denominator.bit_length()
    if Fraction(2) ** exponent > magnitude:
        exponent -= 1
    unit = Fraction(2) ** (max(exponent, low) - precision + 1)
    rounded = round(magnitude / unit) * unit  # Python rounds half to even
    result = math.inf if rounded >= Fraction(2) ** (high + 1) else float(rounded)
    return -result if value < 0 else result


def edges(dtype: DType) -> list[int | float]:
    """Values at which operations go wrong, as exact Python numbers of the dtype."""
    if dtype.kind == "bool":
        return [0, 1]
    if dtype.is_integer:
        low, high = int(dtype.min), int(dtype.max)
        small = range(-3 if dtype.is_signed else 0, 4)
        around = [dtype.bits - 1, dtype.bits, dtype.bits + 1, 100]
        return sorted({low, low + 1, high - 1, high, high // 2 + 1, *small, *around})
    precision, least, greatest = FORMATS[dtype]
    tiny = 2.0 ** (least - precision + 1)
    largest = float((2 - Fraction(2) ** (1 - precision)) * Fraction(2) ** greatest)
    one_up = 1 + 2.0 ** (1 - precision)
    positive = [
        0.0,
        tiny,
        3 * tiny,
        2.0**least,
        0.25,
        0.5,
        1.0,
        one_up,
        1.5,
        2.0,
        2.5,
        3.0,
        7.75,
        100.0,
        largest,
        math.inf,
    ]
    return [*positive, *(-x for x in positive), math.nan]


def array(values: Sequence[int | float], dtype: DType) -> np.ndarray[Any, Any]:
    """Values as an array; bfloat16 by way of float32, exactly."""
    if dtype == BF16:
        return np.array(values, np.float32).astype(dtype.numpy)
    with np.errstate(over="ignore"):
        return np.array(values, np.float64 if dtype.is_float else dtype.numpy).astype(dtype.numpy)


def number(x: Any) -> int | float:
    """An array element as an exact Python number."""
    return float(x) if x.dtype.kind in "fV" or x.dtype.name == "bfloat16" else int(x)


def same(a: float, b: float) -> bool:
    """Equal, the sign of zero included; all NaN are equal."""
    if a != a or b != b:
        return a != a and b != b
    return a == b and math.copysign(1, a) == math.copysign(1, b)


def meaning(name: str, *args: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The builtin's NumPy meaning."""
    return np.asarray(BUILTINS[name].numpy(*args))


def expanded(name: str, dtype: DType, *args: np.ndarray[Any, Any]) -> np.ndarray[Any, Any] | None:
    """Value of the builtin's expansion, None where it is primitive."""
    entry = BUILTINS[name]
    variables: list[Expr] = [Var(f"x{i}", dtype) for i in range(len(args))]
    expr = entry.expand(tuple(variables), dtype) if entry.expand is not None else None
    if expr is None:
        return None
    env = {f"x{i}": a for i, a in enumerate(args)}
    return np.broadcast_to(evaluate_expr(expr, no_read, no_index, env.__getitem__), args[0].shape)


def no_read(access: Access) -> np.ndarray[Any, Any]:
    raise AssertionError(access)


def no_index(form: Affine) -> np.ndarray[Any, Any]:
    raise AssertionError(form)
