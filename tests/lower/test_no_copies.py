"""What only rearranges is read through by its consumer: one launch, no copy, no buffer between."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tilec
import tilec.numpy as tnp
from tilec.loops import Launch, all_steps
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
