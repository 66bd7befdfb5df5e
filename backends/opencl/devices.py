"""pyopencl, looked up lazily: devices, contexts, programs, and its errors as TileErrors. No other file imports it."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tilec.errors import TileError, error
from tilec.target import Target

RECIPE = "install pyopencl and an OpenCL driver: pip install 'tilec[opencl]' pocl-binary-distribution"


def pyopencl() -> Any:
    """The module; raises TileError TILE0509 where it is missing or broken."""
    try:
        import pyopencl as module
    except Exception as reason:  # a broken driver can raise anything at import
        raise error("TILE0509", "OpenCL needs the package pyopencl", notes=[str(reason)], help=RECIPE) from reason
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


def find() -> list[Any]:
    """All usable devices of all platforms. One broken platform or device hides no other."""
    cl = pyopencl()
    found: list[Any] = []
    try:
        platforms = cl.get_platforms()
    except cl.Error:
        return []
    for platform in platforms:
        try:
            found += [d for d in platform.get_devices() if d.available and d.compiler_available]
        except cl.Error:
            continue
    return found


def targets() -> list[Target]:
    """A Target per device; empty without pyopencl or drivers. Never raises."""
    try:
        return [_target(i, device) for i, device in enumerate(find())]
    except Exception:  # a query that a driver refuses
        return []


def _target(position: int, device: Any) -> Target:
    """Width and registers are those of a small SIMD unit: schedules stay modest, for this backend is not tuned."""
    features = tuple(sorted(str(device.extensions).split()))
    return Target(
        "opencl",
        str(position),
        vector_bytes=16,
        registers=16,
        threads=max(1, int(device.max_compute_units)),
        cpu=str(device.name).strip(),
        features=features,
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
        cl, devices = pyopencl(), find()
        if not devices:
            raise error("TILE0509", "no OpenCL device was found", help=RECIPE)
        position = int(target.device) if target.device.isdigit() else 0 if target.device == "" else len(devices)
        if position >= len(devices):
            names = [f"opencl:{i} is {d.name}" for i, d in enumerate(devices)]
            raise error("TILE0509", f"there is no OpenCL device {target.device!r}", notes=names)
        with translated("open the device"):
            context = cl.Context([devices[position]])
            return Session(devices[position], context, cl.CommandQueue(context))

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
