"""Floor 5: elementwise functions: the table of builtins under the names of the array API, and what is made of them."""

from __future__ import annotations

from collections.abc import Callable
from math import inf, log
from typing import Any

from tilec.dtypes import BOOL, F32, F64, I32, DType
from tilec.errors import error
from tilec.graph import TensorType
from tilec.numpy.axes import whole
from tilec.rules import weak_dtype
from tilec.tracing.dispatch import lift, operation
from tilec.tracing.elementwise import apply, as_dtype, as_float, common_of, dtype_of
from tilec.tracing.operators import is_number

Unary = Callable[[Any], Any]
Binary = Callable[[Any, Any], Any]


def _unary(name: str, op: str, text: str) -> Unary:
    def function(x: Any, /) -> Any:
        return apply(op, x)

    return operation(_named(function, name, f"{text}, elementwise."))


def _binary(name: str, op: str, text: str) -> Binary:
    def function(x1: Any, x2: Any, /) -> Any:
        return apply(op, x1, x2)

    return operation(_named(function, name, f"{text}, elementwise with broadcasting."))


def _named(function: Any, name: str, text: str) -> Any:
    function.__name__ = function.__qualname__ = name
    function.__doc__ = text
    return function


negative = _unary("negative", "neg", "-x; integers wrap")
abs = _unary("abs", "abs", "|x|")
relu = _unary("relu", "relu", "max(x, 0)")
floor = _unary("floor", "floor", "Largest integer not above x")
ceil = _unary("ceil", "ceil", "Smallest integer not below x")
trunc = _unary("trunc", "trunc", "x without its fraction")
rint = _unary("rint", "round", "Nearest integer, half to even")
reciprocal = _unary("reciprocal", "recip", "1 / x; integers become float32")
sqrt = _unary("sqrt", "sqrt", "Square root; integers become float32, here and in all functions below")
exp = _unary("exp", "exp", "e to the power x")
expm1 = _unary("expm1", "expm1", "exp(x) - 1, accurate near 0")
log_e = _unary("log", "log", "Natural logarithm")
log1p = _unary("log1p", "log1p", "log(1 + x), accurate near 0")
sigmoid = _unary("sigmoid", "sigmoid", "1 / (1 + exp(-x))")
erf = _unary("erf", "erf", "Error function")
sin = _unary("sin", "sin", "Sine")
cos = _unary("cos", "cos", "Cosine")
tan = _unary("tan", "tan", "Tangent")
sinh = _unary("sinh", "sinh", "Hyperbolic sine")
cosh = _unary("cosh", "cosh", "Hyperbolic cosine")
tanh = _unary("tanh", "tanh", "Hyperbolic tangent")
asin = _unary("asin", "asin", "Inverse sine")
acos = _unary("acos", "acos", "Inverse cosine")
atan = _unary("atan", "atan", "Inverse tangent")
asinh = _unary("asinh", "asinh", "Inverse hyperbolic sine")
acosh = _unary("acosh", "acosh", "Inverse hyperbolic cosine")
atanh = _unary("atanh", "atanh", "Inverse hyperbolic tangent")
positive = _unary("positive", "ident", "x")
bitwise_invert = _unary("bitwise_invert", "bit_not", "~x of integers and bool")

add = _binary("add", "add", "x1 + x2; integers wrap")
subtract = _binary("subtract", "sub", "x1 - x2; integers wrap")
multiply = _binary("multiply", "mul", "x1 * x2; integers wrap")
remainder = _binary("remainder", "mod", "x1 % x2 with the sign of x2")
maximum = _binary("maximum", "max", "The larger one; NaN where one is NaN")
minimum = _binary("minimum", "min", "The smaller one; NaN where one is NaN")
equal = _binary("equal", "cmp_eq", "x1 == x2")
not_equal = _binary("not_equal", "cmp_ne", "x1 != x2")
less = _binary("less", "cmp_lt", "x1 < x2")
less_equal = _binary("less_equal", "cmp_le", "x1 <= x2")
greater = _binary("greater", "cmp_gt", "x1 > x2")
greater_equal = _binary("greater_equal", "cmp_ge", "x1 >= x2")
bitwise_and = _binary("bitwise_and", "bit_and", "x1 & x2 of integers and bool")
bitwise_or = _binary("bitwise_or", "bit_or", "x1 | x2 of integers and bool")
bitwise_xor = _binary("bitwise_xor", "bit_xor", "x1 ^ x2 of integers and bool")
bitwise_left_shift = _binary("bitwise_left_shift", "bit_left", "x1 << x2")
bitwise_right_shift = _binary("bitwise_right_shift", "bit_right", "x1 >> x2")


