"""Floor 6: `tilec doctor`: what is installed, what the machine is, and whether compiled code is right here."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

import typer

from tilec.cli.devices import opencl_lines

_PATIENCE = 300.0  # seconds for the self-test, which takes a few: what takes longer hangs


def command(
    target: str = typer.Option("auto", "--target", help="The device to test: auto, llvm, opencl[:N] or reference."),
    test: bool = typer.Option(True, "--test/--no-test", metavar="", help="Run the self-test."),
    as_json: bool = typer.Option(False, "--json", metavar="", help="Report as JSON."),
) -> int:
    """Show versions, devices and settings, and test a device with 100 small programs."""
    from tilec.devices import resolve_target

    device = str(resolve_target(target, force=True))
    found = facts()
    if test:
        found["self-test"] = selftest(device, key_of(device, found["opencl"]["devices"]))
    print(json.dumps(found) if as_json else text(found))
    return 0 if not test or found["self-test"]["right"] else 1


def facts() -> dict[str, Any]:
    """Everything but the self-test, as a JSON value."""
    from tilec.cli.cache import state
    from tilec.configuration import config
    from tilec.errors import TileError
    from tilec.measure import machine

    try:
        processor = machine.processor()
    except TileError as problem:
        processor = {"problem": problem.diagnostics[0].message}
    changed = {s.name: {"value": s.value, "origin": s.origin} for s in config.list() if s.origin != "default"}
    return {
        "versions": machine.versions(),
        "processor": processor,
        "opencl": machine.drivers(),
        "cache": state(),
        "settings": changed,
    }


def key_of(target: str, devices: Sequence[dict[str, Any]]) -> str | None:
    """What `tilec.trust` knows a device by; None for what has no driver."""
    return next((d["key"] for d in devices if d["target"] == target), None)


def selftest(device: str, key: str | None) -> dict[str, Any]:
    """Outcomes of the self-test, run in a process of its own; `right` where every program that could run was right.

    A device that has a key is marked as right, or as wrong where results were wrong or its driver failed or crashed.
    """
    from tilec.measure import machine

    started = time.perf_counter()
    answer = machine.ask("tilec.measure.selftest", [device], _PATIENCE)
    found: dict[str, Any] = {"target": device, "seconds": time.perf_counter() - started, "unmarked": None}
    value = answer.value if isinstance(answer.value, dict) else {}
    if problem := answer.problem or value.get("error"):
        found |= {"right": False, "problem": problem, "bad": 0, "counts": Counter(), "findings": []}
    else:
        found |= _judged(value["outcomes"])
    if key and (found["right"] or found["bad"] or answer.crashed):
        found["unmarked"] = _mark(key, found)
    return found


def _judged(outcomes: Sequence[dict[str, Any]]) -> dict[str, Any]:
    counts = Counter(o["state"] for o in outcomes)
    findings = [o for o in outcomes if o["state"] != "passed"]
    bad = counts["wrong"] + counts["failed"]
    return {
        "right": counts["passed"] > 0 and not bad,
        "problem": None,
        "bad": bad,
        "counts": counts,
        "findings": findings,
    }


def _mark(key: str, found: dict[str, Any]) -> str | None:
    """Marks the device; the reason where that cannot be kept."""
    from tilec.errors import TileError
    from tilec.trust import Mark, mark

    why = "" if found["right"] else found["problem"] or f"{found['bad']} of {found['counts'].total()} tests failed"
    try:
        mark(key, Mark(found["right"], why))
    except TileError as problem:
        return problem.diagnostics[0].message
    return None


# text --------------------------------------------------------------------------------------------------------------


def text(found: dict[str, Any]) -> str:
    """The report for people."""
    versions = [f"{name} {version or 'is not installed'}" for name, version in found["versions"].items()]
    lines = ["Versions", *_indented(versions), "", "Processor", *_indented(_processor(found["processor"]))]
    lines += ["", "OpenCL", *_indented(opencl_lines(found["opencl"])), "", "Cache", *_indented(_cache(found["cache"]))]
    settings = [f"{n} = {s['value']!r}, from {s['origin']}" for n, s in found["settings"].items()]
    lines += ["", "Settings", *_indented(settings or ["all at their defaults"])]
    if "self-test" in found:
        lines += ["", "Self-test", *_indented(selftest_lines(found["self-test"]))]
    return "\n".join(lines)


def _indented(lines: list[str]) -> list[str]:
    return [f"  {line}" for line in lines]


def _processor(found: dict[str, Any]) -> list[str]:
    if "problem" in found:
        return [found["problem"]]
    width = f"vectors of {found['vector bits']} bits, {found['vector registers']} registers"
    caches = f"caches of {found['l1 bytes'] >> 10} KiB and {found['l2 bytes'] >> 10} KiB"
    return [
        found["model"],
        f"{width}; {caches}",
        f"{found['threads']} threads on {found['processors']} processors",
        f"compiled for {found['compiled for']} with {' '.join(found['features'])}",
    ]


def _cache(found: dict[str, Any]) -> list[str]:
    if found["directory"] is None:
        return ["off"]
    if found["problem"]:
        return [f"{found['directory']} cannot be used: {found['problem']}"]
    return [f"{found['directory']}: {found['entries']} programs, {found['bytes']} of {found['limit']} bytes"]


def selftest_lines(found: dict[str, Any]) -> list[str]:
    """The outcome of `selftest` for people."""
    if found["problem"]:
        return [f"{found['target']}: {line}" for line in found["problem"].splitlines()]
    counts = ", ".join(f"{count} {state}" for state, count in sorted(found["counts"].items()))
    lines = [f"{found['target']}: {counts}, in {found['seconds']:.1f} s"]
    lines += [f"{o['state']}: {o['name']}: {o['detail']}" for o in found["findings"]]
    return lines + ([f"not kept: {found['unmarked']}"] if found.get("unmarked") else [])
