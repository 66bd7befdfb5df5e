"""Finds out how heat was spread at the start from how it is spread at the end, by gradient descent.

    python examples/training/heat_start.py [--steps 40] [--rounds 200]

The heat equation, a step of it written in Tile, runs in a loop of the compiled program; the loop is differentiated. The
problem is ill-posed, fine detail is lost for ever, so what is compared is the end that the found start leads to.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import tilec

SIZE = 24
RATE = 0.2  # of diffusion: cells per step, stable up to 0.25

heat = tilec.op(Path(__file__).parents[1] / "heat.tile", function="heat")


def end(start: Any, steps: int) -> Any:
    """The spread of heat after some steps."""
    return tilec.fori_loop(0, steps, lambda _, u: heat(u, RATE), start)


def recover(target: Any, steps: int, rounds: int, report: Callable[[str], None] = print) -> tuple[Any, float]:
    """A start whose end is near `target`, and the mean square of what is missing; descent with momentum."""

    def missing(start: Any) -> Any:
        difference = end(start, steps) - target
        return (difference * difference).sum()

    @tilec.jit(donate_argnames=("start", "velocity"))
    def step(start: Any, velocity: Any) -> Any:
        loss, slope = tilec.value_and_grad(missing)(start)
        velocity = 0.9 * velocity - 0.4 * slope
        return start + velocity, velocity, loss

    start, velocity, loss = np.zeros_like(target), np.zeros_like(target), 0.0
    for k in range(rounds):
        start, velocity, loss = step(start, velocity)
        if k % 50 == 0 or k == rounds - 1:
            report(f"round {k + 1:3}: mean square error of the end {float(loss) / target.size:.2e}")
    return start, float(loss) / target.size


def hidden_start() -> Any:
    """Two hot spots and a cold bar, f32[SIZE, SIZE]."""
    u = np.zeros((SIZE, SIZE), np.float32)
    u[4:8, 5:9], u[15:18, 14:20], u[10:12, 3:21] = 1.0, 1.5, -0.5
    return u


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=40, help="steps of time between start and end")
    parser.add_argument("--rounds", type=int, default=200, help="rounds of gradient descent")
    args = parser.parse_args()
    truth = hidden_start()
    target = tilec.jit(end, static_argnames="steps")(truth, steps=args.steps)
    found, _ = recover(target, args.steps, args.rounds)
    for name, picture in (("start", truth), ("end, what is known", target), ("start, found", found)):
        print(f"\n{name}:")
        print("\n".join("".join(" .:-=+*#%@"[int(np.clip(v * 6 + 3, 0, 9))] * 2 for v in row) for row in picture[::2]))


if __name__ == "__main__":
    main()
