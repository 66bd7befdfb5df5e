"""Floor 5: NumPy's other names of functions that there are, and functions that are simple for real numbers."""

from __future__ import annotations

from math import pi
from typing import Any

from tilec.numpy.creation import asarray
from tilec.numpy.cumulative import cumulative_prod
from tilec.numpy.elementwise import (
    abs,
    acos,
    acosh,
    asin,
    asinh,
    atan,
    atanh,
    bitwise_invert,
    bitwise_left_shift,
    bitwise_right_shift,
    divide,
    isnan,
    logical_not,
    positive,
    remainder,
    round,
    trunc,
    where,
)
from tilec.numpy.floats import atan2, signbit
from tilec.numpy.mathematics import deg2rad, rad2deg
from tilec.numpy.reductions import max, min
from tilec.numpy.shapes import reshape
from tilec.tracing.dispatch import lift, operation
from tilec.tracing.elementwise import apply, as_float

absolute = abs
around = round
degrees, radians = rad2deg, deg2rad
fix = trunc
arccos, arccosh, arcsin, arcsinh, arctan, arctan2, arctanh = acos, acosh, asin, asinh, atan, atan2, atanh
amax, amin = max, min
array = asarray
bitwise_not = invert = bitwise_invert
cumprod = cumulative_prod
left_shift, right_shift = bitwise_left_shift, bitwise_right_shift
mod = remainder
true_divide = divide
conj = conjugate = real = copy = positive


@operation
def ravel(x: Any, /) -> Any:
    """All elements in row-major order, along one axis."""
    return reshape(x, -1)


@operation
def imag(x: Any, /) -> Any:
    """The imaginary part of a real number: 0."""
    tensor = lift(x)
    return apply("cond", False, tensor, 0)


@operation
def isreal(x: Any, /) -> Any:
    """Whether the imaginary part is 0: of real numbers it is."""
    return logical_not(apply("cmp_ne", imag(x), 0))


@operation
def angle(x: Any, /) -> Any:
    """The angle of a real number: 0, or pi of what is negative; integers become float32."""
    value = as_float(x)
    return where(isnan(value), value, where(signbit(value), pi, 0))
