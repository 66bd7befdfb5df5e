"""Gradients of random programs against central differences, in both modes.

Where a program is not smooth, nothing can be said. `python -m tests.fuzz --gradients` judges more of them, and more.
"""

from __future__ import annotations

import pytest

from tests.gradients.random_programs import subject, verdicts
from tilec.passes.differentiate import gradient

PROGRAMS, CHUNK = 500, 25


def judge(seeds: range, second: bool = False) -> None:
    """Of every program, or of the gradient of its last result; most points must be smooth."""
    total = smooth = 0
    for found in filter(None, map(subject, seeds)):
        graph = gradient(found.graph, found.wrt, found.results[-1]) if second else found.graph
        for result, mode, verdict in verdicts(found, graph, graph.results if second else found.results):
            total += 1
            smooth += verdict.smooth
            said = f"seed {found.case.seed}, {result}, {mode}: {verdict}\n{found.case.text}"
            assert verdict.right or not verdict.smooth, said
    assert smooth >= total // 2


@pytest.mark.parametrize("first", range(0, PROGRAMS, CHUNK))
def test_programs(first: int) -> None:
    judge(range(first, first + CHUNK))


@pytest.mark.parametrize("first", range(0, 100, CHUNK))
def test_gradients_of_gradients(first: int) -> None:
    judge(range(first, first + CHUNK), second=True)


def test_a_root_of_a_cell_that_is_not_reached() -> None:
    judge(range(10328, 10329))
