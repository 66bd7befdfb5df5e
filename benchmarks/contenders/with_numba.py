"""Numba: the loops that one would write by hand, with fastmath and prange."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numba
import numpy as np
from numba import prange

f = np.float32
_ELEMENTWISE = {
    "scale and shift": "x[i] * f(2) + f(1)",
    "multiply and add": "x[i] * y[i] + z[i]",
    "gelu": "f(0.5) * x[i] * (f(1) + math.tanh(f(0.7978845608) * (x[i] + f(0.044715) * x[i] * x[i] * x[i])))",
}


def start(threads: int) -> None:
    numba.set_num_threads(threads)


def _elementwise(expression: str) -> Any:
    """A parallel loop over flat arrays x, y, z."""
    names = [n for n in "xyz" if f"{n}[i]" in expression]
    flat = "".join(f"    {n} = {n}.ravel()\n" for n in names)
    text = f"def loop({', '.join(names)}):\n    result = np.empty_like(x)\n    out = result.ravel()\n{flat}"
    text += f"    for i in prange(out.size):\n        out[i] = {expression}\n    return result\n"
    scope = {"np": np, "math": math, "f": f, "prange": prange}
    exec(text, scope)
    return numba.njit(parallel=True, fastmath=True)(scope["loop"])


def _leaky(x: Any) -> Any:
    result = np.empty_like(x)
    flat, out = x.ravel(), result.ravel()
    for i in prange(flat.size):
        y = flat[i] * f(1.1) + f(0.3)
        y = max(y, f(0.1) * y)
        y = math.sqrt(abs(y * y + flat[i]) + f(1))
        out[i] = min(y * f(0.5) - f(0.25), f(6))
    return result


def _bias_and_relu(x: Any, bias: Any) -> Any:
    result = np.empty_like(x)
    for i in prange(x.shape[0]):
        for j in range(x.shape[1]):
            result[i, j] = max(x[i, j] + bias[j], f(0))
    return result


def _batch_norm(x: Any, mean: Any, variance: Any, scale: Any, shift: Any) -> Any:
    result = np.empty_like(x)
    factor = scale / np.sqrt(variance + f(1e-3))
    offset = shift - mean * factor
    for i in prange(x.shape[0]):
        for j in range(x.shape[1]):
            result[i, j] = max(x[i, j] * factor[j] + offset[j], f(0))
    return result


def _sum(x: Any) -> Any:
    total, flat = f(0), x.ravel()
    for i in prange(flat.size):
        total += flat[i]
    return total


def _row_sums(x: Any) -> Any:
    result = np.empty(x.shape[0], np.float32)
    for i in prange(x.shape[0]):
        total = f(0)
        for j in range(x.shape[1]):
            total += x[i, j]
        result[i] = total
    return result


def _softmax(x: Any) -> Any:
    result = np.empty_like(x)
    for i in prange(x.shape[0]):
        largest = x[i, 0]
        for j in range(x.shape[1]):
            largest = max(largest, x[i, j])
        total = f(0)
        for j in range(x.shape[1]):
            result[i, j] = math.exp(x[i, j] - largest)
            total += result[i, j]
        factor = f(1) / total
        for j in range(x.shape[1]):
            result[i, j] *= factor
    return result


def _layer_norm(x: Any, scale: Any, shift: Any) -> Any:
    result, n = np.empty_like(x), f(x.shape[1])
    for i in prange(x.shape[0]):
        total, squares = f(0), f(0)
        for j in range(x.shape[1]):
            total += x[i, j]
        mean = total / n
        for j in range(x.shape[1]):
            squares += (x[i, j] - mean) * (x[i, j] - mean)
        factor = f(1) / math.sqrt(squares / n + f(1e-5))
        for j in range(x.shape[1]):
            result[i, j] = (x[i, j] - mean) * factor * scale[j] + shift[j]
    return result


def _adam(p: Any, first: Any, second: Any, slope: Any) -> Any:
    result, a, b = np.empty_like(p), np.empty_like(p), np.empty_like(p)
    for i in prange(p.shape[0]):
        for j in range(p.shape[1]):
            g = slope[i, j]
            a[i, j] = f(0.9) * first[i, j] + f(0.1) * g
            b[i, j] = f(0.999) * second[i, j] + f(0.001) * g * g
            result[i, j] = p[i, j] - f(0.001) * a[i, j] / (math.sqrt(b[i, j]) + f(1e-7))
    return result, a, b


LOOPS: dict[str, Any] = {
    "nine operations": _leaky,
    "bias and relu": _bias_and_relu,
    "batch norm": _batch_norm,
    "sum": _sum,
    "row sums": _row_sums,
    "softmax": _softmax,
    "layer norm": _layer_norm,
    "Adam": _adam,
}


def chain(name: str, operands: Sequence[Any]) -> Callable[[], Any]:
    """Raises KeyError for a chain that has no loops here."""
    if name in _ELEMENTWISE:
        loop = _elementwise(_ELEMENTWISE[name])
    else:
        loop = numba.njit(parallel=True, fastmath=True)(LOOPS[name])
    return lambda: loop(*operands)


def array(result: Any) -> Any:
    return np.asarray(result)
