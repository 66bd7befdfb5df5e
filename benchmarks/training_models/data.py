"""Starting values and batches of the three networks, as NumPy arrays, equal for every framework.

    mlp    64 rows of 784, two hidden layers of 512, relu
    conv   32 images 28x28x1; 5x5 convolutions to 6 and 16 channels, each relu and 2x2 max pooling; 120, 84, 10
    lstm   100 steps, 16 rows of 32; two layers of 64, gates in the order input, forget, update, output

All: float32, cross entropy of 10 classes, plain gradient descent. The convolutional network has LeNet's sizes
(Y. LeCun et al., Gradient-Based Learning Applied to Document Recognition, 1998).
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]
Arrays: TypeAlias = dict[str, Array]

RATE = 0.05
CLASSES = 10
HIDDEN = 64  # of the LSTM


def parameters(network: str) -> Arrays:
    """The starting values, uniform in +-1/sqrt(fan-in), biases zero."""
    return {name: _start(i, shape) for i, (name, shape) in enumerate(_SHAPES[network].items())}


def batch(network: str) -> tuple[Array, Array]:
    """(inputs, one-hot targets)"""
    random = np.random.default_rng(7)
    shape = _INPUTS[network]
    rows = shape[1] if network == "lstm" else shape[0]
    targets = np.eye(CLASSES, dtype=np.float32)[random.integers(0, CLASSES, rows)]
    return random.standard_normal(shape).astype(np.float32), targets


def _start(seed: int, shape: tuple[int, ...]) -> Array:
    if len(shape) == 1:
        return np.zeros(shape, np.float32)
    limit = 1 / np.sqrt(np.prod(shape[:-1]))
    return np.random.default_rng(seed).uniform(-limit, limit, shape).astype(np.float32)


_INPUTS = {"mlp": (64, 784), "conv": (32, 28, 28, 1), "lstm": (100, 16, 32)}
_SHAPES: dict[str, dict[str, tuple[int, ...]]] = {
    "mlp": {"w0": (784, 512), "b0": (512,), "w1": (512, 512), "b1": (512,), "w2": (512, 10), "b2": (10,)},
    "conv": {
        "k0": (5, 5, 1, 6),
        "c0": (6,),
        "k1": (5, 5, 6, 16),
        "c1": (16,),
        "w0": (256, 120),
        "b0": (120,),
        "w1": (120, 84),
        "b1": (84,),
        "w2": (84, 10),
        "b2": (10,),
    },
    "lstm": {
        "x0": (32, 4 * HIDDEN),
        "h0": (HIDDEN, 4 * HIDDEN),
        "b0": (4 * HIDDEN,),
        "x1": (HIDDEN, 4 * HIDDEN),
        "h1": (HIDDEN, 4 * HIDDEN),
        "b1": (4 * HIDDEN,),
        "w": (HIDDEN, 10),
        "b": (10,),
    },
}
NETWORKS = tuple(_SHAPES)
