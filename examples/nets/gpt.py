"""A small GPT (A. Radford et al., 2018; normalised before each part, as GPT-2) learns to write like a text.

    python examples/nets/gpt.py [FILE] [--steps 300] [--batch 8]

Without FILE it reads the description of the Tile language.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from fit import arguments, train
from layers import Layer, Tree

import tilec
import tilec.numpy as tnp
from tilec import ops

TEXT = Path(__file__).parents[2] / "docs" / "language.md"
HEADS = 8


def init(seed: int = 0, letters: int = 96, context: int = 128, width: int = 256, layers: int = 4) -> Layer:
    """Parameters of blocks of attention and of a dense network four times as wide; there is no state."""
    random = np.random.default_rng(seed)

    def normal(*shape: int, spread: float = 0.02) -> Any:
        return random.normal(0, spread, shape).astype(np.float32)

    def dense(inputs: int, outputs: int, spread: float = 0.02) -> Tree:
        return {"kernel": normal(inputs, outputs, spread=spread), "bias": np.zeros(outputs, np.float32)}

    def norm() -> Tree:
        return {"scale": np.ones(width, np.float32), "offset": np.zeros(width, np.float32)}

    def block() -> Tree:
        deep = 0.02 / (2 * layers) ** 0.5  # of what is added to the stream
        attention = {"norm1": norm(), "qkv": dense(width, 3 * width), "out": dense(width, width, deep)}
        return {**attention, "norm2": norm(), "up": dense(width, 4 * width), "down": dense(4 * width, width, deep)}

    tables = {"letters": normal(letters, width), "places": normal(context, width)}
    return {**tables, "blocks": [block() for _ in range(layers)], "norm": norm(), "head": dense(width, letters)}, {}


def forward(params: Tree, state: Tree, tokens: Any, training: bool = False) -> tuple[Any, Tree]:
    """Scores [batch, length, letters] of the letter after each of tokens i32[batch, length]."""
    x = ops.embedding(tokens, params["letters"]) + params["places"][: tokens.shape[1]]
    for p in params["blocks"]:
        x = x + attention(p, normalised(p["norm1"], x))
        x = x + linear(p["down"], ops.gelu(linear(p["up"], normalised(p["norm2"], x))))
    return linear(params["head"], normalised(params["norm"], x)), state


def attention(params: Tree, x: Any) -> Any:
    """Each place looks at those up to itself, with several heads (A. Vaswani et al., 2017)."""
    batch, length, width = x.shape
    heads = linear(params["qkv"], x).reshape(batch, length, 3, HEADS, width // HEADS)
    q, k, v = (tnp.swapaxes(heads[:, :, i], 1, 2) for i in range(3))
    seen = tnp.swapaxes(ops.scaled_dot_product_attention(q, k, v, causal=True), 1, 2)
    return linear(params["out"], seen.reshape(batch, length, width))


def linear(params: Tree, x: Any) -> Any:
    return ops.dense(x, params["kernel"], params["bias"])


def normalised(params: Tree, x: Any) -> Any:
    return ops.layer_norm(x, params["scale"], params["offset"])


def learn(
    text: str, steps: int, batch: int, report: Callable[[str], None] = print, context: int = 128, **sizes: int
) -> tuple[Tree, str, list[float]]:
    """The parameters, the letters that the text is made of, and the loss of every step, in nats a letter.

    `sizes` are `init`'s.
    """
    if len(text) <= context:
        raise ValueError(f"the text has {len(text)} letters: windows of {context + 1} are learnt from")
    letters = "".join(sorted(set(text)))
    codes = np.array([letters.index(c) for c in text], np.int32)
    random = np.random.default_rng(1)

    def windows() -> tuple[Any, Any]:
        first = random.integers(0, len(codes) - context, (batch, 1))
        window = codes[first + np.arange(context + 1)]
        return np.ascontiguousarray(window[:, :-1]), np.ascontiguousarray(window[:, 1:])

    start = init(letters=len(letters), context=context, **sizes)
    params, _, losses = train(forward, start, ops.adam(0.003), (windows() for _ in range(steps)), report)
    return params, letters, losses


def write(params: Tree, letters: str, start: str, count: int, seed: int = 0) -> str:
    """`start` and `count` letters drawn from what the network expects, a little sharpened."""
    random, text = np.random.default_rng(seed), start
    context = len(params["places"])
    scores_of = tilec.jit(lambda params, tokens: forward(params, {}, tokens)[0])
    for _ in range(count):
        seen = text[-context:]
        tokens = np.zeros((1, context), np.int32)  # what stands after the text is not looked at
        tokens[0, : len(seen)] = [letters.index(c) for c in seen]
        scores = scores_of(params, tokens)[0, len(seen) - 1].astype(float)
        chances = np.exp(1.5 * (scores - scores.max()))
        text += letters[random.choice(len(letters), p=chances / chances.sum())]
    return text


def main() -> None:
    args = arguments(__doc__, steps=300, batch=8, file=TEXT)
    try:
        text = args.file.read_text(encoding="utf-8")
        params, letters, losses = learn(text, args.steps, args.batch)
    except (OSError, ValueError) as problem:
        raise SystemExit(f"{args.file}: {problem}") from None
    print(f"loss {np.mean(losses[-10:]):.3f} nats a letter\n")
    print(write(params, letters, text[:20], 200))


if __name__ == "__main__":
    main()
