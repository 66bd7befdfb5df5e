"""Floor 2: the Loops IR: scheduled loop nests over buffers, and programs made of them.

    Program ::= name, buffers, kernels, init steps, steps
    Step    ::= Launch(kernel, args) | Copy | Assign(target, value) | HostCall | Check(condition)
              | Iterate(index, extent, steps) | Repeat(condition, steps) | Branch(condition, steps, steps)
    Kernel  ::= name, params, body                      params are buffers, each read, written or both
    Stmt    ::= For(index, extent, kind, body)          index runs over 0 .. extent-1
              | If(conditions, body)                    all affine forms >= 0
              | Alloc(buffer)                           scope: the rest of the enclosing block
              | Let(name, value)                        scope: the rest of the enclosing block
              | Store(buffer, indices, value, monoid)   buffer[indices] = value, or aggregated into what is there
              | While(condition, body) | Barrier(scope) | Instr(name, operands)

Indices are affine in loop variables with integer coefficients, and in bounds at every execution (the verifier and the
evaluator check it; no backend guards). Buffers are multi-dimensional; strides (in elements) default to row-major.

Loop kinds: `serial`; `parallel` (iterations independent, run by threads in any order); `vector` (lanes: all iterations
at once, so none touches what another writes; an `If` on the lane index masks lanes, and a masked lane touches no
memory); `unroll`; `group` and `item` (OpenCL work-groups and work-items); `pipelined` (copies of `depth` iterations in
flight).

A `register` buffer must have constant indices once `unroll` and `vector` loops are expanded: backends keep it in SSA
values. A vector loop's index may appear in a register buffer's index with coefficient 1: that axis is the lanes.

Kernel parameters do not alias one another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal, TypeAlias

from tilec.affine import Affine, Poly, Size, resolve
from tilec.dtypes import DType
from tilec.errors import Span
from tilec.expr import Access, Expr, IndexValue, reads
from tilec.expr import walk as walk_expr
from tilec.monoid import Monoid

LoopKind = Literal["serial", "parallel", "vector", "unroll", "group", "item", "pipelined"]
LOOP_KINDS: tuple[LoopKind, ...] = ("serial", "parallel", "vector", "unroll", "group", "item", "pipelined")
Space = Literal["param", "heap", "thread", "local", "register"]
SPACES: tuple[Space, ...] = ("param", "heap", "thread", "local", "register")
Mode = Literal["in", "out", "inout"]


@dataclass(frozen=True, slots=True)
class Buffer:
    """Memory for elements of one dtype.

    space: `param` (the caller's), `heap` (the call's arena), `thread` (private to a thread), `local` (shared by an
    OpenCL work-group), `register`. `strides` in elements, None for row-major. A view has a `base` buffer and an
    `offset` in elements into it; its data are the base's. A view of a program `moves`: it starts `stride` elements
    later with every step of each (index of an Iterate, stride), and means nothing outside of these.
    """

    name: str
    dtype: DType
    shape: tuple[Size, ...]
    space: Space = "heap"
    strides: tuple[Size, ...] | None = None
    base: str | None = None
    offset: Size = 0
    moves: tuple[tuple[str, Size], ...] = ()


@dataclass(frozen=True, slots=True)
class For:
    index: str
    extent: Size
    kind: LoopKind
    body: tuple[Stmt, ...]
    depth: int = 0  # of a pipelined loop


@dataclass(frozen=True, slots=True)
class If:
    """Runs the body where every form is >= 0."""

    conditions: tuple[Affine, ...]
    body: tuple[Stmt, ...]


@dataclass(frozen=True, slots=True)
class Alloc:
    """Uninitialised memory; a `register` or `thread` buffer is private to the enclosing parallel iteration."""

    buffer: Buffer


@dataclass(frozen=True, slots=True)
class Let:
    name: str
    value: Expr


@dataclass(frozen=True, slots=True)
class Store:
    """`buffer[indices] = value`, or `combine(buffer[indices], value)` with a one-component monoid."""

    buffer: str
    indices: tuple[Affine | Expr, ...]
    value: Expr
    monoid: Monoid | None = None


@dataclass(frozen=True, slots=True)
class While:
    """Repeats the body as long as the condition, a bool, holds; it is evaluated before each round."""

    condition: Expr
    body: tuple[Stmt, ...]


@dataclass(frozen=True, slots=True)
class Barrier:
    """All items of the work-group reach it before any goes on; memory of `space` is then visible to all."""

    space: Space = "local"


@dataclass(frozen=True, slots=True)
class Window:
    """A rectangular part of a buffer: per axis a start and an extent (extent None: a single index, axis dropped)."""

    buffer: str
    starts: tuple[Affine, ...]
    extents: tuple[Size | None, ...]


@dataclass(frozen=True, slots=True)
class Instr:
    """A machine instruction, declared elsewhere by its meaning in Loops, applied to operand windows."""

    name: str
    operands: tuple[Window, ...]


Stmt: TypeAlias = For | If | Alloc | Let | Store | While | Barrier | Instr
Block: TypeAlias = tuple[Stmt, ...]


@dataclass(frozen=True, slots=True)
class KernelParam:
    """`out`: every cell is stored before anything reads it, so that it does not matter what was there before. A buffer
    that is stored to and is not `out` is `inout`."""

    buffer: Buffer
    mode: Mode


@dataclass(frozen=True, slots=True)
class Kernel:
    """A function over buffers. Its parameters' buffers are of space `param`."""

    name: str
    params: tuple[KernelParam, ...]
    body: Block


