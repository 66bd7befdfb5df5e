"""Pass `fuse`: decides which Lets share a kernel. Fusion is data, a `Partition`: the Graph stays as it is.

*Pointwise* Lets (elementwise, one-value literals, and contractions that only rearrange) are computed from other
tensors cell by cell. First each of them is inlined where that repeats no work worth speaking of: it is cheap, or every
element is needed once, and is no operand that products have to cut and copy. Then the others are put into groups, in
the order of the Graph (results as soon as they are known, see `order.py`): one that has the shape of the group of its
latest operand, and reads that group's values at its own cell only, joins it; or a later one, that begins with
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

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from math import prod

from tilec.affine import Affine, Size
from tilec.expr import Read, walk
from tilec.graph import AGAIN, Apply, Contraction, Graph, Let, Literal, Special, operands, subgraphs
from tilec.partition import Partition, labelled
from tilec.passes.fuse.cells import (
    WHOLE,
    aligned_axes,
    body_cost,
    cost_of,
    count,
    is_plain,
    is_rearrangement,
    is_sum,
    leading_axes,
)
from tilec.passes.fuse.order import ordered, settled

CHEAP = 2  # cost up to which work may be repeated
OFTEN = 32  # times that cheap work is repeated, from which on it is done once where that takes no kernel of its own
MAX_COST = 64  # of one inlined expression
MAX_DEPTH = 64  # of Lets inlined into one another: what costs nothing, as a transposition, is bounded by this alone
MAX_GROUP_COST = 1024
MAX_OPERANDS = 24  # tensors that one kernel reads
MAX_ROW = 1 << 18  # bytes of one row of a chain: it stays in the second cache
LEAST_OPERAND = 1 << 18  # bytes from which on an operand is cut into blocks: a smaller one stays in the second cache
MAX_CHAIN = 16  # groups of one kernel
NEAR = 4  # kernels, counted from the last, that a Let joins for the sake of memory traffic: what they make is kept


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
        for name, let in ordered(self._graph, self._settled).items():
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
                    yield a, count(self._shapes[let.names[0]])
            case Contraction():
                points = count(let.node.extents)
                for body in let.node.body:
                    for e in walk(body):
                        if isinstance(e, Read):
                            plain = e.access.boundary == "skip" and all(isinstance(i, Affine) for i in e.access.indices)
                            yield e.access.tensor, points if plain else -1
                yield from ((d, count(self._shapes[d])) for d in let.node.defaults if d is not None)
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
                return self._combined(cost_of(op), [(a, aligned_axes(self._shapes[a], own)) for a in args])
            case Contraction() if is_rearrangement(let.node, self._shapes):
                return self._combined(body_cost(let.node.body[0]), leading_axes(let.node))
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
        often = sum(evaluations) >= OFTEN * count(self._shapes[name])
        if how.cost == 0 or (how.cost <= CHEAP and len(how.reads) <= 2):
            if how.cost == 0 or not often:
                return True
            return self._joinable(name, how) is None and not self._is_operand(name, how)
        return sum(evaluations) <= count(self._shapes[name])

    def _pays_once(self, name: str, how: _Pointwise) -> bool:
        """Whether to compute a value of constants apart, before the first call, from what each call computes anew.

        Not where reading the result would cost more than computing it: it is cheap, and larger than what it is made of.
        """
        if name not in self._settled or how.cost == 0:
            return False
        if all(n in self._settled for let, _ in self._readers.get(name, ()) for n in let.names):
            return False
        largest = max((count(self._shapes[n]) for n in how.reads), default=0)
        return how.cost > CHEAP or count(self._shapes[name]) <= largest

    def _is_operand(self, name: str, how: _Pointwise) -> bool:
        """Whether sums of products take a large value made of several tensors again and again.

        As one tensor it can be cut into blocks, and these copied, as products need it for the caches.
        """
        parts = [n for n in how.reads if count(self._shapes[n]) > 1]
        own = count(self._shapes[name])
        if own * self._bytes[name] <= LEAST_OPERAND:
            return False
        times = [points // own for let, points in self._readers.get(name, ()) if is_sum(let)]
        return len(parts) > 1 and min(times, default=0) >= OFTEN

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
        near = beside > latest and (name in self._results or self._is_near(beside))  # results have memory of their own
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
        if any(count(self._shapes[n]) * self._bytes[n] > MAX_ROW * prod(rows) for n in (name, *known)):
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
        leading = leading_axes(let.node)
        axes = min((k for _, k in leading), default=0)
        if count(let.node.extents) <= max((count(self._shapes[n]) for n, _ in leading), default=0):
            axes = max(k for _, k in leading)  # no operand is used again for other rows
        return self._combined(0, leading).reads, shape[:axes]
