"""Floor 5: all tests of a device, each kind in a process of its own: a broken one hides no other, and none hangs."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from tilec.errors import TileError
from tilec.measure import machine
from tilec.measure.programs import PARTS
from tilec.trust import Mark, mark

PATIENCE = 120.0  # seconds for a kind of tests; all together take a few
Report = dict[str, Any]  # a JSON value


def examined(target: str, key: str | None) -> Report:
    """What the tests of a device find; `right` where every program that could run was right.

    A device that has a key (`tilec.trust`) is marked: as right, or as wrong where results were wrong or its driver
    failed or crashed. One that gives no answer in time keeps the mark that it has.
    """
    started = time.perf_counter()
    found: Report = {"target": target, "right": False, "problem": None, "bad": 0, "counts": {}, "findings": []}
    found |= {"functions": [], "bandwidth": None, "unmarked": None}
    crashed = any(_asked(step, target, found) for step in _STEPS)
    found["right"] = found["problem"] is None and not found["bad"] and found["counts"].get("passed", 0) > 0
    found["seconds"] = time.perf_counter() - started
    if key and (found["right"] or found["bad"] or crashed):
        found["unmarked"] = _mark(key, found)
    return found


def _asked(module: str, target: str, found: Report) -> bool:
    """Adds what processes print, unless there was a problem before it; whether one crashed."""
    if found["problem"]:
        return False
    calls = [[target, part] for part in PARTS] if module == "selftest" else [[target]]
    answers = machine.ask_all(f"tilec.measure.{module}", calls, PATIENCE)
    values = [a.value if isinstance(a.value, dict) else {} for a in answers]
    problems = [a.problem or v.get("error") for a, v in zip(answers, values, strict=True)]
    found["problem"] = next((p for p in problems if p), None)
    if found["problem"] is None:
        found |= _STEPS[module](found, values)
    return any(a.crashed for a in answers)


def _programs(found: Report, values: Sequence[Mapping[str, Any]]) -> Report:
    outcomes: list[Mapping[str, str]] = [o for value in values for o in value["outcomes"]]
    counts = Counter(o["state"] for o in outcomes)
    findings = sorted((o for o in outcomes if o["state"] != "passed"), key=lambda o: o["name"])
    return {"counts": dict(counts), "findings": findings, "bad": counts["wrong"] + counts["failed"]}


def _functions(found: Report, values: Sequence[Mapping[str, Any]]) -> Report:
    rows = values[0]["functions"]
    wrong = [r for r in rows if r["ulp"] is None or r["ulp"] > r["bound"]]
    findings = [
        {"name": f"{r['name']} of {r['dtype']}", "state": "wrong", "detail": f"{error(r)} ulp at {r['argument']}"}
        for r in wrong
    ]
    return {"functions": rows, "findings": [*found["findings"], *findings], "bad": found["bad"] + len(wrong)}


def error(row: Mapping[str, Any]) -> str:
    """The error of a function, for people."""
    return "infinitely many" if row["ulp"] is None else f"{row['ulp']:.2f}"


def _bandwidth(found: Report, values: Sequence[Mapping[str, Any]]) -> Report:
    return {"bandwidth": values[0]["bandwidth"]}


_STEPS = {"selftest": _programs, "ulp": _functions, "bandwidth": _bandwidth}


def _mark(key: str, found: Report) -> str | None:
    """Marks the device; the reason where that cannot be kept."""
    why = (
        found["problem"] or f"{found['bad']} of {sum(found['counts'].values()) + len(found['functions'])} tests failed"
    )
    try:
        mark(key, Mark(found["right"], "" if found["right"] else why))
    except TileError as problem:
        return problem.diagnostics[0].message
    return None
