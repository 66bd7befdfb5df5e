"""A whole program as an LLVM module whose only visible function runs it; or as several modules, to be linked.

    define void @run(ptr %table, ptr %arena, ptr %fixed, ptr %pool)      and @init, of the same form, for `Program.init`

`table` holds a pointer per caller's buffer in the order of `Layout.table`; `arena` is memory of one call; `fixed` holds
what `init` computes and constants need, for all calls; `pool` is null for one thread.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from tilec.backends.llvm.address import number
from tilec.backends.llvm.entries import PRIVATE, SHARED, Kernels, entry, looks
from tilec.backends.llvm.kernel import SLICE
from tilec.backends.llvm.layout import Host, HostArray, Layout
from tilec.backends.llvm.parts import Parts
from tilec.buffers import elements, root
from tilec.loops import (
    Buffer,
    Check,
    HostCall,
    Program,
    all_steps,
    strides_of,
    touched,
)
from tilec.target import Target
from tilec.work import kernel_works

ENOUGH = 1 << 17  # bytes of text that are worth a module of their own: about 0.1 s of LLVM's time
_ALIGN = 64


@dataclass(slots=True)
class ModuleText:
    text: str
    layout: Layout


def emit_module(program: Program, target: Target, signals: bool = True) -> ModuleText:
    """The module's text and memory layout; raises TileError TILE0602 for unknown steps."""
    texts: list[str] = []
    layout = emit_modules(program, target, texts.append, sys.maxsize, signals)
    return ModuleText(texts[0], layout)


def emit_modules(
    program: Program, target: Target, take: Callable[[str], None], size: int | None = None, signals: bool = True
) -> Layout:
    """The program as modules that are to be linked, each of about `size` bytes of text or one kernel; their layout.

    How it is divided depends on nothing but the program and the size (`ENOUGH`). Each text goes to `take` as soon as
    it is known; the module of the entries is the last. `signals`: whether long loops look for signals. Raises what
    `emit_module` raises.
    """
    parts = Parts(program.name, target, take, ENOUGH if size is None else size)
    kernels = Kernels(program, target, parts)
    layout = _layout(program)
    if checks_of(program):
        layout = replace(layout, status=layout.arena_bytes, arena_bytes=layout.arena_bytes + _ALIGN)
    if calls := calls_of(program):
        words = 1 + max(len(c.inputs) + len(c.outputs) for c in calls)
        layout = replace(layout, hosts=layout.arena_bytes, arena_bytes=layout.arena_bytes + _up(8 * words))
    works = kernel_works(program)
    if signals and any(looks(step, program, works) for step in all_steps(program.steps)):
        layout = replace(layout, interrupts=layout.arena_bytes, arena_bytes=layout.arena_bytes + _ALIGN)
    entries = [entry("run", program.steps, program, layout, kernels, works)]
    if program.init:
        entries.append(entry("init", program.init, program, replace(layout, interrupts=None), kernels, works))
    shared, slice_, scratch = _up(parts.shared), _up(parts.private), layout.arena_bytes
    parts.finish(entries, {SLICE: slice_, SHARED: scratch, PRIVATE: scratch + shared})
    total = scratch + shared + slice_ * max(1, target.threads)
    return replace(layout, arena_bytes=total)


def checks_of(program: Program) -> list[Check]:
    """The Checks of a program; the first is number 1."""
    return [step for step in all_steps(program.steps) if isinstance(step, Check)]


def calls_of(program: Program) -> tuple[Host, ...]:
    """The calls of host functions; the first is number 0."""
    arrays = {b.name: b for b in program.buffers}

    def described(names: Sequence[str]) -> tuple[HostArray, ...]:
        return tuple(map(_host_array, (arrays[n] for n in names)))

    calls = [step for step in all_steps(program.steps) if isinstance(step, HostCall)]
    return tuple(Host(c.function, described(c.inputs), described(c.outputs), c.span) for c in calls)


def _host_array(buffer: Buffer) -> HostArray:
    return HostArray(buffer.dtype.name, tuple(map(number, buffer.shape)), tuple(map(number, strides_of(buffer))))


def _up(size: int) -> int:
    return -(-size // _ALIGN) * _ALIGN


# memory ------------------------------------------------------------------------------------------------------------


def _layout(program: Program) -> Layout:
    """Offsets as `place` gave them; without them, and for what `init` writes, one after another."""
    constants = [n for n, _ in program.constants if n not in program.params]
    own = [b for b in program.buffers if b.base is None and b.space != "param" and b.name not in constants]
    table = dict.fromkeys([*program.params, *program.results, *constants])
    own = [b for b in own if b.name not in table]
    kept = _written_by_init(program)
    fixed, fixed_bytes = _row(b for b in own if b.name in kept)
    placed = dict(program.places)
    rest = [b for b in own if b.name not in kept]
    if program.sizes:
        table.update(dict.fromkeys(b.name for b in rest))
        names = [*program.sizes, *(name for name, _, _ in program.derived)]
        return Layout(tuple(table), {}, fixed, 0, fixed_bytes, None, {n: len(table) + k for k, n in enumerate(names)})
    if all(b.name in placed for b in rest):
        return Layout(tuple(table), placed, fixed, _up(program.arena), fixed_bytes)
    arena, arena_bytes = _row(rest)
    return Layout(tuple(table), arena, fixed, arena_bytes, fixed_bytes)


def _row(buffers: Iterable[Buffer]) -> tuple[dict[str, int], int]:
    offsets, end = {}, 0
    for buffer in buffers:
        offsets[buffer.name] = end
        end += _up(elements(buffer) * buffer.dtype.bytes)
    return offsets, end


def _written_by_init(program: Program) -> set[str]:
    """All buffers that init touches, so that its results outlive the call, without their views."""
    names: set[str] = set()
    for step in program.init:
        names.update(touched(step))
    buffers = {b.name: b for b in program.buffers}
    return {root(buffers[n], buffers).name for n in names}
