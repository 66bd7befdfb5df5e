"""pyopencl, looked up lazily: devices, contexts, programs, and its errors as TileErrors. No other file imports it."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tilec.backends.opencl.platforms import ADVICE, Found, chosen, listed
from tilec.errors import TileError, error
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
    """A Target per usable device; empty without pyopencl or drivers. Never raises."""
    try:
        return [_target(found) for found in find() if found.usable]
    except TileError:
        return []


def named(device: str) -> Target:
    """The Target of a device by its name, see `platforms.chosen`; raises TileError TILE0509."""
    return _target(chosen(device, find()))


def _target(found: Found) -> Target:
    """Vectors of 32 bytes on a CPU, where PoCL's compiler splits longer ones and then lacks registers; a few lanes
    elsewhere, where items run in lanes. Registers are those of a small SIMD unit: schedules stay modest."""
    return Target(
        "opencl",
        str(found.position),
        vector_bytes=32 if found.kind == "cpu" else 16,
        registers=16,
        threads=max(1, found.units),
        cpu=found.name,
        features=found.extensions,
    )


@dataclass(frozen=True, slots=True)
class Session:
    """A context and an in-order queue on one device."""

    device: Any
    context: Any
    queue: Any

    @staticmethod
    def on(target: Target) -> Session:
        """Raises TILE0509 where the target's device does not exist."""
        cl, device = pyopencl(), chosen(target.device, find()).handle
        with translated("open the device"):
            context = cl.Context([device])
            return Session(device, context, cl.CommandQueue(context))

    def has_fp64(self) -> bool:
        return int(self.device.double_fp_config) != 0

    def build(self, text: str) -> Any:
        """The compiled program."""
        cl = pyopencl()
        options = ["-cl-std=CL1.2", "-w"]  # generated code has comparisons that are always false, and the like
        if self.device.single_fp_config & cl.device_fp_config.CORRECTLY_ROUNDED_DIVIDE_SQRT:
            options.append("-cl-fp32-correctly-rounded-divide-sqrt")
        with translated("compile a program"), warnings.catch_warnings():
            warnings.simplefilter("ignore", cl.CompilerWarning)
            return cl.Program(self.context, text).build(options=options)

    def buffer(self, size: int) -> Any:
        """Device memory of at least one byte; raises TILE0416 above the device's limit."""
        limit = int(self.device.max_mem_alloc_size)
        if size > limit:
            raise error("TILE0416", f"a buffer of {size} bytes is above the OpenCL device's limit of {limit}")
        cl = pyopencl()
        with translated(f"allocate {size} bytes"):
            return cl.Buffer(self.context, cl.mem_flags.READ_WRITE, max(1, size))
