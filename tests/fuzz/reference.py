"""What the names that random Python functions use mean in NumPy: the array API, and what `tilec.numpy` adds to it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]


class Reference:
    """A namespace: names that are not here are NumPy's own."""

    def __getattr__(self, name: str) -> Any:
        return getattr(np, name)

    @staticmethod
    def relu(x: Array) -> Array:
        return np.maximum(x, 0)

    @staticmethod
    def sigmoid(x: Array) -> Any:
        return 1 / (1 + np.exp(-x))

    @staticmethod
    def rsqrt(x: Array) -> Any:
        return 1 / np.sqrt(x)

    @staticmethod
    def erf(x: Array) -> Array:
        return np.asarray(np.vectorize(math.erf, otypes=[float])(x))

    @staticmethod
    def softmax(x: Array, axis: int = -1) -> Any:
        e = np.exp(x - np.max(x, axis=axis, keepdims=True))
        return e / e.sum(axis=axis, keepdims=True)

    @staticmethod
    def log_softmax(x: Array, axis: int = -1) -> Any:
        return x - Reference.logsumexp(x, axis, True)

    @staticmethod
    def logsumexp(x: Array, axis: int | None = None, keepdims: bool = False) -> Any:
        return np.log(np.sum(np.exp(x), axis=axis, keepdims=keepdims))

    @staticmethod
    def tril(x: Array) -> Array:
        if x.ndim < 2:
            raise ValueError("a triangle of a tensor of rank 1")
        return np.tril(x)

    @staticmethod
    def cond(predicate: Any, then: Callable[..., Any], orelse: Callable[..., Any], *args: Any) -> Any:
        return then(*args) if predicate else orelse(*args)

    @staticmethod
    def while_loop(condition: Callable[[Any], Any], body: Callable[[Any], Any], carried: Any) -> Any:
        while condition(carried):
            carried = body(carried)
        return carried

    @staticmethod
    def fori_loop(lower: int, upper: int, body: Callable[[int, Any], Any], carried: Any) -> Any:
        for i in range(lower, upper):
            carried = body(i, carried)
        return carried

    @staticmethod
    def scan(body: Callable[[Any, Any], Any], carried: Any, inputs: Array, reverse: bool = False) -> Any:
        outputs: list[Any] = [None] * len(inputs)
        for k in range(len(inputs))[:: -1 if reverse else 1]:
            carried, outputs[k] = body(carried, inputs[k])
        return carried, np.stack(outputs)

    @staticmethod
    def checkpoint(function: Callable[..., Any]) -> Callable[..., Any]:
        return function

    @staticmethod
    def contract(text: str, **operands: Array) -> Any:
        """The contractions of `tests.fuzz.functions`: sums over what the output does not name."""
        (a,) = operands.values()
        if a.ndim != 2:
            raise ValueError(text)
        return CONTRACTIONS[text](a)


CONTRACTIONS: dict[str, Callable[..., Any]] = {
    "O[i] = +(A[i, j] * A[i, j])": lambda a: np.einsum("ij,ij->i", a, a),
    "O[j, i] = A[i, j]": lambda a: a.T,
    "O[i] = >(A[i, j])": lambda a: a.max(axis=1),
    "O[j] = *(A[i, j])": lambda a: a.prod(axis=0),
    "O[] = +(sin(A[i, j]) * A[i, j])": lambda a: np.sum(np.sin(a) * a),
    "O[i, j] = +(A[i, k] * A[j, k])": lambda a: a @ a.T,
}
