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
from tilec.expr import Const, Expr, walk
from tilec.loops import Branch, Kernel, Launch, Let, Program, Repeat, Step, Store, While
from tilec.loops import walk as statements


@dataclass(frozen=True, slots=True)
class Options:
    """No choices."""


def run(program: Program, options: Options = Options()) -> Program:
    """The program with each kernel once; the same object where no two were equal."""
    kept: dict[object, Kernel] = {}
    names: dict[str, str] = {}
    for kernel in program.kernels:
        names[kernel.name] = kept.setdefault(_key(kernel), kernel).name
    if len(kept) == len(program.kernels):
        return program

    def visit(step: Step) -> Step:
        match step:
            case Launch():
                return replace(step, kernel=names[step.kernel])
            case Repeat():
                return replace(step, test=tuple(map(visit, step.test)), steps=tuple(map(visit, step.steps)))
            case Branch():
                return replace(step, then=tuple(map(visit, step.then)), orelse=tuple(map(visit, step.orelse)))
            case _:
                return step

    init, steps = tuple(map(visit, program.init)), tuple(map(visit, program.steps))
    return replace(program, kernels=tuple(kept.values()), init=init, steps=steps)


def _key(kernel: Kernel) -> object:
    """Equal for kernels that do the same. Numbers are compared by their text: 0.0 is not -0.0, and NaN is itself."""
    form = canonical(kernel)
    values = [e for s in statements(form.body) for v in _values(s) for e in walk(v)]
    return str([repr(e.value) for e in values if isinstance(e, Const)]), form


def _values(stmt: object) -> list[Expr]:
    match stmt:
        case Store() | Let():
            return [stmt.value]
        case While():
            return [stmt.condition]
        case _:
            return []
