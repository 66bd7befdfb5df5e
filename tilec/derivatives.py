"""Floor 1: the derivatives of elementwise builtins, as templates.

A template for operand k of `y = op(x0, x1 ...)` is an Expr over `Var("x0") ..`, `Var("y")` and `Var("g")`, linear in g.
It serves both directions: with the cotangent of y for g it is the operand's cotangent, with the operand's tangent for g
(see `forward_template`) it is that operand's part of y's tangent. None stands for a derivative that is zero everywhere
(floor, a condition).
Templates are written in f64; `instantiate` gives them another dtype.

Where a derivative is not unique, the choice is: abs and relu at 0 have 0; max and min of equal operands give everything
to the first; floor, ceil, trunc and round have 0 at their jumps too; pow(x, 0) has 0 with respect to x, pow(0, y) has 0
with respect to y; mod(x, y) has 1 with respect to x at its jumps. A NaN operand of max or min counts as equal. The
derivatives of two identities are decreed: stop_gradient has 0, reverse_grad(x, s) has -s with respect to x, 0 to s.

Zero times a derivative is zero, also where the derivative is infinite or NaN: templates multiply and divide g by
`strong_mul` and `strong_div`, which give 0 for 0. So what a condition does not choose contributes nothing,
`x > 0 ? sqrt(x) : 0` has the gradient 0 where x is not positive, and cells that no point of a contraction reaches have
the tangent 0, whatever is computed from them. The rule is that of functions, not of products: `x * y` has the gradient
g * y, which is NaN where g is 0 and y infinite, as the product itself would be.

The way back begins with the slopes that the way forth ends with, so forward mode needs the rule from both sides: a
tangent that is infinite or NaN ends at a slope of zero, as sigmoid has at infinity (`forward_template`).

An operation that is not in the table has no derivative; that is an error where one is asked for. Operations of integers
have none and need none: nothing flows through an integer.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import inf, pi, sqrt

from tilec.dtypes import BOOL, F64, DType
from tilec.expr import Call, Const, Expr, Var, transform

X, X1, X2, Y, G = (Var(name, F64) for name in ("x0", "x1", "x2", "y", "g"))
ZERO, ONE = Const(0.0, F64), Const(1.0, F64)


def _call(op: str, *args: Expr) -> Expr:
    return Call(op, args, F64)


def _compare(op: str, a: Expr, b: Expr) -> Expr:
    return Call(f"cmp_{op}", (a, b), BOOL)


def _add(a: Expr, b: Expr) -> Expr:
    return _call("add", a, b)


def _sub(a: Expr, b: Expr) -> Expr:
    return _call("sub", a, b)


def _mul(a: Expr, b: Expr) -> Expr:
    return _call("mul", a, b)


def _div(a: Expr, b: Expr) -> Expr:
    return _call("div", a, b)


def _times(g: Expr, slope: Expr) -> Expr:
    """g * slope; 0 where g is."""
    return _call("strong_mul", g, slope)


def _over(g: Expr, divisor: Expr) -> Expr:
    """g / divisor; 0 where g is."""
    return _call("strong_div", g, divisor)


def _neg(a: Expr) -> Expr:
    return _call("neg", a)


def _cond(condition: Expr, then: Expr, orelse: Expr) -> Expr:
    return _call("cond", condition, then, orelse)


def _times_both(a: Expr, b: Expr) -> Expr:
    """a * b; 0 where either is."""
    return _cond(_compare("eq", b, ZERO), ZERO, _times(a, b))


def _over_both(a: Expr, b: Expr) -> Expr:
    """a / b; 0 where a is 0 or b infinite."""
    return _cond(_compare("eq", _call("abs", b), Const(inf, F64)), ZERO, _over(a, b))


_IS_ZERO = _compare("eq", X, ZERO)
_ONE_MINUS_SQUARE = _mul(_sub(ONE, X), _add(ONE, X))  # (1 - x)(1 + x): no cancellation near x = 1
_TWO_OVER_ROOT_PI = Const(2.0 / sqrt(pi), F64)

# Where |x| > 1, slopes are written in 1 / |x|, as x * x overflows early: beyond 256 in float16. Elsewhere _FAR is 1, so
# that no infinity comes from the side that is not chosen.
_IS_NEAR = _compare("le", _call("abs", X), ONE)
_FAR = _call("max", _call("abs", X), ONE)
_INVERSE_SQUARE = _mul(_div(ONE, _FAR), _div(ONE, _FAR))
_ONE_PLUS_SQUARE = _add(ONE, _mul(X, X))
_HYPOT = _cond(_IS_NEAR, _call("sqrt", _ONE_PLUS_SQUARE), _mul(_FAR, _call("sqrt", _add(ONE, _INVERSE_SQUARE))))
_ATAN_SLOPE = _cond(_IS_NEAR, _div(ONE, _ONE_PLUS_SQUARE), _div(_INVERSE_SQUARE, _add(ONE, _INVERSE_SQUARE)))

GRADIENTS: Mapping[str, tuple[Expr | None, ...]] = {
    "add": (G, G),
    "sub": (G, _neg(G)),
    "mul": (_mul(G, X1), _mul(G, X)),
    "div": (_over(G, X1), _neg(_over(_times(G, Y), X1))),
    "strong_mul": (_times(G, X1), _times_both(X, G)),  # where x is 0, the value does not change with x1
    "strong_div": (_over(G, X1), _neg(_over(_times_both(Y, G), X1))),
    "mod": (G, _neg(_times(G, _call("round", _div(_sub(X, Y), X1))))),  # x = y + x1 * floor(x / x1), exactly
    "neg": (_neg(G),),
    "abs": (_cond(_IS_ZERO, ZERO, _cond(_compare("lt", X, ZERO), _neg(G), G)),),
    "max": (_cond(_compare("lt", X, X1), ZERO, G), _cond(_compare("lt", X, X1), G, ZERO)),
    "min": (_cond(_compare("gt", X, X1), ZERO, G), _cond(_compare("gt", X, X1), G, ZERO)),
    "relu": (_cond(_compare("gt", X, ZERO), G, ZERO),),
    "ident": (G,),
    "stop_gradient": (None,),
    "reverse_grad": (_neg(_mul(G, X1)), None),
    **dict.fromkeys(("cmp_eq", "cmp_ne", "cmp_lt", "cmp_gt", "cmp_le", "cmp_ge"), (None, None)),
    "logical_not": (None,),
    "cond": (None, _cond(X, G, ZERO), _cond(X, ZERO, G)),
    "cast": (_call("cast", G),),
    **dict.fromkeys(("floor", "ceil", "trunc", "round"), (None,)),
    "recip": (_neg(_times(_times(G, Y), Y)),),
    "sqrt": (_over(G, _add(Y, Y)),),
    "exp": (_times(G, Y),),
    "log": (_over(G, X),),
    "expm1": (_times(G, _add(Y, ONE)),),
    "log1p": (_over(G, _add(ONE, X)),),
    "pow": (
        _cond(_compare("eq", X1, ZERO), ZERO, _times(G, _mul(X1, _call("pow", X, _sub(X1, ONE))))),
        _cond(_IS_ZERO, ZERO, _times(G, _mul(Y, _call("log", X)))),
    ),
    "sigmoid": (_times(G, _mul(Y, _sub(ONE, Y))),),
    "erf": (_times(G, _mul(_TWO_OVER_ROOT_PI, _call("exp", _neg(_mul(X, X))))),),
    "sin": (_times(G, _call("cos", X)),),
    "cos": (_neg(_times(G, _call("sin", X))),),
    "tan": (_times(G, _add(ONE, _mul(Y, Y))),),
    "sinh": (_times(G, _call("cosh", X)),),
    "cosh": (_times(G, _call("sinh", X)),),
    "tanh": (_times(G, _mul(_sub(ONE, Y), _add(ONE, Y))),),
    "asin": (_over(G, _call("sqrt", _ONE_MINUS_SQUARE)),),
    "acos": (_neg(_over(G, _call("sqrt", _ONE_MINUS_SQUARE))),),
    "atan": (_times(G, _ATAN_SLOPE),),
    "asinh": (_over(G, _HYPOT),),
    "acosh": (_over(_over(G, _call("sqrt", _sub(X, ONE))), _call("sqrt", _add(X, ONE))),),
    "atanh": (_over(G, _ONE_MINUS_SQUARE),),
    "fma": (_mul(G, X1), _mul(G, X), G),
}


def forward_template(template: Expr) -> Expr:
    """The template for g a tangent: its slopes stop, where they are zero, what is infinite or NaN."""

    def both(e: Expr) -> Expr:
        match e:
            case Call("strong_mul", (a, b)):
                return _times_both(a, b)
            case Call("strong_div", (a, b)):
                return _over_both(a, b)
            case _:
                return e

    return transform(template, both)


def instantiate(template: Expr, dtype: DType, values: Mapping[str, Expr]) -> Expr:
    """The template computed in `dtype`, with its variables replaced; what is shared stays shared."""

    def leaf(e: Expr) -> Expr:
        match e:
            case Var(name):
                return values[name]
            case Const(value) if e.dtype == F64:
                return Const(value, dtype)
            case Call(op, args) if e.dtype == F64:
                return Call(op, args, dtype)
            case _:
                return e

    return transform(template, leaf)
