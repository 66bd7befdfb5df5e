"""Measures the expansions of tilec.mathlib against mpmath; writes the table of docs/numerics.md.

python -m tests.graph.function_accuracy [--samples N]
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import mpmath
import numpy as np

from tests.graph.expression_values import Array, evaluate
from tests.graph.worst_arguments import WORST
from tilec.dtypes import F32, F64, DType
from tilec.expr import Var
from tilec.mathlib import EXPANSIONS

DOCUMENT = Path(__file__).parents[2] / "docs" / "numerics.md"
BEGIN, END = "<!-- accuracy table: begin -->", "<!-- accuracy table: end -->"
mpmath.mp.prec = 120


@dataclass(frozen=True)
class Case:
    """A function, mpmath's version of it, and the interval of its interesting arguments per format."""

    name: str
    reference: Callable[..., mpmath.mpf]
    f32: tuple[float, float]
    f64: tuple[float, float]


CASES = (
    Case("exp", mpmath.exp, (-104, 89), (-746, 710)),
    Case("expm1", mpmath.expm1, (-20, 89), (-40, 710)),
    Case("log", mpmath.log, (0, 3), (0, 3)),
    Case("log1p", mpmath.log1p, (-1, 3), (-1, 3)),
    Case("sigmoid", lambda x: 1 / (1 + mpmath.exp(-x)), (-104, 30), (-746, 50)),
    Case("pow", mpmath.power, (0, 4), (0, 4)),
    Case("sin", mpmath.sin, (-1e5, 1e5), (-2e6, 2e6)),
    Case("cos", mpmath.cos, (-1e5, 1e5), (-2e6, 2e6)),
    Case("tan", mpmath.tan, (-1e5, 1e5), (-2e6, 2e6)),
    Case("asin", mpmath.asin, (-1, 1), (-1, 1)),
    Case("acos", mpmath.acos, (-1, 1), (-1, 1)),
    Case("atan", mpmath.atan, (-10, 10), (-10, 10)),
    Case("sinh", mpmath.sinh, (-90, 90), (-711, 711)),
    Case("cosh", mpmath.cosh, (-90, 90), (-711, 711)),
    Case("tanh", mpmath.tanh, (-10, 10), (-20, 20)),
    Case("asinh", mpmath.asinh, (-10, 10), (-10, 10)),
    Case("acosh", mpmath.acosh, (1, 10), (1, 10)),
    Case("atanh", mpmath.atanh, (-1, 1), (-1, 1)),
    Case("erf", mpmath.erf, (-4.5, 4.5), (-6.5, 6.5)),
)


def samples(case: Case, dtype: DType, count: int, seed: int = 0) -> tuple[Array, ...]:
    """Arguments: uniform in the interval and in [-2, 2], near 1, and random bit patterns (all magnitudes, specials).

    In float32 also the worst of all numbers.
    """
    rng = np.random.default_rng(seed)
    low, high = case.f32 if dtype == F32 else case.f64
    patterns = rng.integers(0, 256, count * dtype.bytes, dtype=np.uint8).view(dtype.numpy)
    uniform = [rng.uniform(low, high, count), rng.uniform(-2, 2, count), rng.uniform(0.99, 1.01, count)]
    x = np.concatenate([patterns, *(u.astype(dtype.numpy) for u in uniform)])
    if case.name != "pow":
        worst = [float.fromhex(a) for a in WORST[case.name]] if dtype == F32 else []
        return (np.concatenate([x, np.array(worst, dtype.numpy)]),)
    top = 120.0 if dtype == F32 else 900.0  # the largest |log2| of a result
    with np.errstate(invalid="ignore"):
        log2 = np.log2(np.clip(np.abs(x.astype(np.float64)), 1e-40, 1e40))
    y = rng.uniform(-top, top, len(x)) / np.where(np.abs(log2) < 1e-9, 1.0, log2)
    return x, np.where(rng.random(len(x)) < 0.2, np.rint(y), y).astype(dtype.numpy)


def exact(case: Case, args: tuple[float, ...]) -> mpmath.mpf | None:
    """mpmath's value, None where there is no real one."""
    try:
        value = case.reference(*map(mpmath.mpf, args))
    except (ValueError, ZeroDivisionError):
        return None
    return None if isinstance(value, mpmath.mpc) or mpmath.isnan(value) else value


def ulp_error(got: float, want: mpmath.mpf, dtype: DType) -> float:
    """Distance in ulp of the wanted value; infinite where overflow is not where it should be."""
    info = np.finfo(dtype.numpy)
    _, exponent = mpmath.frexp(want)
    ulp = mpmath.ldexp(1, max(int(exponent) - 1 - info.nmant, int(info.minexp) - info.nmant))
    if mpmath.isinf(want) or abs(want) >= mpmath.ldexp(2 - mpmath.ldexp(1, -info.nmant - 1), int(info.maxexp) - 1):
        return 0.0 if got == math.copysign(math.inf, want) else math.inf
    return math.inf if not math.isfinite(got) else float(abs(mpmath.mpf(got) - want) / ulp)


def largest_error(case: Case, dtype: DType, count: int, seed: int = 0) -> tuple[float, tuple[float, ...]]:
    """The largest error in ulp over the samples that have a real result, and where it is."""
    args = samples(case, dtype, count, seed)
    names = ("x", "y")[: len(args)]
    expr = EXPANSIONS[case.name](tuple(Var(n, dtype) for n in names), dtype)
    assert expr is not None
    results = evaluate(expr, dict(zip(names, args, strict=True)))
    worst, place = 0.0, tuple(float(a[0]) for a in args)
    for values in zip(results, *args, strict=True):
        got, *point = map(float, values)
        want = exact(case, tuple(point)) if all(map(math.isfinite, point)) else None
        if want is not None and (error := ulp_error(got, want, dtype)) > worst:
            worst, place = error, tuple(point)
    return worst, place


def published() -> dict[tuple[str, str], float]:
    """The errors of docs/numerics.md by (function, format)."""
    text = DOCUMENT.read_text(encoding="utf-8")
    table = text[text.index(BEGIN) : text.index(END)].splitlines()[3:]
    found = {}
    for row in table:
        name, f32, f64 = (cell.strip().strip("`") for cell in row.strip("| ").split("|"))
        found[name, "f32"], found[name, "f64"] = float(f32), float(f64)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=20000)
    count = parser.parse_args().samples
    rows = ["| function | f32, ulp | f64, ulp |", "|---|---|---|"]
    for case in CASES:
        errors = [largest_error(case, dtype, count)[0] for dtype in (F32, F64)]
        rows.append("| `{}` | {:.2f} | {:.2f} |".format(case.name, *(math.ceil(e * 100) / 100 for e in errors)))
        print(rows[-1], flush=True)
    text = DOCUMENT.read_text(encoding="utf-8")
    before, after = text[: text.index(BEGIN) + len(BEGIN)], text[text.index(END) :]
    DOCUMENT.write_text("\n".join([before, *rows, after]), encoding="utf-8")


if __name__ == "__main__":
    main()