@dataclass(frozen=True, slots=True)
class Launch:
    """Runs a kernel on program buffers, one per parameter, in order."""

    kernel: str
    args: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Copy:
    source: str
    target: str


@dataclass(frozen=True, slots=True)
class Assign:
    """Stores the value of a form in indices of enclosing Iterates, its coefficients sizes, in a rank-0 i64 buffer."""

    target: str
    value: Affine


@dataclass(frozen=True, slots=True)
class HostCall:
    """A call of a named host function: `inputs` are read, `outputs` written."""

    function: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Check:
    """Ends the call with TILE0405 and `message` where the rank-0 bool buffer `condition` does not hold."""

    condition: str
    message: str
    span: Span | None = field(default=None, compare=False)  # not part of the textual form


@dataclass(frozen=True, slots=True)
class Iterate:
    """Runs `steps` with `index` counting from 0 to extent - 1, or down to 0 with `reverse`.

    `count`, a rank-0 i64 buffer, gives the extent at run time: itself, but not below 0 nor above `extent`.
    """

    index: str
    extent: Size
    steps: tuple[Step, ...]
    reverse: bool = False
    count: str | None = None


@dataclass(frozen=True, slots=True)
class Repeat:
    """Runs `test`, then `steps` as long as the rank-0 bool buffer `condition` holds."""

    condition: str
    test: tuple[Step, ...]
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class Branch:
    condition: str
    then: tuple[Step, ...]
    orelse: tuple[Step, ...] = ()


Step: TypeAlias = Launch | Copy | Assign | HostCall | Check | Iterate | Repeat | Branch


