"""Learns to write like a text, one character after the other, with a long short-term memory.

    python examples/training/char_lstm.py [FILE] [--steps 600] [--length 64]

The network (S. Hochreiter and J. Schmidhuber, 1997) reads the text in a loop of the compiled program, which is
differentiated through time; cell, loss and Adam's update are one program, whatever the length. Without FILE it reads
the licence of tilec.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

import tilec
import tilec.numpy as tnp

Params: TypeAlias = dict[str, Any]

HIDDEN = 96
BATCH = 16
LICENCE = Path(__file__).parents[2] / "LICENSE"


def parameters(letters: int, seed: int = 0) -> Params:
    """Weights from the letter, from the memory, and to the next letter's scores; the forget gate starts open."""
    random = np.random.default_rng(seed)
    shapes = {"letter": (letters, 4 * HIDDEN), "memory": (HIDDEN, 4 * HIDDEN), "out": (HIDDEN, letters)}
    params = {n: random.normal(0, HIDDEN**-0.5, s).astype(np.float32) for n, s in shapes.items()}
    gates = np.zeros(4 * HIDDEN, np.float32)
    gates[HIDDEN : 2 * HIDDEN] = 1
    return {**params, "gates": gates, "bias": np.zeros(letters, np.float32)}


def cell(params: Params, state: Any, letter: Any) -> tuple[Any, Any]:
    """One step for letters i32[B] and a state of two f32[B, HIDDEN]: the next state, and scores f32[B, letters]."""
    short, long = state
    gates = tnp.take(params["letter"], letter, axis=0) + short @ params["memory"] + params["gates"]
    put, keep, new, give = (gates[:, k * HIDDEN : (k + 1) * HIDDEN] for k in range(4))
    long = tnp.sigmoid(keep) * long + tnp.sigmoid(put) * tnp.tanh(new)
    short = tnp.sigmoid(give) * tnp.tanh(long)
    return (short, long), short @ params["out"] + params["bias"]


def blank(rows: int) -> Any:
    return np.zeros((rows, HIDDEN), np.float32), np.zeros((rows, HIDDEN), np.float32)


def loss_of(params: Params, text: Any) -> Any:
    """Mean cross entropy, in nats a letter, of text i32[length + 1, B]."""
    start = tuple(tnp.asarray(v) for v in blank(text.shape[1]))
    _, scores = tilec.scan(lambda state, letter: cell(params, state, letter), start, text[:-1])
    chances = tnp.log_softmax(scores)
    return -tnp.take_along_axis(chances, text[1:, :, None], axis=2).mean()


@tilec.jit(donate_argnames=("params", "m", "v"))
def step(params: Params, m: Params, v: Params, t: Any, text: Any, rate: Any) -> Any:
    """One step of Adam (D. Kingma and J. Ba, 2015)."""
    loss, slope = tilec.value_and_grad(loss_of)(params, text)
    m = {n: 0.9 * m[n] + 0.1 * slope[n] for n in params}
    v = {n: 0.99 * v[n] + 0.01 * slope[n] * slope[n] for n in params}
    scale = rate * tnp.sqrt(1 - 0.99**t) / (1 - 0.9**t)
    params = {n: params[n] - scale * m[n] / (tnp.sqrt(v[n]) + 1e-8) for n in params}
    return params, m, v, loss


@tilec.jit
def advance(params: Params, state: Any, letter: Any) -> Any:
    """The cell, compiled on its own to write with."""
    return cell(params, state, letter)


def write(params: Params, letters: str, start: str, count: int, seed: int = 0) -> str:
    """`start` and `count` letters drawn from what the network expects, a little sharpened."""
    random, state, text = np.random.default_rng(seed), blank(1), start
    for k in range(len(start) + count - 1):
        state, scores = advance(params, state, np.array([letters.index(text[k])], np.int32))
        if k + 1 >= len(start):
            chances = np.exp(1.5 * (scores[0].astype(float) - scores[0].max()))
            text += letters[random.choice(len(letters), p=chances / chances.sum())]
    return text


def train(text: str, steps: int, length: int, report: Callable[[str], None] = print) -> tuple[Params, str, list[float]]:
    """Gives the parameters, the letters that the text is made of, and the loss of every step."""
    letters = "".join(sorted(set(text)))
    codes = np.array([letters.index(c) for c in text], np.int32)
    params = parameters(len(letters))
    m, v = ({n: np.zeros_like(a) for n, a in params.items()} for _ in range(2))
    random, losses = np.random.default_rng(1), []
    for t in range(1, steps + 1):
        first = random.integers(0, len(codes) - length - 1, BATCH)
        window = np.ascontiguousarray(codes[first[None, :] + np.arange(length + 1)[:, None]])
        params, m, v, loss = step(params, m, v, float(t), window, 0.01 * (1 - t / (steps + 1)))
        losses.append(float(loss))
        if t % 100 == 0 or t == 1:
            report(f"step {t:4}: {np.mean(losses[-100:]):.3f} nats a letter")
    return params, letters, losses


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, nargs="?", default=LICENCE)
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--length", type=int, default=64, help="letters that the network is led through at a time")
    args = parser.parse_args()
    text = args.file.read_text(encoding="utf-8")
    if len(text) <= args.length + 1:
        raise SystemExit(f"{args.file} is shorter than --length {args.length}")
    params, letters, _ = train(text, args.steps, args.length)
    print("\n" + write(params, letters, text[:8], 400))


if __name__ == "__main__":
    main()
