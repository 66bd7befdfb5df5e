"""What a program needs of a device: a context, a queue, compiled code and memory."""

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass
from functools import cache
from typing import Any

from tilec.backends.opencl import devices
from tilec.backends.opencl.devices import pyopencl, translated
from tilec.backends.opencl.platforms import chosen
from tilec.errors import error
from tilec.target import Target


@cache
def _context(process: int, device: Any) -> Any:
    """The context of a device; a child has its own, for no driver survives a fork."""
    return pyopencl().Context([device])


@dataclass(frozen=True, slots=True)
class Session:
    """An in-order queue on one device. All of a process on one device share a context, and so may share memory."""

    device: Any
    context: Any
    queue: Any

    @staticmethod
    def on(target: Target) -> Session:
        """Raises TILE0509 where the target's device does not exist."""
        return Session.of(chosen(target.device, devices.find()).handle)

    @staticmethod
    def of(device: Any) -> Session:
        """A new queue on pyopencl's device."""
        with translated("open the device"):
            context = _context(os.getpid(), device)
            return Session(device, context, pyopencl().CommandQueue(context))

    def has_fp64(self) -> bool:
        return int(self.device.double_fp_config) != 0

    def largest(self) -> int:
        """Bytes of the largest block of memory that the device allocates."""
        return int(self.device.max_mem_alloc_size)

    @property
    def in_host_memory(self) -> bool:
        """Whether the device works in the host's memory: a CPU, or a GPU beside one."""
        return bool(self.device.host_unified_memory)

    def build(self, text: str) -> Any:
        """The compiled program."""
        cl = pyopencl()
        options = ["-cl-std=CL1.2", "-w"]  # generated code has comparisons that are always false, and the like
        if self.device.single_fp_config & cl.device_fp_config.CORRECTLY_ROUNDED_DIVIDE_SQRT:
            options.append("-cl-fp32-correctly-rounded-divide-sqrt")
        with translated("compile a program"), warnings.catch_warnings():
            warnings.simplefilter("ignore", cl.CompilerWarning)
            return cl.Program(self.context, text).build(options=options)

    def check(self, size: int) -> None:
        """Raises TILE0416 for more bytes than the device allows in one block."""
        if size > self.largest():
            limit = f"the OpenCL device's limit of {self.largest()}"
            raise error("TILE0416", f"a buffer of {size} bytes is above {limit}")

    def buffer(self, size: int) -> Any:
        """Device memory of at least one byte; raises TILE0416, above the device's limit too."""
        self.check(size)
        cl = pyopencl()
        with translated(f"allocate {size} bytes"):
            return cl.Buffer(self.context, cl.mem_flags.READ_WRITE, max(1, size))
