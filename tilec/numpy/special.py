"""Floor 5: special functions: of errors, gamma and Bessel's I0, each a few polynomials."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf, log, nan, pi, sqrt
from typing import Any

from tilec.dtypes import F32, F64, DType
from tilec.numpy.elementwise import where
from tilec.numpy.precision import widened
from tilec.tracing.dispatch import operation
from tilec.tracing.elementwise import apply, as_dtype
from tilec.tracing.tensor import Tensor

# Chebyshev's coefficients, the first of which counts half: of exp(-x) I0(x) in x / 4 - 1 for x <= 8, of exp(-x) sqrt(x)
# I0(x) in 16 / x - 1 above, and of log(erfc(x) / t) + x * x in 2 t - 1 with t = 2 / (2 + x).
_BESSEL_NEAR = (
    0.67679527440947608, -0.3046826723431984, 0.17162090152220878, -0.094901097048047644, 0.049305284239670708,
    -0.023737414805899469, 0.010546460394594998, -0.0043243099950505759, 0.0016394756169413358,
    -0.00057637557453858237, 0.00018850288509584166, -5.7541950100821037e-5, 1.6448448070728897e-5,
    -4.4167383584587506e-6, 1.1173875391201037e-6, -2.6707938539406117e-7, 6.0469950225419189e-8,
    -1.300025009986248e-8, 2.6598237246823867e-9, -5.1897956016352629e-10, 9.6758090353732369e-11,
    -1.7268262914415557e-11, 2.9550526631296398e-12, -4.8564467831119295e-13, 7.6761854986049356e-14,
    -1.1685332877993452e-14, 1.715391285555133e-15, -2.4312798465479547e-16,
)  # fmt: skip
_BESSEL_FAR = (
    0.80449041101410883, 0.0033691164782556941, 6.889758346916824e-5, 2.8913705208347565e-6, 2.0489185894690637e-7,
    2.2666689904981781e-8, 3.3962320257083863e-9, 4.9406023882249696e-10, 1.1889147107846438e-11,
    -3.1499165279632414e-11, -1.3215811840447713e-11, -1.7941785315068061e-12, 7.1801244513836662e-13,
    3.8527783827421427e-13, 1.5400862175214098e-14, -4.1505693472872221e-14, -9.5548466988283076e-15,
    3.8116806693526224e-15, 1.7725601330565264e-15, -3.4254856196772191e-16, -2.8276239805165835e-16,
    3.4612228676974611e-17, 4.46562142029676e-17,
)  # fmt: skip
_LOG_ERFC = (
    -1.3026537197817094, 0.64196979235649026, 0.019476473204185836, -0.0095615147868086316, -0.00094659534448203687,
    0.00036683949785276145, 4.2523324806907772e-5, -2.0278578112534243e-5, -1.6242900046470255e-6,
    1.3036558355805232e-6, 1.5626441722066143e-8, -8.5238095914926543e-8, 6.5290544390988515e-9,
    5.0593434955514689e-9, -9.9136415649303308e-10, -2.2736512229318359e-10, 9.646791102015527e-11,
    2.3940380830391128e-12, -6.8860275264975515e-12, 8.9448792730907068e-13, 3.1309213993429767e-13,
    -1.1270822361367437e-13, 3.8109052552074321e-16, 7.1060976136074419e-15, -1.5230282014553352e-15,
    -9.4574945714654482e-17,
)  # fmt: skip


def _chebyshev(t: Any, coefficients: Sequence[float]) -> Any:
    """The series at t by C. W. Clenshaw's recurrence (1955)."""
    after: Any = 0.0
    found: Any = 0.0
    for c in reversed(coefficients[1:]):
        after, found = found, 2 * t * found - after + c
    return t * found - after + coefficients[0] / 2


@operation
def i0(x: Any, /) -> Any:
    """The modified Bessel function of the first kind and order 0, elementwise, to a few units in the last place."""
    value, dtype = widened(x)
    size = apply("abs", value)
    near = apply("cmp_le", size, 8)
    below, above = where(near, size, 8), where(near, 8, size)
    scaled = where(near, _chebyshev(below / 4 - 1, _BESSEL_NEAR), _chebyshev(16 / above - 1, _BESSEL_FAR) / above**0.5)
    half = apply("exp", size / 2)  # exp(size) overflows before the result does
    return as_dtype(scaled * half * half, dtype)


@operation
def erfc(x: Any, /) -> Any:
    """1 - erf(x), elementwise, accurate where that is small: by Chebyshev's series (M. Shepherd and J. Laframboise,
    Math. of Comp. 36, 1981)."""
    value, dtype = widened(x)
    size = apply("abs", value)
    held = apply("min", size, 30)  # there it is 0, and infinity has no series
    t = 2 / (2 + held)
    coarse = apply("stop_gradient", apply("round", held * 16) / 16)  # whose square is exact
    rest = (coarse - held) * (coarse + held) + _chebyshev(2 * t - 1, _LOG_ERFC)
    tail = t * apply("exp", -coarse * coarse) * apply("exp", rest)
    found = where(apply("cmp_lt", value, 0), 2 - tail, tail)
    return as_dtype(where(apply("cmp_lt", size, 0.5), 1 - apply("erf", value), found), dtype)


