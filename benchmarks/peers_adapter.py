"""tilec as a contender in benchmarks of CPU libraries that time adapters side by side.

    python gemm.py --add tilec=benchmarks/peers_adapter.py@python

`make(topic, threads)` returns an adapter: `prepare(shape, inputs)` compiles (untimed), `run(shape, prepared)` is timed,
`to_numpy(shape, output)` is the result as they check it. Topics: gemm, conv, elementwise; latency makes a function.
What is constant in an inference graph, right operands and weights, goes in as `constants=`, as with the contenders that
pack them beforehand. `TILEC_TUNE=0`, the default, takes the default schedules. Another number is the seconds that
`prepare` may look for schedules of a program that nobody has looked for; `TILEC_TUNE=records` takes what was found,
which is kept in RECORDS, or where `TILEC_CACHE_DIR` says, for each number of threads:

    TILEC_TUNE=10 python gemm.py --rounds 1 --peers "" --add tilec=benchmarks/peers_adapter.py@python    tunes
    TILEC_TUNE=records python gemm.py --add tilec=benchmarks/peers_adapter.py@python                     measures
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

import tilec
import tilec.numpy as tnp
from benchmarks.contenders import with_tilec

RECORDS = Path.home() / ".cache" / "tilec-benchmarks"
# chains of `benchmarks.definitions` by their names in the topic elementwise
CHAINS = {
    "axpb": "scale and shift",
    "mul_add3": "multiply and add",
    "gelu": "gelu",
    "chain8": "nine operations",
    "sum": "sum",
    "rowsum": "row sums",
    "colsum": "column sums",
    "softmax": "softmax",
    "layernorm": "layer norm",
    "bn_relu": "batch norm",
    "bn_train": "batch norm, training",
    "bias_relu": "bias and relu",
    "adam": "Adam",
    "maxpool": "max pooling",
    "transpose": "transpose",
}


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
        image, kernel = inputs
        return with_tilec.convolution(image, kernel, stride=shape[7], groups=shape[8])

    def to_numpy(self, shape: Sequence[Any], out: Any) -> Any:
        return out[0, :3, :3]


class Elementwise(Adapter):
    """shape: (operation, rows, columns)."""

    def prepare(self, shape: Sequence[Any], inputs: Sequence[Any]) -> Any:
        return with_tilec.chain(CHAINS[shape[0]], inputs)

    def to_numpy(self, shape: Sequence[Any], out: Any) -> Any:
        return np.asarray(out[0] if isinstance(out, tuple) else out, np.float32)


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
    os.environ.setdefault("TILEC_CACHE_DIR", str(RECORDS))
    return latency(threads) if topic == "latency" else TOPICS[topic](threads)
