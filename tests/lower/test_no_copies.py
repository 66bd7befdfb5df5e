"""What only rearranges is read through by its consumer: one launch, no copy, no buffer between."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tilec
import tilec.numpy as tnp
from tilec.buffers import root
from tilec.loops import Launch, Program, all_steps, touched
from tilec.pipeline import lower_graph, optimise
from tilec.target import Target

X = np.ones((64, 64), np.float32)
PROGRAMS: dict[str, Callable[..., Any]] = {
    "a slice": lambda a, b: a[:, ::2] + b[:, 1::2],
    "a transposed operand": lambda a, b: a + tnp.transpose(b),
    "a transposed factor": lambda a, b: tnp.transpose(a) @ b,
    "a flip": lambda a, b: a[::-1] * b,
    "a reshape, transposed": lambda a, b: tnp.transpose(tnp.reshape(a, (32, 128))) + 1.0 + b[0, 0],
    "a broadcast row": lambda a, b: a + b[0][:, None],
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_one_launch(name: str) -> None:
    program = lower_graph(optimise(tilec.jit(PROGRAMS[name]).lower(X, X).graph), Target("llvm"))
    assert [type(s) for s in all_steps(program.steps)] == [Launch]
    assert [b.name for b in program.buffers if b.space == "heap" and b.base is None] == []


def _product(x: Any) -> Any:
    return x @ x


# function, launches, buffers between them
JOINED: dict[str, tuple[Callable[..., Any], int, int]] = {
    "a concatenation of products": (lambda a, b: tnp.concatenate((_product(a), _product(b)), 1), 2, 0),
    "a product beside an elementwise value": (lambda a, b: tnp.concatenate((_product(a), tnp.exp(b)), 1), 2, 0),
    "parameters": (lambda a, b: tnp.concatenate((a, b, a)), 1, 0),
    "a stack of four products": (lambda a, b: tnp.stack(tuple(_product(x) for x in (a, b, a + b, a - b))), 4, 0),
    "a margin": (lambda a, b: tnp.pad(_product(a), 1), 2, 0),
    "a margin around an activation": (lambda a, b: tnp.pad(tnp.maximum(_product(a) + b[0], 0), 1), 2, 0),
    "activations": (lambda a, b: tnp.concatenate(tuple(tnp.maximum(_product(x), 0) for x in (a, b)), 1), 2, 0),
    "a margin, and more": (lambda a, b: tnp.pad(tnp.exp(a), 1) + 1, 1, 0),
    "an elementwise consumer": (lambda a, b: tnp.maximum(tnp.concatenate((a, b * 2), 1), 0), 1, 0),
    "a sum over it": (lambda a, b: tnp.concatenate((tnp.exp(a), b), 1) @ tnp.concatenate((a, b)), 3, 2),
    "another consumer of a part": (lambda a, b: (tnp.concatenate((p := _product(a), b)), p @ b), 3, 0),
    "a part that another is made of": (lambda a, b: tnp.concatenate((p := _product(a), p @ b)), 2, 0),
}


@pytest.mark.parametrize("name", JOINED)
def test_parts_are_computed_where_they_belong(name: str) -> None:
    function, launches, buffers = JOINED[name]
    program = lower_graph(optimise(tilec.jit(function).lower(X, X).graph), Target("llvm"))
    assert [type(s) for s in all_steps(program.steps)] == [Launch] * launches
    own = [b.name for b in program.buffers if b.space == "heap" and b.base is None and b.name in _joins(program)]
    assert len(own) == buffers


def _joins(program: Program) -> set[str]:
    """Buffers of values that some step stores and another reads, scratch of single kernels not among them."""
    uses = Counter(
        root(program.buffer(n), {b.name: b for b in program.buffers}).name
        for s in program.steps
        for n in set(touched(s))
    )
    return {n for n, k in uses.items() if k > 1}
