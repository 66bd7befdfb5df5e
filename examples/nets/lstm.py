"""A long short-term memory (S. Hochreiter and J. Schmidhuber, 1997) reads handwritten digits row by row.

    python examples/nets/lstm.py [--steps 400] [--batch 64]

Prints the loss on the way, and at the end the part of the unseen digits that is told right.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from fit import arguments, learn_digits
from layers import Layer, Tree, dense, he

from tilec import ops


def init(seed: int = 0, features: int = 8, hidden: int = 64, classes: int = 10) -> Layer:
    """For sequences of so many features; the forget gate starts open. There is no state."""
    random = np.random.default_rng(seed)
    bias = np.zeros(4 * hidden, np.float32)
    bias[hidden : 2 * hidden] = 1
    cell = {"kernel": 0.5 * he(random, features, 4 * hidden), "recurrent": 0.5 * he(random, hidden, 4 * hidden)}
    return {"cell": {**cell, "bias": bias}, "head": dense(random, hidden, classes)}, {}


def forward(params: Tree, state: Tree, x: Any, training: bool = False) -> tuple[Any, Tree]:
    """Scores of sequences [batch, steps, features], by what is remembered at their ends."""
    cell = params["cell"]
    _, (last, _) = ops.lstm(x, cell["kernel"], cell["recurrent"], cell["bias"], return_sequences=False)
    return ops.dense(last, params["head"]["kernel"], params["head"]["bias"]), state


def main() -> None:
    args = arguments(__doc__, steps=400, batch=64)
    learn_digits(forward, init(), ops.adam(0.005), args.steps, args.batch, size=None)


if __name__ == "__main__":
    main()
