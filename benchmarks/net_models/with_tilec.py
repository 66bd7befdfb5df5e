"""The networks of examples/nets; their weights are constants in inference, and donated in training."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

import tilec
from benchmarks.net_models.data import ADAM, BETAS, EPSILON, MOMENTUM, RATE, Case, Tree, example
from tilec import ops


def start(threads: int) -> None:
    """TILEC_THREADS says how many."""
    example("fit")


def network(case: Case, operands: tuple[Tree, Tree, Any, Any]) -> Callable[[], Any]:
    params, state, x, y = operands
    forward = example(case.network).forward
    if not case.training:
        return partial(tilec.jit(lambda x: forward(params, state, x)[0]), x)
    if case.network in ADAM:
        optimizer = ops.adam(RATE, beta1=BETAS[0], beta2=BETAS[1], epsilon=EPSILON)
    else:
        optimizer = ops.sgd(RATE, momentum=MOMENTUM)
    step = example("fit").step_of(forward, optimizer)
    kept = [params, state, optimizer.init(params)]

    def train() -> Any:
        *kept[:], loss = step(*kept, x, y)
        return loss

    return train


def array(result: Any) -> Any:
    return np.asarray(result)
