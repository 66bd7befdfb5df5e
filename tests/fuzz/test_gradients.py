"""The gradients of 200 random programs on LLVM, and of those that were wrong once.

`python -m tests.fuzz --gradients --programs 20000` runs more of them.
"""

from __future__ import annotations

import pytest

from tests.fuzz.gradients import run_gradients
from tests.fuzz.run import compiled

ONCE_WRONG = (119_802,)


@pytest.mark.parametrize("start", range(0, 200, 50))
def test_gradients_on_llvm(start: int) -> None:
    found = run_gradients(range(start, start + 50), compiled("llvm"))
    assert not found.failures, found.report()
    assert found.notes["smooth"] > 10 * found.notes["not smooth"]


def test_what_was_wrong_once() -> None:
    found = run_gradients(ONCE_WRONG, compiled("llvm"))
    assert not found.failures, found.report()
