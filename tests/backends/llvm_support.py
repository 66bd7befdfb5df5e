"""Small helpers of the LLVM backend's tests: one kernel as a program, and elementwise kernels."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest

from tilec.affine import Affine
from tilec.backends.llvm.backend import BuiltProgram, LLVMBackend
from tilec.backends.llvm.target import host, is_x86, named
from tilec.dtypes import DType
from tilec.expr import Expr, read
from tilec.loops import Buffer, For, Kernel, KernelParam, Launch, LoopKind, Program, Stmt, Store
from tilec.target import Target

Array = np.ndarray[Any, np.dtype[Any]]
KINDS: tuple[LoopKind, ...] = ("vector", "serial")


@cache
def serial_host() -> Target:
    return replace(host(), threads=1)


def older(name: str) -> Target:
    """This machine as if it had only the instructions of an older one: `sse2`, `avx2`. Skips on other processors."""
    if not is_x86(host()) or not set(named(name).features) <= set(host().features):
        pytest.skip(f"this machine is no {name} one")
    return replace(named(name), device="host")


def program_of(kernel: Kernel) -> Program:
    """A program that launches one kernel on its own parameters."""
    buffers = tuple(p.buffer for p in kernel.params)
    inputs = tuple(p.buffer.name for p in kernel.params if p.mode == "in")
    outputs = tuple(p.buffer.name for p in kernel.params if p.mode != "in")
    launch = Launch(kernel.name, tuple(b.name for b in buffers))
    return Program(kernel.name, inputs, outputs, buffers, (kernel,), (launch,))


def build(kernel: Kernel, target: Target | None = None) -> BuiltProgram:
    return LLVMBackend().build(program_of(kernel), target or serial_host(), {})


def run(kernel: Kernel, arrays: Mapping[str, Array], target: Target | None = None) -> dict[str, Array]:
    """The contents of all buffers after the kernel, which starts from copies of `arrays`."""
    copies = {n: np.ascontiguousarray(a).copy() for n, a in arrays.items()}
    program = program_of(kernel)
    build(kernel, target)([copies[n] for n in program.params], [copies[n] for n in program.results])
    return copies


def elementwise(values: Mapping[str, Expr], inputs: Sequence[DType], count: int) -> Kernel:
    """For each name and value: `name.vector[i] = value` in a vector loop, and the same serially into `name.serial`.

    The values read `in0[i]`, `in1[i]` ... for i in 0 .. count-1: see `operands`.
    """
    params = [KernelParam(Buffer(f"in{n}", d, (count,), "param"), "in") for n, d in enumerate(inputs)]
    body: list[Stmt] = []
    for name, value in values.items():
        for kind in KINDS:
            params.append(KernelParam(Buffer(f"{name}.{kind}", value.dtype, (count,), "param"), "out"))
            body.append(For("i", count, kind, (Store(f"{name}.{kind}", (Affine.var("i"),), value),)))
    return Kernel("elementwise", tuple(params), tuple(body))


def operands(inputs: Sequence[DType]) -> tuple[Expr, ...]:
    return tuple(read(f"in{n}", (Affine.var("i"),), d) for n, d in enumerate(inputs))


def compute(
    values: Mapping[str, Expr], columns: Sequence[Array], dtypes: Sequence[DType], target: Target | None = None
) -> dict[str, Array]:
    """Results of an elementwise kernel on columns of equal length."""
    kernel = elementwise(values, dtypes, len(columns[0]))
    start = {p.buffer.name: np.zeros(len(columns[0]), p.buffer.dtype.numpy) for p in kernel.params}
    return run(kernel, start | {f"in{n}": c for n, c in enumerate(columns)}, target)


def ordered_bits(array: Array) -> Array:
    """Floats as int64 in the order of the numbers, so that a difference counts ulp; -0 is 0."""
    width = array.dtype.itemsize * 8
    bits = array.view(f"i{array.dtype.itemsize}").astype(object)
    return np.array([int(b) if b >= 0 else -(int(b) + (1 << (width - 1))) for b in bits.ravel()], object)


def ulp_distance(a: Array, b: Array) -> int:
    """Greatest distance of two float arrays in ulp; raises AssertionError where NaN meets a number."""
    nan_a, nan_b = (np.isnan(x.astype(np.float64)) for x in (a, b))
    assert (nan_a == nan_b).all(), f"NaN differs at {np.flatnonzero(nan_a != nan_b)[:5]}"
    keep = ~nan_a
    distance = np.abs(ordered_bits(a[keep]) - ordered_bits(b[keep]))
    return int(max(distance, default=0))


def undefined_symbols(elf: bytes) -> set[str]:
    """Names that an ELF64 little-endian object imports."""
    (section_offset,) = struct.unpack_from("<Q", elf, 40)
    size, count = struct.unpack_from("<HH", elf, 58)
    sections = [struct.unpack_from("<IIQQQQIIQQ", elf, section_offset + i * size) for i in range(count)]
    found = set()
    for _, kind, _, _, offset, length, link, _, _, entry in sections:
        if kind != 2:  # SHT_SYMTAB
            continue
        strings = sections[link][4]
        for at in range(offset, offset + length, entry):
            name, _, _, section, _, _ = struct.unpack_from("<IBBHQQ", elf, at)
            if section == 0 and name:
                found.add(elf[strings + name : elf.index(b"\0", strings + name)].decode())
    return found
