"""The OpenCL backend: `Backend` and the built program."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np

from tilec.backend import Array, Built, Run, StepTime
from tilec.backends.opencl import devices
from tilec.backends.opencl.clocks import timed
from tilec.backends.opencl.fitting import fitted, private_bytes
from tilec.backends.opencl.kernels import KernelText
from tilec.backends.opencl.programs import ProgramText, copy_key, emit_programs
from tilec.backends.opencl.residents import Resident, resident
from tilec.backends.opencl.sessions import Session, refuse_forked
from tilec.backends.opencl.shortage import explained
from tilec.backends.opencl.storage import Storage, Value
from tilec.errors import TileError, error
from tilec.host_functions import call_host
from tilec.loops import (
    Assign,
    Branch,
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
        session = Session.on(target)
        fitting, source, compiled = fitted(session, programs, target)
        parts = zip(fitting, source.programs, constants, strict=True)
        return [BuiltProgram(session, compiled, program, text, fixed) for program, text, fixed in parts]

    def memory(self, target: Target, nbytes: int) -> Resident:
        """Memory of a tensor that stays on the device; raises TileError TILE0416, TILE0509."""
        return resident(target, nbytes)


class BuiltProgram(Built):
    """A program on a device, with all its buffers. Calls from several threads take turns."""

    def __init__(
        self,
        session: Session,
        compiled: Any,
        program: Program,
        text: ProgramText,
        constants: Mapping[str, Array],
    ) -> None:
        self._session, self._program, self._text = session, program, text
        self._cl = devices.pyopencl()
        self._works = kernel_works(program)
        self._ahead = 0.0  # work that the device may still have to do
        with devices.translated("create the kernels"):
            self._kernels = {p.name: self._cl.Kernel(compiled, p.name) for k in text.all() for p in k.phases}
        shared = max((k.shared for k in text.all()), default=0)
        scratch = max((p.items * p.scratch for k in text.all() for p in k.phases), default=0)
        self._storage = Storage(session, program, constants, (shared, scratch))
        self._timings: dict[int, list[StepTime]] = {}  # by thread
        self._times: list[StepTime] | None = None  # of the present call
        self._lock = threading.Lock()
        self._prepare()

    def _prepare(self) -> None:
        """Runs the initial steps."""
        action = f"prepare {self._program.name!r}"
        try:
            with devices.translated(action), explained(action, self._session, self._storage.needs):
                self._storage.prepare()
                self._steps(self._program.init)
                self._storage.settle()
        except BaseException:
            self._storage.release()
            raise

    def __call__(self, params: Sequence[Value], results: Sequence[Value]) -> None:
        """See `tilec.backend.Built`. `params` are those that are not constants."""
        self._run(params, results, None)

    def at(self, sizes: Mapping[str, int]) -> Run:
        return lambda params, results: self._run(params, results, sizes)

    @contextmanager
    def timing(self) -> Iterator[list[StepTime]]:
        """See `tilec.backend.Built`."""
        thread = threading.get_ident()
        self._timings[thread] = []
        try:
            yield self._timings[thread]
        finally:
            del self._timings[thread]

    def _run(self, params: Sequence[Value], results: Sequence[Value], sizes: Mapping[str, int] | None) -> None:
        action = f"run {self._program.name!r}"
        refuse_forked()
        with self._lock, self._clocked():
            try:
                with devices.translated(action), explained(action, self._session, self._storage.needs):
                    self._storage.begin(params, results, sizes)
                    self._steps(self._program.steps)
                    self._storage.end()
            except BaseException as reason:
                refused = isinstance(reason, TileError) and reason.code not in ("TILE0416", "TILE0710")
                self._storage.give_up(lost=not refused)
                raise

    @contextmanager
    def _clocked(self) -> Iterator[None]:
        """Another queue as long as this thread wants times."""
        self._times = self._timings.get(threading.get_ident())
        usual = self._session
        if self._times is not None:
            self._session = self._storage.session = usual.timing()
        try:
            yield
        finally:
            self._session, self._storage.session, self._times = usual, usual, None

    def private_bytes(self) -> dict[str, int]:
        """By kernel of OpenCL, the memory of an item beside registers: where there are no arrays, what is spilled."""
        return {name: private_bytes(self._session, kernel) for name, kernel in self._kernels.items()}

    # steps

    def _steps(self, steps: Sequence[Step]) -> None:
        for step in steps:
            if isinstance(step, Launch | Copy):
                self._wait(step)
            match step:
                case Launch():
                    self._launch(step.kernel, self._text.kernels[step.kernel], step.args)
                case Copy():
                    text = self._text.copies[
                        copy_key(self._program.buffer(step.source), self._program.buffer(step.target))
                    ]
                    self._launch(f"copy to {step.target}", text, (step.source, step.target))
                case Check(condition, message, span, code):
                    if not self._holds(condition):
                        raise error(code, message, span)
                case HostCall():
                    self._host(step)
                case Assign(target, form):
                    value = form.evaluate({**self._storage.sizes, **self._storage.indices})
                    self._storage.set(target, np.int64(int(value)))
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
        shapes = [tuple(map(self._storage.number, self._program.buffer(n).shape)) for n in step.outputs]
        for name, value in zip(step.outputs, call_host(step.function, shapes, operands, step.span), strict=True):
            memory, elements = self._elements(name)
            elements[...] = value
            self._storage.write(name, memory)

    def _elements(self, name: str) -> tuple[Array, Array]:
        """A copy of the memory from a buffer's first element to its last, and the elements in it."""
        buffer = self._program.buffer(name)
        shape, strides = (list(map(self._storage.number, sizes)) for sizes in (buffer.shape, strides_of(buffer)))
        last = sum((n - 1) * s for n, s in zip(shape, strides, strict=True))
        memory = np.empty(0 if 0 in shape else last + 1, buffer.dtype.numpy)
        self._storage.read(name, memory)
        size = memory.itemsize
        return memory, np.lib.stride_tricks.as_strided(memory, shape, [s * size for s in strides])

    def _wait(self, step: Launch | Copy) -> None:
        """Lets the device finish before a step, where it has much to do: nothing ends what it has been told."""
        self._ahead += work(step, self._program, self._works)
        if self._ahead >= PATIENCE:
            self._session.finish()
            self._ahead = 0.0

    def _iterate(self, step: Iterate) -> None:
        extent = self._storage.number(step.extent)
        if step.count is not None:
            extent = max(0, min(int(self._scalar(step.count)), extent))
        for index in reversed(range(extent)) if step.reverse else range(extent):
            self._storage.indices[step.index] = index
            self._steps(step.steps)

    def _holds(self, condition: str) -> bool:
        return bool(self._scalar(condition))

    def _scalar(self, name: str) -> Array:
        """The value of a buffer of rank 0, as it is now."""
        value = np.empty((), self._program.buffer(name).dtype.numpy)
        self._storage.read(name, value)
        return value

    def _launch(self, name: str, text: KernelText, buffers: Sequence[str]) -> None:
        args: list[Any] = []
        for buffer in buffers:
            memory, start = self._storage.place(buffer)
            args += [memory, np.int64(start)]
        shared, scratch = (block and block.memory for block in self._storage.further)
        args += [shared] if text.shared else []
        sizes = [np.int64(self._storage.sizes[size]) for size in text.sizes]
        for phase in text.phases:
            if phase.items:
                extra = [scratch] if phase.scratch else []
                local = phase.local or ((1,) if phase.items <= _FEW else None)
                self._one(name, self._kernels[phase.name], phase.shape, local, [*args, *extra, *sizes])

    def _one(self, name: str, kernel: Any, items: Any, local: Any, args: list[Any]) -> None:
        if self._times is None:
            self._session.launch(kernel, items, local, args)
        else:
            launch = partial(self._session.launch, kernel, items, local, args)
            self._times.append(timed(name, launch, self._session.finish))
