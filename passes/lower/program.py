"""Assembles a Program: buffers, one kernel per group, steps."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from math import prod
from typing import cast

from tilec.affine import Size
from tilec.dtypes import BOOL
from tilec.errors import Span
from tilec.exact.boxes import integer
from tilec.expr import reads
from tilec.graph import Apply, Cond, Contraction, Graph, Let, Literal, Scan, Special, TensorType, While, operands
from tilec.loops import (
    Alloc,
    Block,
    Buffer,
    Check,
    Copy,
    HostCall,
    Kernel,
    KernelParam,
    Launch,
    Program,
    Step,
    Store,
    accesses,
    is_open,
    strides_of,
    walk,
)
from tilec.overwritten import modes_of
from tilec.partition import Partition, labelled
from tilec.specials import code_of

from .assembly import Assembly
from .checks import every, zeros
from .contractions import contraction
from .control import cond, loop, scan
from .elementwise import elementwise
from .joins import plan
from .joins.nests import joined
from .joins.places import Place
from .nests import Names
from .specials import literal, special
from .values import Values


class Builder:
    """Collects the steps of a Graph kernel by kernel: `add` for every one in order, then `finish` or `deliver`.

    `memory` has the buffer of every name that has one; a kernel calls it by the name in the Graph. For a sub-Graph the
    parameters are in `memory` from the start, and `targets` are buffers for some of its own results.
    """

    def __init__(
        self,
        graph: Graph,
        partition: Partition,
        assembly: Assembly | None = None,
        memory: Mapping[str, str] | None = None,
        targets: Mapping[str, str] | None = None,
        sequential: bool = False,
    ) -> None:
        self._graph = graph
        self._lets = labelled(graph)
        self._values = Values(graph.types(), {n: self._lets[n] for n in partition.inlined}, _uses(graph))
        self._outside = _read_outside(graph, partition.kernels())
        self._passed = _read_outside(graph, [(group,) for group in partition.groups])
        self._inner = dict(partition.inner)
        self._steps: list[Step] = []
        donated = {result for _, result in graph.aliases}
        self._outputs = frozenset(graph.results) - donated if targets is None else targets.keys()
        self._assembly = assembly or Assembly(frozenset(self._values.types), sequential)
        self._memory = dict(memory or {})
        self._targets = targets
        if assembly is None:
            for p in graph.params:
                self._memory[p.name] = self._assembly.declare(p.name, p.type, param=True)
            self._assembly.constant.update(p.name for p in graph.params if p.digest is not None)
        constant = [p.name for p in graph.params if self._memory[p.name] in self._assembly.constant]
        self._plan = plan(graph, partition, self._values, self._outside, constant)

    def _declare(self, name: str) -> str:
        """The buffer of a value."""
        type = self._values.types[name]
        if name in self._memory:  # a part of it was computed before
            return self._memory[name]
        if name in self._plan.places:
            self._memory[name] = self._placed(name, self._plan.places[name])
        elif self._targets is not None and name in self._targets:
            self._memory[name] = self._targets[name]
        elif self._targets is not None:
            self._memory[name] = self._assembly.declare(self._assembly.names.like(name), type)
        else:
            self._memory[name] = self._assembly.declare(name, type, param=name in self._outputs)
        return self._memory[name]

    def _placed(self, name: str, place: Place) -> str:
        """The memory of a part: a view of what it is a part of."""
        assembly = self._assembly
        whole = assembly.buffers[self._declare(place.tensor)]
        shape, strides = self._values.fixed_shape(name), [integer(s) for s in strides_of(whole)]
        view = self._view(name, whole.name, shape)
        ahead = sum(a * s for a, s in zip(place.start, strides, strict=True))
        offset = cast(Size, whole.offset + ahead)  # a sum of sizes is one
        found = place.strides(shape, strides)
        assembly.buffers[view] = replace(assembly.buffers[view], strides=found, offset=offset)
        return view

    def add(self, groups: tuple[tuple[str, ...], ...]) -> None:
        """Lowers the groups of one kernel; or a reshape, a host call, or sub-Graphs, each a group of its own."""
        if groups[0][0] in self._plan.absorbed:
            return
        lets = [[self._lets[n] for n in group] for group in groups]
        first = lets[0][0]
        match first.node:
            case Special(op="reshape") if groups[0][0] in self._plan.places:
                self._declare(groups[0][0])
            case Special(op="reshape") as node:
                self._reshape(first, node)
            case Special(op="host_call") as node:
                outputs = tuple(map(self._declare, first.names))
                function = str(node.attribute("function"))
                self._steps.append(HostCall(function, self._places(node.args), outputs, first.span))
            case Special(op="assert") as node:
                self._check(node, first.span)
            case Cond() | While() | Scan() as control:
                self._control(control, tuple(map(self._declare, first.names)), self._inner[groups[0][0]])
            case _:
                self._kernel(groups[-1][-1], lets)

    def _places(self, names: Iterable[str]) -> tuple[str, ...]:
        return tuple(self._memory[n] for n in names)

    def _kernel(self, name: str, groups: list[list[Let]]) -> None:
        produced = [n for lets in groups for let in lets for n in let.names]
        stored = [n for n in produced if n in self._outside]
        if not stored:
            return  # nothing reads it
        for n in stored:
            self._declare(n)
        names = Names(self._values.types)
        body = tuple(s for lets in groups for s in self._body(lets, names))
        body = tuple(sorted(body, key=lambda s: not isinstance(s, Alloc)))  # a schedule may move nests to earlier ones
        if body:
            self._launch(_kernel(self._kernel_name(name), body, self._shown), stored)

    def _kernel_name(self, name: str) -> str:
        return f"k{len(self._assembly.kernels)}_{name}"

    def _shown(self, name: str) -> Buffer:
        """A value's buffer, by the name that kernels use."""
        buffer = self._assembly.buffers[self._memory[name]]
        return Buffer(name, buffer.dtype, buffer.shape, "param", buffer.strides)

    def _body(self, lets: list[Let], names: Names) -> Block:
        """One group. What others in its kernel alone read is stored in memory of the kernel's own."""
        first, rest = lets[0], lets[1:]
        produced = [n for let in lets for n in let.names]
        stored = [n for n in produced if n in self._outside or n in self._passed]
        block: Block
        join = self._plan.joins.get(first.names[0])
        if join is not None:
            return joined(first, join, rest, stored, self._values, names)
        match first.node:
            case Apply():
                block = elementwise(lets, stored, self._values, names)
            case Contraction():
                block = contraction(first, self._values, names)
            case Literal():
                block = literal(first, names)
            case _:
                block = special(first, self._values, names, self._flat, self._assembly.sequential)
        if rest and not isinstance(first.node, Apply):
            block += elementwise(rest, stored, self._values, names)
        made = stored if isinstance(first.node, Apply) else [*first.names, *(n for n in stored if n not in first.names)]
        kept = [n for n in made if n not in self._outside and n not in self._memory]
        return (*(Alloc(self._local(n)) for n in kept), *block)

    def _flat(self, name: str) -> str:
        """Declares a rank-1 view of a value of the group being lowered; gives the name that its kernel uses."""
        if name not in self._memory:
            self._declare(name)
        flat = self._fresh(name)
        self._memory[flat] = self._view(flat, self._memory[name], (prod(self._values.fixed_shape(name)),))
        return flat

    def _local(self, name: str) -> Buffer:
        type = self._values.types[name]
        return Buffer(name, type.dtype, type.shape, "heap")

    def _launch(self, kernel: Kernel, produced: list[str]) -> None:
        """A step, or an initial one where nothing but constants is read and nothing given is written."""
        names = [p.buffer.name for p in kernel.params]
        inputs = self._places(n for n in names if n not in produced)
        step = Launch(kernel.name, self._places(names))
        assembly = self._assembly
        assembly.kernels.append(kernel)
        own = not any(n in self._outputs or n in self._plan.shared for n in produced)
        if own and assembly.constant.issuperset(inputs) and not is_open(kernel):
            assembly.constant.update(self._places(produced))
            assembly.init.append(step)
        else:
            self._steps.append(step)

    def _reshape(self, let: Let, node: Special) -> None:
        """A view, unless the result's memory is given."""
        name, source = let.names[0], self._memory[node.args[0]]
        if name in self._outputs:
            target = self._declare(name)
            self._steps.append(Copy(self._view(self._fresh(name), source, self._values.shape(name)), target))
            return
        self._memory[name] = self._view(name, source, self._values.shape(name))
        if source in self._assembly.constant:
            self._assembly.constant.add(self._memory[name])

    def _check(self, node: Special, span: Span | None) -> None:
        """A step that fails where an element is 0."""
        (name,) = node.args
        condition, type = self._memory[name], self._values.types[name]
        if type != TensorType(BOOL):
            holds = self._assembly.declare(self._assembly.names.like("holds"), TensorType(BOOL))
            kernel = every("holds", self._shown(name), self._kernel_name("holds"))
            self._assembly.kernels.append(kernel)
            self._steps.append(Launch(kernel.name, (condition, holds)))
            condition = holds
        self._steps.append(Check(condition, str(node.attribute("message")), span, code_of(node)))

    def _view(self, name: str, source: str, shape: tuple[Size, ...]) -> str:
        """Declares a buffer that shows the elements of `source` in another shape."""
        if self._targets is not None:
            name = self._assembly.names.like(name)
        return self._assembly.view(name, source, shape)

    def _control(self, node: Cond | While | Scan, results: tuple[str, ...], parts: tuple[Partition, ...]) -> None:
        assembly = self._assembly
        match node:
            case Cond(predicate=predicate, args=args):
                steps = cond(node, self._memory[predicate], self._places(args), results, parts, self._nested)
            case While(init=init, captures=captures):
                given = self._places(init), self._places(captures)
                steps = loop(node, *given, results, parts, assembly, self._nested)
            case Scan(init=init, inputs=inputs, captures=captures, count=count):
                operands = self._places(init), self._places(inputs), self._places(captures)
                number = None if count is None else self._memory[count]
                if number is not None:
                    for result in results[len(init) :]:
                        self._zero(result)
                steps = scan(node, *operands, number, results, parts[0], assembly, self._nested)
        self._steps += steps

    def _zero(self, place: str) -> None:
        """A step that fills a buffer with 0."""
        kernel = zeros(self._assembly.buffers[place], self._kernel_name("zeros"))
        self._assembly.kernels.append(kernel)
        self._steps.append(Launch(kernel.name, (place,)))

    def _nested(
        self, graph: Graph, partition: Partition, args: Sequence[str], targets: Sequence[str | None]
    ) -> tuple[list[Step], tuple[str, ...]]:
        """The steps of a sub-Graph on given buffers, and the buffers of its results."""
        memory = {p.name: a for p, a in zip(graph.params, args, strict=True)}
        given: dict[str, str] = {}
        for name, target in zip(graph.results, targets, strict=True):
            if target is not None and name not in memory:
                given.setdefault(name, target)
        builder = Builder(graph, partition, self._assembly, memory, given)
        for groups in partition.kernels():
            builder.add(groups)
        return builder.deliver(targets, frozenset(args))

    def deliver(self, targets: Sequence[str | None], given: frozenset[str]) -> tuple[list[Step], tuple[str, ...]]:
        """The steps, with copies of results that are not yet where they belong, and the buffers of all results.

        What is `given` is copied first: then nothing needs it when it may be overwritten.
        """
        early: list[Step] = []
        found = []
        for place, target in zip(self._places(self._graph.results), targets, strict=True):
            if target is not None and place != target:
                (early if place in given else self._steps).append(Copy(place, target))
            found.append(target or place)
        return [*early, *self._steps], tuple(found)

    def finish(self) -> Program:
        """The whole Program. A result that is a parameter, or given twice, is a copy; a donated one ends in its
        parameter."""
        graph, assembly = self._graph, self._assembly
        results = self._results()
        return Program(
            name=graph.name,
            params=tuple(p.name for p in graph.params if p.digest is None),
            results=results,
            buffers=tuple(assembly.buffers.values()),
            kernels=tuple(assembly.kernels),
            steps=tuple(self._steps),
            init=tuple(assembly.init),
            sizes=graph.sizes,
            constants=tuple((p.name, p.digest) for p in graph.params if p.digest is not None),
        )

    def _results(self) -> tuple[str, ...]:
        """Buffers of the results. Donated parameters are written last: nothing reads their old values any more."""
        buffers, memory = self._assembly.buffers, self._memory
        inputs = {p.name for p in self._graph.params}
        into = {result: param for param, result in self._graph.aliases}
        shown = {r: buffers[memory[r]].base or memory[r] for r in into}
        lost = [r for r, p in into.items() if r != p and shown[r] in into.values()]  # they are old values of parameters
        early = {r: self._copy_of(memory[r], param=False) for r in lost}
        found: dict[int, str] = {}
        taken: set[str] = set()
        order = sorted(enumerate(self._graph.results), key=lambda at: at[1] in into)
        for position, r in order:
            source = early.get(r, memory[r])
            if r in into and r not in taken:
                found[position] = self._donated_to(into[r], source)
            else:
                found[position] = self._copy_of(source) if r in inputs or r in taken else source
            taken.add(r)
        return tuple(found[k] for k in range(len(found)))

    def _donated_to(self, param: str, source: str) -> str:
        if source != param:
            self._steps.append(Copy(source, param))
        return param

    def _copy_of(self, source: str, param: bool = True) -> str:
        name = self._fresh(source)
        known = self._assembly.buffers[source]
        self._assembly.buffers[name] = Buffer(name, known.dtype, known.shape, "param" if param else "heap")
        self._steps.append(Copy(source, name))
        return name

    def _fresh(self, name: str) -> str:
        """A name that no buffer of the program has, nor gets, nor a value that is being lowered."""
        while (found := self._assembly.names.numbered(name)) in self._values.types or found in self._memory:
            pass
        return found


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


def _read_outside(graph: Graph, parts: Sequence[tuple[tuple[str, ...], ...]]) -> frozenset[str]:
    """Names that need memory beyond their part: results, and what another part than their own reads.

    An inlined Let's operands are read by the parts that read the Let.
    """
    lets = labelled(graph)
    heads = {head: k for k, groups in enumerate(parts) for group in groups for head in group}
    group_of = {n: k for head, k in heads.items() for n in (*lets[head].names, head)}
    readers: dict[str, set[int]] = {}
    for head, let in reversed(lets.items()):
        by = {group_of[head]} if head in group_of else readers.get(head, set())
        for name in operands(let.node):
            readers.setdefault(name, set()).update(by)
    found = set(graph.results)
    found.update(n for n, k in group_of.items() if readers.get(n, set()) - {k})
    return frozenset(found)


def _kernel(name: str, body: Block, shown: Callable[[str], Buffer]) -> Kernel:
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
    buffers = [shown(n) for n in ordered if n not in own]
    return Kernel(name, tuple(map(KernelParam, buffers, modes_of(body, buffers))), body)
