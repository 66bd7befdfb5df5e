"""Statements of the Loops IR as OpenCL C.

The iterations of a vector loop run at once, over C vectors, where their private memory allows it (`lanes.together`);
else one after the other. Unrolled loops are written out. A buffer allocated in a kernel is kept in variables where all
its indices are then known (`lanes.in_variables`), else it is a private array where it is small, or a part of a scratch
buffer in global memory.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from math import prod

from tilec.affine import Affine
from tilec.backends.opencl import types
from tilec.backends.opencl.expressions import ExprWriter, Functions
from tilec.backends.opencl.lanes import in_variables, is_short, pieces, together, touches_variables
from tilec.backends.opencl.memory import Memory, bytes_of, number, view
from tilec.backends.opencl.scope import Lanes, Scope, Vector, affine, number_of, position, stride
from tilec.backends.opencl.vectors import VectorWriter
from tilec.buffers import elements
from tilec.dtypes import BOOL, F32, F64, DType
from tilec.errors import error
from tilec.expr import Access, Call, Expr
from tilec.instructions import expand
from tilec.loops import Alloc, Barrier, Block, Buffer, For, If, Instr, Let, LoopKind, Stmt, Store, While, walk

PRIVATE_BYTES = 4096  # larger allocations go to global memory
FENCE = "barrier(CLK_LOCAL_MEM_FENCE | CLK_GLOBAL_MEM_FENCE);"


def leading(stmt: Stmt, kind: LoopKind) -> tuple[list[For], Block]:
    """The loops of one kind that begin a nest, and what they hold."""
    loops: list[For] = []
    body: Block = (stmt,)
    while len(body) == 1 and isinstance(body[0], For) and body[0].kind == kind:
        loops.append(body[0])
        body = body[0].body
    return loops, body


@dataclass(slots=True)
class LocalArray:
    element: str
    name: str
    count: int = 0

    def __str__(self) -> str:
        return f"__local {self.element} {self.name}[{self.count}];"


@dataclass(slots=True)
class Writer:
    """Lines of one OpenCL kernel. local: arrays of local memory, which must be declared outermost, by the names of
    their buffers; those of one name are never in use at once."""

    functions: Functions
    group: int
    lines: list[str] = field(default_factory=list)
    local: dict[str, LocalArray] = field(default_factory=dict)
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

    def block(self, block: Block, scope: Scope) -> None:
        scope = scope.copy()
        for position_, stmt in enumerate(block):
            match stmt:
                case For():
                    self.loop(stmt, scope)
                case If():
                    self.condition(stmt, scope)
                case Alloc():
                    scope.memory[stmt.buffer.name] = self.allocate(stmt.buffer, block[position_ + 1 :], scope)
                case Let():
                    self.let(stmt, scope)
                case Store():
                    self.store(stmt, scope)
                case While():
                    self.repeat(stmt, scope)
                case Barrier():
                    self.barrier(stmt)
                case Instr():
                    self.block(expand(stmt), scope)

    def braced(self, head: str, body: Block, scope: Scope) -> None:
        self.line(f"{head} {{")
        self.depth += 1
        self.block(body, scope)
        self.depth -= 1
        self.line("}")

    def condition(self, stmt: If, scope: Scope) -> None:
        """Conditions are affine: what holds in the first and the last lane holds in all."""
        head = f"if ({self.tests(stmt, scope)})"
        if scope.lanes is None or not any(scope.step(c) for c in stmt.conditions):
            self.braced(head, stmt.body, scope)
            return
        last = self.tests(
            stmt, replace(scope.at(scope.lanes.index, scope.lanes.first + scope.lanes.count - 1), lanes=None)
        )
        self.braced(f"{head[:-1]} && {last})", stmt.body, scope)
        self.line("else {")
        self.depth += 1
        self.one_by_one((stmt,), scope)
        self.depth -= 1
        self.line("}")

    def tests(self, stmt: If, scope: Scope) -> str:
        return " && ".join(f"{affine(c, scope)} >= 0" for c in stmt.conditions) or "1"

    def loop(self, stmt: For, scope: Scope) -> None:
        extent = number(stmt.extent)
        if stmt.kind == "item" and scope.once:
            self.items(stmt, scope)
        elif stmt.kind == "vector" and not scope.once and scope.lanes is None and together(stmt, scope.memory):
            self.at_once(stmt, extent, scope)
        elif is_short(stmt) and not scope.once and self.is_written_out(stmt, scope):
            for k in range(extent):
                self.block(stmt.body, scope.at(stmt.index, k))
        else:
            self.counted(stmt.index, 0, extent, stmt.body, scope)

    def is_written_out(self, stmt: For, scope: Scope) -> bool:
        return stmt.kind == "unroll" or touches_variables(stmt.body, scope.memory)

    def counted(self, index: str, first: int, count: int, body: Block, scope: Scope) -> None:
        name = self.name(index)
        numbers = {n: value for n, value in scope.numbers.items() if n != index}
        inner = replace(scope, indices={**scope.indices, index: name}, numbers=numbers)
        end = scope.number(first + count)
        self.braced(f"for ({scope.integer} {name} = {first}; {name} < {end}; ++{name})", body, inner)

    def at_once(self, stmt: For, extent: int, scope: Scope) -> None:
        for first, count in pieces(extent):
            if count == 1:
                self.block(stmt.body, scope.at(stmt.index, first))
            else:
                self.block(stmt.body, replace(scope, lanes=Lanes(stmt.index, first, count)))

    def one_by_one(self, block: Block, scope: Scope) -> None:
        """A statement of a vector loop, lane by lane."""
        lanes = scope.lanes
        assert lanes is not None
        if scope.vectors or touches_variables(block, scope.memory):
            for k in range(lanes.count):
                self.block(block, scope.lane(k))
        else:
            self.counted(lanes.index, lanes.first, lanes.count, block, replace(scope, lanes=None))

    def items(self, stmt: For, scope: Scope) -> None:
        """Nested `item` loops: one iteration per work-item; a barrier inside needs all of them to take part."""
        loops, body = leading(stmt, "item")
        count = prod(number(loop.extent) for loop in loops)
        if count < self.group and any(isinstance(s, Barrier) for s in walk(body)):
            raise error("TILE0602", f"a barrier in item loops that {count} of {self.group} work-items run")
        self.line(f"if (get_local_id(0) < {count}) {{" if count < self.group else "{")
        self.depth += 1
        self.block(body, spread(self, loops, f"({scope.integer})get_local_id(0)", replace(scope, once=False)))
        self.depth -= 1
        self.line("}")

    def let(self, stmt: Let, scope: Scope) -> None:
        name = self.name(stmt.name)
        dtype = stmt.value.dtype
        if scope.lanes is not None:
            values = self.vectors(scope)
            if values.varies(stmt.value):
                vector = values.value(stmt.value)
                self.flush(values.lines)
                assert isinstance(scope.vectors, dict)
                scope.vectors[stmt.name] = vector
                return
        scalars = self.expressions(scope)
        text = scalars.value(stmt.value)
        self.flush(scalars.lines)
        self.line(f"const {types.carried(dtype)} {name} = {text};")
        scope.scalars[stmt.name] = name

    def store(self, stmt: Store, scope: Scope) -> None:
        access = Access(stmt.buffer, stmt.indices)
        if scope.lanes is not None:
            if stride(access, scope):
                self.store_vector(stmt, access, scope)
            else:
                self.one_by_one((stmt,), scope)
            return
        self.line("if (get_local_id(0) == 0) {" if scope.once else "{")
        self.depth += 1
        values = self.expressions(scope)
        dtype = scope.memory[stmt.buffer].buffer.dtype
        target = values.element(access)
        if (factors := _factors(stmt, dtype)) is not None:
            a, b = map(values.value, factors)
            value = f"{self.functions.fused('sum', dtype)}({a}, {b}, {target})"
        else:
            value = values.converted(stmt.value, dtype)
            if stmt.monoid is not None:
                value = self.combined(values, stmt, value, types.load(dtype, target))
        self.flush(values.lines)
        self.line(f"{target} = {types.store(dtype, value)};")
        self.depth -= 1
        self.line("}")

    def combined(self, values: ExprWriter, stmt: Store, value: str, old: str) -> str:
        assert stmt.monoid is not None
        dtype = types.carried(stmt.monoid.dtypes[0])
        values.lines += [f"const {dtype} new_ = {value};", f"const {dtype} old_ = {old};"]
        inner = ExprWriter(self.functions, {"a0": "old_", "b0": "new_"}, values.element, values.index, "c")
        result = inner.value(stmt.monoid.combine[0])
        values.lines += inner.lines
        return result

    def repeat(self, stmt: While, scope: Scope) -> None:
        self.line("while (true) {")
        self.depth += 1
        values = self.expressions(scope)
        condition = values.value(stmt.condition)
        self.line("{")
        self.flush(values.lines)
        self.line(f"if (!{condition}) break;")
        self.line("}")
        self.block(stmt.body, scope)
        self.depth -= 1
        self.line("}")

    def barrier(self, stmt: Barrier) -> None:
        if self.group:
            self.line("barrier(CLK_LOCAL_MEM_FENCE);" if stmt.space == "local" else FENCE)

    # vectors

    def store_vector(self, stmt: Store, access: Access, scope: Scope) -> None:
        """Lanes store to cells of their own."""
        self.line("{")
        self.depth += 1
        values = self.vectors(scope)
        dtype = scope.memory[stmt.buffer].buffer.dtype
        if (factors := _factors(stmt, dtype)) is not None:
            assert scope.lanes is not None
            a, b = (values.value(f).text for f in factors)
            old = self.load(values, access, dtype, scope)
            value = Vector(f"{self.functions.fused('sum', dtype, scope.lanes.count)}({a}, {b}, {old.text})")
        else:
            value = values.value(stmt.value if stmt.value.dtype == dtype else Call("cast", (stmt.value,), dtype))
            if stmt.monoid is not None:
                old = values.keep(self.load(values, access, dtype, scope), dtype)
                inner = self.vectors(scope, {"a0": old, "b0": values.keep(value, dtype)})
                value = inner.value(stmt.monoid.combine[0])
                values.lines.extend(inner.lines)
        value = value if value.text.isidentifier() else values.keep(value, dtype)
        self.flush(values.lines)
        self.put(access, value, dtype, scope, stmt.stream)
        self.depth -= 1
        self.line("}")

    def put(self, access: Access, value: Vector, dtype: DType, scope: Scope, stream: bool = False) -> None:
        assert scope.lanes is not None
        memory, count = scope.memory[access.tensor], scope.lanes.count
        if (whole := self.whole_variable(access, scope)) is not None:
            self.line(f"{whole} = {value.text};")
        elif stride(access, scope) == 1 and not memory.lanes and not types.is_narrow(dtype):
            text = value.text
            if value.mask:
                text = f"as_uchar{count}({self.vectors(scope).masked(value, 8)} & (char{count})(1))"
            target = self.contiguous(access, dtype, scope)
            self.line(f"TILEC_STREAM({target}, {text});" if stream else f"{target} = {text};")
        else:
            for k in range(count):
                target = self.element(access, scope.lane(k), _no_data)
                self.line(f"{target} = {types.store(dtype, value.lane(k))};")

    def load(self, values: VectorWriter, access: Access, dtype: DType, scope: Scope) -> Vector:
        """The cells of all lanes."""
        assert scope.lanes is not None
        memory, count = scope.memory[access.tensor], scope.lanes.count
        if (whole := self.whole_variable(access, scope)) is not None:
            return Vector(whole)
        if stride(access, scope) == 1 and not memory.lanes and not types.is_narrow(dtype):
            text = self.contiguous(access, dtype, scope, "const ")
            return Vector(f"({text} != (uchar{count})(0))", 8) if dtype == BOOL else Vector(text)
        texts = []
        for k in range(count):
            element = self.element(access, scope.lane(k), lambda e, k=k: values.lane(e, k))  # type: ignore[misc]
            texts.append(types.load(dtype, element))
        return values.pack(texts, dtype)

    def whole_variable(self, access: Access, scope: Scope) -> str | None:
        """The variable that holds the cells of all lanes in their order."""
        memory = scope.memory[access.tensor]
        if scope.lanes is None or memory.lanes != scope.lanes.count or stride(access, scope) != 1:
            return None
        first = number_of(access, scope)
        return None if first % memory.lanes else f"{memory.pointer}_{first // memory.lanes}"

    def contiguous(self, access: Access, dtype: DType, scope: Scope, qualifier: str = "") -> str:
        """The C lvalue of neighbouring elements."""
        assert scope.lanes is not None
        memory = scope.memory[access.tensor]
        kind = self.functions.pointee(types.stored(dtype), scope.lanes.count, dtype.bytes)
        place = position(access, scope, _no_data)
        return f"*({qualifier}{memory.space}{kind} *)({memory.pointer} + {place})"

    # memory

    def allocate(self, buffer: Buffer, rest: Block, scope: Scope) -> Memory:
        if buffer.base is not None:
            return view(buffer, scope.memory)
        self.functions.note(buffer.dtype)
        name, element, count = self.name(buffer.name), types.stored(buffer.dtype), max(1, elements(buffer))
        if buffer.space == "local" and scope.once:
            array = self.local.setdefault(f"{buffer.name} {element}", LocalArray(element, name))
            array.count = max(array.count, count)
            return Memory.of(array.name, buffer, space="__local ")
        if lanes := in_variables(buffer, rest, scope.numbers):
            names = ", ".join(f"{name}_{k}" for k in range(-(-count // lanes)))
            self.line(f"{element}{lanes if lanes > 1 else ''} {names};")
            return replace(Memory.of(name, buffer), lanes=lanes)
        if count * buffer.dtype.bytes <= PRIVATE_BYTES:
            self.line(f"{element} {name}[{count}];")
            return Memory.of(name, buffer, space="")
        self.line(f"__global {element} *{name} = (__global {element} *)(scratch + {self.scratch});")
        self.scratch += bytes_of(buffer)
        return Memory.of(name, buffer)

    def element(self, access: Access, scope: Scope, data: Callable[[Expr], str]) -> str:
        """The C lvalue of an element."""
        memory = scope.memory[access.tensor]
        if memory.lanes:
            return memory.variable(number_of(access, scope))
        return f"{memory.pointer}[{position(access, scope, data)}]"

    # expressions

    def expressions(self, scope: Scope, scalars: dict[str, str] | None = None) -> ExprWriter:
        def element(access: Access) -> str:
            return self.element(access, scope, lambda e: values.value(e))

        def index(form: Affine) -> str:
            return affine(form, scope)

        prefix = f"t{self.names}_"
        self.names += 1
        values = ExprWriter(self.functions, scope.scalars if scalars is None else scalars, element, index, prefix)
        return values

    def vectors(self, scope: Scope, given: dict[str, Vector] | None = None) -> VectorWriter:
        """given: the only scalars of an expression, instead of those of the scope."""
        assert scope.lanes is not None
        scalar = self.expressions(scope)
        vectors = scope.vectors if given is None else given

        def load(values: VectorWriter, access: Access, dtype: DType) -> Vector:
            return self.load(values, access, dtype, scope)

        def index(form: Affine) -> str:
            return affine(form, scope)

        return VectorWriter(self.functions, scope.lanes.count, scalar, vectors, scope.step, index, load, scalar.prefix)

    def flush(self, lines: list[str]) -> None:
        for text in lines:
            self.line(text)
        lines.clear()


def spread(writer: Writer, loops: list[For], source: str, scope: Scope) -> Scope:
    """Loop indices computed from one linear index, the last loop varying fastest."""
    indices = dict(scope.indices)
    step = 1
    for loop in reversed(loops):
        name = writer.name(loop.index)
        extent = max(1, number(loop.extent))
        parts = source if scope.small and step == 1 else f"{source} / {scope.number(step)}"
        whole = scope.small and loop is loops[0]
        writer.line(f"const {scope.integer} {name} = {parts}{'' if whole else f' % {scope.number(extent)}'};")
        indices[loop.index] = name
        step *= extent
    return replace(scope, indices=indices)


def _factors(stmt: Store, dtype: DType) -> tuple[Expr, Expr] | None:
    """Factors of the term of a sum of products: added by one operation where the device has it, as the LLVM backend
    does."""
    value = stmt.value
    if stmt.monoid is None or stmt.monoid.name != "sum" or not isinstance(value, Call) or value.op != "mul":
        return None
    return (value.args[0], value.args[1]) if value.dtype == dtype and dtype in (F32, F64) else None


def _no_data(expr: Expr) -> str:
    raise AssertionError("a data-dependent index here")
