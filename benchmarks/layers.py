"""Layers of networks in inference, float32: what fusion makes of a contraction and what stands around it.

python benchmarks/layers.py [--threads 2]
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from benchmarks.compare import Case, Topic, main

_HEADS, _LONG, _DEPTH, _WIDE = 8, 128, 64, 3072
SHAPES: dict[str, tuple[tuple[int, ...], ...]] = {
    "dense": ((128, 768), (768, _WIDE), (_WIDE,)),
    "convolution": ((1, 56, 56, 64), (3, 3, 64, 64), *[(64,)] * 4),
    "attention": ((_HEADS, _LONG, _DEPTH),) * 3,
    "feed forward": ((128, 768), (768, _WIDE), (_WIDE, 768), (768,), (768,)),
}
WORK = {
    "dense": 2.0 * 128 * 768 * _WIDE,
    "convolution": 2.0 * 56 * 56 * 9 * 64 * 64,
    "attention": 4.0 * _HEADS * _LONG * _LONG * _DEPTH,
    "feed forward": 4.0 * 128 * 768 * _WIDE,
}


def operands(case: Case) -> list[Any]:
    """Uniform in [0, 1), products of which are scaled down; a variance among them is positive."""
    random = np.random.default_rng(0)
    scale = {"dense": 0.1, "feed forward": 0.02}.get(case[0], 1.0)
    return [random.random(s, dtype=np.float32) * np.float32(scale) for s in SHAPES[case[0]]]


TOPIC = Topic(
    name="layers",
    function="layer",
    cases={name: (name,) for name in SHAPES},
    operands=operands,
    work=lambda case: WORK[case[0]],
)

if __name__ == "__main__":
    main(TOPIC)
