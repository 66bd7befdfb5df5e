"""Floor 1: elementary functions as expressions in primitive operations; no libm, tables or branches anywhere.

    EXPANSIONS[name](args, dtype) -> Expr            dtype: f16, bf16, f32 or f64; the dtype of all args and the result

f32 and f64 are computed in their own precision (no f64 in f32 functions: some devices have none), 16-bit floats in f32.
NaN, infinities, signed zeros and subnormals, as arguments and as results, follow C99's Annex F; accuracies are
measured against mpmath in docs/numerics.md.

Primitives used: add sub mul div neg abs, cmp_eq cmp_ne cmp_lt cmp_le cmp_gt cmp_ge, cond, cast, bitcast, bit_and
bit_or bit_xor, shl_raw shr_raw (counts in range), sqrt, trunc, and `fma`, which must round once: word pairs need it.

The results are DAGs: a shared subexpression is one object. Evaluate, emit and print with a memo keyed by `id()`.
"""

from __future__ import annotations

from collections.abc import Callable

from tilec.dtypes import F32, DType
from tilec.expr import Call, Expr
from tilec.mathlib.error_function import erf
from tilec.mathlib.exponential import exp, expm1, log, log1p, sigmoid
from tilec.mathlib.hyperbolic import acosh, asinh, atanh, cosh, sinh, tanh
from tilec.mathlib.power import power
from tilec.mathlib.trigonometric import acos, asin, atan, cos, sin, tan
from tilec.mathlib.value import Value

Expansion = Callable[[tuple[Expr, ...], DType], Expr | None]


def _expansion(function: Callable[..., Value]) -> Expansion:
    def expand(args: tuple[Expr, ...], dtype: DType) -> Expr | None:
        if not dtype.is_float:
            return None
        if dtype.bits == 16:
            wide = tuple(Value(Call("cast", (a,), F32)) for a in args)
            return Call("cast", (function(*wide).expr,), dtype)
        return function(*map(Value, args)).expr

    return expand


EXPANSIONS: dict[str, Expansion] = {
    "exp": _expansion(exp),
    "expm1": _expansion(expm1),
    "log": _expansion(log),
    "log1p": _expansion(log1p),
    "sigmoid": _expansion(sigmoid),
    "pow": _expansion(power),
    "sin": _expansion(sin),
    "cos": _expansion(cos),
    "tan": _expansion(tan),
    "asin": _expansion(asin),
    "acos": _expansion(acos),
    "atan": _expansion(atan),
    "sinh": _expansion(sinh),
    "cosh": _expansion(cosh),
    "tanh": _expansion(tanh),
    "asinh": _expansion(asinh),
    "acosh": _expansion(acosh),
    "atanh": _expansion(atanh),
    "erf": _expansion(erf),
}
