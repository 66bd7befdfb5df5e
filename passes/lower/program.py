"""Assembles a Program: buffers, one kernel per group, steps."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from math import prod

from tilec.errors import error
from tilec.exact.boxes import integer
from tilec.expr import reads
from tilec.graph import Apply, Contraction, Graph, Let, Literal, Special, TensorType, operands
from tilec.loops import (
    Alloc,
    Block,
    Buffer,
    Copy,
    HostCall,
    Kernel,
    KernelParam,
    Launch,
    Mode,
    Program,
    Step,
    Store,
    accesses,
    walk,
)
from tilec.partition import Partition

from .contractions import contraction
from .elementwise import elementwise
from .nests import Names
from .specials import literal, special
from .values import Values


class Builder:
    """Collects a Program group by group: `add` for every group in order, then `finish`."""

    def __init__(self, graph: Graph, partition: Partition) -> None:
        for let in graph.lets:
            if not let.names:
                raise error("TILE0602", "operations without a result are not lowered yet", let.span)
        self._graph = graph
        self._lets = {let.names[0]: let for let in graph.lets}
        inlined = {n: self._lets[n] for n in partition.inlined}
        self._values = Values(graph.types(), inlined, _uses(graph))
        self._outside = _read_outside(graph, partition)
        self._buffers: dict[str, Buffer] = {}
        self._kernels: list[Kernel] = []
        self._steps: list[Step] = []
        self._init: list[Step] = []
        self._donated = {result for _, result in graph.aliases}
        self._outputs = frozenset(graph.results) - self._donated  # computed straight into the caller's memory
        self._constant = {p.name for p in graph.params if p.digest is not None}
        for p in graph.params:
            self._declare(p.name, p.type, param=True)

    def _declare(self, name: str, type: TensorType, param: bool = False) -> None:
        shape = tuple(map(integer, type.shape))
        self._buffers[name] = Buffer(name, type.dtype, shape, "param" if param else "heap")

    def add(self, group: tuple[str, ...]) -> None:
        """Lowers one group: a reshape, or a kernel."""
        lets = [self._lets[n] for n in group]
        node = lets[0].node
        if isinstance(node, Special) and node.op == "reshape":
            self._reshape(lets[0], node)
            return
        if isinstance(node, Special) and node.op == "host_call":
            self._host_call(lets[0], node)
            return
        produced = [n for let in lets for n in let.names]
        stored = [n for n in produced if n in self._outside]
        if not stored:
            return  # nothing reads it
        for n in stored:
            self._declare(n, self._values.types[n], param=n in self._outputs)
        names = Names(self._values.types)
        local = [n for n in produced if n not in self._outside]
        body = self._body(lets, stored, local, names)
        self._launch(_kernel(f"k{len(self._kernels)}_{group[-1]}", body, self._buffers), stored)

    def _body(self, lets: list[Let], stored: list[str], local: list[str], names: Names) -> Block:
        first, rest = lets[0], lets[1:]
        if isinstance(first.node, Apply):
            return elementwise(lets, stored, self._values, names)
        block: Block
        match first.node:
            case Contraction():
                block = contraction(first, self._values, names)
            case Literal():
                block = literal(first, names)
            case _:
                block = special(first, self._values, names, self._flat)
        if rest:
            block += elementwise(rest, stored, self._values, names)
        kept = [n for n in first.names if n in local and n not in self._buffers]
        return (*(Alloc(self._local(n)) for n in kept), *block)

    def _flat(self, name: str) -> str:
        """Declares a rank-1 view of a value of the group being lowered; gives its name."""
        type = self._values.types[name]
        if name not in self._buffers:
            self._declare(name, type)
        return self._view(self._fresh(name), name, TensorType(type.dtype, (prod(self._values.shape(name)),)))

    def _local(self, name: str) -> Buffer:
        type = self._values.types[name]
        return Buffer(name, type.dtype, tuple(map(integer, type.shape)), "heap")

    def _launch(self, kernel: Kernel, produced: list[str]) -> None:
        args = tuple(p.buffer.name for p in kernel.params)
        self._kernels.append(kernel)
        inputs = [a for a in args if a not in produced]
        step = Launch(kernel.name, args)
        if all(i in self._constant for i in inputs) and all(self._buffers[n].space == "heap" for n in produced):
            self._constant.update(produced)
            self._init.append(step)
        else:
            self._steps.append(step)

    def _reshape(self, let: Let, node: Special) -> None:
        """A view, unless the caller owns the result's memory."""
        name, source = let.names[0], node.args[0]
        if name in self._outputs:
            self._declare(name, let.types[0], param=True)
            self._steps.append(Copy(self._view(self._fresh(name), source, let.types[0]), name))
            return
        self._view(name, source, let.types[0])
        if source in self._constant:
            self._constant.add(name)

    def _host_call(self, let: Let, node: Special) -> None:
        for n in let.names:
            self._declare(n, self._values.types[n], param=n in self._outputs)
        self._steps.append(HostCall(str(node.attribute("function")), node.args, let.names))

    def _view(self, name: str, source: str, type: TensorType) -> str:
        """Declares a buffer that shows the elements of `source` in another shape."""
        shape = tuple(map(integer, type.shape))
        base = self._buffers[source]
        self._buffers[name] = Buffer(name, type.dtype, shape, base.space, base=base.base or source)
        return name

    def finish(self) -> Program:
        """The whole Program. A result that is a parameter, or given twice, is a copy; so is one with an alias."""
        graph = self._graph
        results = self._results()
        memory = dict(zip(graph.results, results))
        return Program(
            name=graph.name,
            params=tuple(p.name for p in graph.params if p.digest is None),
            results=results,
            buffers=tuple(self._buffers.values()),
            kernels=tuple(self._kernels),
            steps=tuple(self._steps),
            init=tuple(self._init),
            constants=tuple((p.name, p.digest) for p in graph.params if p.digest is not None),
            aliases=tuple((param, memory[result]) for param, result in graph.aliases),
        )

    def _results(self) -> tuple[str, ...]:
        """Buffers of the results. What shares a parameter's memory is copied there last: nothing reads it any more."""
        inputs = {p.name for p in self._graph.params}
        donated = {param for param, _ in self._graph.aliases}
        early = {r: self._copy_of(r, param=False) for r in self._donated if r in donated}
        found: dict[int, str] = {}
        taken: set[str] = set()
        order = sorted(enumerate(self._graph.results), key=lambda at: at[1] in self._donated)
        for position, r in order:
            copied = r in inputs or r in taken or r in self._donated
            found[position] = self._copy_of(early.get(r, r)) if copied else r
            taken.add(r)
        return tuple(found[k] for k in range(len(found)))

    def _copy_of(self, source: str, param: bool = True) -> str:
        name = self._fresh(source)
        known = self._buffers[source]
        self._buffers[name] = Buffer(name, known.dtype, known.shape, "param" if param else "heap")
        self._steps.append(Copy(source, name))
        return name

    def _fresh(self, name: str) -> str:
        n = 1
        while f"{name}.{n}" in self._buffers or f"{name}.{n}" in self._values.types:
            n += 1
        return f"{name}.{n}"


