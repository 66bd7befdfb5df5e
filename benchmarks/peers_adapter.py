"""tilec as a contender in benchmarks of CPU libraries that time adapters side by side.

    python gemm.py --add tilec=benchmarks/peers_adapter.py@python

`make(topic, threads)` returns an adapter: `prepare(shape, inputs)` compiles (untimed), `run(shape, prepared)` is timed,
`to_numpy(shape, output)` is the result as they check it. Topics: gemm, conv, elementwise; latency makes a function.
What is constant in an inference graph, right operands and weights, goes in as `constants=`, as with the contenders that
pack them beforehand. `TILEC_TUNE=0` takes the default schedules; another number is the seconds of tuning a program.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

import tilec
import tilec.numpy as tnp
from benchmarks.contenders import with_tilec


class Adapter:
    """What the topics share: what is prepared is a function without arguments."""

    def __init__(self, threads: int) -> None:
        with_tilec.start(threads)

    def supports(self, shape: Sequence[Any]) -> bool:
        return True

    def run(self, shape: Sequence[Any], prepared: Callable[[], Any]) -> Any:
        return prepared()

    def to_numpy(self, shape: Sequence[Any], out: Any) -> Any:
        return np.asarray(out, np.float32)


class Gemm(Adapter):
    """shape: (type, batch, m, n, k)."""

    def prepare(self, shape: Sequence[Any], inputs: Sequence[Any]) -> Any:
        a, b = inputs
        if shape[0] == "bf16":
            import ml_dtypes

            a, b = a.astype(ml_dtypes.bfloat16), b.astype(ml_dtypes.bfloat16)
        return with_tilec.product(a, b)


class Conv(Adapter):
    """shape: (network, batch, height, width, channels in, channels out, kernel, stride, groups)."""

    def prepare(self, shape: Sequence[Any], inputs: Sequence[Any]) -> Any:
        return with_tilec.convolution(*inputs, stride=shape[7], groups=shape[8])

    def to_numpy(self, shape: Sequence[Any], out: Any) -> Any:
        return out[0, :3, :3]


class Elementwise(Adapter):
    """shape: (operation, rows, columns)."""

    def prepare(self, shape: Sequence[Any], inputs: Sequence[Any]) -> Any:
        return partial(tilec.jit(operations()[shape[0]], target=with_tilec.target()), *inputs)

    def to_numpy(self, shape: Sequence[Any], out: Any) -> Any:
        return np.asarray(out[0] if isinstance(out, tuple) else out, np.float32)


def operations() -> dict[str, Callable[..., Any]]:
    """The chains of the topic elementwise, each as one defines it with NumPy's names."""

    def softmax(a: Any) -> Any:
        e = tnp.exp(a - tnp.max(a, axis=-1, keepdims=True))
        return e / tnp.sum(e, axis=-1, keepdims=True)

    def layernorm(a: Any, g: Any, b: Any) -> Any:
        d = a - tnp.mean(a, axis=-1, keepdims=True)
        v = tnp.mean(d * d, axis=-1, keepdims=True)
        return d * (1.0 / tnp.sqrt(v + 1e-5)) * g + b

    def bn_train(a: Any, g: Any, b: Any) -> Any:
        d = a - tnp.mean(a, axis=0)
        v = tnp.mean(d * d, axis=0)
        return tnp.maximum(d * (1.0 / tnp.sqrt(v + 1e-5)) * g + b, 0.0)

    def adam(p: Any, m: Any, v: Any, g: Any) -> Any:
        m2 = 0.9 * m + 0.1 * g
        v2 = 0.999 * v + 0.001 * g * g
        return p - 0.001 * m2 / (tnp.sqrt(v2) + 1e-7), m2, v2

    def chain8(a: Any) -> Any:
        y = a * 1.1 + 0.3
        y = tnp.maximum(y, 0.1 * y)
        y = tnp.sqrt(tnp.abs(y * y + a) + 1.0)
        return tnp.minimum(y * 0.5 - 0.25, 6.0)

    def maxpool(a: Any) -> Any:
        rows, columns = a.shape
        return tnp.max(tnp.reshape(a, (rows // 2, 2, columns // 128, 2, 64)), axis=(1, 3))

    return {
        "axpb": lambda a: a * 2.0 + 1.0,
        "mul_add3": lambda a, b, c: a * b + c,
        "gelu": lambda a: 0.5 * a * (1.0 + tnp.tanh(0.7978846 * (a + 0.044715 * a * a * a))),
        "chain8": chain8,
        "sum": tnp.sum,
        "rowsum": lambda a: tnp.sum(a, axis=1),
        "colsum": lambda a: tnp.sum(a, axis=0),
        "softmax": softmax,
        "layernorm": layernorm,
        "bn_relu": lambda a, m, v, g, b: tnp.maximum((a - m) * (1.0 / tnp.sqrt(v + 1e-3)) * g + b, 0.0),
        "bn_train": bn_train,
        "bias_relu": lambda a, b: tnp.maximum(a + b, 0.0),
        "adam": adam,
        "maxpool": maxpool,
        "transpose": lambda a: tnp.transpose(a) + 0.0,
    }


def latency(workload: str) -> Callable[[], Any]:
    """relu(x @ w + b) as the topic latency times it: compilation is part of the first run."""
    if workload != "mbr":
        raise NotImplementedError
    rng = np.random.default_rng(1)
    x, w, b = (rng.standard_normal(s, dtype=np.float32) for s in ((128, 768), (768, 3072), (3072,)))
    compiled = tilec.jit(lambda x, w, b: tnp.maximum(x @ w + b, 0.0))
    return lambda: compiled(x, w, b)


TOPICS = {"gemm": Gemm, "conv": Conv, "elementwise": Elementwise}


def make(topic: str, threads: Any) -> Any:
    """An adapter of one topic; for latency, where the second argument names the workload, a function to time."""
    os.environ.setdefault("TILEC_TUNE", "0")
    return latency(threads) if topic == "latency" else TOPICS[topic](threads)
