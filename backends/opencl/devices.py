"""pyopencl, looked up lazily: devices, and its errors as TileErrors. No other file imports it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tilec import trust
from tilec.backends.opencl.platforms import ADVICE, Found, chosen, listed
from tilec.caches import caches
from tilec.configuration import config
from tilec.errors import TileError, error
from tilec.limits import limited
from tilec.target import Target


def pyopencl() -> Any:
    """The module; raises TileError TILE0509 where it is missing or broken."""
    try:
        import pyopencl as module
    except Exception as reason:  # a broken driver can raise anything at import
        raise error("TILE0509", "OpenCL needs the package pyopencl", notes=[str(reason), *ADVICE]) from reason
    return module


@contextmanager
def translated(action: str) -> Iterator[None]:
    """Turns every exception of the driver into a TileError: TILE0416 where memory is short, else TILE0710."""
    try:
        yield
    except TileError:
        raise
    except MemoryError as reason:
        raise error("TILE0416", f"the OpenCL device has not enough memory to {action}") from reason
    except Exception as reason:
        text = str(reason).strip()
        if any(word in text.upper() for word in ("ALLOCATION_FAILURE", "OUT_OF_HOST_MEMORY", "INVALID_BUFFER_SIZE")):
            raise error("TILE0416", f"the OpenCL device has not enough memory to {action}", notes=[text]) from reason
        raise error("TILE0710", f"the OpenCL driver failed to {action}", notes=text.splitlines()[:20]) from reason


def find() -> list[Found]:
    """All devices of all platforms, see `platforms.listed`; raises TILE0509 without pyopencl."""
    cl = pyopencl()
    try:
        platforms = cl.get_platforms()
    except Exception as reason:
        if "PLATFORM_NOT_FOUND" in str(reason):  # no driver is installed
            return []
        return [Found("OpenCL", "unknown", problem=f"cannot list the platforms: {reason}")]
    return listed(platforms)


def targets() -> list[Target]:
    """A Target per usable device; empty without pyopencl or drivers. Raises TileError TILE0711 for bad settings."""
    limits = config.device_limits
    try:
        return [limited(_target(found), limits) for found in find() if found.usable]
    except TileError:
        return []


def named(device: str, force: bool = False) -> Target:
    """The Target of a device by its name, see `platforms.chosen`.

    Raises TileError TILE0509, TILE0711, and TILE0514 for one that did not pass its tests, unless it is forced.
    """
    found = chosen(device, find())
    if not force:
        trust.require(f"opencl:{found.position}", found.key)
    return limited(_target(found), config.device_limits)


def _vector_bytes(found: Found) -> int:
    """Of a CPU as its driver says, but 32 with PoCL, whose compiler splits longer vectors and then lacks registers; a
    few lanes elsewhere, where items run in lanes."""
    if found.kind != "cpu":
        return 16
    most = 32 if found.platform == "Portable Computing Language" else 64
    return min(max(16, 4 * found.lanes), most)


def _target(found: Found) -> Target:
    """Caches of a CPU are those that the system knows; registers those of a small SIMD unit: schedules stay modest."""
    vector_bytes = _vector_bytes(found)
    own = dict(zip(("l1", "l2", "l3"), caches())) if found.kind == "cpu" else {}
    return Target(
        "opencl",
        str(found.position),
        vector_bytes=vector_bytes,
        registers=32 if vector_bytes == 64 else 16,  # as AVX-512 has them
        threads=max(1, found.units),
        cpu=found.name,
        features=found.extensions,
        **own,
        kind=found.kind,
        group=found.group,
        local=found.local,
        simd=found.simd,
        memory=found.memory,
        largest=found.largest,
        driver=found.driver,
        unified=found.unified,
    )
