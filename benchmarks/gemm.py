"""Matrix products in float32: squares, layers of networks, long and narrow ones, batches.

    python benchmarks/gemm.py [--threads 2] [--only 512] [--contenders tilec,torch]

The right operand is constant for the contenders that pack constants; that of a batch is not.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from benchmarks.compare import Case, Topic, main

SQUARES = [(1, n, n, n) for n in (64, 128, 256, 384, 512, 768, 1024, 2048)]
LAYERS = [
    (1, 1, 1000, 2048),
    (1, 8, 4096, 4096),
    (1, 32, 1000, 2048),
    (1, 128, 3072, 768),
    (1, 128, 768, 3072),
    (1, 3136, 64, 256),
    (1, 196, 256, 1024),
    (1, 49, 512, 2048),
    (1, 12544, 64, 147),
]
NARROW = [(1, 8192, 16, 16), (1, 16, 16, 8192), (1, 2048, 32, 2048), (1, 32, 2048, 2048), (1, 4096, 10, 512)]
BATCHES = [(12, 128, 128, 64), (12, 128, 64, 128), (96, 64, 64, 64)]


def label(case: Case) -> str:
    batch, m, n, k = case
    return f"{m}x{n}x{k}" + (f", batch of {batch}" if batch > 1 else "")


def operands(case: Case) -> list[Any]:
    batch, m, n, k = case
    random = np.random.default_rng(0)
    a, b = (random.standard_normal((batch, *s), dtype=np.float32) for s in ((m, k), (k, n)))
    return [a, b] if batch > 1 else [a[0], b[0]]


TOPIC = Topic(
    name="products",
    function="product",
    cases={label(c): c for c in (*SQUARES, *LAYERS, *NARROW, *BATCHES)},
    operands=operands,
    work=lambda c: 2.0 * c[0] * c[1] * c[2] * c[3],
    arguments=lambda c: (),
)

if __name__ == "__main__":
    main(TOPIC)
