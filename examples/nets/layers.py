"""What the networks of this folder share: starting values, and convolutions with batch normalisation.

A layer is a pair of dicts of arrays: the parameters that are learnt, and the state that training moves beside them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from tilec import ops

Tree: TypeAlias = Any  # nested dicts and lists of arrays
Layer: TypeAlias = tuple[Tree, Tree]


def he(random: np.random.Generator, *shape: int, fan_in: int | None = None) -> Any:
    """Normal values of variance 2 / fan_in (K. He et al., 2015), by default the size of all axes but the last."""
    spread = (2 / (fan_in or np.prod(shape[:-1]))) ** 0.5
    return (spread * random.standard_normal(shape)).astype(np.float32)


def dense(random: np.random.Generator, inputs: int, outputs: int) -> Tree:
    return {"kernel": he(random, inputs, outputs), "bias": np.zeros(outputs, np.float32)}


def conv_norm(random: np.random.Generator, size: int, inputs: int, outputs: int) -> Layer:
    """A convolution of size x size, without a bias, and what normalises its result."""
    return normalised({"kernel": he(random, size, size, inputs, outputs)}, outputs)


def depthwise_norm(random: np.random.Generator, size: int, channels: int) -> Layer:
    return normalised({"depthwise": he(random, size, size, channels, 1, fan_in=size * size)}, channels)


def normalised(kernel: Tree, channels: int) -> Layer:
    ones, zeros = np.ones(channels, np.float32), np.zeros(channels, np.float32)
    return {**kernel, "scale": ones, "offset": zeros}, {"mean": zeros.copy(), "variance": ones.copy()}


def pairs(layers: Mapping[str, Layer] | Sequence[Layer]) -> Layer:
    """A dict or a sequence of layers as one layer."""
    if isinstance(layers, Mapping):
        return {n: p for n, (p, _) in layers.items()}, {n: s for n, (_, s) in layers.items()}
    return [p for p, _ in layers], [s for _, s in layers]


def run(params: Tree, state: Tree, x: Any, stride: int, training: bool) -> tuple[Any, Tree]:
    """A convolution padded by half its size, then batch normalisation (S. Ioffe and C. Szegedy, 2015)."""
    if "depthwise" in params:
        y = ops.depthwise_conv(x, params["depthwise"], stride, params["depthwise"].shape[0] // 2)
    else:
        y = ops.conv(x, params["kernel"], stride, params["kernel"].shape[0] // 2)
    known = state["mean"], state["variance"], params["scale"], params["offset"]
    if not training:
        return ops.batch_norm(y, *known, epsilon=1e-5), state
    y, mean, variance = ops.batch_norm_training(y, *known, epsilon=1e-5, momentum=0.9)
    return y, {"mean": mean, "variance": variance}
