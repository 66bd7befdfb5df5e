"""Chains and layers, each written once over the functions of a NumPy-like module, which every library has a form of.

A module has exp, tanh, sqrt, abs, maximum, minimum, matmul, transpose, reshape, and max, sum, mean with axis and
keepdims; for the layers also `convolve(image, kernel)` of NHWC images padded by the kernel's half.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Function = Callable[..., Any]


def chains(m: Any) -> Mapping[str, Function]:
    """Elementwise chains, aggregations, and both in one; x is a matrix [rows, columns]; variances are not negative."""

    def leaky(x: Any) -> Any:
        y = x * 1.1 + 0.3
        y = m.maximum(y, 0.1 * y)
        y = m.sqrt(m.abs(y * y + x) + 1.0)
        return m.minimum(y * 0.5 - 0.25, 6.0)

    def gelu(x: Any) -> Any:
        return 0.5 * x * (1.0 + m.tanh(0.7978845608 * (x + 0.044715 * x * x * x)))

    def softmax(x: Any) -> Any:
        e = m.exp(x - m.max(x, axis=-1, keepdims=True))
        return e / m.sum(e, axis=-1, keepdims=True)

    def layer_norm(x: Any, scale: Any, shift: Any) -> Any:
        d = x - m.mean(x, axis=-1, keepdims=True)
        return d * (1.0 / m.sqrt(m.mean(d * d, axis=-1, keepdims=True) + 1e-5)) * scale + shift

    def batch_norm(x: Any, mean: Any, variance: Any, scale: Any, shift: Any) -> Any:
        return m.maximum((x - mean) * (1.0 / m.sqrt(variance + 1e-3)) * scale + shift, 0.0)

    def batch_statistics(x: Any, scale: Any, shift: Any) -> Any:
        d = x - m.mean(x, axis=0)
        return m.maximum(d * (1.0 / m.sqrt(m.mean(d * d, axis=0) + 1e-5)) * scale + shift, 0.0)

    def adam(p: Any, first: Any, second: Any, slope: Any) -> Any:
        a = 0.9 * first + 0.1 * slope
        b = 0.999 * second + 0.001 * slope * slope
        return p - 0.001 * a / (m.sqrt(b) + 1e-7), a, b

    def pooled(x: Any) -> Any:
        rows, columns = x.shape
        return m.max(m.reshape(x, (rows // 2, 2, columns // 128, 2, 64)), axis=(1, 3))

    return {
        "scale and shift": lambda x: x * 2.0 + 1.0,
        "multiply and add": lambda x, y, z: x * y + z,
        "bias and relu": lambda x, bias: m.maximum(x + bias, 0.0),
        "nine operations": leaky,
        "gelu": gelu,
        "sum": lambda x: m.sum(x),
        "row sums": lambda x: m.sum(x, axis=1),
        "column sums": lambda x: m.sum(x, axis=0),
        "softmax": softmax,
        "layer norm": layer_norm,
        "batch norm": batch_norm,
        "batch norm, training": batch_statistics,
        "Adam": adam,
        "max pooling": pooled,  # of 2x2, of images [rows, columns // 64] of 64 channels
        "transpose": lambda x: m.transpose(x) + 0.0,
    }


# inputs of the chains: m a matrix, c a row of columns
OPERANDS: Mapping[str, str] = {
    "multiply and add": "mmm",
    "bias and relu": "mc",
    "layer norm": "mcc",
    "batch norm": "mcccc",
    "batch norm, training": "mcc",
    "Adam": "mmmm",
}
# results in matrices; 1 elsewhere
RESULTS: Mapping[str, float] = {"sum": 0, "row sums": 0, "column sums": 0, "Adam": 3, "max pooling": 0.25}


def layers(m: Any) -> Mapping[str, Function]:
    """Layers of networks in inference; the first argument is the data, the others are weights."""
    apply = chains(m)

    def dense(x: Any, w: Any, bias: Any) -> Any:
        return m.maximum(m.matmul(x, w) + bias, 0.0)

    def convolution(x: Any, kernel: Any, mean: Any, variance: Any, scale: Any, shift: Any) -> Any:
        return apply["batch norm"](m.convolve(x, kernel), mean, variance, scale, shift)

    def attention(q: Any, k: Any, v: Any) -> Any:
        scores = m.matmul(q, m.transpose(k, (0, 2, 1))) * float(q.shape[-1]) ** -0.5
        return m.matmul(apply["softmax"](scores), v)

    def feed_forward(x: Any, w: Any, v: Any, scale: Any, shift: Any) -> Any:
        return apply["layer norm"](x + m.matmul(apply["gelu"](m.matmul(x, w)), v), scale, shift)

    return {"dense": dense, "convolution": convolution, "attention": attention, "feed forward": feed_forward}
