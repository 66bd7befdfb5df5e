"""Floor 5: facts about this installation and this machine, for `tilec devices` and `tilec doctor`.

`python -m tilec.measure.machine` prints what OpenCL drivers say of themselves as JSON: they are asked in a process of
its own, for a broken one may hang or crash the process that loads it.
"""

from __future__ import annotations

import json
import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from tilec.errors import TileError
from tilec.scratch import driver_caches
from tilec.trust import Mark, marks

if TYPE_CHECKING:
    from tilec.backends.opencl.platforms import Found

_DRIVERS = 30.0  # seconds for OpenCL drivers to say what there is


@dataclass(frozen=True, slots=True)
class Answer:
    """What a child process printed as JSON, or why there is nothing; `crashed` where the system ended it."""

    value: Any = None
    problem: str | None = None
    crashed: bool = False


def ask(module: str, arguments: Sequence[str], seconds: float) -> Answer:
    """Runs `python -m module arguments` for at most that long.

    No code that was kept some other day is used, and none is kept: one whose making is ended has spoilt PoCL's cache.
    """
    return ask_all(module, [arguments], seconds)[0]


def ask_all(module: str, calls: Sequence[Sequence[str]], seconds: float) -> list[Answer]:
    """As `ask`, with several processes at once; `seconds` are for all of them together."""
    until = time.monotonic() + seconds
    try:
        with ExitStack() as stack:
            started = [stack.enter_context(_started(module, arguments)) for arguments in calls]
            return [_answer(process, until, f"no answer within {seconds:g} s") for process in started]
    except OSError as reason:
        return [Answer(problem=f"cannot start {sys.executable!r}: {reason.strerror or reason}")] * len(calls)


@contextmanager
def _started(module: str, arguments: Sequence[str]) -> Iterator[subprocess.Popen[str]]:
    with TemporaryDirectory(prefix="tilec-", ignore_cleanup_errors=True) as scratch:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", module, *arguments],  # -P: the present directory's random.py is not ours
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            env={**os.environ, **driver_caches(scratch)},
            start_new_session=os.name == "posix",
        )
        with process:
            try:
                yield process
            except BaseException:  # Ctrl-C, too
                _end(process)
                raise


def _end(process: subprocess.Popen[str]) -> None:
    """Ends a process and what it has started, which would keep its output open."""
    if os.name == "posix":
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    process.kill()


def _answer(process: subprocess.Popen[str], until: float, late: str) -> Answer:
    try:
        out, err = process.communicate(timeout=max(0.0, until - time.monotonic()))
    except subprocess.TimeoutExpired:
        _end(process)
        return Answer(problem=late)
    if process.returncode < 0:
        return Answer(problem=f"the process was ended by signal {-process.returncode}", crashed=True)
    try:
        return Answer(json.loads(out.splitlines()[-1]))
    except (ValueError, IndexError):
        said = (err.strip() or out.strip()).splitlines()
        crashed = process.returncode > 255  # Windows has no signals
        return Answer(problem=f"exit code {process.returncode}: {said[-1] if said else 'no output'}", crashed=crashed)


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


def memory() -> int | None:
    """Bytes of main memory; None where the system does not say."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None


def drivers() -> dict[str, Any]:
    """What a process of its own prints of OpenCL: `devices`, and `problem` where nothing could be asked."""
    answer = ask("tilec.measure.machine", [], _DRIVERS)
    found = answer.value if isinstance(answer.value, dict) else {}
    return {"devices": found.get("devices", []), "problem": answer.problem or found.get("problem")}


def opencl() -> list[dict[str, Any]]:
    """Every device, and every platform that shows none; raises TileError TILE0509 without pyopencl."""
    from tilec.backends.opencl.devices import find

    known = marks()
    return [{**_as_value(found), "trusted": _trusted(known.get(found.key))} for found in find()]


def _trusted(mark: Mark | None) -> bool | None:
    return None if mark is None else mark.right


def _as_value(found: Found) -> dict[str, Any]:
    """A device as a JSON value; None is what the driver does not say."""
    from tilec.backends.opencl.quirks import troubles

    vendor = found.vendor or found.platform_vendor
    return {
        "target": f"opencl:{found.position}" if found.usable else None,
        "device": found.name or None,
        "kind": found.kind,
        "platform": found.platform,
        "vendor": vendor,
        "driver": found.driver or None,
        "memory": found.memory or None,
        "largest": found.largest or None,
        "units": found.units or None,
        "fp16": found.fp16,
        "fp64": found.fp64,
        "problem": found.problem,
        "key": found.key,
        "troubles": [f"{t.what}: {t.cure}" for t in troubles(found.platform, vendor, found.name, found.driver)],
    }


def main() -> None:
    """Prints `opencl()` as JSON."""
    try:
        print(json.dumps({"devices": opencl()}))
    except TileError as reason:
        found = reason.diagnostics[0]
        print(json.dumps({"problem": ": ".join([found.message, *found.notes[:1]])}))


if __name__ == "__main__":
    main()