def _uses(graph: Graph) -> Counter[str]:
    """How often each name is read."""
    uses: Counter[str] = Counter()
    for let in graph.lets:
        uses.update(_reads(let))
    return uses


def _reads(let: Let) -> Iterator[str]:
    match let.node:
        case Contraction():
            for body in let.node.body:
                yield from (r.access.tensor for r in reads(body))
            yield from (d for d in let.node.defaults if d is not None)
        case Apply() | Special():
            yield from let.node.args
        case _:
            yield from operands(let.node)


def _read_outside(graph: Graph, partition: Partition) -> frozenset[str]:
    """Names that need a buffer of the program: results, and what a kernel other than its own reads.

    An inlined Let's operands are read by the kernels that read the Let.
    """
    lets = {let.names[0]: let for let in graph.lets}
    group_of = {n: k for k, group in enumerate(partition.groups) for head in group for n in lets[head].names}
    readers: dict[str, set[int]] = {}
    for let in reversed(graph.lets):
        head = let.names[0]
        by = {group_of[head]} if head in group_of else readers.get(head, set())
        for name in operands(let.node):
            readers.setdefault(name, set()).update(by)
    found = set(graph.results)
    found.update(n for n, k in group_of.items() if readers.get(n, set()) - {k})
    return frozenset(found)


def _kernel(name: str, body: Block, buffers: dict[str, Buffer]) -> Kernel:
    """Parameters are the program buffers that the body touches, read ones first."""
    read: dict[str, None] = {}
    written: dict[str, None] = {}
    own: set[str] = set()
    for stmt in walk(body):
        if isinstance(stmt, Alloc):
            own.add(stmt.buffer.name)
        read.update((a.tensor, None) for a in accesses(stmt))
        if isinstance(stmt, Store):
            written[stmt.buffer] = None
            if stmt.monoid is not None:
                read[stmt.buffer] = None
    ordered = dict.fromkeys([*(n for n in read if n not in written), *written])
    params = (KernelParam(_as_param(buffers[n]), _mode(n in read, n in written)) for n in ordered if n not in own)
    return Kernel(name, tuple(params), body)


def _as_param(buffer: Buffer) -> Buffer:
    return Buffer(buffer.name, buffer.dtype, buffer.shape, "param")


def _mode(read: bool, written: bool) -> Mode:
    return "inout" if read and written else "out" if written else "in"
