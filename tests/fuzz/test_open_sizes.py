"""Traced functions and graphs with control flow, with open sizes: values and gradients, one program for many sizes.

`python -m tests.fuzz --python 20000 --open` and `--control 20000 --open` run more of them.
"""

from __future__ import annotations

import pytest

from tests.fuzz.open_control import run_open_control
from tests.fuzz.traced_sizes import run_traced_sizes


@pytest.mark.parametrize("start", range(0, 80, 20))
def test_traced_functions(start: int) -> None:
    found = run_traced_sizes(range(start, start + 20), "llvm")
    assert not found.failures, found.report()
    assert found.features["runs"] > found.programs


@pytest.mark.parametrize("start", range(0, 40, 10))
def test_control_flow(start: int) -> None:
    found = run_open_control(range(start, start + 10), "llvm")
    assert not found.failures, found.report()
    assert found.features["compiled"] > 0 < found.notes["smooth"]
