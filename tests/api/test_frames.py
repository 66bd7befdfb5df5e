"""Frames of Python functions find room in one chunk of memory, however deep in the stack a compilation begins."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest

from tilec.frames import roomy

CALLS, DEPTHS = 300, 400
resource: Any = pytest.importorskip("resource", reason="it tells how often the system had to map memory")


def leaf(number: int) -> int:
    return number


def calls(depth: int) -> int:
    """Calls a function often, so deep in the stack."""
    if depth:
        return calls(depth - 1)
    return sum(map(leaf, range(CALLS))) + sum([leaf(k) for k in range(CALLS)])


def faults(depth: int) -> int:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    calls(depth)
    return int(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)


def worst(measure: Callable[[int], int]) -> int:
    return max(measure(depth) for depth in range(DEPTHS))


@roomy
def with_room() -> int:
    return worst(faults)


@pytest.mark.skipif(sys.implementation.name != "cpython", reason="it is CPython that keeps frames in chunks")
def test_no_call_maps_memory_anew() -> None:
    with_room()
    assert with_room() < CALLS // 3


def test_a_function_with_room_is_the_same_function() -> None:
    def scaled(base: int, *, factor: int = 2) -> int:
        return base * factor

    assert roomy(scaled) is scaled
    assert scaled(3) == 6 and scaled(2, factor=5) == 10
    assert scaled.__name__ == "scaled"


def test_methods_and_recursion() -> None:
    class Tree:
        @roomy
        def depth(self, levels: int) -> int:
            return 0 if not levels else 1 + self.depth(levels - 1)

    assert Tree().depth(50) == 50


def test_what_is_no_plain_function_stays_as_it_is() -> None:
    assert roomy(len) is len
