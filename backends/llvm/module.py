"""A whole program as an LLVM module whose only visible function runs it; or as several modules, to be linked.

    define void @run(ptr %table, ptr %arena, ptr %fixed, ptr %pool)      and @init, of the same form, for `Program.init`

`table` holds a pointer per caller's buffer in the order of `Layout.table`; `arena` is memory of one call; `fixed` holds
what `init` computes and constants need, for all calls; `pool` is null for one thread.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from math import prod

from tilec.affine import Affine, Coef, Poly
from tilec.backends.llvm.address import number
from tilec.backends.llvm.blocks import Emitter
from tilec.backends.llvm.kernel import SLICE, emit_kernel
from tilec.backends.llvm.layout import Layout
from tilec.backends.llvm.parts import Parts
from tilec.buffers import bits_type, elements, root
from tilec.errors import error
from tilec.expr import read
from tilec.loops import (
    Assign,
    Branch,
    Buffer,
    Check,
    Copy,
    For,
    HostCall,
    Iterate,
    Kernel,
    KernelParam,
    Launch,
    Program,
    Repeat,
    Step,
    Stmt,
    Store,
    all_steps,
    strides_of,
    touched,
)
from tilec.target import Target

ENOUGH = 1 << 17  # bytes of text that are worth a module of their own: about 0.1 s of LLVM's time
_ALIGN = 64


@dataclass(slots=True)
class ModuleText:
    text: str
    layout: Layout


def emit_module(program: Program, target: Target) -> ModuleText:
    """The module's text and memory layout; raises TileError TILE0602 for unknown steps."""
    texts: list[str] = []
    layout = emit_modules(program, target, texts.append, sys.maxsize)
    return ModuleText(texts[0], layout)


def emit_modules(program: Program, target: Target, take: Callable[[str], None], size: int | None = None) -> Layout:
    """The program as modules that are to be linked, each of about `size` bytes of text or one kernel; their layout.

    How it is divided depends on nothing but the program and the size (`ENOUGH`). Each text goes to `take` as soon as
    it is known; the module of the entries is the last. Raises what `emit_module` raises.
    """
    parts = Parts(program.name, target, take, ENOUGH if size is None else size)
    kernels = _Kernels(program, target, parts)
    layout = _layout(program)
    if checks_of(program):
        layout = replace(layout, status=layout.arena_bytes, arena_bytes=layout.arena_bytes + _ALIGN)
    entries = [_entry(name, steps, program, layout, kernels) for name, steps in _entries(program)]
    shared, slice_, scratch = _up(parts.shared), _up(parts.private), layout.arena_bytes
    parts.finish(entries, {SLICE: slice_, _SHARED: scratch, _PRIVATE: scratch + shared})
    total = scratch + shared + slice_ * max(1, target.threads)
    return replace(layout, arena_bytes=total)


def checks_of(program: Program) -> list[Check]:
    """The Checks of a program; the first is number 1."""
    return [step for step in all_steps(program.steps) if isinstance(step, Check)]


_SHARED, _PRIVATE = "__shared_offset__", "__private_offset__"