@dataclass(frozen=True)  # without slots: it keeps tables of what it holds by name
class Program:
    """What a backend builds: one call runs `steps` (after `init` has run once).

    `params` and `results` name buffers of space `param`; all others live in one arena of `arena` bytes at the byte
    offsets of `places` (filled by the pass `place`). `constants` are parameters bound at compile time, by digest.
    `sizes` are named sizes given at run time, `derived` others: (name, size, divisor), the quotient rounded down. With
    named sizes there are no `places`: they are found at run time. A result that is a parameter is donated state: the
    parameter's memory holds the result after the call.
    """

    name: str
    params: tuple[str, ...]
    results: tuple[str, ...]
    buffers: tuple[Buffer, ...]
    kernels: tuple[Kernel, ...]
    steps: tuple[Step, ...]
    init: tuple[Step, ...] = ()
    constants: tuple[tuple[str, str], ...] = ()
    sizes: tuple[str, ...] = ()
    arena: int = 0
    places: tuple[tuple[str, int], ...] = ()
    derived: tuple[tuple[str, Size, int], ...] = ()

    def all_sizes(self, given: Mapping[str, int]) -> dict[str, int]:
        """The given sizes and those derived from them."""
        known = dict(given)
        for name, size, divisor in self.derived:
            known[name] = int(resolve(size, known)) // divisor
        return known

    def buffer(self, name: str) -> Buffer:
        return self._buffers[name]

    def kernel(self, name: str) -> Kernel:
        return self._kernels[name]

    @cached_property
    def _buffers(self) -> dict[str, Buffer]:
        return {b.name: b for b in self.buffers}

    @cached_property
    def _kernels(self) -> dict[str, Kernel]:
        return {k.name: k for k in self.kernels}


def row_major(shape: tuple[Size, ...]) -> tuple[Size, ...]:
    """Strides in elements of a dense array."""
    strides: list[Size] = []
    step: Size = 1
    for extent in reversed(shape):
        strides.append(step)
        step = step * extent  # type: ignore[assignment]  # a product of sizes is a size
    return tuple(reversed(strides))


def strides_of(buffer: Buffer) -> tuple[Size, ...]:
    return buffer.strides if buffer.strides is not None else row_major(buffer.shape)


def map_launches(steps: tuple[Step, ...], change: Callable[[Launch], Launch]) -> tuple[Step, ...]:
    """Replaces every launch, those inside loops and branches too."""

    def visit(step: Step) -> Step:
        if isinstance(step, Launch):
            return change(step)
        return with_parts(step, tuple(map_launches(part, change) for part in parts(step)))

    return tuple(map(visit, steps))


def parts(step: Step) -> tuple[tuple[Step, ...], ...]:
    """The lists of steps inside one step: the one way to recurse."""
    match step:
        case Iterate(steps=steps):
            return (steps,)
        case Repeat(_, test, steps):
            return test, steps
        case Branch(_, then, orelse):
            return then, orelse
        case _:
            return ()


def with_parts(step: Step, new: tuple[tuple[Step, ...], ...]) -> Step:
    """The step with its lists of steps replaced, in the order of `parts`."""
    match step:
        case Iterate():
            return replace(step, steps=new[0])
        case Repeat():
            return replace(step, test=new[0], steps=new[1])
        case Branch():
            return replace(step, then=new[0], orelse=new[1])
        case _:
            return step


def all_steps(steps: Iterable[Step]) -> Iterator[Step]:
    """All steps, the nested ones after the step that holds them."""
    for step in steps:
        yield step
        for part in parts(step):
            yield from all_steps(part)


def touched(step: Step) -> Iterator[str]:
    """Buffers that a step names, those inside of it included."""
    match step:
        case Launch(args=args):
            yield from args
        case Copy(source, target):
            yield from (source, target)
        case Assign(target, _):
            yield target
        case HostCall(_, inputs, outputs):
            yield from (*inputs, *outputs)
        case Iterate(count=str(name)) | Check(condition=name) | Repeat(condition=name) | Branch(condition=name):
            yield name
    for part in parts(step):
        for inner in part:
            yield from touched(inner)


_NESTS = (For, If, While)