@operation
def astype(x: Any, /, dtype: Any, *, copy: bool = True) -> Any:
    """x converted: a float becomes an integer by truncation, saturated, NaN becomes 0. `copy` changes nothing."""
    return as_dtype(x, dtype_of(dtype))


@operation
def where(condition: Any, x1: Any, x2: Any, /) -> Any:
    """x1 where the condition is not zero, x2 elsewhere, with broadcasting."""
    return apply("cond", condition, x1, x2)


@operation
def divide(x1: Any, x2: Any, /) -> Any:
    """The true quotient; integers become float32."""
    if is_integral(x1) and is_integral(x2):
        x1, x2 = (float(x) if isinstance(x, bool | int) else _as_quotient(x) for x in (x1, x2))
    return apply("div", x1, x2)


def _as_quotient(x: Any) -> Any:
    """Integers as floats; those in the body of a contraction as the language has it."""
    return as_float(x) if getattr(x, "body_dtype", None) is None else apply("cast", x, dtype=F32)


@operation
def floor_divide(x1: Any, x2: Any, /) -> Any:
    """floor(x1 / x2); of integers x // 0 is 0."""
    quotient, rest = apply("div", x1, x2), apply("mod", x1, x2)
    opposite = apply("bit_xor", apply("cmp_lt", x1, 0), apply("cmp_lt", x2, 0))
    if not (is_integral(x1) and is_integral(x2)):
        exact = apply("round", apply("div", apply("sub", x1, rest), x2))
        below = apply("cond", apply("bit_and", opposite, apply("cmp_ne", x1, 0)), -1, 0)
        endless = apply("cmp_eq", apply("abs", x2), inf)  # there the quotient is 0 from above or below
        exact = apply("cond", endless, apply("add", apply("sub", x1, x1), below), exact)
        return apply("cond", apply("cmp_eq", x2, 0), quotient, exact)
    inexact = apply("cmp_ne", rest, 0)
    return apply("sub", quotient, apply("cast", apply("bit_and", inexact, opposite), dtype=common(x1, x2)))


@operation
def power(x1: Any, x2: Any, /) -> Any:
    """x1 to the power x2; integers wrap, and to a negative power they are 0."""
    if type(x2) in (int, float) and x2 in (-1, 0.5, 1, 2, 3) and not (is_integral(x1) and x2 != int(x2)):
        found = _simple_power(x1, x2)
        if found is not None:
            return found
    if is_integral(x1) and is_integral(x2):
        return _integer_power(x1, x2)
    return apply("pow", x1, x2)


def _simple_power(x: Any, exponent: float) -> Any:
    """Exponents for which there is something quicker; a float exponent makes floats of integers."""
    if is_integral(x) and (isinstance(exponent, float) or exponent < 0):
        return None
    match exponent:
        case -1:
            return apply("recip", x)
        case 0.5:
            return apply("sqrt", x)
        case 1:
            return apply("ident", x)
        case 2:
            return apply("mul", x, x)
        case _:
            return apply("mul", apply("mul", x, x), x)


def _integer_power(x: Any, exponent: Any) -> Any:
    """By repeated squaring, modulo the width of the type; 0 for a negative exponent."""
    if isinstance(exponent, int) and exponent < 0:
        raise error("TILE0301", "an integer to a negative power", help="convert it: tilec.numpy.astype(x, 'float32')")
    bits = exponent.bit_length() if isinstance(exponent, int) else _type(exponent).dtype.bits
    zero = apply("mul", x, 0) if isinstance(exponent, int) else apply("mul", apply("mul", x, exponent), 0)
    result: Any = apply("add", zero, 1)
    for k in range(bits):
        odd = apply("bit_and", apply("bit_right", exponent, k), 1)
        result = apply("cond", odd, apply("mul", result, x), result)
        x = apply("mul", x, x)
    return result if isinstance(exponent, int) else apply("cond", apply("cmp_lt", exponent, 0), 0, result)


pow = power


@operation
def square(x: Any, /) -> Any:
    """x * x."""
    return apply("mul", x, x)


@operation
def rsqrt(x: Any, /) -> Any:
    """1 / sqrt(x)."""
    return apply("recip", apply("sqrt", x))


@operation
def sign(x: Any, /) -> Any:
    """-1, 0 or 1; NaN stays."""
    zero = apply("cond", apply("cmp_eq", x, 0), 0, stop_gradient(x))
    below = apply("cond", apply("cmp_lt", x, 0), -1, zero) if lift(x).type.dtype.is_signed else zero
    return apply("cond", apply("cmp_gt", x, 0), 1, below)


