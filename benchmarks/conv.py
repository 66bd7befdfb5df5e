"""Convolutions in float32, inference with constant kernels, as in ResNet-50, VGG and MobileNet; depthwise ones.

    python benchmarks/conv.py [--threads 2] [--only depthwise]

Images are NHWC for tilec, jax, torch (channels last) and OpenVINO, which may reorder inside; NCHW for ONNX Runtime.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from benchmarks.compare import Case, Topic, main

# (batch, height and width, channels in, channels out, kernel, stride, groups)
DENSE = [
    (1, 224, 3, 64, 7, 2, 1),
    (1, 56, 64, 64, 3, 1, 1),
    (1, 56, 64, 256, 1, 1, 1),
    (1, 56, 256, 64, 1, 1, 1),
    (1, 28, 128, 128, 3, 1, 1),
    (1, 28, 512, 256, 1, 2, 1),
    (1, 14, 256, 256, 3, 1, 1),
    (1, 14, 1024, 256, 1, 1, 1),
    (1, 7, 512, 512, 3, 1, 1),
    (1, 7, 2048, 512, 1, 1, 1),
    (1, 112, 128, 128, 3, 1, 1),
    (1, 224, 3, 32, 3, 2, 1),
    (1, 112, 16, 96, 1, 1, 1),
    (1, 56, 144, 24, 1, 1, 1),
    (8, 28, 128, 128, 3, 1, 1),
    (8, 14, 1024, 256, 1, 1, 1),
]
CHANNELS = [(112, 32, 1), (112, 64, 2), (56, 128, 1), (28, 256, 1), (14, 512, 1), (14, 512, 2), (7, 1024, 1)]
DEPTHWISE = [(batch, size, c, c, 3, stride, c) for batch in (1, 8) for size, c, stride in CHANNELS]


def extent(case: Case) -> int:
    return int((case[1] - 1) // case[5] + 1)


def label(case: Case) -> str:
    batch, size, inputs, outputs, kernel, stride, groups = case
    kind = f"depthwise {inputs}" if groups > 1 else f"{inputs}->{outputs}"
    return f"{batch}x{size}x{size} {kind} {kernel}x{kernel}" + (f" /{stride}" if stride > 1 else "")


def operands(case: Case) -> list[Any]:
    batch, size, inputs, outputs, kernel, _, groups = case
    random = np.random.default_rng(0)
    shapes = (batch, size, size, inputs), (kernel, kernel, inputs // groups, outputs)
    return [random.standard_normal(s, dtype=np.float32) for s in shapes]


def work(case: Case) -> float:
    batch, _, inputs, outputs, kernel, _, groups = case
    return float(2 * batch * extent(case) ** 2 * outputs * (inputs // groups) * kernel**2)


TOPIC = Topic(
    name="convolutions",
    function="convolution",
    cases={label(c): c for c in (*DENSE, *DEPTHWISE)},
    operands=operands,
    work=work,
    arguments=lambda c: (c[5], c[6]),
)

if __name__ == "__main__":
    main(TOPIC)
