"""Pass `share`: kernels that are equal up to names become one kernel, launched several times.

A network of fifty equal layers is then scheduled, compiled and kept in the instruction cache once. It runs before the
kernels are scheduled. The first of equal kernels stays.

Before:
    program f(A) -> (C) {
      buffer A: param f32[4]
      buffer B: heap f32[4]
      buffer C: param f32[4]
      kernel first(in A: f32[4], out B: f32[4]) { for i in 4 { B[i] = neg(A[i]) } }
      kernel second(in B: f32[4], out C: f32[4]) { for j in 4 { C[j] = neg(B[j]) } }
      run { launch first(A, B)  launch second(B, C) }
    }
After:
    program f(A) -> (C) {
      buffer A: param f32[4]
      buffer B: heap f32[4]
      buffer C: param f32[4]
      kernel first(in A: f32[4], out B: f32[4]) { for i in 4 { B[i] = neg(A[i]) } }
      run { launch first(A, B)  launch first(B, C) }
    }
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from tilec.kernel_key import Key, kernel_key
from tilec.loops import Kernel, Launch, Program, map_launches


@dataclass(frozen=True, slots=True)
class Options:
    """No choices."""


def run(program: Program, options: Options = Options()) -> Program:
    """The program with each kernel once; the same object where no two were equal."""
    kept: dict[Key, Kernel] = {}
    names: dict[str, str] = {}
    for kernel in program.kernels:
        names[kernel.name] = kept.setdefault(kernel_key(kernel), kernel).name
    if len(kept) == len(program.kernels):
        return program

    def launch(step: Launch) -> Launch:
        return replace(step, kernel=names[step.kernel])

    init, steps = map_launches(program.init, launch), map_launches(program.steps, launch)
    return replace(program, kernels=tuple(kept.values()), init=init, steps=steps)
