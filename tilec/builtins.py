"""Floor 1: the one table of elementwise builtins.

An entry holds everything the compiler knows of an operation: arity, dtype rule, NumPy meaning, spelling per backend or
an expansion into simpler builtins. The evaluators, inference, both printers, the backends and the conformance tests are
driven by it; adding an elementwise builtin is adding one entry here.

Dtype rules, after promotion of the operands to a common type T (`tilec.dtypes.promote`):
  arithmetic   T -> T, bool operands become i32           order     T -> T, bool allowed
  compare      T -> bool                                  bits      T -> T, integers and bool only
  shift        T -> T, integers; bool becomes i32         float     T -> T, integers and bool become f32
  rounding     T -> T, the identity on integers           select    (any, T, T) -> T
  cast         T -> the Call's dtype                      bitcast   T -> the Call's dtype of the same width
  raw          T -> T, no promotion (made by expansions only)

Meaning everywhere, equal on every backend: integers wrap; integer x / 0 = 0 and MIN / -1 = MIN; mod has the sign of the
divisor and x mod 0 = 0 for integers; a shift by the width or more, or by a negative count, gives 0 (right shift of a
negative number: -1); float to integer truncates, saturates, NaN gives 0; NaN propagates through max and min;
max(-0, 0) = 0 and min(0, -0) = -0; round is half to even; relu(NaN) = NaN; stop_gradient(x) and
reverse_grad(x, s) are x, and differ from it in their derivatives only. `tilec.numpy_semantics` has the details.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from tilec import expansions as expand
from tilec import numpy_semantics as meaning
from tilec.derivatives import GRADIENTS
from tilec.dtypes import DType
from tilec.expr import Expr
from tilec.mathlib import EXPANSIONS
from tilec.mathlib import threefry as random
from tilec.mathlib.value import expand_scale

Rule = Literal[
    "arithmetic", "order", "compare", "bits", "shift", "float", "rounding", "select", "cast", "bitcast", "raw"
]


@dataclass(frozen=True, slots=True)
class Builtin:
    """One elementwise operation.

    numpy: meaning on NumPy arrays of one dtype, typed (float16 rounds after every operation, integers wrap); of `cast`
        and `bitcast`, called with the target's NumPy dtype as a second argument.
    expand: `(args, dtype of the first value operand) -> Expr` in simpler builtins, or None where it is primitive for
        that dtype. A backend first looks for its own spelling, then expands. An expansion is exact, but for the float
        functions, whose error `ulp` bounds.
    llvm / opencl: spelling per dtype kind (`float int uint bool`) of the first value operand: an LLVM instruction with
        its predicate, such as `fadd` or `icmp slt`, or an overloaded intrinsic's stem such as `@llvm.sqrt` (the type
        suffix is the backend's to add); an OpenCL C format string such as `({0} + {1})`, scalar operands in order.
    ulp: bound of the error, in ulp of the exact result in f32 (and f64), that the conformance tests and the fuzzer
        allow; docs/numerics.md has the errors measured, which are half an ulp or more below.
    gradient: per operand the template of `tilec.derivatives`, None for a derivative that is zero everywhere; None as a
        whole where the operation has no derivative.
    """

    name: str
    arity: int
    rule: Rule
    numpy: Callable[..., Any]
    expand: Callable[[tuple[Expr, ...], DType], Expr | None] | None = None
    llvm: Mapping[str, str] = field(default_factory=dict)
    opencl: Mapping[str, str] = field(default_factory=dict)
    ulp: float = 0.0
    gradient: tuple[Expr | None, ...] | None = None


def _all(float_: str, int_: str, uint: str | None = None) -> dict[str, str]:
    return {"float": float_, "int": int_, "uint": uint or int_}


def _integers(int_: str, uint: str | None = None) -> dict[str, str]:
    return {"int": int_, "uint": uint or int_}


def _every(text: str) -> dict[str, str]:
    return dict.fromkeys(("float", "int", "uint", "bool"), text)


def _compare(name: str, function: Any, float_: str, signed: str, unsigned: str, c: str) -> Builtin:
    llvm = {**_all(f"fcmp {float_}", f"icmp {signed}", f"icmp {unsigned}"), "bool": f"icmp {unsigned}"}
    return Builtin(name, 2, "compare", meaning.quiet(function), None, llvm, _every(f"({{0}} {c} {{1}})"))


def _bits(name: str, function: Any, llvm: str, c: str) -> Builtin:
    kinds = ("int", "uint", "bool")
    text = f"({{0}} {c} {{1}})"
    return Builtin(
        name, 2, "bits", meaning.quiet(function), None, dict.fromkeys(kinds, llvm), dict.fromkeys(kinds, text)
    )


def _rounding(name: str, function: Any, llvm: str, c: str) -> Builtin:
    spelling = {"float": f"{c}({{0}})"}
    return Builtin(name, 1, "rounding", meaning.rounding(function), expand.round_integer, {"float": llvm}, spelling)


def _float(name: str, function: Any, ulp: float, arity: int = 1) -> Builtin:
    """A transcendental function, expanded by `tilec.mathlib`."""
    return Builtin(name, arity, "float", meaning.transcendental(function), EXPANSIONS[name], ulp=ulp)


_ARITHMETIC = (
    Builtin(
        "add", 2, "arithmetic", meaning.exact(np.add), None, _all("fadd", "add"), _all("({0} + {1})", "({0} + {1})")
    ),
    Builtin(
        "sub",
        2,
        "arithmetic",
        meaning.exact(np.subtract),
        None,
        _all("fsub", "sub"),
        _all("({0} - {1})", "({0} - {1})"),
    ),
    Builtin(
        "mul",
        2,
        "arithmetic",
        meaning.exact(np.multiply),
        None,
        _all("fmul", "mul"),
        _all("({0} * {1})", "({0} * {1})"),
    ),
    Builtin("div", 2, "arithmetic", meaning.divide, expand.div, {"float": "fdiv"}, {"float": "({0} / {1})"}),
    Builtin("mod", 2, "arithmetic", meaning.modulo, expand.mod),
    Builtin("strong_mul", 2, "arithmetic", meaning.strong_multiply, expand.strong_mul),
    Builtin("strong_div", 2, "arithmetic", meaning.strong_divide, expand.strong_div),
    Builtin("neg", 1, "arithmetic", meaning.negate, expand.neg, {"float": "fneg"}, {"float": "(-{0})"}),
    Builtin("abs", 1, "arithmetic", meaning.absolute, expand.absolute, {"float": "@llvm.fabs"}, {"float": "fabs({0})"}),
)

_ORDER = (
    Builtin(
        "max",
        2,
        "order",
        meaning.maximum,
        expand.maximum,
        _all("@llvm.maximum", "@llvm.smax", "@llvm.umax"),
        _integers("max({0}, {1})"),
    ),
    Builtin(
        "min",
        2,
        "order",
        meaning.minimum,
        expand.minimum,
        _all("@llvm.minimum", "@llvm.smin", "@llvm.umin"),
        _integers("min({0}, {1})"),
    ),
    Builtin("relu", 1, "order", meaning.relu, expand.relu),
    Builtin("ident", 1, "order", meaning.quiet(np.copy), expand.identity),
    Builtin("stop_gradient", 1, "order", meaning.quiet(np.copy), expand.identity),
    Builtin("reverse_grad", 2, "arithmetic", meaning.first, expand.identity),
)

_COMPARE = (
    _compare("cmp_eq", np.equal, "oeq", "eq", "eq", "=="),
    _compare("cmp_ne", np.not_equal, "une", "ne", "ne", "!="),
    _compare("cmp_lt", np.less, "olt", "slt", "ult", "<"),
    _compare("cmp_gt", np.greater, "ogt", "sgt", "ugt", ">"),
    _compare("cmp_le", np.less_equal, "ole", "sle", "ule", "<="),
    _compare("cmp_ge", np.greater_equal, "oge", "sge", "uge", ">="),
    Builtin("logical_not", 1, "compare", meaning.logical_not, expand.logical_not),
)

_BITS = (
    _bits("bit_and", np.bitwise_and, "and", "&"),
    _bits("bit_or", np.bitwise_or, "or", "|"),
    _bits("bit_xor", np.bitwise_xor, "xor", "^"),
    Builtin("bit_not", 1, "bits", meaning.bit_not, expand.bit_not),
    Builtin("bit_left", 2, "shift", meaning.shift_left, expand.shift_left),
    Builtin("bit_right", 2, "shift", meaning.shift_right, expand.shift_right),
    Builtin("threefry", 2, "bits", random.threefry, random.expand),
)

_CHOICE = (
    Builtin("cond", 3, "select", meaning.select, None, _every("select"), _every("({0} ? {1} : {2})")),
    Builtin("cast", 1, "cast", meaning.cast),
    Builtin("bitcast", 1, "bitcast", meaning.bitcast, None, _every("bitcast")),
)

_ROUNDING = (
    _rounding("floor", np.floor, "@llvm.floor", "floor"),
    _rounding("ceil", np.ceil, "@llvm.ceil", "ceil"),
    _rounding("trunc", np.trunc, "@llvm.trunc", "trunc"),
    _rounding("round", np.rint, "@llvm.roundeven", "rint"),
)

_FLOAT = (
    Builtin("recip", 1, "float", meaning.exact(np.reciprocal), expand.recip),
    Builtin(
        "sqrt",
        1,
        "float",
        meaning.exact(np.sqrt),
        expand.sqrt,
        {"float": "@llvm.sqrt"},
        {"float": "sqrt({0})"},
    ),
    _float("exp", np.exp, 1.5),
    _float("log", np.log, 1.5),
    _float("expm1", np.expm1, 2),
    _float("log1p", np.log1p, 2),
    _float("pow", meaning.power, 2, arity=2),
    _float("sigmoid", meaning.sigmoid, 2.5),
    _float("erf", meaning.erf, 2),
    _float("sin", np.sin, 2.5),
    _float("cos", np.cos, 2.5),
    _float("tan", np.tan, 3),
    _float("sinh", np.sinh, 3),
    _float("cosh", np.cosh, 2),
    _float("tanh", np.tanh, 1.5),
    _float("asin", np.arcsin, 3),
    _float("acos", np.arccos, 2),
    _float("atan", np.arctan, 2.5),
    _float("asinh", np.arcsinh, 2.5),
    _float("acosh", np.arccosh, 3.5),
    _float("atanh", np.arctanh, 3),
)

_RAW = (  # made by expansions only; undefined for operands that the expansions exclude
    Builtin("div_raw", 2, "raw", meaning.divide, None, _integers("sdiv", "udiv"), _integers("({0} / {1})")),
    Builtin(
        "rem_raw",
        2,
        "raw",
        meaning.remainder,
        None,
        _all("frem", "srem", "urem"),
        _all("fmod({0}, {1})", "({0} % {1})"),
    ),
    Builtin("shl_raw", 2, "raw", meaning.shift_left, None, _integers("shl"), _integers("({0} << {1})")),
    Builtin("shr_raw", 2, "raw", meaning.shift_right, None, _integers("ashr", "lshr"), _integers("({0} >> {1})")),
    Builtin("scale2", 2, "raw", meaning.scaled, expand_scale),
    Builtin("rarely", 3, "raw", meaning.select, None, {"bool": "select"}, {"bool": "({0} ? {1} : {2})"}),
    Builtin("fma", 3, "raw", meaning.fused, None, {"float": "@llvm.fma"}, {"float": "fma({0}, {1}, {2})"}),
)

BUILTINS: dict[str, Builtin] = {
    b.name: replace(b, gradient=GRADIENTS.get(b.name))
    for b in (*_ARITHMETIC, *_ORDER, *_COMPARE, *_BITS, *_CHOICE, *_ROUNDING, *_FLOAT, *_RAW)
}

ALIASES: dict[str, str] = {"select": "cond", "bit_shl": "bit_left", "bit_shr": "bit_right"}  # other source spellings
