"""Gradients of 80 random programs with open sizes, each compiled once and run at five vectors of sizes.

`python -m tests.fuzz --gradients --sizes 20000` runs more of them.
"""

from __future__ import annotations

import pytest

from tests.fuzz.open_gradients import run_open_gradients


@pytest.mark.parametrize("start", range(0, 80, 20))
def test_gradients_of_open_programs(start: int) -> None:
    found = run_open_gradients(range(start, start + 20), "llvm")
    assert not found.failures, found.report()
    assert found.features["runs"] == 5 * found.features["compiled"] > 0
