"""ResNet-18 (K. He et al., Deep Residual Learning, 2015) learns handwritten digits, enlarged to 32x32 pixels.

    python examples/nets/resnet18.py [--steps 200] [--batch 32]

Prints the loss on the way, and at the end the part of the unseen digits that is told right.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from fit import arguments, learn_digits
from layers import Layer, Tree, conv_norm, dense, pairs, run

import tilec.numpy as tnp
from tilec import ops

STAGES = ((64, 1), (128, 2), (256, 2), (512, 2))  # channels of two blocks each, and the stride of the first


def init(seed: int = 0, channels: int = 3, classes: int = 1000) -> Layer:
    random = np.random.default_rng(seed)
    inputs, blocks = 64, []
    for outputs, stride in STAGES:
        for first in (True, False):
            parts = {"conv1": conv_norm(random, 3, inputs, outputs), "conv2": conv_norm(random, 3, outputs, outputs)}
            if first and stride > 1:
                parts["shortcut"] = conv_norm(random, 1, inputs, outputs)
            blocks.append(pairs(parts))
            inputs = outputs
    head = dense(random, inputs, classes), {}
    return pairs({"stem": conv_norm(random, 7, channels, 64), "blocks": pairs(blocks), "head": head})


def forward(params: Tree, state: Tree, x: Any, training: bool = False) -> tuple[Any, Tree]:
    """Scores of images [batch, height, width, channels]."""
    x, stem = run(params["stem"], state["stem"], x, 2, training)
    x = ops.max_pool(tnp.relu(x), 3, 2, padding=1)
    blocks = []
    for p, s in zip(params["blocks"], state["blocks"]):
        x, new = block(p, s, x, training)
        blocks.append(new)
    x = ops.dense(ops.global_average_pool(x), params["head"]["kernel"], params["head"]["bias"])
    return x, {"stem": stem, "blocks": blocks, "head": {}}


def block(params: Tree, state: Tree, x: Any, training: bool) -> tuple[Any, Tree]:
    """Two convolutions of 3x3, and what they are added to: x, brought to their shape where it has another."""
    stride = 2 if "shortcut" in params else 1
    new = {}
    y, new["conv1"] = run(params["conv1"], state["conv1"], x, stride, training)
    y, new["conv2"] = run(params["conv2"], state["conv2"], tnp.relu(y), 1, training)
    if "shortcut" in params:
        x, new["shortcut"] = run(params["shortcut"], state["shortcut"], x, stride, training)
    return tnp.relu(x + y), new


def main() -> None:
    args = arguments(__doc__, steps=200, batch=32)
    learn_digits(forward, init(channels=1, classes=10), ops.sgd(0.02, momentum=0.9), args.steps, args.batch, size=32)


if __name__ == "__main__":
    main()