@operation
def log2(x: Any, /) -> Any:
    """Logarithm to base 2: the natural one times a constant, so of a power of 2 it need not be an integer."""
    return apply("mul", apply("log", x), 1 / log(2))


@operation
def log10(x: Any, /) -> Any:
    """Logarithm to base 10: the natural one times a constant, so of a power of 10 it need not be an integer."""
    return apply("mul", apply("log", x), 1 / log(10))


@operation
def exp2(x: Any, /) -> Any:
    """2 to the power x."""
    return apply("pow", 2.0, x)


@operation
def isnan(x: Any, /) -> Any:
    """Whether x is NaN."""
    return apply("cmp_ne", x, x)


@operation
def isinf(x: Any, /) -> Any:
    """Whether x is an infinity."""
    return _false(x) if is_integral(x) else apply("cmp_eq", apply("abs", x), inf)


@operation
def isfinite(x: Any, /) -> Any:
    """Whether x is neither NaN nor an infinity."""
    return apply("logical_not", _false(x)) if is_integral(x) else apply("cmp_lt", apply("abs", x), inf)


@operation
def logical_not(x: Any, /) -> Any:
    """Whether x is zero."""
    return apply("logical_not", x)


@operation
def logical_and(x1: Any, x2: Any, /) -> Any:
    """Whether both are not zero."""
    return apply("bit_and", as_dtype(x1, BOOL), as_dtype(x2, BOOL))


@operation
def logical_or(x1: Any, x2: Any, /) -> Any:
    """Whether one is not zero."""
    return apply("bit_or", as_dtype(x1, BOOL), as_dtype(x2, BOOL))


@operation
def logical_xor(x1: Any, x2: Any, /) -> Any:
    """Whether exactly one is not zero."""
    return apply("bit_xor", as_dtype(x1, BOOL), as_dtype(x2, BOOL))


@operation(arrays=("min", "max"))
def clip(x: Any, /, min: Any = None, max: Any = None) -> Any:
    """x where it is between the bounds, else the nearer bound; NaN stays."""
    if min is not None:
        x = apply("max", x, min)
    return x if max is None else apply("min", x, max)


@operation
def logaddexp(x1: Any, x2: Any, /) -> Any:
    """log(exp(x1) + exp(x2)) without overflow, accurate where it is close to 0."""
    first = apply("cmp_ge", x1, x2)
    high, low = apply("cond", first, x1, x2), apply("cond", first, x2, x1)
    endless = apply("bit_and", apply("cmp_eq", high, low), isinf(high))  # their distance is no number
    distance = apply("cond", endless, 0, apply("sub", low, high))
    return apply("add", high, apply("log1p", apply("exp", distance)))


@operation
def round(x: Any, /, decimals: int = 0) -> Any:
    """Nearest number of so many decimals, half to even, elementwise; negative ones are places before the point.

    As NumPy does it: x * 10^decimals is rounded and divided again, of 16-bit floats in float32, of integers in float64.
    Where that product is infinite, or too large for a fraction, the result is x. The derivative is 0. Raises TILE0511.
    """
    places = whole(decimals, "a number of decimals")
    if not -30 <= places <= 30:
        raise error("TILE0511", f"numbers are rounded to -30 to 30 decimals, not to {places}")
    dtype = _type(x).dtype
    if places == 0 or (places > 0 and not dtype.is_float):
        return apply("round", x)
    wide = F64 if not dtype.is_float else dtype if dtype.bits > 16 else F32
    value, scale = apply("stop_gradient", as_dtype(x, wide)), 10.0 ** max(places, -places)
    if places < 0:
        return as_dtype(apply("mul", apply("round", apply("div", value, scale)), scale), dtype)
    scaled = apply("mul", value, scale)
    fine = apply("cmp_lt", apply("abs", scaled), 2.0 ** (23 if wide == F32 else 52))
    return as_dtype(apply("cond", fine, apply("div", apply("round", scaled), scale), value), dtype)


@operation
def stop_gradient(x: Any, /) -> Any:
    """x itself, of derivative zero."""
    return apply("stop_gradient", x)


def _type(x: Any) -> TensorType:
    """The type of an operand; the shape of an element's is not looked at."""
    if is_number(x):
        return TensorType(weak_dtype(x), weak=True)
    dtype = getattr(x, "body_dtype", None)
    return lift(x).type if dtype is None else TensorType(dtype)


def is_integral(x: Any) -> bool:
    """Whether an operand is of integers or bool."""
    return not _type(x).dtype.is_float


def common(*operands: Any) -> DType:
    """The type that arithmetic gives of operands."""
    found = common_of([_type(x) for x in operands])
    return I32 if found == BOOL else found


def _false(x: Any) -> Any:
    return apply("cmp_ne", x, x)
