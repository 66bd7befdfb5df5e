"""tilec: right operands of products, kernels of convolutions and weights of layers go in as constants."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

import tilec
import tilec.numpy as tnp
from benchmarks import definitions
from tilec.devices import resolve_target
from tilec.target import Target

PRODUCT = "function (A[M, K], B[K, N]) -> (C) { C[m, n : M, N] = +(A[m, k] * B[k, n]); }"
PRODUCTS = "function (A[E, M, K], B[E, K, N]) -> (C) { C[e, m, n : E, M, N] = +(A[e, m, k] * B[e, k, n]); }"
CONVOLUTION = """function (I[N, H, W, CI], K[R, S, CI, CO]) -> (O) {{
  O[n, y, x, co : N, {size}, {size}, CO] =
    +(I[n, {stride} * y + i - {pad}, {stride} * x + j - {pad}, ci] * K[i, j, ci, co]);
}}"""
DEPTHWISE = """function (I[N, H, W, C], K[R, S, ONE, C]) -> (O) {{
  O[n, y, x, c : N, {size}, {size}, C] =
    +(I[n, {stride} * y + i - {pad}, {stride} * x + j - {pad}, c] * K[i, j, 0, c]);
}}"""
_threads: list[int] = []


def start(threads: int) -> None:
    _threads[:] = [threads]


def target() -> Target:
    """This machine, with as many threads as the contenders have."""
    return replace(resolve_target("llvm"), threads=_threads[0])


def product(a: Any, b: Any) -> Callable[[], Any]:
    out = np.empty((*a.shape[:-1], b.shape[-1]), a.dtype)
    if a.ndim == 3:
        return partial(tilec.compile(PRODUCTS, target=target(), A=a, B=b), a, b, out=out)
    return partial(tilec.compile(PRODUCT, target=target(), A=a, constants={"B": b}), a, out=out)


def convolution(x: Any, w: Any, stride: int, groups: int) -> Callable[[], Any]:
    text = convolution_text(x.shape[1], w.shape[0], stride, groups)
    compiled = tilec.compile(text, target=target(), I=x, constants={"K": w})
    return partial(compiled, on_cache_line(x), out=on_cache_line(compiled(x)))


def on_cache_line(array: Any) -> Any:
    """A copy that begins where a cache line does, as arrays of the other contenders do, and NumPy's do not."""
    memory = np.empty(array.nbytes + 64, np.uint8)
    start = -memory.ctypes.data % 64
    copy = memory[start : start + array.nbytes].view(array.dtype).reshape(array.shape)
    copy[...] = array
    return copy


def convolution_text(extent: int, kernel: int, stride: int, groups: int) -> str:
    """A convolution of a square image, padded by the kernel's half; with groups, each channel by itself."""
    pad = kernel // 2
    size = (extent + 2 * pad - kernel) // stride + 1
    return (DEPTHWISE if groups > 1 else CONVOLUTION).format(size=size, stride=stride, pad=pad)


def chain(name: str, operands: Sequence[Any]) -> Callable[[], Any]:
    return partial(tilec.jit(definitions.chains(tnp)[name], target=target()), *operands)


def layer(name: str, operands: Sequence[Any]) -> Callable[[], Any]:
    class Module:
        """tilec.numpy, and a convolution in Tile."""

        def __getattr__(self, name: str) -> Any:
            return getattr(tnp, name)

        def convolve(self, x: Any, w: Any) -> Any:
            return tilec.op(convolution_text(x.shape[1], w.shape[0], 1, 1))(x, w)

    function = definitions.layers(Module())[name]
    if name == "attention":  # of which nothing is constant
        return partial(tilec.jit(function, target=target()), *operands)
    x, *weights = operands
    run = tilec.jit(lambda x, weights: function(x, *weights), constants="weights", target=target())
    return partial(run, x, weights)


def array(result: Any) -> Any:
    return np.asarray(result)
