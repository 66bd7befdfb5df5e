"""Pass `fuse`: decides which Lets share a kernel. Fusion is data, a `Partition`: the Graph stays as it is.

*Pointwise* Lets (elementwise, one-value literals, and contractions that only rearrange) are computed from other
tensors cell by cell. First each of them is inlined where that repeats no work worth speaking of: it is cheap, or every
element is needed once. Then the others are put into groups, in the Graph's order: one that has the shape of the group
of its latest operand, and reads that group's values at its own cell only, joins it; or a later one, that begins with
elementwise Lets and reads the same tensor. All its operands are computed there or before, so no order can be circular,
and the whole is linear in the size of the Graph. Sub-Graphs are fused by themselves: nothing joins or is inlined across
their borders. What constants alone decide shares no kernel with what each call computes anew, so that it is computed
once, before the first call.

With `chains`, a group that does not fit goes on in the same kernel where each of its leading cells needs just the same
cell of what that kernel computed before, as the rows of a softmax do: the schedule then takes one row through all
groups before the next. Such a row fits into a cache, and contractions among the groups use nothing again and again.

Before:
    graph f(A: f32[2, 3], b: f32[2]) -> (R) {
      C: f32[2] = sum:f32 [i < 2, k < 3] { [i] <- A[i, k] }
      D: f32[2] = add(C, b)
      R: f32[2] = exp(D)
    }
After:
    C, R
    inlined: D
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod

from tilec.affine import Affine, Poly, Size
from tilec.exact.domain import box_of, conditions, guards
from tilec.expr import Call, Expr, IndexValue, Read, walk
from tilec.graph import AGAIN, Apply, Contraction, Graph, Let, Literal, Special, operands, subgraphs
from tilec.partition import Partition, labelled
from tilec.specials import SPECIALS

CHEAP = 2  # cost up to which work may be repeated
OFTEN = 32  # times that cheap work is repeated, from which on it is done once where that takes no kernel of its own
EXPENSIVE = 8  # cost of an operation that is not in _CHEAP_OPS
MAX_COST = 64  # of one inlined expression
MAX_DEPTH = 64  # of Lets inlined into one another: what costs nothing, as a transposition, is bounded by this alone
MAX_GROUP_COST = 1024
MAX_OPERANDS = 24  # tensors that one kernel reads
MAX_ROW = 1 << 18  # bytes of one row of a chain: it stays in the second cache
MAX_CHAIN = 16  # groups of one kernel
NEAR = 4  # kernels, counted from the last, that a Let joins for the sake of memory traffic: what they make is kept
WHOLE = 1 << 30  # in the place of a number of leading axes: the own cell is read
_CHEAP_OPS = frozenset({
    "neg", "abs", "add", "sub", "mul", "max", "min", "cond", "cast", "bitcast", "relu", "ident",
    "stop_gradient", "reverse_grad",
    "bit_and", "bit_or", "bit_xor", "bit_not", "bit_left", "bit_right",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Options:
    """`enabled` False gives each Let a kernel of its own; with `chains`, groups may share one row by row, from
    `least_rows` on."""

    enabled: bool = True
    chains: bool = False
    least_rows: int = 8


def run(graph: Graph, options: Options = Options()) -> Partition:
    """The partition of an inferred, bounded Graph."""
    return _Fuser(graph, options).run() if options.enabled else trivial(graph)


def trivial(graph: Graph) -> Partition:
    """One kernel per Let; only literals of one value are inlined, where no Special needs them in memory."""
    in_memory = {n for let in graph.lets if not isinstance(let.node, Apply | Contraction) for n in operands(let.node)}
    in_memory.update(graph.results)
    inlined = {let.names[0] for let in graph.lets if _is_scalar(let) and let.names[0] not in in_memory}
    groups = tuple((name,) for name in labelled(graph) if name not in inlined)
    return Partition(groups, tuple(sorted(inlined)), inside(graph, trivial))


def inside(graph: Graph, fuse: Callable[[Graph], Partition]) -> tuple[tuple[str, tuple[Partition, ...]], ...]:
    """Partitions of all sub-Graphs, by the labels of their Lets."""
    found = ((name, tuple(map(fuse, subgraphs(let.node)))) for name, let in labelled(graph).items())
    return tuple((name, parts) for name, parts in found if parts)


def _is_scalar(let: Let) -> bool:
    return isinstance(let.node, Literal) and len(let.node.values) == 1


@dataclass(slots=True)
class _Group:
    """Lets computed together. `shape` None: nothing can join."""

    shape: tuple[Size, ...] | None
    lets: list[str] = field(default_factory=list)
    cost: int = 0
    reads: set[str] = field(default_factory=set)


@dataclass(slots=True)
class _Kernel:
    """A kernel in the making: groups, of which those after the first do the same for each of the leading `rows`."""

    groups: list[_Group]
    rows: tuple[int, ...] = ()
    views: list[str] = field(default_factory=list)  # reshapes of its values, which follow it


@dataclass(frozen=True, slots=True)
class _Pointwise:
    """What computing one cell takes: operations and, per tensor in memory, on how many leading axes its own cell is
    read (`WHOLE`: on all, and the shapes are the same)."""

    cost: int
    reads: dict[str, int]
    depth: int = 1  # Lets that are inlined into one another


class _Fuser:
    def __init__(self, graph: Graph, options: Options) -> None:
        self._graph = graph
        self._options = options
        self._results = frozenset(graph.results)
        self._donated = frozenset(param for param, _ in graph.aliases)
        self._settled = settled(graph)
        self._again = {n for let in graph.lets if AGAIN in let.attributes for n in let.names}
        self._lets = {n: let for let in graph.lets for n in let.names}
        self._shapes = {n: t.shape for n, t in graph.types().items()}
        self._readers: dict[str, list[tuple[Let, int]]] = {}
        for let in graph.lets:
            for name, points in self._reads(let):
                self._readers.setdefault(name, []).append((let, points))
        self._bytes = {n: t.dtype.bits // 8 for n, t in graph.types().items()}
        self._inlined: dict[str, _Pointwise] = {}
        self._first = _Group(None)  # literals, and views of parameters
        self._kernels: list[_Kernel] = [_Kernel([self._first])]
        self._at: dict[str, tuple[int, int]] = {p.name: (0, 0) for p in graph.params}  # kernel, and group in it
        self._reading: dict[str, int] = {}  # by tensor, the latest kernel that begins by reading its own cell of it

    def run(self) -> Partition:
        for name, let in _settled_first(labelled(self._graph), self._settled).items():
            if let.names:
                self._place(let)
            else:
                self._kernels.append(_Kernel([_Group(None, [name])]))
        groups: list[tuple[str, ...]] = []
        joined: list[str] = []
        for kernel in self._kernels:
            first, *others = kernel.groups
            groups += [tuple(first.lets)] if first is not self._first else [(n,) for n in first.lets]
            groups += [tuple(g.lets) for g in others]
            groups += [(n,) for n in kernel.views]
            joined += [g.lets[0] for g in others]
        parts = inside(self._graph, lambda g: run(g, self._options))
        return Partition(tuple(groups), tuple(sorted(self._inlined)), parts, tuple(joined))

    # --- what is read -------------------------------------------------------------------------------------------------

    def _reads(self, let: Let) -> Iterator[tuple[str, int]]:
        """(tensor, how many elements of it are evaluated in total); -1 where it must be in memory."""
        match let.node:
            case Apply(args=args):
                for a in args:
                    yield a, _count(self._shapes[let.names[0]])
            case Contraction():
                points = _count(let.node.extents)
                for body in let.node.body:
                    for e in walk(body):
                        if isinstance(e, Read):
                            plain = e.access.boundary == "skip" and all(isinstance(i, Affine) for i in e.access.indices)
                            yield e.access.tensor, points if plain else -1
                yield from ((d, _count(self._shapes[d])) for d in let.node.defaults if d is not None)
            case Literal():
                return
            case node:
                yield from ((n, -1) for n in operands(node))

    def _pointwise(self, let: Let) -> _Pointwise | None:
        """How to compute one cell of a Let, through what is inlined; None where it is not pointwise."""
        match let.node:
            case Literal(values=(_,)):
                return _Pointwise(0, {})
            case Apply(op=op, args=args):
                own = self._shapes[let.names[0]]
                return self._combined(_cost(op), [(a, _aligned(self._shapes[a], own)) for a in args])
            case Contraction() if is_rearrangement(let.node, self._shapes):
                return self._combined(body_cost(let.node.body[0]), _leading(let.node))
            case _:
                return None

    def _combined(self, cost: int, operands: list[tuple[str, int]]) -> _Pointwise:
        reads: dict[str, int] = {}
        depth = 1
        for name, aligned in operands:
            inner = self._inlined.get(name)
            cost += inner.cost if inner else 0
            depth = max(depth, 1 + inner.depth if inner else 1)
            for n, axes in (inner.reads if inner else {name: WHOLE}).items():
                reads[n] = min(reads.get(n, WHOLE), axes, aligned)
        return _Pointwise(cost, reads, depth)

    # --- decisions ----------------------------------------------------------------------------------------------------

    def _place(self, let: Let) -> None:
        name, how = let.names[0], self._pointwise(let)
        if how is not None and self._may_inline(name, how):
            self._inlined[name] = how
        elif isinstance(let.node, Literal):
            self._first.lets.append(name)
            self._at[name] = 0, 0
        elif isinstance(let.node, Special) and let.node.op == "reshape":
            at = self._at[let.node.args[0]]
            self._kernels[at[0]].views.append(name)
            self._at[name] = at
        elif how is not None and isinstance(let.node, Apply) and (group := self._joinable(name, how)) is not None:
            self._join(group, name, how)
        elif self._options.chains and self._chained(let, how):
            pass
        else:
            self._open(let, how)

    def _may_inline(self, name: str, how: _Pointwise) -> bool:
        if name in self._results or how.cost > MAX_COST or how.depth > MAX_DEPTH or len(how.reads) > MAX_OPERANDS // 2:
            return False
        evaluations = [points for _, points in self._readers.get(name, ())]
        if -1 in evaluations or self._pays_once(name, how) or self._goes_into_whole(name, how):
            return False
        often = sum(evaluations) >= OFTEN * _count(self._shapes[name])
        if how.cost == 0 or (how.cost <= CHEAP and len(how.reads) <= 2):
            return how.cost == 0 or not often or self._joinable(name, how) is None
        return sum(evaluations) <= _count(self._shapes[name])

    def _pays_once(self, name: str, how: _Pointwise) -> bool:
        """Whether to compute a value of constants apart, before the first call, from what each call computes anew.

        Not where reading the result would cost more than computing it: it is cheap, and larger than what it is made of.
        """
        if name not in self._settled or how.cost == 0:
            return False
        if all(n in self._settled for let, _ in self._readers.get(name, ()) for n in let.names):
            return False
        largest = max((_count(self._shapes[n]) for n in how.reads), default=0)
        return how.cost > CHEAP or _count(self._shapes[name]) <= largest

    def _goes_into_whole(self, name: str, how: _Pointwise) -> bool:
        """Whether a value of an earlier kernel is read to be a part of a larger tensor, by a concatenation or a margin:
        that kernel then stores it there, and nobody copies it.
        """
        readers = self._readers.get(name, ())
        if len(readers) != 1 or not isinstance(self._lets[name].node, Apply):
            return False
        node = readers[0][0].node
        if not isinstance(node, Contraction) or node.monoid.name != "assign" or not isinstance(node.body[0], Read):
            return False
        at = None if is_rearrangement(node, self._shapes) else self._joinable(name, how)
        return at is not None and len(self._kernels[at[0]].groups) == 1

    def _fits(self, at: int, name: str, reads: Collection[str]) -> bool:
        """Whether this Let may be computed in a kernel that runs when its operands are known."""
        kernel = self._kernels[at]
        lets = kernel.groups[0].lets
        if lets and (name in self._settled) != (lets[0] in self._settled):
            return False  # what constants decide is computed once, in kernels of its own
        if name in self._again and at < len(self._kernels) - 1:
            return False  # it would be computed, and kept, long before it is needed
        operands = {n for g in kernel.groups for n in g.reads} | set(reads)
        return len(operands) <= MAX_OPERANDS and not any(n in reads for n in kernel.views)

    def _joinable(self, name: str, how: _Pointwise) -> tuple[int, int] | None:
        """The group of the latest operand, or a later one that reads an operand too, if this Let fits into it."""
        latest = max((self._at[n][0] for n in how.reads), default=0)
        own = (n for n, axes in how.reads.items() if axes == WHOLE and n not in self._donated)  # it is overwritten
        beside = max((self._reading.get(n, 0) for n in own), default=0)
        found = self._joinable_at(latest, name, how)
        near = beside > latest and self._is_near(beside)
        return self._joinable_at(beside, name, how) if found is None and near else found

    def _is_near(self, at: int) -> bool:
        """Whether little comes between: a value computed earlier is kept for longer, and memory may be scarce."""
        return at >= len(self._kernels) - (1 if self._again else NEAR)

    def _joinable_at(self, at: int, name: str, how: _Pointwise) -> tuple[int, int] | None:
        if not self._fits(at, name, how.reads):
            return None
        kernel = self._kernels[at]
        within = {n: self._at[n][1] for n in how.reads if self._at[n][0] == at}
        last = max(within.values(), default=0)
        group = kernel.groups[last]
        if group.shape != self._shapes[name] or group.cost + how.cost > MAX_GROUP_COST:
            return None
        needed = {n: WHOLE if g == last else len(kernel.rows) for n, g in within.items()}
        return (at, last) if all(how.reads[n] >= axes for n, axes in needed.items()) else None

    def _join(self, at: tuple[int, int], name: str, how: _Pointwise) -> None:
        group = self._kernels[at[0]].groups[at[1]]
        group.lets.append(name)
        group.cost += how.cost
        group.reads |= how.reads.keys()
        self._at[name] = at
        if at[1] == 0:
            self._reading.update((n, at[0]) for n, axes in how.reads.items() if axes == WHOLE)

    def _open(self, let: Let, how: _Pointwise | None) -> None:
        self._at.update((n, (len(self._kernels), 0)) for n in let.names)
        if how is not None and isinstance(let.node, Apply):
            self._reading.update((n, len(self._kernels)) for n, axes in how.reads.items() if axes == WHOLE)
        rows = self._by_rows(let, how) if self._options.chains else None
        self._kernels.append(_Kernel([self._group(let, how)], rows[1] if rows else ()))

    def _group(self, let: Let, how: _Pointwise | None) -> _Group:
        joinable = isinstance(let.node, Apply | Contraction) and len(let.names) == 1
        group = _Group(self._shapes[let.names[0]] if joinable else None, [let.names[0]])
        if how is not None:
            group.cost, group.reads = how.cost, set(how.reads)
        return group

    # --- chains -------------------------------------------------------------------------------------------------------

    def _chained(self, let: Let, how: _Pointwise | None) -> bool:
        """Adds a group to the kernel of the latest operand, where both do the same for each row; whether it did."""
        name, by_rows = let.names[0], self._by_rows(let, how)
        if by_rows is None:
            return False
        reads, rows = by_rows
        at = max((self._at[n][0] for n in reads), default=0)
        kernel = self._kernels[at]
        if not self._is_near(at) or not self._fits(at, name, reads) or len(kernel.groups) == MAX_CHAIN:
            return False
        axes = min((reads[n] for n in reads if self._at[n][0] == at), default=0)
        rows = tuple(n for n, m in zip(rows[:axes], kernel.rows) if n == m)
        if rows != kernel.rows[: len(rows)] or prod(rows) < self._options.least_rows or not rows:
            return False
        known = [n for g in kernel.groups for n in g.lets]
        if any(_count(self._shapes[n]) * self._bytes[n] > MAX_ROW * prod(rows) for n in (name, *known)):
            return False
        kernel.rows = rows
        self._at[name] = at, len(kernel.groups)
        kernel.groups.append(self._group(let, how))
        kernel.groups[-1].reads |= reads.keys()
        return True

    def _by_rows(self, let: Let, how: _Pointwise | None) -> tuple[dict[str, int], tuple[int, ...]] | None:
        """On how many leading axes each tensor is read at the own cell, and the most leading sizes to be rows."""
        shape = tuple(s for s in self._shapes[let.names[0]] if isinstance(s, int))
        if len(let.names) != 1 or len(shape) != len(self._shapes[let.names[0]]):
            return None
        if how is not None:
            return how.reads, shape
        if not isinstance(let.node, Contraction) or not is_plain(let.node, self._shapes):
            return None
        leading = _leading(let.node)
        axes = min((k for _, k in leading), default=0)
        if _count(let.node.extents) <= max((_count(self._shapes[n]) for n, _ in leading), default=0):
            axes = max(k for _, k in leading)  # no operand is used again for other rows
        return self._combined(0, leading).reads, shape[:axes]


def _aligned(shape: tuple[Size, ...], own: tuple[Size, ...]) -> int:
    """On how many leading axes an operand that is broadcast to the shape `own` is read at the own cell."""
    if shape == own:
        return WHOLE
    same = [n == m for n, m in zip(shape, own)] if len(shape) == len(own) else []
    return (*same, False).index(False)


def _leading(node: Contraction) -> list[tuple[str, int]]:
    """The tensors that a contraction reads, and on how many leading axes at the cell that is computed."""
    found = []
    for access in (e.access for body in node.body for e in walk(body) if isinstance(e, Read)):
        pairs = zip(node.sinks[0].indices, access.indices)
        same = [f.as_variable() is not None and f == i for f, i in pairs]
        found.append((access.tensor, (*same, False).index(False)))
    return found


def is_plain(node: Contraction, shapes: dict[str, tuple[Size, ...]]) -> bool:
    """Whether every cell aggregates the whole range of all other variables, and nothing else."""
    accesses = [e.access for e in walk(node.body[0]) if isinstance(e, Read)]
    if len(node.sinks) != 1 or node.defaults != (None,) or not accesses:
        return False
    if any(a.boundary != "skip" or not all(isinstance(i, Affine) for i in a.indices) for a in accesses):
        return False
    extents = dict(zip(node.indices, node.extents))
    for form, size in zip(node.sinks[0].indices, node.sinks[0].shape, strict=True):
        if extents.pop(form.as_variable() or "", 1 if form == Affine() else None) != size:
            return False
    box = box_of(node)
    return all(high >= 0 for _, high in box.values()) and not guards(conditions(node, shapes), box)


def settled(graph: Graph) -> frozenset[str]:
    """Values that constant parameters decide, alone or with literals."""
    found = {p.name for p in graph.params if p.digest is not None}
    literal: set[str] = set()
    for let in graph.lets:
        if (isinstance(let.node, Special) and SPECIALS[let.node.op].effect) or _is_open(let):
            continue
        used = set(operands(let.node))
        if used <= found | literal:
            (found if used & found else literal).update(let.names)
    return frozenset(found)


def _settled_first(lets: Mapping[str, Let], settled: frozenset[str]) -> dict[str, Let]:
    """The Lets, beginning with those of `settled` and what these read: scales and shifts made of constants are there
    before the sums that they are applied to, and keep nothing from joining these."""
    early = set(settled)
    for let in reversed(list(lets.values())):
        if not early.isdisjoint(let.names):
            early.update(operands(let.node))
    return dict(sorted(lets.items(), key=lambda item: early.isdisjoint(item[1].names)))


def _is_open(let: Let) -> bool:
    """Whether a value differs from call to call by a size alone."""
    bodies = let.node.body if isinstance(let.node, Contraction) else ()
    values = [e.form for b in bodies for e in walk(b) if isinstance(e, IndexValue)]
    return any(f.sizes() for f in values) or any(isinstance(s, Poly) for t in let.types for s in t.shape)


_MANY = 1024  # what an open size is taken for where work is weighed


def _count(sizes: Sequence[Size]) -> int:
    """Elements, or about as many."""
    return prod(int(s.evaluate(dict.fromkeys(s.names(), _MANY))) if isinstance(s, Poly) else s for s in sizes)


def _cost(op: str) -> int:
    return 1 if op in _CHEAP_OPS or op.startswith("cmp_") else EXPENSIVE


def body_cost(body: Expr) -> int:
    return sum(_cost(e.op) for e in walk(body) if isinstance(e, Call))


def is_rearrangement(node: Contraction, shapes: dict[str, tuple[Size, ...]]) -> bool:
    """Whether every cell is computed from one point: each axis of the output runs over a variable of its own, whole,
    and there are no other variables, aggregation, default or guard."""
    if node.monoid.name != "assign" or len(node.sinks) != 1:
        return False
    accesses = [e.access for e in walk(node.body[0]) if isinstance(e, Read)]
    if any(a.boundary == "skip" and not all(isinstance(i, Affine) for i in a.indices) for a in accesses):
        return False  # whether a cell has a term is known at run time
    extents = dict(zip(node.indices, node.extents))
    for form, size in zip(node.sinks[0].indices, node.sinks[0].shape, strict=True):
        variable = form.as_variable()
        if variable is None or extents.pop(variable, None) != size:
            return False
    if any(e != 1 for e in extents.values()):
        return False
    box = box_of(node)
    return all(high >= 0 for _, high in box.values()) and not guards(conditions(node, shapes), box)
