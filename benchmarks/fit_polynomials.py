"""Fits the polynomials of tilec.mathlib and writes tilec/mathlib/coefficients.py.

    python benchmarks/fit_polynomials.py [--check]

Weighted minimax by Remez' exchange algorithm (E. Remez, 1934) in 50 digits, with mpmath. Each row of FITS names the
function that is approximated, the factor that turns its error into a relative error of the result, the interval, and
the degree per format. The achieved weighted error is written beside the coefficients.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from mpmath import mp, mpf

mp.dps = 50
Function = Callable[[mpf], mpf]
OUTPUT = Path(__file__).parent.parent / "tilec" / "mathlib" / "coefficients.py"


@dataclass(frozen=True)
class Fit:
    name: str
    function: Function
    weight: Function
    low: mpf
    high: mpf
    degrees: dict[str, int]  # by format
    careful: bool = False  # round the lowest coefficient before the others are fitted, which makes up for its error


def odd_tail(f: Function) -> Function:
    """(f(x) / x - 1) / x^2 as a function of z = x^2."""
    return lambda z: (f(mp.sqrt(z)) / mp.sqrt(z) - 1) / z


def odd_weight(f: Function) -> Function:
    """x^3 / f(x) as a function of z = x^2: the part of the tail in the result."""
    return lambda z: mp.sqrt(z) ** 3 / f(mp.sqrt(z))


def scaled_erfc(t: mpf, centre: int) -> mpf:
    """exp(x^2) erfc(x) at t = (x - centre) / (x + centre)."""
    x = centre * (1 + t) / (1 - t)
    return mp.exp(x * x) * mp.erfc(x)


def scaled_erfc_weight(t: mpf, centre: int) -> mpf:
    x = centre * (1 + t) / (1 - t)
    return mp.exp(-x * x)


def atanh_tail(z: mpf) -> mpf:
    """(2 atanh(s) / s - 2) / z at z = s^2."""
    s = mp.sqrt(z)
    return (2 * mp.atanh(s) / s - 2) / z


def atanh_tail2(z: mpf) -> mpf:
    """What follows the terms 2 + 2/3 z."""
    return (atanh_tail(z) - mpf(2) / 3) / z


def erf_tail(z: mpf) -> mpf:
    """erf(x) / x - 1 at z = x^2."""
    return mp.erf(mp.sqrt(z)) / mp.sqrt(z) - 1


HALF_LN2 = mp.log(2) / 2 * mpf("1.0001")
QUARTER_PI2 = (mp.pi / 4) ** 2 * mpf("1.0001")
FITS = (
    Fit(
        "exp", lambda r: (mp.expm1(r) - r) / r**2, lambda r: r**2 / mp.exp(r), -HALF_LN2, HALF_LN2, {"f32": 4, "f64": 9}
    ),
    Fit(
        "log",
        lambda f: (mp.log1p(f) - f + f * f / 2) / f**3,
        lambda f: f**3 / mp.log1p(f),
        mpf(-1) / 3,
        mpf(1) / 3,
        {"f32": 8},
    ),
    Fit("log", atanh_tail, lambda z: z, mpf(0), mpf("0.0401"), {"f64": 7}),
    Fit("log_tail", atanh_tail2, lambda z: z * z, mpf(0), mpf("0.0401"), {"f32": 2, "f64": 7}),
    Fit("tanh", odd_tail(mp.tanh), odd_weight(mp.tanh), mpf(0), mpf(1), {"f32": 7, "f64": 15}),
    Fit("sin", odd_tail(mp.sin), odd_weight(mp.sin), mpf(0), QUARTER_PI2, {"f32": 2, "f64": 5}),
    Fit(
        "sin_half_turn",
        odd_tail(mp.sin),
        odd_weight(mp.sin),
        mpf(0),
        4 * QUARTER_PI2,
        {"f32": 4, "f64": 7},
        careful=True,
    ),
    Fit(
        "cos",
        lambda z: (mp.cos(mp.sqrt(z)) - 1 + z / 2) / z**2,
        lambda z: z**2,
        mpf(0),
        QUARTER_PI2,
        {"f32": 2, "f64": 5},
    ),
    Fit("asin", odd_tail(mp.asin), odd_weight(mp.asin), mpf(0), mpf("0.25"), {"f32": 5, "f64": 12}),
    Fit("atan", odd_tail(mp.atan), odd_weight(mp.atan), mpf(0), mpf("0.1717"), {"f32": 4, "f64": 10}),
    Fit("erf", erf_tail, lambda z: mpf(1), mpf(0), mpf("0.7121"), {"f32": 5}),
    Fit("erf", erf_tail, lambda z: mpf(1), mpf(0), mpf(1), {"f64": 11}),
    # About 0.9765625, where log(erfc) is all but a float: the rounding of the constant term hardly matters.
    Fit(
        "log_erfc",
        lambda u: mp.log(mp.erfc(u + mpf("0.9765625"))),
        lambda u: mp.erfc(u + mpf("0.9765625")),
        mpf("-0.1335"),
        mpf("3.03"),
        {"f32": 7},
    ),
    Fit(
        "scaled_erfc",
        lambda t: scaled_erfc(t, 2),
        lambda t: scaled_erfc_weight(t, 2),
        mpf(-1) / 3,
        mpf(1) / 2,
        {"f64": 14},
    ),
)


def fitted(fit: Fit, degree: int, form: str) -> tuple[list[mpf], mpf]:
    """Coefficients, lowest first, and the largest weighted error."""
    if not fit.careful:
        return remez(fit, degree)
    first = mpf(rounded(remez(fit, degree)[0][0], form))
    rest = replace(fit, function=lambda x: (fit.function(x) - first) / x, weight=lambda x: fit.weight(x) * x)
    others, error = remez(rest, degree - 1)
    return [first, *others], error


def remez(fit: Fit, degree: int) -> tuple[list[mpf], mpf]:
    """Minimax coefficients, lowest first, and the largest weighted error."""
    middle, radius = (fit.low + fit.high) / 2, (fit.high - fit.low) / 2

    def point(angle: mpf) -> mpf:
        # Never exactly an end or the middle: the fitted functions have removable singularities at 0.
        return middle - radius * mp.cos(angle) * (1 - mpf(10) ** -12) + radius * mpf(10) ** -13

    grid = [point(mp.pi * i / (24 * (degree + 2))) for i in range(24 * (degree + 2) + 1)]
    values = [(fit.function(x), fit.weight(x)) for x in grid]
    reference = [round(i * (len(grid) - 1) / (degree + 1)) for i in range(degree + 2)]
    coefficients: list[mpf] = []
    for _ in range(20):
        coefficients, level = solve(grid, values, reference, degree)
        errors = [(mp.polyval(coefficients[::-1], x) - f) * w for x, (f, w) in zip(grid, values, strict=True)]
        reference = alternation(errors, degree + 2)
        if max(map(abs, errors)) < abs(level) * mpf("1.001"):
            break
    return coefficients, max(map(abs, errors))


def solve(grid: list[mpf], values: list[tuple[mpf, mpf]], reference: list[int], degree: int) -> tuple[list[mpf], mpf]:
    """The polynomial whose weighted errors at the reference points are equal in size and alternate in sign."""
    matrix, right = mp.matrix(degree + 2), mp.matrix(degree + 2, 1)
    for row, i in enumerate(reference):
        f, w = values[i]
        for k in range(degree + 1):
            matrix[row, k] = grid[i] ** k
        matrix[row, degree + 1] = (-1) ** row / w if abs(w) > mpf(10) ** -30 else (-1) ** row * mpf(10) ** 30
        right[row] = f
    solution = mp.lu_solve(matrix, right)
    return [solution[k] for k in range(degree + 1)], solution[degree + 1]


def alternation(errors: list[mpf], count: int) -> list[int]:
    """Indices of `count` extrema of alternating sign, the largest ones."""
    found: list[int] = []
    for i, e in enumerate(errors):
        if found and (e > 0) == (errors[found[-1]] > 0):
            if abs(e) > abs(errors[found[-1]]):
                found[-1] = i
        else:
            found.append(i)
    while len(found) > count:
        if len(found) == count + 1:
            found.pop(0 if abs(errors[found[0]]) < abs(errors[found[-1]]) else -1)
        else:
            least = min(range(len(found) - 1), key=lambda k: max(abs(errors[found[k]]), abs(errors[found[k + 1]])))
            del found[least : least + 2]
    if len(found) < count:
        raise ArithmeticError(f"only {len(found)} of {count} alternations")
    return found


def rounded(value: mpf, form: str) -> float:
    return float(struct.unpack("<f", struct.pack("<f", float(value)))[0]) if form == "f32" else float(value)


def split(value: mpf, form: str, parts: int) -> list[float]:
    """`value` as an unevaluated sum of floats, each the rest rounded."""
    result = []
    for _ in range(parts):
        result.append(rounded(value, form))
        value -= mpf(result[-1])
    return result


def short(value: mpf, bits: int) -> mpf:
    """`value` cut to `bits` significant bits."""
    _, exponent = mp.frexp(value)
    return mp.ldexp(mp.floor(mp.ldexp(value, bits - int(exponent))), int(exponent) - bits)


def ln2_parts(form: str, parts: int) -> list[float]:
    """ln 2, the first part short enough for exact products with any exponent."""
    first = short(mp.log(2), 14 if form == "f32" else 41)
    return [float(first), *split(mp.log(2) - first, form, parts - 1)]


def generate() -> str:
    lines = [
        '"""Floor 1: polynomials of the elementary functions. Written by benchmarks/fit_polynomials.py; do not edit.',
        "",
        "Lowest power first; keys are (function, format). The comment is the largest relative error of the fit, before",
        "rounding of the coefficients. `*_parts` are constants as unevaluated sums, most significant first.",
        '"""',
        "",
        "COEFFICIENTS: dict[tuple[str, str], tuple[float, ...]] = {",
    ]
    for fit in FITS:
        for form, degree in fit.degrees.items():
            coefficients, error = fitted(fit, degree, form)
            lines.append(f'    ("{fit.name}", "{form}"): (  # 2^{float(mp.log(error, 2)):.1f}')
            lines += [f"        {rounded(c, form)!r}," for c in coefficients]
            lines.append("    ),")
    lines += ["}", "", "PARTS: dict[tuple[str, str], tuple[float, ...]] = {"]
    for form in ("f32", "f64"):
        tables = {
            "pi/2": split(mp.pi / 2, form, 3),
            "ln2": ln2_parts(form, 2),
            "2/3": split(mpf(2) / 3, form, 2),
        }
        for name, parts in tables.items():
            lines.append(f'    ("{name}", "{form}"): ({", ".join(map(repr, parts))}),')
    digits = f"{two_over_pi():X}"
    lines += ["}", "", "TWO_OVER_PI = int(  # floor(2/pi * 2^1280)"]
    lines += [f'    "{digits[i : i + 64]}"' for i in range(0, len(digits), 64)]
    return "\n".join([*lines[:-1], lines[-1] + ",", "    16,", ")", ""])


def two_over_pi() -> int:
    with mp.workprec(1400):
        return int(mp.floor(mp.ldexp(2 / mp.pi, 1280)))


def main() -> int:
    text = generate()
    if "--check" in sys.argv[1:]:
        return 0 if OUTPUT.read_text(encoding="utf-8") == text else 1
    OUTPUT.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
