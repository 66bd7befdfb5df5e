"""Programs as OpenCL C. Several programs can share one source text: building is slow, mostly per text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tilec.affine import Affine
from tilec.backends.opencl import types
from tilec.backends.opencl.expressions import Functions
from tilec.backends.opencl.kernels import KernelText, emit_kernel
from tilec.dtypes import BOOL, BY_NAME
from tilec.errors import error
from tilec.expr import read
from tilec.loops import (
    Block,
    Branch,
    Buffer,
    Copy,
    For,
    HostCall,
    Kernel,
    KernelParam,
    Program,
    Repeat,
    Step,
    Store,
    strides_of,
)


@dataclass(frozen=True, slots=True)
class ProgramText:
    """The kernels of one program by name, and those of its copies by (source, target)."""

    kernels: dict[str, KernelText]
    copies: dict[tuple[str, str], KernelText]

    def all(self) -> Iterator[KernelText]:
        yield from self.kernels.values()
        yield from self.copies.values()


@dataclass(frozen=True, slots=True)
class Source:
    """A text to build, what is in it, and whether it needs a device with fp64."""

    text: str
    programs: tuple[ProgramText, ...]
    fp64: bool


def emit_programs(programs: Sequence[Program]) -> Source:
    """Raises TileError TILE0210 for named sizes, TILE0602 for what OpenCL cannot express."""
    functions = Functions()
    found = tuple(_program(p, f"g{i}", functions) for i, p in enumerate(programs))
    kernels = "\n".join(phase.text for p in found for k in p.all() for phase in k.phases)
    return Source(f"{types.prelude(functions.fp64)}\n{functions.text()}\n{kernels}", found, functions.fp64)


def _program(program: Program, prefix: str, functions: Functions) -> ProgramText:
    if program.sizes:
        raise error("TILE0210", f"the OpenCL backend needs every size; {', '.join(program.sizes)} is not known")
    kernels = {k.name: emit_kernel(k, f"{prefix}_k{i}", functions) for i, k in enumerate(program.kernels)}
    buffers = {b.name: b for b in program.buffers}
    copies: dict[tuple[str, str], KernelText] = {}
    for step in walk_steps((*program.init, *program.steps)):
        if isinstance(step, HostCall):
            raise error("TILE0602", f"the OpenCL backend cannot call the host function '{step.function}'")
        if isinstance(step, Copy):
            kernel = copy_kernel(buffers[step.source], buffers[step.target])
            copies[step.source, step.target] = emit_kernel(kernel, f"{prefix}_c{len(copies)}", functions)
    return ProgramText(kernels, copies)


def walk_steps(steps: Sequence[Step]) -> Iterator[Step]:
    """Every step, those inside of others too."""
    for step in steps:
        yield step
        match step:
            case Repeat():
                yield from walk_steps((*step.test, *step.steps))
            case Branch():
                yield from walk_steps((*step.then, *step.orelse))
            case _:
                pass


def copy_kernel(source: Buffer, target: Buffer) -> Kernel:
    """A bitwise copy between buffers of equal shape, over a parallel nest; a bool becomes 0 or 1."""
    plain = target.dtype if target.dtype == BOOL else BY_NAME[f"u{target.dtype.bits}"]
    a, b = (Buffer(n, plain, x.shape, "param", strides_of(x)) for n, x in (("source", source), ("target", target)))
    place = tuple(Affine.var(f"i{k}") for k in range(len(target.shape)))
    body: Block = (Store("target", place, read("source", place, plain)),)
    for k in reversed(range(len(target.shape))):
        body = (For(f"i{k}", target.shape[k], "parallel", body),)
    return Kernel("copy", (KernelParam(a, "in"), KernelParam(b, "out")), body)
