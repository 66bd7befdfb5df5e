"""Concatenations, stacks, margins and updates of slices, at random: parts in the memory of the whole, the same bits."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tilec.numpy as tnp
from tilec import jit
from tilec.evaluate.graph import evaluate
from tilec.evaluate.loops import evaluate_program
from tilec.passes import fuse, in_place, lower
from tilec.pipeline import lower_graph, optimise
from tilec.target import Target
from tilec.verify.loops import verify_program

Array = np.ndarray[Any, np.dtype[Any]]
Function = Callable[[Any, Any], Any]


def drawn(rng: random.Random, depth: int) -> Function:
    """A random function of two matrices: joins of joins, products and elementwise values, some used twice."""
    steps = [(rng.choice(_STEPS), rng.randrange(8), rng.randrange(8), rng.randrange(2)) for _ in range(depth)]
    used = rng.random() < 0.3

    def function(a: Any, b: Any) -> Any:
        pool = [a, b]
        for step, i, j, axis in steps:
            pool.append(step(pool[-1 - i % len(pool)], pool[-1 - j % len(pool)], axis))
        return (pool[-1], pool[-2]) if used else (pool[-1],)

    return function


def _like(x: Any, y: Any) -> Any:
    """A tensor of the shape of `x` that depends on `y`."""
    return x * 2 + y[0, 0]


def _joined(x: Any, y: Any, axis: int) -> Any:
    return tnp.concatenate((x, tnp.maximum(_like(x, y), 0)), axis)


def _placed(x: Any, y: Any, axis: int) -> Any:
    """Products in both parts."""
    return tnp.concatenate((x @ (tnp.transpose(x) @ x), _like(x, y) @ (tnp.transpose(x) @ x), x), axis)


def _twice(x: Any, y: Any, axis: int) -> Any:
    """A part that the other one is made of."""
    part = x @ (tnp.transpose(x) @ x)
    return tnp.concatenate((part, tnp.maximum(part, y[0, 0])), axis)


def _stacked(x: Any, y: Any, axis: int) -> Any:
    found = tnp.stack((x + 1, _like(x, y), x @ (tnp.transpose(x) @ x)), axis)
    return tnp.reshape(found, (-1, x.shape[1]))


def _framed(x: Any, y: Any, axis: int) -> Any:
    return tnp.pad(_like(x, y), ((1, 0), (axis, 2)), constant_values=3) + 1


def _sliced(x: Any, y: Any, axis: int) -> Any:
    return tnp.concatenate((x, _like(x, y)), axis)[1:, :-1] - 1


def _summed(x: Any, y: Any, axis: int) -> Any:
    whole = tnp.concatenate((x, _like(x, y)), axis)
    return whole - tnp.sum(whole, axis=axis, keepdims=True)


def _rolled(x: Any, y: Any, axis: int) -> Any:
    return tnp.roll(x @ (tnp.transpose(x) @ x), 1, axis) + x


_STEPS = (_joined, _placed, _twice, _stacked, _framed, _sliced, _summed, _rolled)


@pytest.mark.parametrize("seed", range(60))
def test_the_bits_are_those_of_the_evaluator(seed: int) -> None:
    rng, numbers = random.Random(seed), np.random.default_rng(seed)
    function = drawn(rng, rng.randint(1, 3))
    inputs = {n: numbers.integers(-2, 3, (rng.randint(2, 4), rng.randint(2, 4))).astype(np.int32) for n in "ab"}
    graph = optimise(jit(function).lower(*inputs.values()).graph)
    want = evaluate(graph, inputs)
    for partition in (fuse.run(graph), fuse.trivial(graph)):
        program = lower.run(graph, partition)
        for stage in (program, in_place.run(program)):
            verify_program(stage)
            _same(want, evaluate_program(stage, inputs))
    scheduled = lower_graph(graph, Target("llvm"))
    verify_program(scheduled, scheduled=True)
    found = jit(function)(*inputs.values())
    for value, other in zip(want.values(), found, strict=True):
        np.testing.assert_array_equal(value, np.asarray(other))


def _same(want: dict[str, Array], got: dict[str, Array]) -> None:
    assert want.keys() == got.keys()
    for name, value in want.items():
        np.testing.assert_array_equal(value, got[name], err_msg=name)
