"""Floor 1: the one table of elementwise builtins.

An entry holds everything the compiler knows of an operation: arity, dtype rule, NumPy meaning, spelling per backend or
an expansion into simpler builtins. The evaluators, inference, both printers, the backends and the conformance tests are
driven by it; adding an elementwise builtin is adding one entry here.

Dtype rules, after promotion of the operands to a common type T (`tilec.dtypes.promote`):
  arithmetic   T -> T, bool operands become i32           order     T -> T, bool allowed
  compare      T -> bool                                  bits      T -> T, integers and bool only
  float        T -> T, integers and bool become f32       rounding  T -> T, the identity on integers
  select       (any, T, T) -> T                           cast      T -> the Call's dtype
  bitcast      T -> the Call's dtype of the same width    raw       T -> T, no promotion (made by expansions only)

Meaning everywhere, equal on every backend: integers wrap; integer x / 0 = 0 and MIN / -1 = MIN; mod has the sign of the
divisor and x mod 0 = 0 for integers; a shift by the width or more, or by a negative count, gives 0 (right shift of a
negative number: -1); float to integer truncates, saturates, NaN gives 0; NaN propagates through max and min;
max(-0, 0) = 0 and min(0, -0) = -0; round is half to even.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from tilec.dtypes import DType
from tilec.expr import Expr

Rule = Literal["arithmetic", "order", "compare", "bits", "float", "rounding", "select", "cast", "bitcast", "raw"]


@dataclass(frozen=True, slots=True)
class Builtin:
    """One elementwise operation.

    numpy: meaning on NumPy arrays of one dtype, typed (float16 rounds after every operation, integers wrap).
    expand: `(args, dtype of the first value operand) -> Expr` in simpler builtins, or None where it is primitive for
        that dtype. A backend first looks for its own spelling, then expands.
    llvm / opencl: spelling per dtype kind (`float int uint bool`): an LLVM instruction such as `fadd`, or an intrinsic
        stem such as `@llvm.sqrt`; an OpenCL C format string such as `({0} + {1})`.
    ulp: bound of the error, in ulp of the result in f32, that the conformance tests and the fuzzer allow.
    """

    name: str
    arity: int
    rule: Rule
    numpy: Callable[..., Any]
    expand: Callable[[tuple[Expr, ...], DType], Expr | None] | None = None
    llvm: Mapping[str, str] = field(default_factory=dict)
    opencl: Mapping[str, str] = field(default_factory=dict)
    ulp: float = 0.0
