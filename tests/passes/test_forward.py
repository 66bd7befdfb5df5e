"""Reads of parts of joined tensors, at random: the same bits, and nothing joined that is only cut up again."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

import tilec
import tilec.numpy as tnp
from tests.fuzz.judge import same
from tilec.evaluate.graph import evaluate
from tilec.graph import Contraction
from tilec.passes import bounds, forward, infer
from tilec.pipeline import optimise
from tilec.text.graph_text import parse_graph
from tilec.verify.graph import verify

SHAPE = (4, 5)


def _box(rng: random.Random) -> tuple[list[int], list[int]]:
    sizes = [rng.randint(1, n) for n in SHAPE]
    return [rng.randint(0, n - s) for n, s in zip(SHAPE, sizes, strict=True)], sizes


def _drawn(rng: random.Random) -> str:
    """Boxes assigned over one another, and what reads boxes of them, straight or backwards."""
    lets, wholes, results = [], ["A"], []
    for k in range(rng.randint(1, 4)):
        (a, b), (m, n) = _box(rng)
        default = rng.choice([f" default {rng.choice(wholes)}", ""])
        source = rng.choice(wholes[-2:])
        body = rng.choice([f"{source}[i, j]", f"{source}[{m - 1} - i, j]", f"mul({source}[i, j], B[i, j])"])
        lets.append(f"W{k}: f32[4, 5] = assign:f32 [i, j] {{ [i + {a}, j + {b}] <- {body} }} where 0 <= i < {m}, "
                    f"0 <= j < {n}{default}")
        wholes.append(f"W{k}")
    for k in range(rng.randint(1, 4)):
        (a, b), (m, n) = _box(rng)
        name = rng.choice(wholes)
        index = rng.choice([f"i + {a}, j + {b}", f"{a + m - 1} - i, j + {b}"])
        lets.append(f"R{k}: f32[{m}, {n}] = assign:f32 [i, j] {{ [i, j] <- {name}[{index}] }}")
        results.append(f"R{k}")
    body = "\n  ".join(lets)
    return f"graph f(A: f32[4, 5], B: f32[4, 5]) -> ({', '.join(results)}) {{\n  {body}\n}}"


@pytest.mark.parametrize("seed", range(150))
def test_random_boxes(seed: int) -> None:
    graph = bounds.run(infer.run(parse_graph(_drawn(random.Random(seed)))))
    found = forward.run(graph)
    verify(found)
    assert forward.run(found) is found
    values = np.random.default_rng(seed)
    inputs = {n: values.standard_normal(SHAPE).astype(np.float32) for n in "AB"}
    want, got = evaluate(graph, inputs), evaluate(found, inputs)
    assert all(same(got[name], value).all() for name, value in want.items())


X = np.ones((6, 4), np.float32)


def _both(x: Any) -> Any:
    return tnp.concatenate((tnp.exp(x), x))


# function -> whether anything is still joined
CUT: dict[str, tuple[Any, bool]] = {
    "a slice of a concatenation": (lambda x: tnp.concatenate((x @ x.T, x), 1)[:, :6] * 2, False),
    "split again": (lambda x: tuple(_both(x)[k : k + 6] for k in (0, 6)), False),
    "the gradient of a concatenation": (
        tilec.grad(lambda x: tnp.sum(tnp.concatenate((tnp.exp(x), tnp.sin(x), x * 3)) * np.arange(18.0)[:, None])),
        False,
    ),
    "the gradient of a stack": (
        tilec.grad(lambda x: tnp.sum(tnp.stack((tnp.exp(x), tnp.sin(x), x)) * np.arange(3.0)[:, None, None])), False
    ),
    "the gradient of a margin": (tilec.grad(lambda x: tnp.sum(tnp.pad(tnp.exp(x), 1) * np.arange(6.0))), False),
    "more than a part": (lambda x: _both(x)[3:9], True),
    "a result, too": (lambda x: (w := _both(x), w[:6]), True),
}  # fmt: skip


@pytest.mark.parametrize("name", CUT)
def test_what_is_cut_again_is_not_joined(name: str) -> None:
    function, joined = CUT[name]
    graph = optimise(tilec.jit(function).lower(X).graph)
    nodes = [let.node for let in graph.lets if isinstance(let.node, Contraction)]
    assert any(n.defaults != (None,) for n in nodes) == joined
