"""The suites: where an installed package keeps its tests, which of them are ours to run, and what puts tilec in."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]


@dataclass(frozen=True, slots=True)
class Suite:
    """`package`: of the tests, as installed; `files`: below it, all by default; `sample`: what a quick run selects.

    The plug-in for pytest is `tests.outside.NAME_plugin`; `NAME.txt` lists what fails, with reasons.
    """

    name: str
    package: str
    files: tuple[str, ...] = ("",)
    sample: str = ""

    def folder(self) -> Path | None:
        """Where the tests are, or None where they are not installed."""
        try:
            spec = find_spec(self.package)
        except ImportError:
            return None
        places = spec.submodule_search_locations if spec else None
        return Path(next(iter(places))) if places else None

    def reasons(self) -> dict[str, str]:
        """Why tests fail, by their names."""
        lines = (HERE / f"{self.name}.txt").read_text(encoding="utf-8").splitlines()
        pairs = [line.rpartition(" # ") for line in lines if line and not line.startswith("#")]
        return {test.strip(): reason.strip() for test, _, reason in pairs}


SUITES = {
    suite.name: suite
    for suite in (
        Suite("einops", "einops.tests", sample="repeat or tiling or concatenations or ellipsis or underscore"),
        Suite("numpy_einsum", "numpy._core.tests", ("test_einsum.py",), "dot_cases or errors or random or spaces"),
        Suite("opt_einsum", "opt_einsum.tests", sample="rand_equation and greedy or broadcasting or interleaved"),
    )
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of one test: passed, failed or skipped, with the last line of what it says."""

    test: str
    outcome: str
    text: str = ""


def run(suite: Suite, arguments: Sequence[str] = ()) -> list[Outcome]:
    """The outcomes of a suite in another process; raises RuntimeError where pytest does not get as far as tests."""
    folder = suite.folder()
    assert folder is not None, f"{suite.package} is not installed"
    with tempfile.TemporaryDirectory() as scratch:
        report = Path(scratch, "report.jsonl")
        command = [sys.executable, "-m", "pytest", "-q", "-c", os.devnull, "--rootdir", str(folder)]
        command += ["-p", "no:cacheprovider", "-p", f"tests.outside.{suite.name}_plugin", "-p", "tests.outside.report"]
        command += [str(folder / file) for file in suite.files]
        env = os.environ | {"PYTHONPATH": str(ROOT), "TILEC_OUTSIDE_REPORT": str(report)}
        done = subprocess.run([*command, *arguments], cwd=scratch, env=env, capture_output=True, text=True)
        if not report.exists():
            raise RuntimeError(done.stdout[-2000:] + done.stderr[-2000:])
        rows = [json.loads(line) for line in report.read_text(encoding="utf-8").splitlines()]
    return [Outcome(*row) for row in rows]


def surprises(suite: Suite, outcomes: Sequence[Outcome]) -> list[str]:
    """Failures that the list does not name, and named ones that pass."""
    reasons = suite.reasons()
    failed = [f"fails: {o.test}: {o.text}" for o in outcomes if o.outcome == "failed" and o.test not in reasons]
    return failed + [f"passes: {o.test}" for o in outcomes if o.outcome == "passed" and o.test in reasons]


def table(suite: Suite, outcomes: Sequence[Outcome]) -> str:
    """Counts, and the reason of each failure."""
    counts = Counter(o.outcome for o in outcomes)
    rows = [f"{suite.name}: " + ", ".join(f"{counts[word]} {word}" for word in ("passed", "failed", "skipped"))]
    reasons = suite.reasons()
    failed = [o for o in outcomes if o.outcome == "failed"]
    rows += [f"  {o.test}: {reasons.get(o.test, 'NOT LISTED: ' + o.text)}" for o in failed]
    skipped = Counter(o.text for o in outcomes if o.outcome == "skipped")
    return "\n".join(rows + [f"  {count} skipped: {text}" for text, count in sorted(skipped.items())])
