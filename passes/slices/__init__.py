"""Pass `slices`: kernels over open sizes become kernels over slices of fixed extents, launched in counted loops.

A loop over an open size N runs in blocks: as many of the largest extent as fit, then of the next smaller one, down to
1. For each extent there is a kernel in which every size is a number, so that all that follows (schedules, backends) is
as good for it as for any other; a launch gets views of the buffers that start where its slice does. Strides of these
views may be open sizes: those along an axis that stands before an open one.

Where a kernel only stores cells of its own and reads nothing of them, the rest of a loop that is no whole block is a
block that ends with the loop, and some rows are computed twice: 30 rows are two blocks of 16, not 16 + 4 + 4 + 4 + 2.

The order in which the terms of a cell are aggregated stays: a loop that orders them is not moved out of another one.
What a kernel needs of the values of sizes and of outer indices is given to it in rank-0 buffers.

Of an axis at which data are indices a kernel gets all: its extent stays open.

Error: TILE0210 where an open size needs what this cannot give: a condition on an index that has to run outside of
kernels.

Before:
    program f[N](A) -> (C) {
      buffer A: param f32[N, 3]
      buffer C: param f32[N, 3]
      kernel k(in A: f32[N, 3], out C: f32[N, 3]) {
        for i in N { for j in 3 { C[i, j] = neg(A[i, j]) } }
      }
      run { launch k(A, C) }
    }
After, with slices of 8 rows and of 1:
    program f[N](A) -> (C) {
      derived "N/8" = N by 8
      derived "-8 + N >= 0" = 4611686018427387896 + N by 4611686018427387904
      derived "-1 + N + -8*N/8 >= 0" = 4611686018427387903 + N - 8*"N/8" by 4611686018427387904
      buffer A: param f32[N, 3]
      buffer C: param f32[N, 3]
      buffer A.1: param f32[8, 3] base A offset 24*i
      buffer C.1: param f32[8, 3] base C offset 24*i
      buffer A.2: param f32[8, 3] base A offset 24*i.2 + (-24 + 3*N)
      buffer C.2: param f32[8, 3] base C offset 24*i.2 + (-24 + 3*N)
      buffer A.3: param f32[1, 3] base A offset 3*i.3
      buffer C.3: param f32[1, 3] base C offset 3*i.3
      kernel k.8(in A: f32[8, 3], out C: f32[8, 3]) {
        for i in 8 {
          for j in 3 {
            C[i, j] = neg(A[i, j])
          }
        }
      }
      kernel k.1(in A: f32[1, 3], out C: f32[1, 3]) {
        for j in 3 {
          C[0, j] = neg(A[0, j])
        }
      }
      run {
        iterate i in "N/8" do {
          launch k.8(A.1, C.1)
        }
        iterate i.2 in "-1 + N + -8*N/8 >= 0"*"-8 + N >= 0" do {
          launch k.8(A.2, C.2)
        }
        iterate i.3 in -"-8 + N >= 0"*N + N do {
          launch k.1(A.3, C.3)
        }
      }
    }
"""

from __future__ import annotations

from dataclasses import replace

from tilec.loops import Launch, Program, Step, all_steps, is_unsliced, parts, with_parts

from .program import DEFAULT, Options, Slicer, copy_launch

__all__ = ["Options", "run"]


def run(program: Program, options: Options = DEFAULT) -> Program:
    """The Program with all kernels of fixed extents; the same object where they are. Raises TileError TILE0210."""
    copies = [s for s in all_steps(program.steps) if copy_launch(s, program) is not None]
    if not copies and not any(map(is_unsliced, program.kernels)):
        return program
    slicer = Slicer(program, options)
    kernels = {k.name: k for k in program.kernels}

    def visit(step: Step) -> tuple[Step, ...]:
        copied = copy_launch(step, program)
        if copied is not None:
            return slicer.launch(*copied)
        if isinstance(step, Launch):
            kernel = kernels[step.kernel]
            return slicer.launch(kernel, step.args) if is_unsliced(kernel) else (step,)
        inner = parts(step)
        return (with_parts(step, tuple(tuple(s for p in part for s in visit(p)) for part in inner)) if inner else step,)

    steps = tuple(s for step in program.steps for s in visit(step))
    kept = tuple(k for k in program.kernels if not is_unsliced(k))
    return replace(slicer.finished(), kernels=(*kept, *slicer.kernels), steps=steps)
