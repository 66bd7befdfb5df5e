"""A part of each outside suite, some seconds long; `python -m tests.outside SUITE` runs all of it."""

from __future__ import annotations

import pytest

from tests.outside.suites import SUITES, run, surprises


@pytest.mark.parametrize("name", SUITES)
def test_a_sample_is_as_listed(name: str) -> None:
    suite = SUITES[name]
    if suite.folder() is None:
        pytest.skip(f"{suite.package} is not installed")
    outcomes = run(suite, ["-k", suite.sample])
    assert sum(o.outcome == "passed" for o in outcomes) >= 5, outcomes
    assert not surprises(suite, outcomes)


@pytest.mark.parametrize("name", SUITES)
def test_each_failure_has_its_reason(name: str) -> None:
    assert all(test and len(reason.split()) > 2 for test, reason in SUITES[name].reasons().items())
