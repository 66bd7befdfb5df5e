"""What the programs of this folder share: a step of training, digits to learn from, options of the command line."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from layers import Layer, Tree

import tilec
from tilec import ops
from tilec.ops.optimizers import Optimizer

Forward: TypeAlias = Callable[..., tuple[Any, Tree]]
Batch: TypeAlias = tuple[Any, Any]

DIGITS = Path(__file__).parents[1] / "data" / "digits.npz"


def step_of(forward: Forward, optimizer: Optimizer) -> Callable[..., tuple[Tree, Tree, Tree, Any]]:
    """One compiled step: the network, its loss, the gradient and the optimizer, all state in place of the old one."""

    def loss_of(params: Tree, state: Tree, x: Any, y: Any) -> tuple[Any, Tree]:
        scores, state = forward(params, state, x, training=True)
        return ops.sparse_categorical_crossentropy(y, scores, from_logits=True), state

    @tilec.jit(donate_argnames=("params", "state", "memory"))
    def step(params: Tree, state: Tree, memory: Tree, x: Any, y: Any) -> tuple[Tree, Tree, Tree, Any]:
        (loss, state), slope = tilec.value_and_grad(loss_of, has_aux=True)(params, state, x, y)
        params, memory = optimizer.update(params, slope, memory)
        return params, state, memory, loss

    return step


def train(
    forward: Forward,
    layer: Layer,
    optimizer: Optimizer,
    batches: Iterable[Batch],
    report: Callable[[str], None] = print,
) -> tuple[Tree, Tree, list[float]]:
    """Parameters, state and the loss of every step, after one step for each batch."""
    (params, state), step, losses = layer, step_of(forward, optimizer), []
    memory = optimizer.init(params)
    for k, (x, y) in enumerate(batches, 1):
        params, state, memory, loss = step(params, state, memory, x, y)
        losses.append(float(loss))
        if k == 1 or k % 20 == 0:
            report(f"step {k:4}: loss {np.mean(losses[-20:]):.4f}")
    return params, state, losses


def learn_digits(
    forward: Forward,
    layer: Layer,
    optimizer: Optimizer,
    steps: int,
    batch: int,
    size: int | None,
    report: Callable[[str], None] = print,
) -> float:
    """Trains on digits; gives the part of the unseen ones that is told right."""
    (x, y), (x_test, y_test) = digits(size)
    params, state, _ = train(forward, layer, optimizer, shuffled(x, y, steps, batch), report)
    scores = tilec.jit(lambda params, state, x: forward(params, state, x)[0])(params, state, x_test)
    right = float((scores.argmax(1) == y_test).mean())
    report(f"held-out accuracy {right:.4f}")
    return right


def digits(size: int | None = None) -> tuple[Batch, Batch]:
    """Digits to learn from, and to be tested on: labels i32[N], and images f32[N, size, size, 1] about 0.

    Without a size they are f32[N, 8, 8], as they were scanned: sequences of rows.
    """
    data = np.load(DIGITS)
    return tuple((images(data[f"{k}_x"], size), data[f"{k}_y"].astype(np.int32)) for k in ("train", "test"))


def images(pixels: Any, size: int | None) -> Any:
    x = pixels.reshape(-1, 8, 8).astype(np.float32) / 8 - 1
    return x if size is None else ops.resize(x[..., None], (size, size))


def shuffled(x: Any, y: Any, steps: int, batch: int, seed: int = 1) -> Iterator[Batch]:
    """So many batches of rows, every row once before any comes again."""
    random, order = np.random.default_rng(seed), np.zeros(0, int)
    for _ in range(steps):
        while len(order) < batch:
            order = np.concatenate([order, random.permutation(len(x))])
        chosen, order = order[:batch], order[batch:]
        yield x[chosen], y[chosen]


def arguments(text: str | None, steps: int, batch: int, file: Path | None = None) -> argparse.Namespace:
    """Options of the command line: --steps, --batch and, where there is a default, a file to read."""
    parser = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    if file:
        parser.add_argument("file", nargs="?", type=Path, default=file)
    parser.add_argument("--steps", type=count, default=steps)
    parser.add_argument("--batch", type=count, default=batch)
    return parser.parse_args()


def count(text: str) -> int:
    """A number of the command line from 1 on."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1 on")
    return int(text)
