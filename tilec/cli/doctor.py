"""Floor 6: `tilec doctor`: what is installed, what the machine is, and whether compiled code is right here."""

from __future__ import annotations

import json
from collections.abc import Sequence
from textwrap import wrap
from typing import Any

import typer

from tilec.cli.devices import opencl_lines


def command(
    target: str = typer.Option("", "--target", help="Test only this device: auto, llvm, opencl:N, opencl:WORD, ..."),
    test: bool = typer.Option(True, "--test/--no-test", metavar="", help="Test the devices."),
    as_json: bool = typer.Option(False, "--json", metavar="", help="Report as JSON."),
) -> int:
    """Show versions, devices and settings, and test every device with 300 small programs."""
    from tilec.measure.checks import examined

    named = _named(target) if target else None  # before all else: it may be no device at all
    found = facts()
    devices = found["opencl"]["devices"]
    if not as_json:
        print(text(found), flush=True)
    reports = []
    for device in ([named] if named else _all(devices)) if test else []:
        reports.append(examined(device, key_of(device, devices)))
        if not as_json:
            print(
                "\n".join(
                    [
                        *([] if reports[1:] else ["", "Tests"]),
                        *_indented([*outcome(reports[-1]), *figures(reports[-1])]),
                    ]
                ),
                flush=True,
            )
    if as_json:
        print(json.dumps({**found, "tests": reports}))
    return 0 if all(r["right"] for r in reports) else 1


def _named(target: str) -> str:
    from tilec.devices import resolve_target

    found = resolve_target(target, force=True)
    return "llvm" if found.backend == "llvm" else str(found)


def _all(devices: Sequence[dict[str, Any]]) -> list[str]:
    return ["llvm", *(d["target"] for d in devices if d["target"])]


def key_of(target: str, devices: Sequence[dict[str, Any]]) -> str | None:
    """What `tilec.trust` knows a device by; None for what has no driver."""
    return next((d["key"] for d in devices if d["target"] == target), None)


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


# text --------------------------------------------------------------------------------------------------------------


def text(found: dict[str, Any]) -> str:
    """The report for people."""
    versions = [f"{name} {version or 'is not installed'}" for name, version in found["versions"].items()]
    lines = ["Versions", *_indented(versions), "", "Processor", *_indented(_processor(found["processor"]))]
    lines += ["", "OpenCL", *_indented(opencl_lines(found["opencl"])), "", "Cache", *_indented(_cache(found["cache"]))]
    settings = [f"{n} = {s['value']!r}, from {s['origin']}" for n, s in found["settings"].items()]
    lines += ["", "Settings", *_indented(settings or ["all at their defaults"])]
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


def outcome(found: dict[str, Any]) -> list[str]:
    """What the tests of a device have found, for people."""
    if found["problem"]:
        lines = [f"{found['target']}: {line}" for line in found["problem"].splitlines()]
    else:
        counts = ", ".join(f"{count} {state}" for state, count in sorted(found["counts"].items()))
        lines = [f"{found['target']}: {counts}, in {found['seconds']:.1f} s"]
    lines += [f"{o['state']}: {o['name']}: {o['detail']}" for o in found["findings"]]
    return lines + ([f"not kept: {found['unmarked']}"] if found["unmarked"] else [])


def figures(found: dict[str, Any]) -> list[str]:
    """What was measured on a device, for people."""
    lines = [line for dtype in ("f32", "f64") for line in _errors(found, dtype)]
    return lines + ([f"  copies memory at {found['bandwidth'] / 1e9:.1f} GB/s"] if found["bandwidth"] else [])


def _errors(found: dict[str, Any], dtype: str) -> list[str]:
    from tilec.measure.checks import error

    rows = [f"{row['name']} {error(row)}" for row in found["functions"] if row["dtype"] == dtype]
    return (
        wrap(f"largest errors of {dtype} in ulp: {', '.join(rows)}", 100, initial_indent="  ", subsequent_indent="    ")
        if rows
        else []
    )
