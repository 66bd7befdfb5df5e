"""Floor 5: facts about this installation and this machine, for `tilec doctor`.

`python -m tilec.measure.machine` prints what OpenCL drivers say of themselves as JSON: they are asked in a process of
its own, for a broken one may hang or crash the process that loads it.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Answer:
    """What a child process printed as JSON, or why there is nothing."""

    value: Any = None
    problem: str | None = None


def ask(module: str, arguments: Sequence[str], seconds: float) -> Answer:
    """Runs `python -m module arguments` for at most that long."""
    command = [sys.executable, "-P", "-m", module, *arguments]  # -P: the present directory's random.py is not ours
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=seconds, check=False)
    except subprocess.TimeoutExpired:
        return Answer(problem=f"no answer within {seconds:g} s")
    except OSError as reason:
        return Answer(problem=f"cannot start {sys.executable!r}: {reason.strerror}")
    if done.returncode < 0:
        return Answer(problem=f"the process was ended by signal {-done.returncode}")
    try:
        return Answer(json.loads(done.stdout.splitlines()[-1]))
    except (ValueError, IndexError):
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()
        return Answer(problem=f"exit code {done.returncode}: {said[-1] if said else 'no output'}")


def versions() -> dict[str, str | None]:
    """Versions by name; None for what is not installed."""
    import numpy

    from tilec.artifacts.identity import versions as compiler

    found: dict[str, str | None] = {"python": platform.python_version(), "system": platform.platform()}
    own = compiler()
    found |= {"tilec": own["tilec"], "numpy": numpy.__version__, "llvmlite": own["llvmlite"], "llvm": own["llvm"]}
    return {**found, "pyopencl": _version_of("pyopencl"), "ml_dtypes": _version_of("ml_dtypes")}


def _version_of(package: str) -> str | None:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(package)
    except PackageNotFoundError:
        return None


def processor() -> dict[str, Any]:
    """The CPU as the LLVM backend sees it; raises TileError where it cannot run."""
    from tilec.devices import resolve_target

    target = resolve_target("llvm")
    return {
        "model": _model(),
        "compiled for": target.cpu,
        "features": [f.removeprefix("+") for f in target.features],
        "vector bits": target.vector_bytes * 8,
        "vector registers": target.registers,
        "threads": target.threads,
        "processors": os.cpu_count(),
        "l1 bytes": target.l1,
        "l2 bytes": target.l2,
        "l3 bytes": target.l3,
    }


def _model() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            named = next((line for line in file if line.startswith("model name")), "")
    except OSError:
        named = ""
    return named.partition(":")[2].strip() or platform.processor() or platform.machine()


def opencl() -> list[dict[str, Any]]:
    """Every platform with its devices, and what each says when it is asked; raises ImportError without pyopencl."""
    import pyopencl as cl

    try:
        platforms = cl.get_platforms()
    except cl.Error as reason:
        return [{"platform": "none", "problem": str(reason), "devices": []}]
    return [_platform(cl, p) for p in platforms]


def _platform(cl: Any, found: Any) -> dict[str, Any]:
    name = str(found.name).strip()
    try:
        devices = [_device(d) for d in found.get_devices()]
    except cl.Error as reason:
        return {"platform": name, "problem": str(reason), "devices": []}
    return {"platform": name, "version": str(found.version).strip(), "problem": None, "devices": devices}


def _device(device: Any) -> dict[str, Any]:
    problem = None if device.available else "the driver says that it is not available"
    if problem is None and not device.compiler_available:
        problem = "the driver has no compiler"
    return {
        "name": str(device.name).strip(),
        "driver": str(device.driver_version).strip(),
        "units": int(device.max_compute_units),
        "memory": int(device.global_mem_size),
        "float64": bool(device.double_fp_config),
        "problem": problem,
    }


def main() -> None:
    """Prints `opencl()` as JSON."""
    try:
        print(json.dumps({"platforms": opencl()}))
    except Exception as reason:  # a broken driver can raise anything at import
        print(json.dumps({"problem": f"{type(reason).__name__}: {reason}"}))


if __name__ == "__main__":
    main()
