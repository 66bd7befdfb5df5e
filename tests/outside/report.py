"""A plug-in of pytest that writes the outcome of each test to the file TILEC_OUTSIDE_REPORT, one line of JSON each."""

from __future__ import annotations

import json
import os
import sys

import pytest


def pytest_configure(config: pytest.Config) -> None:
    """Worker processes of pytest-xdist leave it to the one that started them."""
    if hasattr(config, "workerinput"):
        config.pluginmanager.unregister(sys.modules[__name__])


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.when != "call" and report.passed:
        return  # only the test itself passes; it may fail or be skipped before and after, too
    lines = (report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr or "")).splitlines()
    said = [line[1:].strip() for line in lines if line.startswith("E ")] or lines[-1:] or [""]
    _write(report.nodeid.rpartition("/")[2], report.outcome, said[0])


def pytest_collectreport(report: pytest.CollectReport) -> None:
    if not report.passed:
        _write(report.nodeid.rpartition("/")[2], report.outcome, str(report.longrepr).splitlines()[-1])


def _write(test: str, outcome: str, text: str) -> None:
    with open(os.environ["TILEC_OUTSIDE_REPORT"], "a", encoding="utf-8") as file:
        file.write(json.dumps([test, outcome, text[:300]]) + "\n")