def _up(size: int) -> int:
    return -(-size // _ALIGN) * _ALIGN


def _entries(program: Program) -> list[tuple[str, tuple[Step, ...]]]:
    return [("run", program.steps), *([("init", program.init)] if program.init else [])]


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


# kernels -----------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Kernels:
    """Kernels emitted so far, by function name; copies are kernels too."""

    program: Program
    target: Target
    parts: Parts
    taken: set[str] = field(default_factory=set)
    names: dict[tuple[str, ...], str] = field(default_factory=dict)

    def function(self, kernel: Kernel, *key: str) -> str:
        """Name of the function for what `key` identifies, emitted when first asked for."""
        if key not in self.names:
            plain = "".join(c if c.isascii() and (c.isalnum() or c in "._") else "_" for c in ".".join(key))
            name = plain if plain not in self.taken else f"{plain}.{len(self.names)}"
            self.names[key] = name
            self.taken.add(name)
            self.parts.add(name, emit_kernel(kernel, name, self.target))
        return self.names[key]


def copy_kernel(source: Buffer, target: Buffer, lanes: int) -> Kernel:
    """A bitwise copy between buffers of equal shape, as a loop nest with a vector loop innermost."""
    plain = bits_type(target.dtype)
    a, b = (Buffer(n, plain, x.shape, "param", strides_of(x)) for n, x in (("source", source), ("target", target)))
    shape = [number(s) for s in target.shape]
    dense = strides_of(a) == strides_of(b) == strides_of(Buffer("", plain, target.shape))
    if dense:
        shape = [prod(shape)]
        a, b = (Buffer(x.name, plain, (shape[0],), "param") for x in (a, b))
    block, tail = (shape[-1] // lanes, shape[-1] % lanes) if shape else (0, 0)
    outer = [Affine.var(f"i{k}") for k in range(len(shape) - 1)]

    def element(last: list[Affine]) -> Stmt:
        place = (*outer, *last)
        return Store("target", place, read("source", place, plain))

    body: list[Stmt] = [element([])] if not shape else []
    if block:
        lane = For("lane", lanes, "vector", (element([Affine.of({"block": lanes, "lane": 1})]),))
        body.append(For("block", block, "serial", (lane,)))
    if tail:
        body.append(For("lane", tail, "vector", (element([Affine.of({"lane": 1}, block * lanes)]),)))
    for k in reversed(range(len(shape) - 1)):
        body = [For(f"i{k}", shape[k], "serial", tuple(body))]
    return Kernel("copy", (KernelParam(a, "in"), KernelParam(b, "out")), tuple(body))


# steps -------------------------------------------------------------------------------------------------------------


def _entry(name: str, steps: tuple[Step, ...], program: Program, layout: Layout, kernels: _Kernels) -> str:
    emitter = Emitter()
    entry = _Entry(emitter, program, layout, kernels, {n: slot for slot, n in enumerate(layout.table)})
    if layout.status is not None:
        emitter.line(f"store i64 0, ptr {entry.status()}, align 8")
    entry.steps(steps)
    emitter.line("ret void")
    return f"define void @{name}(ptr %table, ptr %arena, ptr %fixed, ptr %pool) #0 {{\n{emitter.text()}}}\n"


@dataclass(slots=True)
class _Entry:
    """Emits the steps of a program into one function."""

    emitter: Emitter
    program: Program
    layout: Layout
    kernels: _Kernels
    slots: dict[str, int]  # of the table
    indices: dict[str, str] = field(default_factory=dict)  # SSA values of the enclosing loops' indices
    checked: int = 0  # Checks so far

    def steps(self, steps: tuple[Step, ...]) -> None:
        for step in steps:
            self.step(step)

    def step(self, step: Step) -> None:
        match step:
            case Launch():
                kernel = self.program.kernel(step.kernel)
                self.call(self.kernels.function(kernel, "kernel", kernel.name), step.args)
            case Copy():
                self.copy(step)
            case Iterate():
                self.iterate(step)
            case Assign(target, value):
                self.emitter.line(f"store i64 {self.form(value)}, ptr {self.pointer(target)}, align 8")
            case Repeat():
                self.repeat(step)
            case Branch():
                self.branch(step)
            case Check():
                self.check(step)
            case HostCall():
                raise error("TILE0602", f"host function {step.function!r} cannot be called by the LLVM backend")

    def call(self, function: str, args: tuple[str, ...]) -> None:
        shared = self.emitter.hoist(f"getelementptr i8, ptr %arena, i64 {_SHARED}", 0)
        private = self.emitter.hoist(f"getelementptr i8, ptr %arena, i64 {_PRIVATE}", 0)
        pointers = [f"ptr {self.pointer(a)}" for a in args]
        self.emitter.line(
            f"call void @{function}({', '.join([*pointers, f'ptr {shared}', f'ptr {private}', 'ptr %pool'])})"
        )

    def pointer(self, name: str) -> str:
        """Address of a buffer, computed once at the entry."""
        buffer = self.program.buffer(name)
        if buffer.moves:
            return self.moving(buffer)
        if buffer.base is not None and isinstance(buffer.offset, Poly):
            return self.moving(buffer)
        if buffer.base is not None:
            offset = number(buffer.offset) * buffer.dtype.bytes
            return self.emitter.hoist(f"getelementptr i8, ptr {self.pointer(buffer.base)}, i64 {offset}", 0)
        if name in self.slots:
            slot = self.emitter.hoist(f"getelementptr ptr, ptr %table, i64 {self.slots[name]}", 0)
            return self.emitter.hoist(f"load ptr, ptr {slot}, align 8", 0)
        if name in self.layout.fixed:
            return self.emitter.hoist(f"getelementptr i8, ptr %fixed, i64 {self.layout.fixed[name]}", 0)
        return self.emitter.hoist(f"getelementptr i8, ptr %arena, i64 {self.layout.arena[name]}", 0)

    def moving(self, buffer: Buffer) -> str:
        """Address of a view, at this step of the enclosing loops."""
        assert buffer.base is not None
        size = buffer.dtype.bytes
        start = self.value(buffer.offset * size)
        place = self.emitter.pure(f"getelementptr i8, ptr {self.pointer(buffer.base)}, i64 {start}")
        for index, stride in buffer.moves:
            step = self.emitter.pure(f"mul i64 {self.indices[index]}, {self.value(stride * size)}")
            place = self.emitter.pure(f"getelementptr i8, ptr {place}, i64 {step}")
        return place

    def value(self, size: Coef) -> str:
        """A size, known now or read from the table once at the entry."""
        if not isinstance(size, Poly):
            return str(number(size))
        total = ""
        for names, factor in size.terms:
            term = str(number(factor))
            for name in names:
                at = self.emitter.hoist(f"getelementptr ptr, ptr %table, i64 {self.layout.sizes[name]}", 0)
                term = self.emitter.hoist(f"mul i64 {term}, {self.emitter.hoist(f'load i64, ptr {at}, align 8', 0)}", 0)
            total = self.emitter.hoist(f"add i64 {total}, {term}", 0) if total else term
        return total

    def form(self, form: Affine) -> str:
        """A form in the indices of the enclosing loops, as it is now."""
        total = self.value(form.const)
        for index, factor in form.terms:
            term = self.emitter.pure(f"mul i64 {self.indices[index]}, {self.value(factor)}")
            total = self.emitter.pure(f"add i64 {total}, {term}")
        return total

    def copy(self, step: Copy) -> None:
        source, target = self.program.buffer(step.source), self.program.buffer(step.target)
        kernel = copy_kernel(source, target, self.kernels.target.lanes(target.dtype.bits))
        shape = "x".join(map(str, target.shape))
        strides = ["" if b.strides is None else "by" + "x".join(map(str, b.strides)) for b in (source, target)]
        function = self.kernels.function(kernel, "copy", target.dtype.name, shape, *strides)
        self.call(function, (step.source, step.target))

    def check(self, step: Check) -> None:
        """Leaves the program where the condition does not hold."""
        failed, passed = self.emitter.fresh("failed"), self.emitter.fresh("passed")
        self.emitter.branch(self.truth(step.condition), passed, failed)
        self.emitter.label(failed)
        self.checked += 1
        self.emitter.line(f"store i64 {self.checked}, ptr {self.status()}, align 8")
        self.emitter.line("ret void")
        self.emitter.label(passed)

    def status(self) -> str:
        return self.emitter.hoist(f"getelementptr i8, ptr %arena, i64 {self.layout.status}", 0)

    def iterate(self, step: Iterate) -> None:
        header, body, leave = (self.emitter.fresh(n) for n in ("next", "iterate", "done"))
        extent = self.extent(step)
        before = self.emitter.block
        self.emitter.jump(header)
        self.emitter.label(header)
        phi = self.emitter.placeholder()
        done, following = self.emitter.fresh(), self.emitter.fresh()
        self.emitter.branch(self.emitter.emit(f"icmp slt i64 {done}, {extent}"), body, leave)
        self.emitter.label(body)
        with self.emitter.scope():
            self.indices[step.index] = done
            if step.reverse:
                last = self.emitter.emit(f"sub i64 {extent}, 1")
                self.indices[step.index] = self.emitter.emit(f"sub i64 {last}, {done}")
            self.steps(step.steps)
            self.emitter.line(f"{following} = add i64 {done}, 1")
            phi.append(f"  {done} = phi i64 [ 0, %{before} ], [ {following}, %{self.emitter.block} ]")
            self.emitter.jump(header)
        self.emitter.label(leave)

    def extent(self, step: Iterate) -> str:
        """How often an Iterate runs; a number that is read is kept within its bounds."""
        most = self.value(step.extent)
        if step.count is None:
            return most
        count = self.emitter.emit(f"load i64, ptr {self.pointer(step.count)}, align 8")
        for op, bound in (("sgt", "0"), ("slt", most)):
            inside = self.emitter.emit(f"icmp {op} i64 {count}, {bound}")
            count = self.emitter.emit(f"select i1 {inside}, i64 {count}, i64 {bound}")
        return count

    def repeat(self, step: Repeat) -> None:
        header, body, leave = (self.emitter.fresh(n) for n in ("test", "repeat", "done"))
        self.emitter.jump(header)
        self.emitter.label(header)
        with self.emitter.scope():
            self.steps(step.test)
            self.emitter.branch(self.truth(step.condition), body, leave)
            self.emitter.label(body)
            self.steps(step.steps)
            self.emitter.jump(header)
        self.emitter.label(leave)

    def branch(self, step: Branch) -> None:
        then, orelse, join = (self.emitter.fresh(n) for n in ("then", "else", "join"))
        self.emitter.branch(self.truth(step.condition), then, orelse)
        for label, steps in ((then, step.then), (orelse, step.orelse)):
            self.emitter.label(label)
            with self.emitter.scope():
                self.steps(steps)
                self.emitter.jump(join)
        self.emitter.label(join)

    def truth(self, name: str) -> str:
        """The rank-0 bool buffer, as it is now."""
        byte = self.emitter.emit(f"load i8, ptr {self.pointer(name)}, align 1")
        return self.emitter.emit(f"icmp ne i8 {byte}, 0")
