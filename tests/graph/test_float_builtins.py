"""Float operations on edge values against exact rationals and mpmath, and exact expansions against the same."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from itertools import product
from typing import Any

import mpmath
import numpy as np
import pytest

from tests.graph.values import FORMATS, array, edges, expanded, meaning, number, round_to, same
from tilec.builtins import BUILTINS
from tilec.dtypes import ALL, BF16, BOOL, F16, F32, F64, DType
from tilec.numpy_semantics import cast, fused

FLOATS = [F16, BF16, F32, F64]
pytestmark = pytest.mark.filterwarnings("error")


def check(name: str, dtype: DType, columns: list[list[float]], expected: list[float], expansion: bool = True) -> None:
    args = [array(c, dtype) for c in columns]
    results = [meaning(name, *args), expanded(name, dtype, *args) if expansion else None]
    for result in results:
        if result is None:
            continue
        rows = zip(*columns, result, expected)
        wrong = [(*row, number(r), e) for *row, r, e in rows if not same(float(number(r)), float(e))]
        assert not wrong, wrong[:5]


def exact(op: Callable[[Any, Any], Any], special: Callable[[float, float], float]) -> Callable[..., float]:
    """Exact rational arithmetic, rounded; Python's float rules for zeros, infinities and NaN."""

    def model(a: float, b: float, dtype: DType) -> float:
        if not (math.isfinite(a) and math.isfinite(b)) or a == 0 or b == 0:
            return special(a, b)
        value = op(Fraction(a), Fraction(b))
        return round_to(value, dtype)

    return model


def quotient(a: float, b: float) -> float:
    if b == 0:
        return math.nan if a == 0 or a != a else math.copysign(math.inf, a) * math.copysign(1, b)
    return a / b


def modulo(a: float, b: float, dtype: DType) -> float:
    if a != a or b != b or math.isinf(a) or b == 0:
        return math.nan
    if math.isinf(b):
        return math.copysign(0.0, b) if a == 0 else a if (a < 0) == (b < 0) else b
    rest = Fraction(a) - Fraction(b) * int(Fraction(a) / Fraction(b))  # exact, with the dividend's sign
    if rest and (rest < 0) != (b < 0):
        return round_to(rest + Fraction(b), dtype)
    return math.copysign(float(rest), b) if rest == 0 else float(rest)


def extreme(a: float, b: float, sign: int) -> float:
    if a != a or b != b:
        return math.nan
    key = lambda x: (sign * x, sign * math.copysign(1, x))  # noqa: E731
    return max(a, b, key=key)


ARITHMETIC: dict[str, Callable[[float, float, DType], float]] = {
    "add": exact(lambda a, b: a + b, lambda a, b: a + b),
    "sub": exact(lambda a, b: a - b, lambda a, b: a - b),
    "mul": exact(lambda a, b: a * b, lambda a, b: a * b),
    "div": exact(lambda a, b: a / b, quotient),
    "strong_mul": exact(lambda a, b: a * b, lambda a, b: a if a == 0 else a * b),
    "strong_div": exact(lambda a, b: a / b, lambda a, b: a if a == 0 else quotient(a, b)),
    "mod": modulo,
    "max": lambda a, b, d: extreme(a, b, 1),
    "min": lambda a, b, d: extreme(a, b, -1),
    "cmp_eq": lambda a, b, d: a == b,
    "cmp_ne": lambda a, b, d: a != b,
    "cmp_lt": lambda a, b, d: a < b,
    "cmp_gt": lambda a, b, d: a > b,
    "cmp_le": lambda a, b, d: a <= b,
    "cmp_ge": lambda a, b, d: a >= b,
}


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("name", ARITHMETIC)
def test_binary(name: str, dtype: DType) -> None:
    pairs = [(float(a), float(b)) for a, b in product(edges(dtype), repeat=2)]
    expected = [float(ARITHMETIC[name](a, b, dtype)) for a, b in pairs]
    check(name, dtype, [[a for a, _ in pairs], [b for _, b in pairs]], expected)


def half_even(x: float) -> float:
    return math.copysign(float(round(Fraction(x))), x)


def finite(function: Callable[[float], float]) -> Callable[[float], float]:
    return lambda x: function(x) if math.isfinite(x) else x


