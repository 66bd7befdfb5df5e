"""The expansions of tilec.mathlib: accuracy against mpmath, special values, sharing, 16-bit floats."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.graph.expression_values import Array, evaluate
from tests.graph.function_accuracy import CASES, Case, exact, largest_error, published
from tilec.dtypes import BF16, F16, F32, F64, DType
from tilec.expr import Call, Expr, Var, substitute_vars, transform
from tilec.mathlib import EXPANSIONS

INF, NAN = math.inf, math.nan
FLOATS = pytest.mark.parametrize("dtype", [F32, F64], ids=str)
PUBLISHED = published()


def value(name: str, dtype: DType, *args: float | Array) -> Array:
    arrays = [np.asarray(a, dtype.numpy) for a in args]
    names = ("x", "y")[: len(arrays)]
    expr = EXPANSIONS[name](tuple(Var(n, dtype) for n in names), dtype)
    assert expr is not None
    assert expr.dtype == dtype
    with np.errstate(all="ignore"):
        return evaluate(expr, dict(zip(names, arrays, strict=True)))


@FLOATS
@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_error_is_what_the_documentation_says(case: Case, dtype: DType) -> None:
    error, place = largest_error(case, dtype, 600, seed=7)
    assert error <= PUBLISHED[case.name, dtype.name] + 0.25, place


MOST = {"exp": 1, "tanh": 1, "erf": 1, "log": 2, "sigmoid": 2, "sin": 2, "cos": 2, "pow": 4}  # ulp in float32


@pytest.mark.parametrize("name", MOST)
def test_published_errors_keep_the_promised_bounds(name: str) -> None:
    assert PUBLISHED[name, "f32"] <= MOST[name]


def test_every_function_has_a_case() -> None:
    assert {c.name for c in CASES} == set(EXPANSIONS)


SPECIAL = {  # at -inf, -0.0, 0.0, inf
    "exp": (0, 1, 1, INF),
    "expm1": (-1, -0.0, 0.0, INF),
    "log": (NAN, -INF, -INF, INF),
    "log1p": (NAN, -0.0, 0.0, INF),
    "sigmoid": (0, 0.5, 0.5, 1),
    "sin": (NAN, -0.0, 0.0, NAN),
    "cos": (NAN, 1, 1, NAN),
    "tan": (NAN, -0.0, 0.0, NAN),
    "asin": (NAN, -0.0, 0.0, NAN),
    "acos": (NAN, math.pi / 2, math.pi / 2, NAN),
    "atan": (-math.pi / 2, -0.0, 0.0, math.pi / 2),
    "sinh": (-INF, -0.0, 0.0, INF),
    "cosh": (INF, 1, 1, INF),
    "tanh": (-1, -0.0, 0.0, 1),
    "asinh": (-INF, -0.0, 0.0, INF),
    "acosh": (NAN, NAN, NAN, INF),
    "atanh": (NAN, -0.0, 0.0, NAN),
    "erf": (-1, -0.0, 0.0, 1),
}


@FLOATS
@pytest.mark.parametrize("name", SPECIAL)
def test_special_arguments(name: str, dtype: DType) -> None:
    got = value(name, dtype, np.array([-INF, -0.0, 0.0, INF, NAN]))
    want = np.array([*SPECIAL[name], NAN], dtype.numpy)
    np.testing.assert_array_equal(got, want)
    np.testing.assert_array_equal(np.signbit(got[want == 0]), np.signbit(want[want == 0]))


@FLOATS
def test_domain_borders(dtype: DType) -> None:
    assert value("log1p", dtype, -1.0) == -INF
    np.testing.assert_array_equal(value("atanh", dtype, np.array([-1.0, 1.0, 1.5])), [-INF, INF, NAN])
    np.testing.assert_array_equal(value("acosh", dtype, np.array([1.0, 0.5, -1.0, -1e6])), [0.0, NAN, NAN, NAN])
    np.testing.assert_array_equal(value("acos", dtype, np.array([1.0, 1.0000002])), [0.0, NAN])
    assert value("acos", dtype, -1.0) == dtype.numpy.type(math.pi)
    assert value("log", dtype, 1.0) == 0


@FLOATS
def test_pow_agrees_with_c99_on_special_values(dtype: DType) -> None:
    limits = np.finfo(dtype.numpy)
    numbers = [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 2.0**60, float(limits.max), float(limits.smallest_subnormal), INF, NAN]
    base = np.array([s * n for s in (1.0, -1.0) for n in numbers], dtype.numpy)
    x, y = (a.ravel() for a in np.meshgrid(base, base))
    got = value("pow", dtype, x, y)
    with np.errstate(all="ignore"):  # on arrays, for NumPy's scalars take sqrt for ** 0.5, which keeps -0
        expected = np.power(x.astype(np.float64), y.astype(np.float64)).astype(dtype.numpy)
    for a, b, result, want in zip(x.tolist(), y.tolist(), got.tolist(), expected.tolist(), strict=True):
        assert result == pytest.approx(want, rel=1e-6, nan_ok=True, abs=0), (a, b)
        assert math.copysign(1, result) == math.copysign(1, want) or math.isnan(result), (a, b)


@pytest.mark.parametrize("x", [2.0**24, 1e10, 1e22, 16367173.0 * 2.0**72, 3.4028234663852886e38])
def test_huge_angles_f32(x: float) -> None:
    x = float(np.float32(x))
    for name, function in (("sin", math.sin), ("cos", math.cos), ("tan", math.tan)):
        assert float(value(name, F32, x)) == pytest.approx(function(x), rel=3e-7)


# 6381956970095103 * 2^797 is the double nearest to a multiple of pi/2 (Muller, Elementary Functions, 2016).
@pytest.mark.parametrize("x", [2.0**20, 1e22, 6381956970095103.0 * 2.0**797, 1.7976931348623157e308])
def test_huge_angles_f64(x: float) -> None:
    for case in CASES:
        if case.name in ("sin", "cos", "tan"):
            want = exact_with_bits(case, x, 1400)
            assert float(value(case.name, F64, x)) == pytest.approx(want, rel=5e-16)


def hard_angles() -> list[float]:
    """Large doubles near multiples of pi/2, on both sides: denominators of the continued fractions of 2^e / (pi/2)."""
    import mpmath

    found = []
    with mpmath.mp.workprec(1400):
        for exponent in range(-20, 970, 45):
            rest, before, q = mpmath.ldexp(2 / mpmath.pi, exponent), 0, 1
            while q < 2**53:
                if q > 2**41:
                    found.append(math.ldexp(q, exponent))
                rest = 1 / (rest - mpmath.floor(rest))
                before, q = q, int(mpmath.floor(rest)) * q + before
    return found


def test_large_angles_near_multiples_of_a_quarter_turn() -> None:
    angles = hard_angles()
    assert len(angles) > 100
    for case in CASES:
        if case.name in ("sin", "cos", "tan"):
            wanted = [exact_with_bits(case, x, 1400) for x in angles]
            np.testing.assert_allclose(value(case.name, F64, np.array(angles)), wanted, rtol=4e-16)


def exact_with_bits(case: Case, x: float, bits: int) -> float:
    import mpmath

    with mpmath.mp.workprec(bits):
        result = exact(case, (x,))
        assert result is not None
        return float(result)


@pytest.mark.parametrize("dtype", [F16, BF16], ids=str)
@pytest.mark.parametrize("name", ["exp", "log", "tanh", "sin", "erf", "sigmoid"])
def test_sixteen_bit_floats_are_rounded_f32(name: str, dtype: DType) -> None:
    x = np.random.default_rng(1).uniform(-8, 8, 500).astype(dtype.numpy)
    np.testing.assert_array_equal(
        value(name, dtype, x).astype(np.float32),
        value(name, F32, x.astype(np.float32)).astype(dtype.numpy).astype(np.float32),
    )


@pytest.mark.parametrize("name", EXPANSIONS)
def test_expansions_share_their_subexpressions(name: str) -> None:
    """Distinct node objects stay few; a tree of the same meaning would have up to 10^15."""
    arity = 2 if name == "pow" else 1
    expr = EXPANSIONS[name](tuple(Var(n, F64) for n in "xy"[:arity]), F64)
    assert expr is not None
    assert len(distinct(expr)) <= 500


def distinct(expr: Expr) -> dict[int, Expr]:
    found: dict[int, Expr] = {}
    stack = [expr]
    while stack:
        node = stack.pop()
        if id(node) not in found:
            found[id(node)] = node
            stack.extend(node.args if isinstance(node, Call) else ())
    return found


def test_rebuilding_keeps_the_sharing() -> None:
    expr = EXPANSIONS["pow"]((Var("x", F64), Var("y", F64)), F64)
    assert expr is not None
    assert transform(expr, lambda e: e) is expr
    renamed = substitute_vars(expr, {"x": Var("z", F64)})
    assert len(distinct(renamed)) == len(distinct(expr))


def test_integers_have_no_expansion() -> None:
    from tilec.dtypes import I32

    assert EXPANSIONS["exp"]((Var("x", I32),), I32) is None


def test_coefficients_are_those_of_the_fit() -> None:
    path = Path(__file__).parents[2] / "benchmarks" / "fit_polynomials.py"
    found = subprocess.run([sys.executable, str(path), "--check"], check=False)
    assert found.returncode == 0, "run python benchmarks/fit_polynomials.py"
