"""Floor 1: what can be set, as data: each setting with its type, default, meaning and the values it allows.

Where values come from is the matter of `tilec.configuration`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from functools import cache
from typing import Any

MAX_THREADS = 1024
MAX_TUNE = 1e6  # seconds
LEVELS = ("off", "error", "warning", "info", "debug")

LIMITS = ("local", "wg", "max_alloc", "memory")

_TRUE, _FALSE = ("1", "true", "yes", "on"), ("0", "false", "no", "off")
_TARGET = re.compile(r"[a-z][a-z0-9]*(:[A-Za-z0-9_.-]+)?!?\Z")
_SIZE = re.compile(r"([0-9]{1,15})\s*([KMGT]?)(i?B)?\Z", re.IGNORECASE)

Reader = Callable[[Any], Any]


def _word(pattern: re.Pattern[str]) -> Reader:
    def read(given: Any) -> str:
        if not isinstance(given, str) or not pattern.match(given):
            raise ValueError
        return given

    return read


def _one_of(*words: str) -> Reader:
    def read(given: Any) -> str:
        if not isinstance(given, str) or given.lower() not in words:
            raise ValueError
        return given.lower()

    return read


def _flag(given: Any) -> bool:
    if isinstance(given, bool):
        return given
    text = str(given).strip().lower()
    if text not in _TRUE + _FALSE:
        raise ValueError
    return text in _TRUE


def _threads(given: Any) -> int:
    if isinstance(given, str) and given.strip().isdecimal() and len(given) < 8:
        given = int(given)
    if not isinstance(given, int) or isinstance(given, bool) or not 0 <= given <= MAX_THREADS:
        raise ValueError
    return given


def _workers(given: Any) -> int | str:
    return "auto" if isinstance(given, str) and given.strip().lower() == "auto" else _threads(given)


def _tune(given: Any) -> float | str:
    """`records`, or seconds; no words for truth, for `true` would be a second."""
    if isinstance(given, str) and given.strip().lower() == "records":
        return "records"
    if isinstance(given, bool) or not isinstance(given, str | int | float):
        raise ValueError
    seconds = float(given) if isinstance(given, str) else given
    if not 0 <= seconds <= MAX_TUNE:
        raise ValueError
    return float(seconds)


def _bytes(given: Any) -> int:
    """`1000000`, `512M`, `2 GiB`: letters stand for powers of 1024."""
    match = _SIZE.match(str(given).strip())
    if match is None or isinstance(given, bool | float):
        raise ValueError
    found = int(match[1]) << " KMGT".index(match[2].upper() or " ") * 10
    if found >= 10**15:  # which is read again
        raise ValueError
    return found


def device_limits(text: str) -> dict[str, int]:
    """`local=32K,wg=256`: limits by name, each at most once; ValueError for anything else."""
    found: dict[str, int] = {}
    for part in filter(None, (p.strip() for p in text.split(","))):
        name, _, size = (p.strip() for p in part.partition("="))
        least = 0 if name == "local" else 1
        if name not in LIMITS or name in found or _bytes(size) < least:
            raise ValueError
        found[name] = _bytes(size)
    return found


def _limits(given: Any) -> str:
    """The limits in their order, however they are written."""
    if not isinstance(given, str):
        raise ValueError
    found = device_limits(given)
    return ",".join(f"{name}={found[name]}" for name in LIMITS if name in found)


def _directory(given: Any) -> str:
    """An absolute path; `~` is the user's home. Empty stays empty."""
    if not isinstance(given, str | os.PathLike):
        raise ValueError
    text = os.fspath(given)
    if not isinstance(text, str) or "\0" in text:
        raise ValueError
    try:
        return os.path.abspath(os.path.expanduser(text)) if text else ""
    except OSError:  # a relative one, and the present directory has been deleted
        raise ValueError from None


@dataclass(frozen=True, slots=True)
class About:
    """What is known of a setting.

    project: a pyproject.toml, which may come with a stranger's code, may set it. decisive: it decides what is compiled.
    second: an environment variable that sets it as well, where `variable` does not.
    """

    name: str
    type: str
    default: Any
    doc: str
    allowed: str
    read: Reader
    project: bool = True
    decisive: bool = False
    second: str = ""

    @property
    def variable(self) -> str:
        """Name of the environment variable."""
        return f"TILEC_{self.name.upper()}"

    @property
    def variables(self) -> tuple[str, ...]:
        """Names of all environment variables that set it; an earlier one beats a later one."""
        return (self.variable, self.second) if self.second else (self.variable,)


def _setting(default: Any, doc: str, allowed: str, read: Reader, **rest: bool | str) -> Any:
    return field(default=default, metadata={"doc": doc, "allowed": allowed, "read": read, **rest})


@dataclass(frozen=True, slots=True)
class Settings:
    """Every setting. A value of this type is complete and valid."""

    target: str = _setting(
        "auto",
        "Where programs run that are compiled for target 'auto'.",
        "auto, llvm, opencl, opencl:N, opencl:WORD or reference; `tilec devices` lists what there is",
        _word(_TARGET),
        decisive=True,
        second="TILEC_DEVICE",
    )
    device_limits: str = _setting(
        "",
        "Limits for OpenCL's devices, lower than their own: bytes of local memory, items of a group, bytes of one "
        "allocation and of all memory; empty: their own.",
        f"a list such as local=32K,wg=256,max_alloc=256M, of {', '.join(LIMITS)}",
        _limits,
        decisive=True,
    )
    threads: int = _setting(
        0,
        "Threads of parallel loops; 0: as many as the process may run at once.",
        f"an integer from 0 to {MAX_THREADS}",
        _threads,
        decisive=True,
    )
    compile_workers: int | str = _setting(
        "auto",
        "Processes that make machine code of large programs; auto: one less than the threads; 0: only the calling one.",
        f"auto, or an integer from 0 to {MAX_THREADS}",
        _workers,
    )
    cache: bool = _setting(True, "Whether compiled programs are kept on disk.", "true or false", _flag)
    cache_dir: str = _setting(
        "",
        "Directory of compiled programs; empty: tilec's own in the user's cache directory.",
        "a path",
        _directory,
        project=False,  # its entries are run as machine code, and a project's files are not to be trusted that far
    )
    cache_size: int = _setting(
        1 << 30, "Bytes that compiled programs may take on disk.", "bytes, such as 1000000, 512M or 2G", _bytes
    )
    tune: float | str = _setting(
        "records",
        "Schedules of kernels; records: those that the tuner has found; 0: the default ones, always; a number: as "
        "records, and a compilation looks that many seconds for those that nobody has looked for.",
        f"records, or a number of seconds up to {MAX_TUNE:,.0f}",
        _tune,
        decisive=True,
    )
    result_memory: int = _setting(
        512 << 20,
        "Bytes of large results that nothing refers to any more which are kept for the next ones.",
        "bytes, such as 0, 512M or 2G",
        _bytes,
    )
    log_level: str = _setting(
        "off",
        "Show log records of at least this level on standard error; off: leave logging to the application.",
        ", ".join(LEVELS),
        _one_of(*LEVELS),
    )
    color: str = _setting(
        "auto",
        "Colour on the command line; auto: on a terminal, unless NO_COLOR is set.",
        "auto, always or never",
        _one_of("auto", "always", "never"),
    )


@cache
def settings_by_name() -> Mapping[str, About]:
    """What is known of each setting, in the order of their declaration."""
    return {f.name: About(f.name, str(f.type), f.default, **f.metadata) for f in fields(Settings)}


__all__ = ["LEVELS", "LIMITS", "MAX_THREADS", "About", "Settings", "device_limits", "settings_by_name"]
