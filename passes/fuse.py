"""Pass `fuse`: decides which Lets share a kernel. Fusion is data, a `Partition`: the Graph stays as it is.

*Pointwise* Lets (elementwise, one-value literals, and contractions that only rearrange) are computed from other
tensors cell by cell. First each of them is inlined where that repeats no work worth speaking of: it is cheap, or every
element is needed once. Then the others are put into groups, in the Graph's order: one that has the shape of the group
of its latest operand, and reads that group's values at its own cell only, joins it. All its operands are computed there
or before, so no order can be circular, and the whole is linear in the size of the Graph. Sub-Graphs are fused by
themselves: nothing joins or is inlined across their borders. What constants alone decide shares no kernel with what
each call computes anew, so that it is computed once, before the first call.

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

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from math import prod

from tilec.affine import Affine, Poly, Size
from tilec.exact.domain import box_of, conditions, guards
from tilec.expr import Call, Expr, IndexValue, Read, walk
from tilec.graph import AGAIN, Apply, Contraction, Graph, Let, Literal, Special, operands, subgraphs
from tilec.partition import Partition, labelled
from tilec.specials import SPECIALS

CHEAP = 2  # cost up to which work may be repeated
EXPENSIVE = 8  # cost of an operation that is not in _CHEAP_OPS
MAX_COST = 64  # of one inlined expression
MAX_DEPTH = 64  # of Lets inlined into one another: what costs nothing, as a transposition, is bounded by this alone
MAX_GROUP_COST = 1024
MAX_OPERANDS = 24  # tensors that one kernel reads
_CHEAP_OPS = frozenset({
    "neg", "abs", "add", "sub", "mul", "max", "min", "cond", "cast", "bitcast", "relu", "ident",
    "stop_gradient", "reverse_grad",
    "bit_and", "bit_or", "bit_xor", "bit_not", "bit_left", "bit_right",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Options:
    """`enabled` False gives each Let a kernel of its own."""

    enabled: bool = True


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
    """A kernel in the making. `shape` None: nothing can join."""

    shape: tuple[Size, ...] | None
    lets: list[str] = field(default_factory=list)
    cost: int = 0
    reads: set[str] = field(default_factory=set)
    views: list[str] = field(default_factory=list)  # reshapes of its values, which follow it


@dataclass(frozen=True, slots=True)
class _Pointwise:
    """What computing one cell takes: operations and, per tensor in memory, whether only the own cell is read."""

    cost: int
    reads: dict[str, bool]
    depth: int = 1  # Lets that are inlined into one another


class _Fuser:
    def __init__(self, graph: Graph, options: Options) -> None:
        self._graph = graph
        self._options = options
        self._results = frozenset(graph.results)
        self._settled = settled(graph)
        self._again = {n for let in graph.lets if AGAIN in let.attributes for n in let.names}
        self._shapes = {n: t.shape for n, t in graph.types().items()}
        self._readers: dict[str, list[tuple[Let, int]]] = {}
        for let in graph.lets:
            for name, points in self._reads(let):
                self._readers.setdefault(name, []).append((let, points))
        self._inlined: dict[str, _Pointwise] = {}
        self._first = _Group(None)  # literals, and views of parameters
        self._groups: list[_Group] = [self._first]
        self._group_of: dict[str, int] = {p.name: 0 for p in graph.params}

    def run(self) -> Partition:
        for name, let in labelled(self._graph).items():
            if let.names:
                self._place(let)
            else:
                self._groups.append(_Group(None, [name]))
        groups: list[tuple[str, ...]] = []
        for group in self._groups:
            groups += [tuple(group.lets)] if group is not self._first else [(n,) for n in group.lets]
            groups += [(n,) for n in group.views]
        parts = inside(self._graph, lambda g: run(g, self._options))
        return Partition(tuple(groups), tuple(sorted(self._inlined)), parts)

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
                return self._combined(_cost(op), [(a, self._shapes[a] == own) for a in args])
            case Contraction() if is_rearrangement(let.node, self._shapes):
                body = let.node.body[0]
                reads = [(e.access.tensor, False) for e in walk(body) if isinstance(e, Read)]
                return self._combined(body_cost(body), reads)
            case _:
                return None

    def _combined(self, cost: int, operands: list[tuple[str, bool]]) -> _Pointwise:
        reads: dict[str, bool] = {}
        depth = 1
        for name, aligned in operands:
            inner = self._inlined.get(name)
            cost += inner.cost if inner else 0
            depth = max(depth, 1 + inner.depth if inner else 1)
            for n, own in (inner.reads if inner else {name: True}).items():
                reads[n] = reads.get(n, True) and own and aligned
        return _Pointwise(cost, reads, depth)

    # --- decisions ----------------------------------------------------------------------------------------------------

    def _place(self, let: Let) -> None:
        name, how = let.names[0], self._pointwise(let)
        if how is not None and self._may_inline(name, how):
            self._inlined[name] = how
        elif isinstance(let.node, Literal):
            self._first.lets.append(name)
            self._group_of[name] = 0
        elif isinstance(let.node, Special) and let.node.op == "reshape":
            at = self._group_of[let.node.args[0]]
            self._groups[at].views.append(name)
            self._group_of[name] = at
        elif how is not None and isinstance(let.node, Apply) and (group := self._joinable(name, how)) is not None:
            self._join(group, name, how)
        else:
            self._open(let, how)

    def _may_inline(self, name: str, how: _Pointwise) -> bool:
        if name in self._results or how.cost > MAX_COST or how.depth > MAX_DEPTH or len(how.reads) > MAX_OPERANDS // 2:
            return False
        evaluations = [points for _, points in self._readers.get(name, ())]
        if -1 in evaluations or self._pays_once(name, how):
            return False
        if how.cost == 0 or (how.cost <= CHEAP and len(how.reads) <= 2):
            return True
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

    def _joinable(self, name: str, how: _Pointwise) -> int | None:
        """The group of the latest operand, if this Let fits into it."""
        at = max((self._group_of[n] for n in how.reads), default=0)
        group = self._groups[at]
        if group.lets and (name in self._settled) != (group.lets[0] in self._settled):
            return None  # what constants decide is computed once, in kernels of its own
        if name in self._again and at < len(self._groups) - 1:
            return None  # it would be computed, and kept, long before it is needed
        if group.shape != self._shapes[name] or group.cost + how.cost > MAX_GROUP_COST:
            return None
        if len(group.reads | how.reads.keys()) > MAX_OPERANDS or any(n in how.reads for n in group.views):
            return None
        return at if all(own for n, own in how.reads.items() if self._group_of[n] == at) else None

    def _join(self, at: int, name: str, how: _Pointwise) -> None:
        group = self._groups[at]
        group.lets.append(name)
        group.cost += how.cost
        group.reads |= how.reads.keys()
        self._group_of[name] = at

    def _open(self, let: Let, how: _Pointwise | None) -> None:
        joinable = isinstance(let.node, Apply | Contraction) and len(let.names) == 1
        group = _Group(self._shapes[let.names[0]] if joinable else None, [let.names[0]])
        if how is not None:
            group.cost, group.reads = how.cost, set(how.reads)
        self._group_of.update((n, len(self._groups)) for n in let.names)
        self._groups.append(group)


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