UNARY: dict[str, Callable[[float], float]] = {
    "neg": lambda x: -x,
    "abs": abs,
    "relu": lambda x: x if x != x else max(x, 0.0) + 0.0,
    "ident": lambda x: x,
    "stop_gradient": lambda x: x,
    "floor": finite(lambda x: math.copysign(float(math.floor(x)), x)),
    "ceil": finite(lambda x: math.copysign(float(math.ceil(x)), x)),
    "trunc": finite(lambda x: math.copysign(float(math.trunc(x)), x)),
    "round": finite(half_even),
    "logical_not": lambda x: float(x == 0),
}


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("name", UNARY)
def test_unary(name: str, dtype: DType) -> None:
    values = [float(x) for x in edges(dtype)]
    check(name, dtype, [values], [float(UNARY[name](x)) for x in values])


def square_root(x: Fraction) -> Fraction:
    """To far more bits than any format has, and never a tie unless exact."""
    scaled = x * 4**1200
    root = math.isqrt(int(scaled))
    return Fraction(2 * root + (root * root != scaled), 2 ** (1201))


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_recip_and_sqrt(dtype: DType) -> None:
    values = [float(x) for x in edges(dtype)]
    expected = [round_to(1 / Fraction(x), dtype) if math.isfinite(x) and x else quotient(1.0, x) for x in values]
    check("recip", dtype, [values], expected)
    squares = [x for x in values if x > 0 and math.isfinite(x)]
    roots = [round_to(square_root(Fraction(x)), dtype) for x in squares]
    check("sqrt", dtype, [squares], roots)
    check("sqrt", dtype, [[0.0, -0.0, -1.0, math.inf]], [0.0, -0.0, math.nan, math.inf])


@pytest.mark.parametrize("dtype", [F32, F64], ids=str)
def test_fma_rounds_once(dtype: DType) -> None:
    random = np.random.default_rng(7)
    rows: list[tuple[float, float, float]] = []
    for _ in range(300):
        a, b = (float(x) for x in array(list(random.standard_normal(2)), dtype))
        c = float(array([-a * b * (1 + random.integers(-2, 3) * 2.0 ** -FORMATS[dtype][0])], dtype)[0])
        rows.append((a, b, c if random.random() < 0.7 else c * 2.0**-40))
    expected = [round_to(Fraction(a) * Fraction(b) + Fraction(c), dtype) for a, b, c in rows]
    check("fma", dtype, [list(column) for column in zip(*rows)], expected)


MATHEMATICS: dict[str, Any] = {
    "exp": mpmath.exp, "expm1": mpmath.expm1, "log": mpmath.log, "log1p": mpmath.log1p, "erf": mpmath.erf,
    "sigmoid": lambda x: 1 / (1 + mpmath.exp(-x)), "sin": mpmath.sin, "cos": mpmath.cos, "tan": mpmath.tan,
    "sinh": mpmath.sinh, "cosh": mpmath.cosh, "tanh": mpmath.tanh, "asin": mpmath.asin, "acos": mpmath.acos,
    "atan": mpmath.atan, "asinh": mpmath.asinh, "acosh": mpmath.acosh, "atanh": mpmath.atanh,
}  # fmt: skip
DOMAINS = {
    "log": (0.01, 100),
    "log1p": (-0.99, 50),
    "asin": (-1, 1),
    "acos": (-1, 1),
    "acosh": (1, 90),
    "atanh": (-0.99, 0.99),
}


def ulps(actual: float, true: Any, dtype: DType) -> float:
    """Error in units in the last place of the true value."""
    precision, low, _ = FORMATS[dtype]
    exponent = max(int(mpmath.floor(mpmath.log(abs(true), 2))) if true else low, low)
    return float(abs(mpmath.mpf(actual) - true) / mpmath.mpf(2) ** (exponent - precision + 1))


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("name", MATHEMATICS)
def test_transcendental(name: str, dtype: DType) -> None:
    low, high = DOMAINS.get(name, (-9, 9))
    values = np.random.default_rng(1).uniform(low, high, 60).astype(np.float32).astype(dtype.numpy)
    allowed = 8.0 if dtype == F64 else 0.51 if dtype == F32 else 0.501
    with mpmath.workprec(200):
        for x, y in zip(values, meaning(name, values)):
            assert ulps(float(y), MATHEMATICS[name](mpmath.mpf(float(x))), dtype) <= allowed, (name, float(x))


