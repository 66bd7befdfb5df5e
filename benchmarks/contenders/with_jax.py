"""JAX on the CPU, jitted; weights are arguments."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import definitions


def start(threads: int) -> None:
    """Its thread pool follows the process's processors."""


def convolve(x: Any, w: Any, stride: int = 1, groups: int = 1) -> Any:
    pad = w.shape[0] // 2
    layout = ("NHWC", "HWIO", "NHWC")
    return jax.lax.conv_general_dilated(
        x, w, (stride, stride), [(pad, pad)] * 2, dimension_numbers=layout, feature_group_count=groups
    )


names = ("exp", "tanh", "sqrt", "abs", "maximum", "minimum", "max", "sum", "mean", "matmul", "transpose", "reshape")
MODULE = SimpleNamespace(**{n: getattr(jnp, n) for n in names}, convolve=convolve)


def _jitted(function: Callable[..., Any], operands: Sequence[Any]) -> Callable[[], Any]:
    compiled, arrays = jax.jit(function), [jnp.asarray(a) for a in operands]
    return lambda: jax.block_until_ready(compiled(*arrays))


def product(a: Any, b: Any) -> Callable[[], Any]:
    return _jitted(jnp.matmul, (a, b))


def convolution(x: Any, w: Any, stride: int, groups: int) -> Callable[[], Any]:
    return _jitted(lambda x, w: convolve(x, w, stride, groups), (x, w))


def chain(name: str, operands: Sequence[Any]) -> Callable[[], Any]:
    return _jitted(definitions.chains(MODULE)[name], operands)


def layer(name: str, operands: Sequence[Any]) -> Callable[[], Any]:
    return _jitted(definitions.layers(MODULE)[name], operands)


def array(result: Any) -> Any:
    return np.asarray(result)
