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

from tilec.canonical import canonical
from tilec.loops import Kernel, Launch, Program, map_exprs, map_launches
from tilec.numbering import Numbering
from tilec.text.loops_text import print_kernel


@dataclass(frozen=True, slots=True)
class Options:
    """No choices."""


def run(program: Program, options: Options = Options()) -> Program:
    """The program with each kernel once; the same object where no two were equal."""
    kept: dict[str, Kernel] = {}
    names: dict[str, str] = {}
    numbering = Numbering()
    for kernel in program.kernels:
        names[kernel.name] = kept.setdefault(_key(kernel, numbering), kernel).name
    if len(kept) == len(program.kernels):
        return program

    def launch(step: Launch) -> Launch:
        return replace(step, kernel=names[step.kernel])

    init, steps = map_launches(program.init, launch), map_launches(program.steps, launch)
    return replace(program, kernels=tuple(kept.values()), init=init, steps=steps)


def _key(kernel: Kernel, numbering: Numbering) -> str:
    """Equal for kernels that do the same."""
    plain = canonical(kernel)
    return print_kernel(replace(plain, body=map_exprs(plain.body, numbering.stand_in)))
