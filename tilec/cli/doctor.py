"""Floor 6: `tilec doctor`: what is installed, what the machine is, and whether compiled code is right here."""

from __future__ import annotations

import json
import time
from collections import Counter
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

    device = str(resolve_target(target))
    found = facts()
    if test:
        found["self-test"] = selftest(device)
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


def selftest(device: str) -> dict[str, Any]:
    """Outcomes of the self-test, run in a process of its own; `right` where every program that could run was right."""
    from tilec.measure import machine

    started = time.perf_counter()
    answer = machine.ask("tilec.measure.selftest", [device], _PATIENCE)
    found: dict[str, Any] = {"target": device, "seconds": time.perf_counter() - started}
    value = answer.value if isinstance(answer.value, dict) else {}
    if problem := answer.problem or value.get("error"):
        return {**found, "right": False, "problem": problem, "counts": {}, "findings": []}
    counts = Counter(o["state"] for o in value["outcomes"])
    findings = [o for o in value["outcomes"] if o["state"] != "passed"]
    right = counts["passed"] > 0 and not counts["wrong"] + counts["failed"]
    return {**found, "right": right, "problem": None, "counts": dict(counts), "findings": findings}


# text --------------------------------------------------------------------------------------------------------------


def text(found: dict[str, Any]) -> str:
    """The report for people."""
    versions = [f"{name} {version or 'is not installed'}" for name, version in found["versions"].items()]
    lines = ["Versions", *_indented(versions), "", "Processor", *_indented(_processor(found["processor"]))]
    lines += ["", "OpenCL", *_indented(opencl_lines(found["opencl"])), "", "Cache", *_indented(_cache(found["cache"]))]
    settings = [f"{n} = {s['value']!r}, from {s['origin']}" for n, s in found["settings"].items()]
    lines += ["", "Settings", *_indented(settings or ["all at their defaults"])]
    if "self-test" in found:
        lines += ["", "Self-test", *_indented(_selftest(found["self-test"]))]
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


def _selftest(found: dict[str, Any]) -> list[str]:
    if found["problem"]:
        return [f"{found['target']}: {line}" for line in found["problem"].splitlines()]
    counts = ", ".join(f"{count} {state}" for state, count in sorted(found["counts"].items()))
    lines = [f"{found['target']}: {counts}, in {found['seconds']:.1f} s"]
    return lines + [f"{o['state']}: {o['name']}: {o['detail']}" for o in found["findings"]]