# M. Giles, Approximating the erfinv function, GPU Computing Gems 2 (2010): polynomials in w - 2.5 and sqrt(w) - 3.
_NEAR = (2.81022636e-08, 3.43273939e-07, -3.5233877e-06, -4.39150654e-06, 0.00021858087, -0.00125372503,
         -0.00417768164, 0.246640727, 1.50140941)  # fmt: skip
_FAR = (-0.000200214257, 0.000100950558, 0.00134934322, -0.00367342844, 0.00573950773, -0.0076224613,
        0.00943887047, 1.00167406, 2.83297682)  # fmt: skip


@operation
def erfinv(x: Any, /) -> Any:
    """The y with erf(y) = x, elementwise: infinite at -1 and 1, NaN beyond. By M. Giles's polynomials (2010), in
    float64 with two steps of Halley's method."""
    value, dtype = widened(x)
    inside = apply("cmp_lt", apply("abs", value), 1)
    found = inverse_erf(where(inside, value, 0), F64 if dtype == F64 else F32)
    edge = where(apply("cmp_eq", value, 1), inf, where(apply("cmp_eq", value, -1), -inf, nan))
    return as_dtype(where(inside, found, edge), dtype)


def inverse_erf(y: Tensor, dtype: DType) -> Any:
    """The x with erf x = y, for -1 < y < 1, in float32 or float64."""
    w = -apply("log", (1.0 - y) * (1.0 + y))
    near = apply("cmp_lt", w, 5.0)
    t = where(near, w - 2.5, apply("sqrt", where(near, 5.0, w)) - 3.0)
    p: Any = where(near, _NEAR[0], _FAR[0])
    for a, b in zip(_NEAR[1:], _FAR[1:]):
        p = where(near, a, b) + as_dtype(p, dtype) * t
    x = as_dtype(p, dtype) * y
    for _ in range(2 if dtype == F64 else 0):
        newton = (apply("erf", x) - y) * apply("exp", x * x) * (sqrt(pi) / 2)
        x = x - newton / (1.0 + x * newton)
    return x


@operation
def lgamma(x: Any, /) -> Any:
    """log |gamma(x)|, elementwise; infinite at 0 and the negative integers. By J. Stirling's series from 8 on (M.
    Abramowitz and I. Stegun, 6.1.41) and by reflection below 0; the error is absolute near the zeros at 1 and 2."""
    value, dtype = widened(x)
    below = apply("cmp_lt", value, 0.5)
    found = log_gamma(where(below, 1 - value, value))
    turn = _turn(value)
    sine = apply("abs", apply("sin", turn * pi))
    pole = apply("bit_and", below, apply("cmp_eq", turn, 0))
    reflected = log(pi) - apply("log", where(pole, 1, where(below, sine, 1))) - found
    endless = apply("bit_or", pole, apply("cmp_eq", apply("abs", value), inf))
    return as_dtype(where(endless, inf, where(below, reflected, found)), dtype)


def _turn(x: Tensor) -> Any:
    """The distance to the nearest integer, exact: what the remainder of a small negative number is not."""
    return x - apply("stop_gradient", apply("round", x))


def log_gamma(x: Any) -> Any:
    """log gamma(x) for x >= 0.5 in float32 or float64."""
    low = apply("cmp_lt", x, 8)
    product: Any = 1
    for k in range(8):
        product = product * (where(low, x, 1) + k)
    moved = where(low, x + 8, x)
    r = 1 / (moved * moved)
    series = (1 / 12 - r * (1 / 360 - r * (1 / 1260 - r * (1 / 1680 - r * (1 / 1188 - r * 691 / 360360))))) / moved
    found = (moved - 0.5) * apply("log", moved) - moved + log(2 * pi) / 2 + series
    return where(low, found - apply("log", product), found)


@operation
def digamma(x: Any, /) -> Any:
    """The derivative of `lgamma`, elementwise; NaN at 0 and the negative integers. M. Abramowitz and I. Stegun, 6.3.5,
    6.3.7 and 6.3.18."""
    value, dtype = widened(x)
    below = apply("cmp_lt", value, 0.5)
    found = log_gamma_slope(where(below, 1 - value, value))
    turn = _turn(value)
    pole = apply("cmp_eq", turn, 0)
    angle = where(apply("bit_or", pole, apply("logical_not", below)), 0.5, turn) * pi
    reflected = where(pole, nan, found - pi * apply("cos", angle) / apply("sin", angle))
    return as_dtype(where(below, reflected, found), dtype)


def log_gamma_slope(x: Any) -> Any:
    """The derivative of log gamma for x >= 0.5."""
    moved = x + 8
    shift: Any = 0
    for k in range(8):
        shift = shift + 1 / (x + k)
    r = 1 / (moved * moved)
    series = r * (1 / 12 - r * (1 / 120 - r * (1 / 252 - r * (1 / 240 - r * (1 / 132 - r * 691 / 32760)))))
    return apply("log", moved) - 1 / (2 * moved) - series - shift
