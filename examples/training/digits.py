"""Trains two models of handwritten digits, written in Tile with contractions only, and tests them on unseen digits.

    python examples/training/digits.py [--model logistic convnet] [--optimiser sgd adam] [--epochs 12]

A whole step of training, that is the model, its gradient and the optimiser, is one compiled program. The size of a
batch stays open, so that the last small one needs no program of its own.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

import tilec
import tilec.numpy as tnp

HERE = Path(__file__).parent
Params: TypeAlias = dict[str, Any]
Update: TypeAlias = Callable[[Params, Params, Any, Any], tuple[Params, Any]]

BATCH = 64
SHAPES = {
    "logistic": {"Pixel": (8, 8, 10), "Weight": (8, 8, 3, 3, 10), "Bias": (10,)},
    "convnet": {
        "K0": (3, 3, 16),
        "B0": (16,),
        "K1": (3, 3, 16, 32),
        "B1": (32,),
        "Weight": (4, 4, 32, 10),
        "Bias": (10,),
    },
}
RATES = {("logistic", "sgd"): 0.2, ("convnet", "sgd"): 0.1, ("logistic", "adam"): 0.01, ("convnet", "adam"): 0.003}


def digits() -> tuple[Any, Any, Any, Any]:
    """Images, f32[N, 8, 8] in [0, 1], and labels, i32[N]: those to learn from, then those to be tested on."""
    data = np.load(HERE.parent / "data" / "digits.npz")
    images = ((data[k].reshape(-1, 8, 8) / 16).astype(np.float32) for k in ("train_x", "test_x"))
    labels = (data[k].astype(np.int32) for k in ("train_y", "test_y"))
    (x, x_test), (y, y_test) = images, labels
    return x, y, x_test, y_test


def start(shapes: dict[str, tuple[int, ...]], seed: int = 0) -> Params:
    """He's starting values (K. He et al., 2015) for weights, zero for biases."""
    random = np.random.default_rng(seed)

    def value(shape: tuple[int, ...]) -> Any:
        return random.normal(0, (2 / np.prod(shape[:-1])) ** 0.5, shape) if len(shape) > 1 else np.zeros(shape)

    return {name: value(shape).astype(np.float32) for name, shape in shapes.items()}


def sgd(params: Params, slope: Params, state: Params, rate: Any) -> tuple[Params, Params]:
    """Gradient descent with momentum 0.9; `state` is the velocity."""
    velocity = {n: 0.9 * state["velocity"][n] + slope[n] for n in params}
    return {n: params[n] - rate * velocity[n] for n in params}, {"velocity": velocity}


def adam(params: Params, slope: Params, state: Params, rate: Any) -> tuple[Params, Params]:
    """Adam (D. Kingma and J. Ba, 2015) with its usual constants."""
    t = state["t"] + 1.0
    m = {n: 0.9 * state["m"][n] + 0.1 * slope[n] for n in params}
    v = {n: 0.999 * state["v"][n] + 0.001 * slope[n] * slope[n] for n in params}
    scale = rate * tnp.sqrt(1 - 0.999**t) / (1 - 0.9**t)
    return {n: params[n] - scale * m[n] / (tnp.sqrt(v[n]) + 1e-8) for n in params}, {"m": m, "v": v, "t": t}


def zeros(params: Params) -> Params:
    return {n: np.zeros_like(v) for n, v in params.items()}


def train(model: str, optimiser: str, epochs: int, report: Callable[[str], None] = print) -> float:
    """Trains for some epochs; gives the part of the unseen digits that is told right."""
    loss_of = tilec.op(HERE / "digits.tile", function=f"{model}_loss")
    scores = tilec.op(HERE / "digits.tile", function=model)
    accuracy = tilec.op(HERE / "digits.tile", function="accuracy")

    @tilec.jit(donate_argnames=("params", "state"), open_sizes={"image": "N", "label": "N"})
    def step(params: Params, state: Params, image: Any, label: Any, rate: Any) -> tuple[Params, Params, Any]:
        loss, slope = tilec.value_and_grad(lambda p: loss_of(Image=image, Label=label, **p))(params)
        params, state = (sgd if optimiser == "sgd" else adam)(params, slope, state, rate)
        return params, state, loss

    @tilec.jit
    def test(params: Params, image: Any, label: Any) -> Any:
        return accuracy(Scores=scores(Image=image, **params), Label=label)

    x, y, x_test, y_test = digits()
    params = start(SHAPES[model])
    state = {"velocity": zeros(params)}
    if optimiser == "adam":
        state = {"m": zeros(params), "v": zeros(params), "t": np.float32(0)}
    random, right = np.random.default_rng(1), 0.0
    for epoch in range(epochs):
        order = random.permutation(len(x))
        rate = RATES[model, optimiser] * (1 - epoch / epochs)
        losses = []
        for first in range(0, len(x), BATCH):
            chosen = order[first : first + BATCH]
            params, state, loss = step(params, state, x[chosen], y[chosen], rate)
            losses.append(float(loss))
        right = float(test(params, x_test, y_test))
        report(f"{model} {optimiser} epoch {epoch + 1:2}: loss {np.mean(losses):.4f}, held-out accuracy {right:.4f}")
    return right


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", nargs="+", choices=list(SHAPES), default=list(SHAPES))
    parser.add_argument("--optimiser", nargs="+", choices=["sgd", "adam"], default=["sgd", "adam"])
    parser.add_argument("--epochs", type=int, default=20)
    args = parser.parse_args()
    for model in args.model:
        for optimiser in args.optimiser:
            train(model, optimiser, args.epochs)


if __name__ == "__main__":
    main()
