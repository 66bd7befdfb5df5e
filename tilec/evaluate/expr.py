"""Floor 3: evaluates scalar expressions on NumPy arrays: the slow and obvious meaning shared by both IR evaluators.

Two modes. `typed`: every operation rounds to its dtype. `float64`, the twin that stands for the real numbers: every
float value, of whatever dtype, is held and computed in float64, while integers and bool stay exactly as typed (a cast
from float to integer truncates the float64 value).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeAlias

import numpy as np

from tilec.affine import Affine
from tilec.builtins import BUILTINS
from tilec.dtypes import DType
from tilec.expr import Access, Call, Const, Expr, IndexValue, Read, Var, operands, postorder
from tilec.numpy_semantics import Array, bitcast, cast

Mode = Literal["typed", "float64"]
ReadFunction: TypeAlias = Callable[[Access], Array]
IndexFunction: TypeAlias = Callable[[Affine], Array]
VarFunction: TypeAlias = Callable[[str], Array]


def storage(dtype: DType, mode: Mode) -> np.dtype[Any]:
    """NumPy dtype in which values of `dtype` are held."""
    return np.dtype(np.float64) if mode == "float64" and dtype.is_float else dtype.numpy


def evaluate_expr(
    expr: Expr, read: ReadFunction, index: IndexFunction, var: VarFunction, mode: Mode = "typed"
) -> Array:
    """Value of `expr` at many points at once: the callbacks give arrays of one common shape, or of rank 0.

    `read` gives the elements of an access, already in `storage` form; `index` the integer values of an affine form;
    `var` the value of a scalar variable. Shared sub-expressions are evaluated once.
    """
    done: dict[int, Array] = {}

    def compute(e: Expr) -> Array:
        match e:
            case Const():
                return constant(e, mode)
            case Var():
                return var(e.name)
            case IndexValue():
                return cast(index(e.form), storage(e.dtype, mode))
            case Read():
                return read(e.access)
            case Call():
                return evaluate_call(e.op, [done[id(a)] for a in e.args], [a.dtype for a in e.args], e.dtype, mode)

    for e in postorder(expr, operands):  # `read` evaluates indices itself
        done[id(e)] = compute(e)
    return done[id(expr)]


def constant(value: Const, mode: Mode) -> Array:
    """A rank-0 array; integers never pass through a float."""
    if value.dtype.is_float:
        return cast(np.float64(value.value), storage(value.dtype, mode))
    return np.asarray(value.value, value.dtype.numpy)


def evaluate_call(op: str, args: Sequence[Array], sources: Sequence[DType], dtype: DType, mode: Mode) -> Array:
    """One builtin on arrays in `storage` form; `sources` are the operands' dtypes, `dtype` is the result's."""
    target = storage(dtype, mode)
    if op == "cast":
        return cast(args[0], target)
    if op == "bitcast":  # bits exist only in the true type
        return cast(bitcast(cast(args[0], sources[0].numpy), dtype.numpy), target)
    return np.asarray(BUILTINS[op].numpy(*args))
