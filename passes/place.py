"""Pass `place`: gives every heap buffer of a Program its place in one arena.

First, heap memory that a kernel allocates for itself, at the top of its body, becomes a parameter of the kernel and a
buffer of the program. Then each buffer is placed at the lowest 64-byte aligned offset at which it overlaps no buffer
alive at the same time, largest first; see `tilec.arena`. A buffer lives from the first step that touches it, or a view
of it, to the last; inside of a loop, from where a round stores it to where the same round reads it last, unless it goes
round; see `tilec.verify.lifetimes`. What `init` touches has no place: it is kept from call to call, and the arena is
the memory of one call. A program with open sizes gets its places at run time.

Error: TILE0414 where an offset or a size is 2^63 bytes or more.

Before:
    program f(A) -> (C) {
      buffer A: param f32[4]
      buffer B: heap f32[4]
      buffer C: param f32[4]
      kernel a(in A: f32[4], out B: f32[4]) { for i in 4 { B[i] = neg(A[i]) } }
      kernel b(in B: f32[4], out C: f32[4]) {
        alloc t: heap f32[4]
        for i in 4 { t[i] = neg(B[i]) }
        for j in 4 { C[j] = neg(t[j]) }
      }
      run { launch a(A, B)  launch b(B, C) }
    }
After:
    program f(A) -> (C) {
      buffer A: param f32[4]
      buffer B: heap f32[4]
      buffer C: param f32[4]
      buffer t: heap f32[4]
      arena 80
      place B 0
      place t 64
      kernel a(in A: f32[4], out B: f32[4]) { for i in 4 { B[i] = neg(A[i]) } }
      kernel b(in B: f32[4], out C: f32[4], out t: f32[4]) {
        for i in 4 { t[i] = neg(B[i]) }
        for j in 4 { C[j] = neg(t[j]) }
      }
      run { launch a(A, B)  launch b(B, C, t) }
    }
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod

from tilec.arena import Life, assign
from tilec.exact.boxes import integer
from tilec.fresh import FreshNames
from tilec.loops import (
    Alloc,
    Buffer,
    Kernel,
    KernelParam,
    Launch,
    Program,
    map_launches,
)
from tilec.open_arena import lives_at, open_lives


@dataclass(frozen=True, slots=True)
class Options:
    """`alignment` of every buffer, in bytes."""

    alignment: int = 64


def run(program: Program, options: Options = Options()) -> Program:
    """The Program with `places` and `arena`; all of its heap memory is program buffers."""
    program = hoist(program)
    if program.sizes:
        return program
    lives = lives_of(program)
    places, arena = assign(lives, options.alignment)
    ordered = tuple((b.name, places[b.name]) for b in program.buffers if b.name in places)
    if (ordered, arena) == (program.places, program.arena):
        return program
    return replace(program, places=ordered, arena=arena)


# --- kernels' own memory ----------------------------------------------------------------------------------------------


def hoist(program: Program) -> Program:
    """Turns heap buffers that kernels allocate at the top of their bodies into program buffers."""
    own = {k.name: _allocated(k) for k in program.kernels}
    if not any(own.values()):
        return program
    kernels = tuple(_without_allocations(k, own[k.name]) for k in program.kernels)
    buffers: dict[str, Buffer] = {b.name: b for b in program.buffers}
    names = FreshNames(frozenset(buffers))

    def declare(buffer: Buffer) -> str:
        name = names.like(buffer.name)
        buffers[name] = replace(buffer, name=name)
        return name

    def launch(step: Launch) -> Launch:
        return replace(step, args=(*step.args, *map(declare, own[step.kernel])))

    init, steps = map_launches(program.init, launch), map_launches(program.steps, launch)
    return replace(program, kernels=kernels, init=init, steps=steps, buffers=tuple(buffers.values()))


def _allocated(kernel: Kernel) -> list[Buffer]:
    return [s.buffer for s in kernel.body if isinstance(s, Alloc) and s.buffer.space == "heap" and not s.buffer.base]


def _without_allocations(kernel: Kernel, own: list[Buffer]) -> Kernel:
    if not own:
        return kernel
    body = tuple(s for s in kernel.body if not (isinstance(s, Alloc) and s.buffer in own))
    params = tuple(KernelParam(replace(b, space="param"), "out") for b in own)
    return replace(kernel, params=(*kernel.params, *params), body=body)


# --- lifetimes --------------------------------------------------------------------------------------------------------


def lives_of(program: Program) -> list[Life]:
    """One Life per heap buffer that is not a view and that only `steps` touch."""
    return lives_at(open_lives(program), {})


def size_of(buffer: Buffer) -> int:
    """Bytes of a dense buffer."""
    return prod(map(integer, buffer.shape)) * buffer.dtype.bytes