def test_power() -> None:
    random = np.random.default_rng(2)
    a, b = random.uniform(0.1, 9, 60).astype(np.float32), random.uniform(-6, 6, 60).astype(np.float32)
    with mpmath.workprec(200):
        for x, y, z in zip(a, b, meaning("pow", a, b)):
            assert ulps(float(z), mpmath.power(mpmath.mpf(float(x)), mpmath.mpf(float(y))), F32) <= 0.51


@pytest.mark.parametrize("name", [n for n in MATHEMATICS if BUILTINS[n].expand is not None])
def test_expansion_is_within_its_bound(name: str) -> None:
    low, high = DOMAINS.get(name, (-9, 9))
    values = np.random.default_rng(3).uniform(low, high, 500).astype(np.float32)
    result, true = expanded(name, F32, values), meaning(name, values.astype(np.float64))
    assert result is not None
    error = np.abs(result.astype(np.float64) - true) / np.spacing(np.abs(true).astype(np.float32)).astype(np.float64)
    assert error.max() <= BUILTINS[name].ulp


def convert(x: float, source: DType, target: DType) -> float:
    """Conversion by Python's exact numbers."""
    if target == BOOL:
        return float(x != 0)
    if target.is_integer:
        if not source.is_float:
            low = int(x) % (1 << target.bits)
            return low - (1 << target.bits) if low > target.max else low
        return 0 if x != x else int(min(max(x, target.min), target.max))
    if x != x or (isinstance(x, float) and math.isinf(x)):
        return x
    if target in (F16, BF16):
        x = round_to(Fraction(x), F32) if x else x
    return x if isinstance(x, float) and (x == 0 or math.isinf(x)) else round_to(Fraction(x), target)


@pytest.mark.parametrize("target", ALL, ids=str)
@pytest.mark.parametrize("source", ALL, ids=str)
def test_cast(source: DType, target: DType) -> None:
    values = list(edges(source))
    if source.is_float:
        limits = [2.0**b + d for b in (7, 8, 15, 16, 31, 32, 63, 64) for d in (-1.0, -0.5, 0.0, 0.5)]
        values += [float(x) for x in array([s * x for x in limits for s in (1, -1)], source)]
    result = cast(array(values, source), target.numpy)
    assert result.dtype == target.numpy
    for x, y in zip(values, result):
        assert same(float(number(y)), float(convert(x, source, target))), (x, number(y))
        if target.is_integer:
            assert number(y) == convert(x, source, target)


def test_bitcast_keeps_bits() -> None:
    x = np.array([1.0, -0.0, math.inf], np.float32)
    assert BUILTINS["bitcast"].numpy(x, np.dtype(np.uint32)).tolist() == [0x3F800000, 0x80000000, 0x7F800000]


def test_select_takes_any_nonzero_as_true() -> None:
    condition = np.array([0.0, -0.0, 0.5, math.nan])
    assert meaning("cond", condition, np.arange(4), -np.arange(4)).tolist() == [0, -1, 2, 3]


def test_relu_keeps_nan() -> None:
    assert np.isnan(meaning("relu", np.array(math.nan, np.float32)))


def test_table_is_complete() -> None:
    for name, entry in BUILTINS.items():
        assert entry.name == name
        assert entry.rule in ("cast", "select", "bitcast") or entry.expand or entry.llvm, name


@pytest.mark.parametrize("dtype", [BF16, F16], ids=str)
@pytest.mark.parametrize("tiny", [2.0**-14, -(2.0**-14)])
def test_fma_of_16_bits_rounds_once(dtype: DType, tiny: float) -> None:
    """A product half-way between two values, and an addend that float32 cannot hold beside it."""
    k, m, last = (3, 5, 2.0**-7) if dtype == BF16 else (5, 6, 2.0**-10)
    scale = 1.0 if dtype == F16 else 2.0**-30
    a, b, c = (cast(np.float64(x), dtype.numpy) for x in (1 + 2.0**-k, 1 + 2.0**-m, tiny * scale))
    exact = 1 + 2.0**-k + 2.0**-m
    want = exact + last if tiny > 0 else exact
    assert float(fused(a, b, c)) == want


def test_fma_of_f64_with_a_product_that_overflows() -> None:
    """An infinite addend decides, whatever the product: it is finite, though it has no float64."""
    cases = [(-1234.5, 1e308, math.inf), (1234.5, 1e308, -math.inf), (1e308, 1e308, 1.0), (-1e308, 1e308, math.nan)]
    found = fused(*(np.array(column) for column in zip(*cases, strict=True)))
    np.testing.assert_array_equal(found, [math.inf, -math.inf, math.inf, math.nan])
