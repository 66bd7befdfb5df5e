"""The OpenCL backend: `Backend` and the built program. For correctness; nothing here is tuned."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from tilec.affine import Poly, Size, resolve
from tilec.arena import size_sources
from tilec.backend import Array, Built
from tilec.backends.opencl import devices, trials
from tilec.backends.opencl.kernels import KernelText, Phase
from tilec.backends.opencl.programs import ProgramText, copy_key, emit_programs
from tilec.buffers import elements
from tilec.errors import error
from tilec.host_functions import call_host
from tilec.loops import (
    Assign,
    Branch,
    Buffer,
    Check,
    Copy,
    HostCall,
    Iterate,
    Launch,
    Program,
    Repeat,
    Step,
    strides_of,
)
from tilec.target import Target
from tilec.work import PATIENCE, kernel_works, work

_FEW = 4096  # work-items that do much each: one to a group, so that all units of the device get some


class OpenCLBackend:
    """Every device of every OpenCL platform, named by its position: `opencl:0`."""

    name = "opencl"

    def targets(self) -> list[Target]:
        return devices.targets()

    def emit(self, program: Program, target: Target) -> str:
        return emit_programs([program]).text

    def build(self, program: Program, target: Target, constants: Mapping[str, Array]) -> BuiltProgram:
        return self.build_many([program], target, [constants])[0]

    def build_many(
        self, programs: Sequence[Program], target: Target, constants: Sequence[Mapping[str, Array]]
    ) -> list[BuiltProgram]:
        """Several programs in one compilation. Raises TileError TILE0509 where the device is missing or lacks fp64."""
        source = emit_programs(programs)
        session = devices.Session.on(target)
        if source.fp64 and not session.has_fp64():
            raise error("TILE0509", f"the OpenCL device {target.cpu or target.device!r} has no float64")
        compiled = session.build(trials.definitions(session, source.text) + source.text)
        parts = zip(programs, source.programs, constants, strict=True)
        return [BuiltProgram(session, compiled, program, text, fixed) for program, text, fixed in parts]


class BuiltProgram(Built):
    """A program on a device, with all its buffers. Calls from several threads take turns."""

    def __init__(
        self,
        session: devices.Session,
        compiled: Any,
        program: Program,
        text: ProgramText,
        constants: Mapping[str, Array],
    ) -> None:
        self._session, self._program, self._text = session, program, text
        self._cl = devices.pyopencl()
        self._buffers = {b.name: b for b in program.buffers}
        self._indices: dict[str, int] = {}  # of the loops that are running
        self._sizes: dict[str, int] = {}  # of this call, those derived from others included
        self._sources = size_sources(program)
        self._works = kernel_works(program)
        self._ahead = 0.0  # work that the device may still have to do
        roots = [b for b in program.buffers if b.base is None]
        self._open = [b for b in roots if any(isinstance(s, Poly) for s in b.shape)]
        self._memory = {b.name: self._allocate(b) for b in roots if b not in self._open}
        with devices.translated("create the kernels"):
            self._kernels = {p.name: self._kernel(compiled, p) for k in text.all() for p in k.phases}
        self._shared = session.buffer(max((k.shared for k in text.all()), default=0))
        self._scratch = session.buffer(max((p.items * p.scratch for k in text.all() for p in k.phases), default=0))
        self._lock = threading.Lock()
        self._params = [n for n in program.params if n not in constants]
        with devices.translated("run the initial steps"):
            for name, value in constants.items():
                self._write(name, value)
            self._steps(program.init)
            session.queue.finish()

    def __call__(self, params: Sequence[Array], results: Sequence[Array]) -> None:
        """See `tilec.backend.Built`. `params` are those that are not constants."""
        with self._lock, devices.translated("run the program"):
            self._resize(params)
            for name, array in zip(self._params, params, strict=True):
                self._write(name, array)
            self._steps(self._program.steps)
            for name, array in zip(self._program.results, results, strict=True):
                self._read(name, array)
            self._session.queue.finish()

    # memory

    def _root(self, name: str) -> tuple[str, int]:
        """The buffer that holds the data of another, and the offset in elements."""
        buffer = self._buffers[name]
        if buffer.base is None:
            return name, 0
        root, offset = self._root(buffer.base)
        moved = sum(self._indices.get(i, 0) * self._number(stride) for i, stride in buffer.moves)
        return root, offset + self._number(buffer.offset) + moved

    def _number(self, size: Size) -> int:
        return int(resolve(size, self._sizes))

    def _resize(self, params: Sequence[Array]) -> None:
        """Sets the open sizes of a call, and makes memory for them. Raises TileError TILE0211 for a negative one."""
        given = {name: params[self._params.index(param)].shape[axis] for name, param, axis in self._sources}
        sizes = self._program.all_sizes(given)
        if sizes == self._sizes:
            return
        self._sizes = sizes
        for buffer in self._open:
            shape = tuple(map(self._number, buffer.shape))
            if min(shape) < 0:
                self._sizes = {}
                text = ", ".join(f"{n} = {v}" for n, v in given.items())
                raise error("TILE0211", f"'{buffer.name}' has the shape {list(shape)} where {text}")
            self._memory[buffer.name] = self._allocate(replace(buffer, shape=shape))

    def _allocate(self, buffer: Buffer) -> Any:
        return self._session.buffer(elements(buffer) * buffer.dtype.bytes)

    def _write(self, name: str, array: Array) -> None:
        data = _bytes(np.ascontiguousarray(array))
        if data.size:
            self._cl.enqueue_copy(self._session.queue, self._memory[self._root(name)[0]], data)

    def _read(self, name: str, array: Array) -> None:
        if array.size:
            root, offset = self._root(name)
            at = offset * self._buffers[name].dtype.bytes
            self._cl.enqueue_copy(self._session.queue, _bytes(array), self._memory[root], src_offset=at)

    # steps

    def _steps(self, steps: Sequence[Step]) -> None:
        for step in steps:
            if isinstance(step, Launch | Copy):
                self._wait(step)
            match step:
                case Launch():
                    self._launch(self._text.kernels[step.kernel], step.args)
                case Copy():
                    text = self._text.copies[copy_key(self._buffers[step.source], self._buffers[step.target])]
                    self._launch(text, (step.source, step.target))
                case Check(condition, message, span, code):
                    if not self._holds(condition):
                        raise error(code, message, span)
                case HostCall():
                    self._host(step)
                case Assign(target, form):
                    value = np.array(form.evaluate({**self._sizes, **self._indices}), np.int64)
                    self._write(target, value)
                case Iterate():
                    self._iterate(step)
                case Repeat():
                    self._steps(step.test)
                    while self._holds(step.condition):
                        self._steps(step.steps)
                        self._steps(step.test)
                case Branch():
                    self._steps(step.then if self._holds(step.condition) else step.orelse)

    def _host(self, step: HostCall) -> None:
        """Calls a host function on copies of its operands; results go where they belong."""
        operands = [self._elements(name)[1] for name in step.inputs]
        shapes = [tuple(map(self._number, self._buffers[n].shape)) for n in step.outputs]
        for name, value in zip(step.outputs, call_host(step.function, shapes, operands, step.span), strict=True):
            memory, elements = self._elements(name)
            elements[...] = value
            self._copy_back(name, memory)

    def _elements(self, name: str) -> tuple[Array, Array]:
        """A copy of the memory from a buffer's first element to its last, and the elements in it."""
        buffer = self._buffers[name]
        shape, strides = (list(map(self._number, sizes)) for sizes in (buffer.shape, strides_of(buffer)))
        last = sum((n - 1) * s for n, s in zip(shape, strides, strict=True))
        memory = np.empty(0 if 0 in shape else last + 1, buffer.dtype.numpy)
        self._read(name, memory)
        size = memory.itemsize
        return memory, np.lib.stride_tricks.as_strided(memory, shape, [s * size for s in strides])

    def _copy_back(self, name: str, memory: Array) -> None:
        if memory.size:
            root, offset = self._root(name)
            at = offset * memory.itemsize
            self._cl.enqueue_copy(self._session.queue, self._memory[root], _bytes(memory), dst_offset=at)

    def _wait(self, step: Launch | Copy) -> None:
        """Lets the device finish before a step, where it has much to do: nothing ends what it has been told."""
        self._ahead += work(step, self._program, self._works)
        if self._ahead >= PATIENCE:
            self._session.queue.finish()
            self._ahead = 0.0

    def _iterate(self, step: Iterate) -> None:
        extent = self._number(step.extent)
        if step.count is not None:
            extent = max(0, min(int(self._scalar(step.count)), extent))
        for index in reversed(range(extent)) if step.reverse else range(extent):
            self._indices[step.index] = index
            self._steps(step.steps)

    def _holds(self, condition: str) -> bool:
        return bool(self._scalar(condition))

    def _scalar(self, name: str) -> Array:
        """The value of a buffer of rank 0, as it is now."""
        value = np.empty((), self._buffers[name].dtype.numpy)
        self._read(name, value)
        return value

    def _kernel(self, compiled: Any, phase: Phase) -> Any:
        kernel = self._cl.Kernel(compiled, phase.name)
        limit = kernel.get_work_group_info(self._cl.kernel_work_group_info.WORK_GROUP_SIZE, self._session.device)
        if phase.group > limit:
            raise error("TILE0602", f"a work-group of {phase.group} items; the device allows {limit} in this kernel")
        return kernel

    def _launch(self, text: KernelText, names: Sequence[str]) -> None:
        args: list[Any] = []
        for name in names:
            root, offset = self._root(name)
            args += [self._memory[root], np.int64(offset)]
        args += [self._shared] if text.shared else []
        sizes = [np.int64(self._sizes[name]) for name in text.sizes]
        for phase in text.phases:
            if phase.items:
                extra = [self._scratch] if phase.scratch else []
                local = (phase.group,) if phase.group else (1,) if phase.items <= _FEW else None
                self._kernels[phase.name](self._session.queue, (phase.items,), local, *args, *extra, *sizes)


def _bytes(array: Array) -> Array:
    """The memory of a dense array, without its dtype: OpenCL bindings do not know bfloat16."""
    return array.reshape(-1).view(np.uint8)
