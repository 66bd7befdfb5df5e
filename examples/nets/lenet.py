"""LeNet-5 (Y. LeCun et al., 1998) learns handwritten digits.

    python examples/nets/lenet.py [--steps 300] [--batch 64]

Prints the loss on the way, and at the end the part of the unseen digits that is told right.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from fit import arguments, learn_digits
from layers import Layer, Tree, dense, he

import tilec.numpy as tnp
from tilec import ops


def init(seed: int = 0, channels: int = 1, classes: int = 10, size: int = 28) -> Layer:
    """For images of size x size; there is no state."""
    random = np.random.default_rng(seed)
    left = size // 4 - 3  # pixels a side after two windows of 5 and two poolings
    params = {
        "conv1": {"kernel": he(random, 5, 5, channels, 6), "bias": np.zeros(6, np.float32)},
        "conv2": {"kernel": he(random, 5, 5, 6, 16), "bias": np.zeros(16, np.float32)},
        "dense1": dense(random, left * left * 16, 120),
        "dense2": dense(random, 120, 84),
        "head": dense(random, 84, classes),
    }
    return params, {}


def forward(params: Tree, state: Tree, x: Any, training: bool = False) -> tuple[Any, Tree]:
    for name in ("conv1", "conv2"):
        x = tnp.relu(ops.conv(x, params[name]["kernel"]) + params[name]["bias"])
        x = ops.max_pool(x, 2)
    x = x.reshape(x.shape[0], -1)
    for name in ("dense1", "dense2"):
        x = tnp.relu(ops.dense(x, params[name]["kernel"], params[name]["bias"]))
    return ops.dense(x, params["head"]["kernel"], params["head"]["bias"]), state


def main() -> None:
    args = arguments(__doc__, steps=300, batch=64)
    learn_digits(forward, init(), ops.adam(0.002), args.steps, args.batch, size=28)


if __name__ == "__main__":
    main()
