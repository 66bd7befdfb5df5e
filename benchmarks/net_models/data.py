"""Weights and batches of the five networks, as NumPy arrays, equal for every framework.

The weights are those that the programs of examples/nets start from; a framework lays them out as it likes to.

    lenet      28x28x1, 10 classes
    resnet18   224x224x3, 1000 classes
    mobilenet  224x224x3, 1000 classes (MobileNetV2)
    gpt        4 layers of width 256, 8 heads, 128 tokens of 96
    lstm       50 steps of 64, 128 units, 10 classes
"""

from __future__ import annotations

import importlib
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, TypeAlias

import numpy as np

Tree: TypeAlias = Any  # nested dicts and lists of arrays

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "nets"
NETWORKS = ("lenet", "resnet18", "mobilenet", "gpt", "lstm")
PIXELS = {"lenet": 28, "gpt": 0, "lstm": 0}  # of the others it is a choice
CLASSES = {"lenet": 10, "resnet18": 1000, "mobilenet": 1000, "gpt": 96, "lstm": 10}
LENGTH, LETTERS = 128, 96
STEPS, FEATURES, HIDDEN = 50, 64, 128

RATE = 1e-3
MOMENTUM = 0.9  # of gradient descent, for networks of convolutions
ADAM = ("gpt", "lstm")  # which Adam trains
BETAS, EPSILON = (0.9, 0.999), 1e-7


@dataclass(frozen=True, slots=True)
class Case:
    """A network that is run, or trained for a step, on so many examples; images have so many pixels a side."""

    network: str
    training: bool
    batch: int
    pixels: int

    @property
    def label(self) -> str:
        images = f" of {self.pixels}x{self.pixels}" if self.pixels else ""
        return f"{self.network} {'training' if self.training else 'inference'}, {self.batch}{images}"


def example(name: str) -> ModuleType:
    """A module of examples/nets, which is no package."""
    if str(EXAMPLES) not in sys.path:
        sys.path.insert(0, str(EXAMPLES))
    return importlib.import_module(name)


def weights(network: str) -> tuple[Tree, Tree]:
    """Parameters and state."""
    options = {"gpt": {"letters": LETTERS, "context": LENGTH}, "lstm": {"features": FEATURES, "hidden": HIDDEN}}
    found: tuple[Tree, Tree] = example(network).init(**options.get(network, {}))
    return found


def batch(case: Case) -> tuple[Any, Any]:
    """Inputs, and classes as int32."""
    random = np.random.default_rng(7)
    count, classes = case.batch, CLASSES[case.network]
    if case.network == "gpt":
        tokens = random.integers(0, LETTERS, (count, LENGTH + 1)).astype(np.int32)
        return np.ascontiguousarray(tokens[:, :-1]), np.ascontiguousarray(tokens[:, 1:])
    channels = 1 if case.network == "lenet" else 3
    shape = (STEPS, FEATURES) if case.network == "lstm" else (case.pixels, case.pixels, channels)
    x = random.standard_normal((count, *shape)).astype(np.float32)
    return x, random.integers(0, classes, count).astype(np.int32)
