"""What a program needs of a device: a context, a queue, compiled code and memory."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np

from tilec import unwritten
from tilec.backend import Array
from tilec.backends.opencl import devices, quirks
from tilec.backends.opencl.binaries import built
from tilec.backends.opencl.devices import pyopencl, translated
from tilec.backends.opencl.platforms import chosen
from tilec.backends.opencl.pool import Block, Pool
from tilec.errors import error
from tilec.target import Target


@cache
def _owner() -> int:
    """The process that first opened a device; a child that is forked from it knows that, too."""
    return os.getpid()


def is_forked() -> bool:
    """Whether a device was opened before this process was forked: no driver survives that, and PoCL hangs."""
    return _owner() != os.getpid()


def refuse_forked() -> None:
    """Raises TileError TILE0710 in a process that was forked from one that had opened a device."""
    if is_forked():
        text = "OpenCL was used by the process that this one was forked from"
        raise error("TILE0710", text, help="start processes by spawn: multiprocessing.set_start_method('spawn')")


@cache
def _shared(device: Any) -> tuple[Any, Pool]:
    """The context of a device and its memory."""
    cl = pyopencl()
    context = cl.Context([device])
    flags = cl.mem_flags.READ_WRITE
    return context, Pool(lambda size: cl.Buffer(context, flags, size), int(device.global_mem_size))


@dataclass(frozen=True, slots=True)
class Session:
    """An in-order queue on one device. All of a process on one device share a context, and so may share memory.

    largest: bytes of the largest block of memory that may be allocated; memory: of all blocks together.
    """

    device: Any
    context: Any
    queue: Any
    pool: Pool
    largest: int
    memory: int

    @staticmethod
    def on(target: Target) -> Session:
        """Raises TILE0509 where the target's device does not exist. Limits of the target count."""
        return Session.of(chosen(target.device, devices.find()).handle, target.largest, target.memory)

    @staticmethod
    def of(device: Any, largest: int = 0, memory: int = 0) -> Session:
        """A new queue on pyopencl's device; the limits are its own, or lower ones that are not 0. Raises TILE0710."""
        refuse_forked()
        with translated("open the device"):
            context, pool = _shared(device)
            queue = pyopencl().CommandQueue(context)
            largest = _least(largest, int(device.max_mem_alloc_size))
            return Session(device, context, queue, pool, largest, _least(memory, pool.memory))

    def timing(self) -> Session:
        """The same with a queue whose events know when they began and ended."""
        cl = pyopencl()
        profiling = cl.command_queue_properties.PROFILING_ENABLE
        with translated("open a queue that tells times"):
            return replace(self, queue=cl.CommandQueue(self.context, properties=profiling))

    def has_fp64(self) -> bool:
        return int(self.device.double_fp_config) != 0

    @property
    def in_host_memory(self) -> bool:
        """Whether the device works in the host's memory: a CPU, or a GPU beside one."""
        return bool(self.device.host_unified_memory)

    def build(self, text: str) -> Any:
        """The compiled program, see `binaries.built`. Raises TileError TILE0416, TILE0710."""
        cl = pyopencl()
        options = ["-cl-std=CL1.2", "-w"]  # generated code has comparisons that are always false, and the like
        if self.device.single_fp_config & cl.device_fp_config.CORRECTLY_ROUNDED_DIVIDE_SQRT:
            options.append("-cl-fp32-correctly-rounded-divide-sqrt")
        if quirks.misled_by_groups(self.device.platform.name.strip("\0 ")) and "reqd_work_group_size" in text:
            options.append("-cl-opt-disable")
        return built(self.context, self.device, text, options)

    # Memory. Each call may find it short, for drivers allocate late: it is tried again when all that is free has gone.

    def take(self, size: int) -> Block:
        """A block of memory, see `Pool.take`."""
        block = self.pool.take(size, self.memory)
        if unwritten.content is not None:
            content = np.uint8(unwritten.content)
            pyopencl().enqueue_fill_buffer(self.queue, block.memory, content, 0, block.size)
            self.queue.finish()  # other queues may use it
        return block

    def used_in_place(self, data: Any, access: str) -> Block:
        """Memory of the host, dense and without dtype, as a block that the device works in."""
        cl = pyopencl()
        flags = cl.mem_flags.USE_HOST_PTR | getattr(cl.mem_flags, access)
        return self.pool.wrap(
            self.pool.attempt("use memory", lambda: cl.Buffer(self.context, flags, hostbuf=data)),
        )

    def write(self, memory: Any, at: int, data: Any, wait: bool = True) -> Any:
        """Copies bytes of the host to a buffer, from its byte `at` on. Without `wait`, what is returned has to be kept
        until the queue has been waited for: it holds the data, and its deletion waits."""
        copy = pyopencl().enqueue_copy
        return self.pool.attempt("write", lambda: copy(self.queue, memory, data, dst_offset=at, is_blocking=wait))

    def read(self, memory: Any, at: int, data: Any, wait: bool = True) -> Any:
        """Copies from a buffer's byte `at` on to memory of the host; `wait` as for `write`."""
        copy = pyopencl().enqueue_copy
        return self.pool.attempt("read", lambda: copy(self.queue, data, memory, src_offset=at, is_blocking=wait))

    def set(self, memory: Any, at: int, value: Any) -> None:
        """Sets the bytes from `at` on to a scalar of NumPy's, without waiting for anything."""
        fill = pyopencl().enqueue_fill_buffer
        self.pool.attempt("set", lambda: fill(self.queue, memory, value, at, value.nbytes))

    def copy(self, source: Block, at: int, target: Block, size: int) -> None:
        """Copies bytes of a block, from `at` on, to the beginning of another one."""
        copy = pyopencl().enqueue_copy
        if size:
            call = lambda: copy(self.queue, target.memory, source.memory, byte_count=size, src_offset=at)  # noqa: E731
            self.pool.attempt("copy", call)

    def show(self, memory: Any, size: int) -> None:
        """Lets the host see what the device wrote to memory that is used in place."""
        cl = pyopencl()
        view, _ = self.pool.attempt(
            "map",
            lambda: cl.enqueue_map_buffer(self.queue, memory, cl.map_flags.READ, 0, (size,), np.uint8),
        )
        view.base.release(self.queue)

    def launch(self, kernel: Any, items: Any, group: Any, args: list[Any]) -> Any:
        """The event of the launch."""
        return self.pool.attempt("launch", lambda: kernel(self.queue, items, group, *args))

    def finish(self) -> None:
        """Waits for all that has been enqueued. It is not repeated: what failed may have been done in part."""
        self.pool.before("finish")
        self.queue.finish()


def as_bytes(array: Array) -> Array:
    """The memory of a dense array, without its dtype: OpenCL bindings do not know bfloat16."""
    return array.reshape(-1).view(np.uint8)


def _least(cap: int, limit: int) -> int:
    """The limit, or a lower one that someone set; 0 is none."""
    return min(cap, limit) if cap else limit
