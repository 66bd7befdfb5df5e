"""200 random Python functions, traced and compiled: values and derivatives in both modes against NumPy.

`python -m tests.fuzz --python 20000` runs more of them.
"""

from __future__ import annotations

import pytest

from tests.fuzz.functions import KINDS, python_function
from tests.fuzz.traced import run_traced


@pytest.mark.parametrize("start", range(0, 200, 25))
def test_traced_functions(start: int) -> None:
    found = run_traced(range(start, start + 25), "llvm")
    assert not found.failures, found.report()
    assert found.notes["smooth"] > 10 * found.notes["not smooth"]


def test_every_form_of_statement_is_made() -> None:
    seen = {feature for seed in range(4000) for feature in python_function(seed).features}
    assert not {form for forms in KINDS.values() for form in forms} - seen
