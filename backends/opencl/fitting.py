"""Programs as a device can run them: what a kernel needs is known once it is compiled."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from tilec.backends.opencl import devices, trials
from tilec.backends.opencl.narrow import narrowed
from tilec.backends.opencl.programs import ProgramText, Source, emit_programs
from tilec.backends.opencl.sessions import Session
from tilec.errors import error
from tilec.loops import Program
from tilec.target import Target


def fitted(session: Session, programs: Sequence[Program], target: Target) -> tuple[list[Program], Source, Any]:
    """The programs, their text and what it is compiled to. Where a kernel, as it was built, allows groups of fewer
    items than it has, each item does the work of several. Raises TILE0509 where the device lacks fp64, TILE0602."""
    allowed = min(int(session.device.max_work_group_size), target.group or sys.maxsize)
    found = [_narrowed(p, {k.name: allowed for k in p.kernels}) for p in programs]
    while True:
        source = emit_programs(found)
        if source.fp64 and not session.has_fp64():
            raise error("TILE0509", f"the OpenCL device {target.cpu or target.device!r} has no float64")
        compiled = session.build(trials.definitions(session, source.text) + source.text)
        fitting = [_narrowed(p, _limits(session, compiled, t)) for p, t in zip(found, source.programs, strict=True)]
        if all(a is b for a, b in zip(found, fitting, strict=True)):
            return found, source, compiled
        found = fitting


def _limits(session: Session, compiled: Any, text: ProgramText) -> dict[str, int]:
    """By kernel with groups, the most items of them."""
    groups = {name: [p.name for p in kernel.phases if p.group] for name, kernel in text.kernels.items()}
    return {name: min(most_items(session, compiled, n) for n in phases) for name, phases in groups.items() if phases}


def _narrowed(program: Program, limits: Mapping[str, int]) -> Program:
    """The program, the same object where no group of its kernels is too large."""
    kernels = tuple(narrowed(k, limits[k.name]) if k.name in limits else k for k in program.kernels)
    same = all(a is b for a, b in zip(kernels, program.kernels, strict=True))
    return program if same else replace(program, kernels=kernels)


def most_items(session: Session, compiled: Any, name: str) -> int:
    """How many items a group may have that runs a kernel."""
    cl = devices.pyopencl()
    with devices.translated("create the kernels"):
        kernel = cl.Kernel(compiled, name)
        return int(kernel.get_work_group_info(cl.kernel_work_group_info.WORK_GROUP_SIZE, session.device))


def private_bytes(session: Session, kernel: Any) -> int:
    """Memory of an item beside registers, as the driver says: its arrays, and what registers have no room for."""
    with devices.translated("ask for the memory of a kernel"):
        info = devices.pyopencl().kernel_work_group_info.PRIVATE_MEM_SIZE
        return int(kernel.get_work_group_info(info, session.device))
