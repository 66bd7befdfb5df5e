"""A network like MobileNetV2 (M. Sandler et al., 2018) learns handwritten digits, enlarged to 32x32 pixels.

    python examples/nets/mobilenet.py [--steps 200] [--batch 32]

Prints the loss on the way, and at the end the part of the unseen digits that is told right.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from fit import arguments, learn_digits
from layers import Layer, Tree, conv_norm, dense, depthwise_norm, pairs, run

from tilec import ops

# expansion, channels, number of blocks, stride of the first
STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
LAST = 1280
STRIDES = [stride if k == 0 else 1 for _, _, count, stride in STAGES for k in range(count)]


def init(seed: int = 0, channels: int = 3, classes: int = 1000) -> Layer:
    random = np.random.default_rng(seed)
    inputs, blocks = 32, []
    for expansion, outputs, count, _ in STAGES:
        for _ in range(count):
            wide = inputs * expansion
            parts = {"expand": conv_norm(random, 1, inputs, wide)} if expansion > 1 else {}
            parts |= {"depthwise": depthwise_norm(random, 3, wide), "project": conv_norm(random, 1, wide, outputs)}
            blocks.append(pairs(parts))
            inputs = outputs
    ends = {"stem": conv_norm(random, 3, channels, 32), "last": conv_norm(random, 1, inputs, LAST)}
    return pairs({**ends, "blocks": pairs(blocks), "head": (dense(random, LAST, classes), {})})


def forward(params: Tree, state: Tree, x: Any, training: bool = False) -> tuple[Any, Tree]:
    """Scores of images [batch, height, width, channels]."""
    x, stem = run(params["stem"], state["stem"], x, 2, training)
    x, blocks = ops.relu6(x), []
    for p, s, stride in zip(params["blocks"], state["blocks"], STRIDES, strict=True):
        x, new = block(p, s, x, stride, training)
        blocks.append(new)
    x, last = run(params["last"], state["last"], x, 1, training)
    x = ops.dense(ops.global_average_pool(ops.relu6(x)), params["head"]["kernel"], params["head"]["bias"])
    return x, {"stem": stem, "last": last, "blocks": blocks, "head": {}}


def block(params: Tree, state: Tree, x: Any, stride: int, training: bool) -> tuple[Any, Tree]:
    """An inverted residual: more channels, a depthwise convolution, fewer channels; added to x where that fits."""
    new, y = {}, x
    if "expand" in params:
        y, new["expand"] = run(params["expand"], state["expand"], y, 1, training)
        y = ops.relu6(y)
    y, new["depthwise"] = run(params["depthwise"], state["depthwise"], y, stride, training)
    y, new["project"] = run(params["project"], state["project"], ops.relu6(y), 1, training)
    return (x + y if x.shape == y.shape else y), new


def main() -> None:
    args = arguments(__doc__, steps=200, batch=32)
    learn_digits(forward, init(channels=1, classes=10), ops.adam(0.003), args.steps, args.batch, size=32)


if __name__ == "__main__":
    main()
