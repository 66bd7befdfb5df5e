"""The functions of an LLVM module that run a program's steps: calls of kernels, copies, loops, branches, checks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import prod

from tilec.affine import Affine, Coef, Poly
from tilec.backends.llvm.address import number, size_value
from tilec.backends.llvm.blocks import Emitter
from tilec.backends.llvm.interrupts import LOOK
from tilec.backends.llvm.kernel import emit_kernel
from tilec.backends.llvm.layout import Layout
from tilec.backends.llvm.parts import Parts
from tilec.buffers import bits_type
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
    stride_sizes,
    strides_of,
)
from tilec.target import Target
from tilec.work import PATIENCE, work

SHARED, PRIVATE = "__shared_offset__", "__private_offset__"  # where kernels' memory is in the arena, known at the end


# kernels -----------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Kernels:
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


def _copy(source: Buffer, target: Buffer, lanes: int) -> Kernel:
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


def looks(step: Step, program: Program, works: Mapping[str, float]) -> bool:
    """Whether a step is a loop that looks for signals."""
    return isinstance(step, Iterate | Repeat) and work(step, program, works) > PATIENCE


def entry(
    name: str,
    steps: tuple[Step, ...],
    program: Program,
    layout: Layout,
    kernels: Kernels,
    works: Mapping[str, float],
) -> str:
    """The function of that name, and what it needs; `works` are those of the kernels."""
    emitter = Emitter()
    run = _Entry(emitter, program, layout, kernels, works, {n: slot for slot, n in enumerate(layout.table)})
    if layout.status is not None:
        emitter.line(f"store i64 0, ptr {run.status()}, align 8")
    if layout.interrupts is not None:
        emitter.line(f"store i64 {PATIENCE}, ptr {run.words()}, align 8")
    run.steps(steps)
    emitter.line("ret void")
    look = "" if layout.interrupts is None else LOOK.format(patience=PATIENCE)
    return f"{look}define void @{name}(ptr %table, ptr %arena, ptr %fixed, ptr %pool) #0 {{\n{emitter.text()}}}\n"


@dataclass(slots=True)
class _Entry:
    """Emits the steps of a program into one function."""

    emitter: Emitter
    program: Program
    layout: Layout
    kernels: Kernels
    works: Mapping[str, float]  # of kernels
    slots: dict[str, int]  # of the table
    indices: dict[str, str] = field(default_factory=dict)  # SSA values of the enclosing loops' indices
    checked: int = 0  # Checks so far
    called: int = 0  # HostCalls so far

    def steps(self, steps: tuple[Step, ...]) -> None:
        for step in steps:
            self.step(step)

    def step(self, step: Step) -> None:
        match step:
            case Launch():
                kernel = self.program.kernel(step.kernel)
                sizes = tuple(map(self.named, stride_sizes(kernel)))
                self.call(self.kernels.function(kernel, "kernel", kernel.name), step.args, sizes)
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
                self.host(step)

    def call(self, function: str, args: tuple[str, ...], sizes: tuple[str, ...] = ()) -> None:
        shared = self.emitter.hoist(f"getelementptr i8, ptr %arena, i64 {SHARED}", 0)
        private = self.emitter.hoist(f"getelementptr i8, ptr %arena, i64 {PRIVATE}", 0)
        pointers = [f"ptr {self.pointer(a)}" for a in args]
        scratch = [f"ptr {shared}", f"ptr {private}", "ptr %pool"]
        self.emitter.line(f"call void @{function}({', '.join([*pointers, *scratch, *(f'i64 {s}' for s in sizes)])})")

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
        return size_value(self.emitter, size, self.named)

    def named(self, size: str) -> str:
        at = self.emitter.hoist(f"getelementptr ptr, ptr %table, i64 {self.layout.sizes[size]}", 0)
        return self.emitter.hoist(f"load i64, ptr {at}, align 8", 0)

    def form(self, form: Affine) -> str:
        """A form in the indices of the enclosing loops, as it is now."""
        total = self.value(form.const)
        for index, factor in form.terms:
            term = self.emitter.pure(f"mul i64 {self.indices[index]}, {self.value(factor)}")
            total = self.emitter.pure(f"add i64 {total}, {term}")
        return total

    def copy(self, step: Copy) -> None:
        source, target = self.program.buffer(step.source), self.program.buffer(step.target)
        kernel = _copy(source, target, self.kernels.target.lanes(target.dtype.bits))
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

    def host(self, step: HostCall) -> None:
        """Calls a host function on addresses, and leaves the program where it fails."""
        words = self.emitter.hoist(f"getelementptr i8, ptr %arena, i64 {self.layout.hosts}", 0)
        for k, name in enumerate((*step.inputs, *step.outputs)):
            slot = self.emitter.hoist(f"getelementptr ptr, ptr {words}, i64 {k + 1}", 0)
            self.emitter.line(f"store ptr {self.pointer(name)}, ptr {slot}, align 8")
        function = self.emitter.hoist(f"load ptr, ptr {words}, align 8", 0)
        failed = self.emitter.emit(f"call i32 {function}(i64 {self.called}, ptr {words})")
        self.called += 1
        ended, go = self.emitter.fresh("ended"), self.emitter.fresh("go")
        self.emitter.branch(self.emitter.emit(f"icmp ne i32 {failed}, 0"), ended, go)
        self.emitter.label(ended)
        self.emitter.line("ret void")
        self.emitter.label(go)

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
            self.round(step, ())
            self.emitter.line(f"{following} = add i64 {done}, 1")
            phi.append(f"  {done} = phi i64 [ 0, %{before} ], [ {following}, %{self.emitter.block} ]")
            self.emitter.jump(header)
        self.emitter.label(leave)

    def round(self, step: Iterate | Repeat, before: Sequence[Step]) -> None:
        """The steps of a loop, which follow others; where it may run for long it looks for signals."""
        if not self.looks(step):
            self.steps(step.steps)
            return
        owed = sum(self.work(s) for s in before)
        for inner in step.steps:
            self.step(inner)
            owed += self.work(inner)
            if owed >= PATIENCE:
                self.look(PATIENCE)
                owed = 0
        self.look(int(owed) + 1)

    def looks(self, step: Step) -> bool:
        return self.layout.interrupts is not None and looks(step, self.program, self.works)

    def work(self, step: Step) -> float:
        """The work of a step that does not look itself."""
        return 0 if self.looks(step) else work(step, self.program, self.works)

    def look(self, amount: int) -> None:
        """Counts work, and leaves the program where a signal asks for it."""
        words = self.words()
        left = self.emitter.emit(f"load i64, ptr {words}, align 8")
        left = self.emitter.emit(f"sub i64 {left}, {amount}")
        self.emitter.line(f"store i64 {left}, ptr {words}, align 8")
        tired, ended, go = (self.emitter.fresh(n) for n in ("tired", "ended", "go"))
        self.emitter.branch(self.emitter.emit(f"icmp slt i64 {left}, 0"), tired, go)
        self.emitter.label(tired)
        self.emitter.branch(self.emitter.emit(f"call i1 @look(ptr {words})"), ended, go)
        self.emitter.label(ended)
        self.emitter.line("ret void")
        self.emitter.label(go)

    def words(self) -> str:
        return self.emitter.hoist(f"getelementptr i8, ptr %arena, i64 {self.layout.interrupts}", 0)

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
            self.round(step, step.test)
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
