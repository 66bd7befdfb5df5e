"""Programs as OpenCL C. Several programs can share one source text: building is slow, mostly per text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from tilec.affine import Size
from tilec.backends.opencl import types
from tilec.backends.opencl.expressions import Functions
from tilec.backends.opencl.kernels import KernelText, emit_kernel
from tilec.buffers import bits_type, copy_kernel
from tilec.loops import (
    Buffer,
    Copy,
    Kernel,
    Program,
    all_steps,
    strides_of,
)

CopyKey: TypeAlias = tuple[str, tuple[Size, ...], tuple[Size, ...], tuple[Size, ...]]


@dataclass(frozen=True, slots=True)
class ProgramText:
    """The kernels of one program by name, and those of its copies by the memory that they copy (`copy_key`)."""

    kernels: dict[str, KernelText]
    copies: dict[CopyKey, KernelText]

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
    """Raises TileError TILE0602 for what OpenCL cannot express."""
    functions = Functions()
    found = tuple(_program(p, f"g{i}", functions) for i, p in enumerate(programs))
    kernels = "\n".join(phase.text for p in found for k in p.all() for phase in k.phases)
    return Source(f"{types.prelude(functions.fp64)}\n{functions.text()}\n{kernels}", found, functions.fp64)


def _program(program: Program, prefix: str, functions: Functions) -> ProgramText:
    kernels = {k.name: emit_kernel(k, f"{prefix}_k{i}", functions) for i, k in enumerate(program.kernels)}
    buffers = {b.name: b for b in program.buffers}
    copies: dict[CopyKey, KernelText] = {}
    for step in all_steps((*program.init, *program.steps)):
        if isinstance(step, Copy):
            source, target = buffers[step.source], buffers[step.target]
            if (key := copy_key(source, target)) not in copies:
                copies[key] = emit_kernel(_copy(source, target), f"{prefix}_c{len(copies)}", functions)
    return ProgramText(kernels, copies)


def copy_key(source: Buffer, target: Buffer) -> CopyKey:
    """Equal for copies that one kernel can do."""
    return target.dtype.name, target.shape, strides_of(source), strides_of(target)


def _copy(source: Buffer, target: Buffer) -> Kernel:
    """A bitwise copy between buffers of equal shape, over a parallel nest; a bool becomes 0 or 1."""
    plain = bits_type(target.dtype)
    a, b = (Buffer(n, plain, x.shape, "param", strides_of(x)) for n, x in (("source", source), ("target", target)))
    return copy_kernel(a, b, "parallel")
