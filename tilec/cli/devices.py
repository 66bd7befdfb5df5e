"""Floor 6: `tilec devices`: what programs may be compiled for here, and by which name."""

from __future__ import annotations

import json
from typing import Any

import typer


def command(as_json: bool = typer.Option(False, "--json", metavar="", help="Report as JSON.")) -> int:
    """List the devices of this machine with the names that `--target`, `target=` and TILEC_DEVICE take."""
    found = facts()
    print(json.dumps(found) if as_json else text(found))
    return 0


def facts() -> dict[str, Any]:
    """The list as a JSON value; OpenCL's drivers are asked in a process of its own."""
    from tilec.configuration import config
    from tilec.measure import machine

    drivers = machine.drivers()
    loaded = config.loaded()
    return {
        "devices": [_cpu(), *drivers["devices"]],
        "problem": drivers["problem"],
        "default": "llvm" if loaded.settings.target == "auto" else loaded.settings.target,
        "origin": loaded.origins.get("target", "default"),
    }


def _cpu() -> dict[str, Any]:
    from tilec.errors import TileError
    from tilec.measure import machine

    value: dict[str, Any] = {"target": "llvm", "device": None, "kind": "cpu", "platform": "LLVM", "vendor": None}
    value["driver"] = machine.versions()["llvm"]
    value |= {"memory": machine.memory(), "largest": None, "units": None, "fp16": False, "fp64": True, "problem": None}
    value |= {"trusted": None, "key": None, "troubles": []}  # there is no driver that could be refused
    try:
        processor = machine.processor()
    except TileError as problem:
        return {**value, "target": None, "problem": problem.diagnostics[0].message}
    halves = {"avx512fp16", "fullfp16"} & set(processor["features"])
    return {**value, "device": processor["model"], "units": processor["threads"], "fp16": bool(halves)}


_TRUSTED = {True: "trusted", False: "not trusted: it did not pass its tests", None: "not tested yet"}

# text --------------------------------------------------------------------------------------------------------------


def text(found: dict[str, Any]) -> str:
    """The list for people."""
    cpu, *devices = found["devices"]
    lines = [*_device(cpu), *opencl_lines({**found, "devices": devices})]
    return "\n".join([*lines, "", f"target 'auto' is {found['default']} ({found['origin']})"])


def opencl_lines(found: dict[str, Any]) -> list[str]:
    """OpenCL's devices, what is wrong, and what to install where none can be used."""
    lines = [line for device in found["devices"] for line in [*_device(device), *_troubles(device)]]
    lines += [f"OpenCL: {found['problem']}"] if found["problem"] else []
    if all(d["target"] is None for d in found["devices"]):
        from tilec.backends.opencl.platforms import ADVICE

        lines += ["no OpenCL device can be used; what to install:", *(f"  {line}" for line in ADVICE)]
    return lines


def _device(device: dict[str, Any]) -> list[str]:
    name = device["target"] or "unusable"
    lines = [f"{name:9} {device['device'] or device['platform']} ({device['kind']})"]
    if device["device"]:
        lines += [_indented(_origin(device)), _indented(_size(device))]
        lines += [_indented(_TRUSTED[device["trusted"]])] if device["key"] and device["target"] else []
    return lines + ([_indented(f"problem: {device['problem']}")] if device["problem"] else [])


def _troubles(device: dict[str, Any]) -> list[str]:
    return [_indented(f"known trouble: {text}") for text in device["troubles"]]


def _indented(text: str) -> str:
    return f"{'':10}{text}"


def _origin(device: dict[str, Any]) -> str:
    said = [device["platform"], device["vendor"], f"driver {device['driver'] or 'unknown'}"]
    return ", ".join(s for s in said if s)


def _size(device: dict[str, Any]) -> str:
    said = [f"{device['units'] or 'unknown'} units", f"memory {_bytes(device['memory'])}"]
    said += [f"largest allocation {_bytes(device['largest'])}"] if device["largest"] else []
    return ", ".join([*said, *(f"{'' if device[key] else 'no '}{key}" for key in ("fp16", "fp64"))])


def _bytes(count: int | None) -> str:
    return "unknown" if count is None else f"{count >> 20} MiB"
