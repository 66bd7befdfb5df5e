"""Floor 3: how much work steps are at most, roughly: elements that kernels compute, and some for every launch.

A count of elements is not time: on one core a matrix product takes 0.05 ns for each, a power of float64 20 ns. It tells
loops that may run for long from those that are over before anyone notices.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import inf

from tilec.affine import Size
from tilec.buffers import elements
from tilec.loops import (
    Block,
    Branch,
    Buffer,
    Copy,
    For,
    Iterate,
    Kernel,
    Launch,
    Program,
    Repeat,
    Step,
    Stmt,
    While,
    children,
)

PATIENCE = 1 << 24  # the work that is done without looking whether the caller wants an end: below half a second
BRIEF = 1 << 15  # the work of some 20 microseconds, seldom more than half a millisecond
_LAUNCH = 64  # some nanoseconds
_ROUNDS = 32  # of a loop in a kernel whose number of rounds is not known


def is_brief(program: Program) -> bool:
    """Whether a run is over before it would pay to let other threads of Python go on."""
    known = kernel_works(program)
    return sum(work(s, program, known) for s in program.steps) <= BRIEF


def work(step: Step, program: Program, kernels: Mapping[str, float] | None = None) -> float:
    """The most work that a step can be; infinite where nothing bounds it. `kernels`: that of each, by name."""
    known = kernel_works(program) if kernels is None else kernels

    def total(steps: Iterable[Step]) -> float:
        return sum(work(s, program, known) for s in steps)

    match step:
        case Launch(kernel):
            return known[kernel] + _LAUNCH
        case Copy(_, target):
            return _elements(program.buffer(target)) + _LAUNCH
        case Iterate(extent=extent, steps=steps):
            return _times(extent, total(steps))
        case Repeat():
            return inf
        case Branch(_, then, orelse):
            return max(total(then), total(orelse))
        case _:
            return _LAUNCH


def kernel_works(program: Program) -> dict[str, float]:
    """The work of one launch of each kernel, by name."""
    return {k.name: kernel_work(k) for k in program.kernels}


def kernel_work(kernel: Kernel) -> float:
    """Statements that a launch executes; infinite with an open size."""
    return _block(kernel.body)


def _block(block: Block) -> float:
    return sum(map(_statement, block))


def _statement(stmt: Stmt) -> float:
    match stmt:
        case For(extent=extent, body=body):
            return _times(extent, _block(body))
        case While(body=body):
            return _ROUNDS * (1 + _block(body))
        case _:
            return 1 + _block(children(stmt))


def _elements(buffer: Buffer) -> float:
    return elements(buffer) if all(isinstance(s, int) for s in buffer.shape) else inf


def _times(extent: Size, work: float) -> float:
    if not isinstance(extent, int):
        return inf
    return extent * work if extent and work else 0.0