def rename_buffers(step: Step, new: Mapping[str, str]) -> Step:
    """The step on other buffers, with those inside of it; a new name that is itself renamed counts as well."""

    def name(old: str) -> str:
        while old in new:
            old = new[old]
        return old

    def each(names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(map(name, names))

    inner = with_parts(step, tuple(tuple(rename_buffers(s, new) for s in part) for part in parts(step)))
    match inner:
        case Launch(args=args):
            return replace(inner, args=each(args))
        case Copy(source, target):
            return Copy(name(source), name(target))
        case Assign(target):
            return replace(inner, target=name(target))
        case HostCall(function, inputs, outputs):
            return HostCall(function, each(inputs), each(outputs))
        case Iterate(count=count):
            return inner if count is None else replace(inner, count=name(count))
        case Check(condition=condition) | Repeat(condition=condition) | Branch(condition=condition):
            return replace(inner, condition=name(condition))


def children(stmt: Stmt) -> Block:
    """The statements directly inside one statement."""
    return stmt.body if isinstance(stmt, _NESTS) else ()


def with_children(stmt: Stmt, body: Block) -> Stmt:
    """The statement around another block; one that holds none stays."""
    match stmt:
        case For(index, extent, kind, _, depth):
            return For(index, extent, kind, body, depth)
        case If(conditions):
            return If(conditions, body)
        case While(condition):
            return While(condition, body)
        case _:
            return stmt


def walk(block: Block) -> Iterator[Stmt]:
    """Every statement, parents first, in program order."""
    stack = list(reversed(block))  # one generator per level would make each statement pass through all above it
    while stack:
        stmt = stack.pop()
        yield stmt
        if isinstance(stmt, _NESTS):
            stack += reversed(stmt.body)


def rewrite(block: Block, change: Callable[[Stmt], Block]) -> Block:
    """Rebuilds bottom-up: `change` maps each statement to its replacement; identity-preserving."""
    result: list[Stmt] = []
    same = True
    for stmt in block:
        old = children(stmt)
        new = rewrite(old, change) if old else old
        rebuilt = stmt if new is old else with_children(stmt, new)
        replacement = change(rebuilt)
        same = same and len(replacement) == 1 and replacement[0] is stmt
        result.extend(replacement)
    return block if same else tuple(result)


def map_exprs(block: Block, change: Callable[[Expr], Expr]) -> Block:
    """Applies `change` to every expression held by a statement, a store's data-dependent indices included."""

    def visit(stmt: Stmt) -> Block:
        match stmt:
            case Store():
                value = change(stmt.value)
                indices = tuple(i if isinstance(i, Affine) else change(i) for i in stmt.indices)
                same = value is stmt.value and all(a is b for a, b in zip(indices, stmt.indices))
                return (stmt if same else replace(stmt, value=value, indices=indices),)
            case Let():
                value = change(stmt.value)
                return (stmt if value is stmt.value else replace(stmt, value=value),)
            case While():
                condition = change(stmt.condition)
                return (stmt if condition is stmt.condition else replace(stmt, condition=condition),)
            case _:
                return (stmt,)

    return rewrite(block, visit)


def accesses(stmt: Stmt) -> list[Access]:
    """Reads of one statement, a store's data-dependent indices included; not of its children."""
    match stmt:
        case Store():
            exprs = [stmt.value, *(i for i in stmt.indices if not isinstance(i, Affine))]
            return [r.access for e in exprs for r in reads(e)]
        case Let():
            return [r.access for r in reads(stmt.value)]
        case While():
            return [r.access for r in reads(stmt.condition)]
        case _:
            return []


def is_open(kernel: Kernel) -> bool:
    """Whether a size that is not a number occurs in the kernel."""
    shapes = [p.buffer.shape for p in kernel.params]
    shapes += [s.buffer.shape for s in walk(kernel.body) if isinstance(s, Alloc)]
    if any(isinstance(size, Poly) for shape in shapes for size in shape):
        return True
    return any(_is_open_statement(s) for s in walk(kernel.body)) or _has_open_value(kernel.body)


def _is_open_statement(stmt: Stmt) -> bool:
    match stmt:
        case For(extent=extent):
            return isinstance(extent, Poly)
        case If(conditions=conditions):
            return any(c.sizes() for c in conditions)
        case _:
            return False


def _has_open_value(body: Block) -> bool:
    found = False

    def look(e: Expr) -> Expr:
        nonlocal found
        found = found or any(isinstance(x, IndexValue) and bool(x.form.sizes()) for x in walk_expr(e))
        return e

    map_exprs(body, look)
    return found
