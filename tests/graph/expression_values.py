"""Values of scalar expressions on NumPy arrays, with a fused multiply-add that rounds once, and distances in ulp."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from tilec.builtins import BUILTINS
from tilec.dtypes import DType
from tilec.expr import Call, Const, Expr, Var

Array = np.ndarray[Any, np.dtype[Any]]


def evaluate(expr: Expr, variables: Mapping[str, Array]) -> Array:
    """Value of an expression over Vars; every node object is evaluated once."""
    done: dict[int, Array] = {}

    def visit(node: Expr) -> Array:
        if id(node) not in done:
            done[id(node)] = compute(node)
        return done[id(node)]

    def compute(node: Expr) -> Array:
        match node:
            case Const():
                return np.array(node.value, node.dtype.numpy)
            case Var():
                return variables[node.name]
            case Call():
                args = [visit(a) for a in node.args]
                if node.op == "fma":
                    return fused(args[0], args[1], args[2])
                if node.op in ("cast", "bitcast"):
                    return np.asarray(BUILTINS[node.op].numpy(args[0], node.dtype.numpy))
                return np.asarray(BUILTINS[node.op].numpy(*args))
        raise AssertionError(node)

    return visit(expr)


def fused(a: Array, b: Array, c: Array) -> Array:
    """a * b + c rounded once (all but once: the sum of an exact product is rounded to a wider type first)."""
    with np.errstate(all="ignore"):
        if a.dtype == np.float32:
            return np.asarray((a.astype(np.float64) * b + c).astype(np.float32))
        product = a * b
        low = _product_error(a, b, product)
        total = product + c
        back = total - product
        low = low + ((product - (total - back)) + (c - back))
        return np.where(np.isfinite(total) & np.isfinite(low), total + low, total)


def _product_error(a: Array, b: Array, product: Array) -> Array:
    """a * b - product, by Dekker's and Veltkamp's splitting."""
    a_high, b_high = _upper_half(a), _upper_half(b)
    a_low, b_low = a - a_high, b - b_high
    return np.asarray(a_low * b_low - (((product - a_high * b_high) - a_low * b_high) - a_high * b_low))


def _upper_half(x: Array) -> Array:
    scaled = x * 134217729.0
    return np.asarray(scaled - (scaled - x))


def ulps(result: Array, reference: Array, dtype: DType) -> Array:
    """|result - reference| in ulp of the reference rounded to `dtype`; 0 where both are the same NaN or infinity.

    The reference holds more digits than `dtype`. A finite result where infinity was right, and the like, is infinite.
    """
    with np.errstate(all="ignore"):
        rounded = reference.astype(dtype.numpy)
        wide = np.asarray(result).astype(reference.dtype)
        spacing = np.spacing(np.abs(rounded)).astype(reference.dtype)
        distance = np.abs(wide - reference) / spacing
    special = ~np.isfinite(rounded) | ~np.isfinite(result)
    same = (np.isnan(rounded) & np.isnan(result)) | (rounded == result)
    return np.where(special, np.where(same, 0.0, np.inf), distance)
