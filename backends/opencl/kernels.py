"""Kernels of the Loops IR as OpenCL C: correct on every device, tuned for none.

A kernel is cut at its top level into phases, each one OpenCL kernel, for only the end of a kernel is a barrier over all
work-items:
  serial    one work-item runs the statement; so do loops of any kind inside
  parallel  the leading `parallel` loops of a nest are the global range
  group     the leading `group` loops are the work-groups; `item` loops inside share the work-items of a group.
            What stands outside of `item` loops is done by the first item; what is allocated there is local memory.

Vector and unrolled loops are plain loops: their iterations are independent, so one lane after the other gives the same.
A buffer allocated in the kernel is a private array where it is small, else a part of a scratch buffer in global memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from math import prod

from tilec.affine import Affine
from tilec.backends.opencl import types
from tilec.backends.opencl.expressions import ExprWriter, Functions
from tilec.backends.opencl.memory import Memory, allocate_shared, bytes_of, number, view
from tilec.buffers import elements
from tilec.dtypes import F64
from tilec.errors import error
from tilec.expr import Access, Expr
from tilec.instructions import expand
from tilec.loops import (
    Alloc,
    Barrier,
    Block,
    Buffer,
    For,
    If,
    Instr,
    Kernel,
    Let,
    Stmt,
    Store,
    While,
    children,
    stride_sizes,
    walk,
)

PRIVATE_BYTES = 4096  # larger allocations go to global memory
SCRATCH_UNITS = 64  # work-items or groups that run a nest which needs global scratch memory
_FENCE = "barrier(CLK_LOCAL_MEM_FENCE | CLK_GLOBAL_MEM_FENCE);"


@dataclass(frozen=True, slots=True)
class Phase:
    """One OpenCL kernel: `items` work-items in groups of `group` (0: any size), each with `scratch` bytes.

    `scratch` is per work-item, in a buffer that is the last argument where it is not 0.
    """

    name: str
    text: str
    items: int
    group: int
    scratch: int


@dataclass(frozen=True, slots=True)
class KernelText:
    """The phases, in order, the bytes of memory that all of them share (the argument before scratch), and the open
    sizes that they are told (the last arguments)."""

    phases: tuple[Phase, ...]
    shared: int
    sizes: tuple[str, ...] = ()


def emit_kernel(kernel: Kernel, name: str, functions: Functions) -> KernelText:
    """Raises TileError TILE0210 for named sizes and TILE0602 for what no OpenCL device can run."""
    functions.fp64 |= any(p.buffer.dtype == F64 for p in kernel.params)
    sizes = stride_sizes(kernel)
    memory = {p.buffer.name: Memory.parameter(i, p.buffer, sizes) for i, p in enumerate(kernel.params)}
    blocks: list[Block] = [(s,) for s in kernel.body]
    shared = 0
    if any(isinstance(s, Let) for s in kernel.body):
        blocks = [kernel.body]
    else:
        for stmt in (s for s in kernel.body if isinstance(s, Alloc)):
            memory[stmt.buffer.name], shared = allocate_shared(stmt.buffer, memory, shared)
        blocks = [b for b in blocks if not isinstance(b[0], Alloc)]
    phases = [_phase(kernel, b, f"{name}_{i}", memory, shared, functions) for i, b in enumerate(blocks)]
    return KernelText(tuple(phases), shared, sizes)


def _leading(stmt: Stmt, kind: str) -> tuple[list[For], Block]:
    """The loops of one kind that begin a nest, and what they hold."""
    loops: list[For] = []
    body: Block = (stmt,)
    while len(body) == 1 and isinstance(body[0], For) and body[0].kind == kind:
        loops.append(body[0])
        body = body[0].body
    return loops, body


def _phase(
    kernel: Kernel, block: Block, name: str, memory: dict[str, Memory], shared: int, functions: Functions
) -> Phase:
    loops, block = _ndrange(block)
    group = _group_size(block) if loops and loops[0].kind == "group" else 0
    writer = _Writer(functions, group)
    scope = _Scope(dict(memory), {}, {}, once=group > 0)
    count = prod(number(loop.extent) for loop in loops)
    if loops:
        _range_loop(writer, loops, block, count, scope)
    else:
        writer.block(block, scope)
    units = min(count, SCRATCH_UNITS) if writer.scratch else count
    return Phase(name, _function(kernel, name, writer, shared), units * max(group, 1), group, writer.scratch)


def _range_loop(writer: _Writer, loops: list[For], block: Block, count: int, scope: _Scope) -> None:
    """All iterations, by as many work-items or groups as there are, each in strides of that number."""
    first, step = ("group_id", "num_groups") if writer.group else ("global_id", "global_size")
    writer.line(f"for (long at = get_{first}(0); at < {count}L; at += get_{step}(0)) {{")
    writer.depth += 1
    writer.block(block, _spread(writer, loops, "at", scope))
    if writer.group:
        writer.line(_FENCE)  # the next iteration uses the same local memory
    writer.depth -= 1
    writer.line("}")


def _ndrange(block: Block) -> tuple[list[For], Block]:
    """The loops that become the range of an OpenCL kernel, and the rest."""
    for kind in ("parallel", "group"):
        loops, inner = _leading(block[0], kind) if len(block) == 1 else ([], block)
        if loops:
            return loops, inner
    return [], block


def _function(kernel: Kernel, name: str, writer: _Writer, shared: int) -> str:
    parameters: list[str] = []
    for i, p in enumerate(kernel.params):
        qualifier = "const " if p.mode == "in" else ""
        parameters += [f"{qualifier}__global {types.stored(p.buffer.dtype)} *p{i}", f"const long o{i}"]
    parameters += ["__global uchar *shared"] if shared else []
    parameters += ["__global uchar *scratch"] if writer.scratch else []
    parameters += [f"const long s{k}" for k in range(len(stride_sizes(kernel)))]
    body = "".join(f"  {line}\n" for line in [*writer.head, *writer.lines])
    if writer.scratch:
        body = f"  scratch += get_global_id(0) * {writer.scratch}L;\n{body}"
    return f"__kernel void {name}({', '.join(parameters)}) {{\n{body}}}\n"


def _group_size(block: Block) -> int:
    """Work-items that the `item` loops of a group need: the largest of their products; 0 without any."""
    return max((_items(s) for s in block), default=0)


def _items(stmt: Stmt) -> int:
    loops, _ = _leading(stmt, "item")
    if loops:
        return prod(number(loop.extent) for loop in loops)
    return max((_items(s) for s in children(stmt)), default=0)


@dataclass(frozen=True, slots=True)
class _Scope:
    """What names stand for in C. `once`: outside of `item` loops, where only the first item may act."""

    memory: dict[str, Memory]
    indices: dict[str, str]
    scalars: dict[str, str]
    once: bool = False


@dataclass(slots=True)
class _Writer:
    """Lines of one OpenCL kernel. head: declarations of local memory, which must be outermost."""

    functions: Functions
    group: int
    lines: list[str] = field(default_factory=list)
    head: list[str] = field(default_factory=list)
    scratch: int = 0
    names: int = 0
    depth: int = 0

    def line(self, text: str) -> None:
        self.lines.append("  " * self.depth + text)

    def name(self, stem: str) -> str:
        """A fresh C name that resembles the one in the IR."""
        self.names += 1
        return "".join(c if c.isascii() and c.isalnum() else "_" for c in f"{stem}_") + str(self.names)

    # statements

    def block(self, block: Block, scope: _Scope) -> None:
        scope = replace(scope, memory=dict(scope.memory), scalars=dict(scope.scalars))
        for stmt in block:
            match stmt:
                case For():
                    self.loop(stmt, scope)
                case If():
                    tests = " && ".join(f"{_affine(c, scope)} >= 0" for c in stmt.conditions) or "1"
                    self.braced(f"if ({tests})", stmt.body, scope)
                case Alloc():
                    scope.memory[stmt.buffer.name] = self.allocate(stmt.buffer, scope)
                case Let():
                    scope.scalars[stmt.name] = self.let(stmt, scope)
                case Store():
                    self.store(stmt, scope)
                case While():
                    self.repeat(stmt, scope)
                case Barrier():
                    self.barrier(stmt)
                case Instr():
                    self.block(expand(stmt), scope)

    def braced(self, head: str, body: Block, scope: _Scope) -> None:
        self.line(f"{head} {{")
        self.depth += 1
        self.block(body, scope)
        self.depth -= 1
        self.line("}")

    def loop(self, stmt: For, scope: _Scope) -> None:
        if stmt.kind == "item" and scope.once:
            self.items(stmt, scope)
            return
        name = self.name(stmt.index)
        inner = replace(scope, indices={**scope.indices, stmt.index: name})
        self.braced(f"for (long {name} = 0; {name} < {number(stmt.extent)}L; ++{name})", stmt.body, inner)

    def items(self, stmt: For, scope: _Scope) -> None:
        """Nested `item` loops: one iteration per work-item; a barrier inside needs all of them to take part."""
        loops, body = _leading(stmt, "item")
        count = prod(number(loop.extent) for loop in loops)
        if count < self.group and any(isinstance(s, Barrier) for s in walk(body)):
            raise error("TILE0602", f"a barrier in item loops that {count} of {self.group} work-items run")
        self.line(f"if (get_local_id(0) < {count}) {{")
        self.depth += 1
        self.block(body, _spread(self, loops, "(long)get_local_id(0)", replace(scope, once=False)))
        self.depth -= 1
        self.line("}")

    def let(self, stmt: Let, scope: _Scope) -> str:
        name = self.name(stmt.name)
        values = self.expressions(scope)
        text = values.value(stmt.value)
        self.flush(values)
        self.line(f"const {types.carried(stmt.value.dtype)} {name} = {text};")
        return name

    def store(self, stmt: Store, scope: _Scope) -> None:
        if scope.once:
            self.line(_FENCE)
        self.line("if (get_local_id(0) == 0) {" if scope.once else "{")
        self.depth += 1
        values = self.expressions(scope)
        dtype = scope.memory[stmt.buffer].buffer.dtype
        value = values.converted(stmt.value, dtype)
        target = values.element(Access(stmt.buffer, stmt.indices))
        if stmt.monoid is not None:
            value = self.combined(values, stmt, value, types.load(dtype, target))
        self.flush(values)
        self.line(f"{target} = {types.store(dtype, value)};")
        self.depth -= 1
        self.line("}")
        if scope.once:
            self.line(_FENCE)

    def combined(self, values: ExprWriter, stmt: Store, value: str, old: str) -> str:
        assert stmt.monoid is not None
        dtype = types.carried(stmt.monoid.dtypes[0])
        values.lines += [f"const {dtype} new_ = {value};", f"const {dtype} old_ = {old};"]
        inner = ExprWriter(self.functions, {"a0": "old_", "b0": "new_"}, values.element, values.index, "c")
        result = inner.value(stmt.monoid.combine[0])
        values.lines += inner.lines
        return result

    def repeat(self, stmt: While, scope: _Scope) -> None:
        self.line("while (true) {")
        self.depth += 1
        values = self.expressions(scope)
        condition = values.value(stmt.condition)
        self.line("{")
        self.flush(values)
        self.line(f"if (!{condition}) break;")
        self.line("}")
        self.block(stmt.body, scope)
        self.depth -= 1
        self.line("}")

    def barrier(self, stmt: Barrier) -> None:
        if self.group:
            self.line("barrier(CLK_LOCAL_MEM_FENCE);" if stmt.space == "local" else _FENCE)

    # memory

    def allocate(self, buffer: Buffer, scope: _Scope) -> Memory:
        if buffer.base is not None:
            return view(buffer, scope.memory)
        self.functions.fp64 |= buffer.dtype == F64
        name, element, count = self.name(buffer.name), types.stored(buffer.dtype), max(1, elements(buffer))
        if scope.once:
            self.head.append(f"__local {element} {name}[{count}];")
        elif count * buffer.dtype.bytes <= PRIVATE_BYTES:
            self.line(f"{element} {name}[{count}];")
        else:
            self.line(f"__global {element} *{name} = (__global {element} *)(scratch + {self.scratch});")
            self.scratch += bytes_of(buffer)
        return Memory.of(name, buffer)

    # expressions

    def expressions(self, scope: _Scope) -> ExprWriter:
        def element(access: Access) -> str:
            memory = scope.memory[access.tensor]
            parts = [memory.offset]
            for index, stride in zip(access.indices, memory.strides, strict=True):
                parts.append(f"({text(index)}) * {stride}")
            return f"{memory.pointer}[{' + '.join(parts)}]"

        def text(index: Affine | Expr) -> str:
            return _affine(index, scope) if isinstance(index, Affine) else f"(long){values.value(index)}"

        prefix = f"t{self.names}_"
        self.names += 1
        values = ExprWriter(self.functions, scope.scalars, element, lambda form: _affine(form, scope), prefix)
        return values

    def flush(self, values: ExprWriter) -> None:
        for text in values.lines:
            self.line(text)
        values.lines.clear()


def _spread(writer: _Writer, loops: list[For], source: str, scope: _Scope) -> _Scope:
    """Loop indices computed from one linear index, the last loop varying fastest."""
    indices = dict(scope.indices)
    step = 1
    for loop in reversed(loops):
        name = writer.name(loop.index)
        extent = max(1, number(loop.extent))
        writer.line(f"const long {name} = {source} / {step}L % {extent}L;")
        indices[loop.index] = name
        step *= extent
    return replace(scope, indices=indices)


def _affine(form: Affine, scope: _Scope) -> str:
    """C text of type long."""
    return " + ".join(_terms(form, scope)) or "0L"


def _terms(form: Affine, scope: _Scope) -> Iterator[str]:
    for name, coefficient in form.terms:
        if not isinstance(coefficient, int):
            raise error("TILE0210", f"index '{form}' has a coefficient that is not a known integer")
        yield scope.indices[name] if coefficient == 1 else f"{coefficient}L * {scope.indices[name]}"
    if not isinstance(form.const, int):
        raise error("TILE0210", f"index '{form}' has a constant that is not a known integer")
    if form.const != 0 or not form.terms:
        yield f"{form.const}L"
