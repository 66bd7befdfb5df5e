"""Pass `remat`: values are computed again where they are needed late, so that temporary tensors fit into a budget.

At the moment at which most memory is needed, tensors that only wait there, for a later kernel, are dropped: the Lets
that each takes are repeated, marked `again`, right before its later readers. The tensor that saves most bytes per
operation goes first (greedy, as in T. Chen et al., Training Deep Nets with Sublinear Memory Cost, 2016, and the
heuristics compared in P. Jain et al., Checkmate, 2020), until the estimate is within the budget or nothing is left to
drop. The estimate follows each drop; kernels are formed anew, and it is made anew, once for all drops of a round. The
pass runs last of those on Graphs.

Before:
    graph f(A: f32[64, 64]) -> (R) {
      E: f32[64, 64] = exp(A)
      P: f32[64, 64] = sum:f32 [i < 64, j < 64, k < 64] { [i, j] <- mul(E[i, k], E[k, j]) }
      Q: f32[64, 64] = sum:f32 [i < 64, j < 64, k < 64] { [i, j] <- mul(P[i, k], P[k, j]) }
      R: f32[64, 64] = sum:f32 [i < 64, j < 64, k < 64] { [i, j] <- mul(Q[i, k], E[k, j]) }
    }
After, for a budget of 32768 bytes:
    graph f(A: f32[64, 64]) -> (R) {
      E: f32[64, 64] = exp(A)
      P: f32[64, 64] = sum:f32 [i < 64, j < 64, k < 64] { [i, j] <- mul(E[i, k], E[k, j]) }
      Q: f32[64, 64] = sum:f32 [i < 64, j < 64, k < 64] { [i, j] <- mul(P[i, k], P[k, j]) }
      [[again]] E.1: f32[64, 64] = exp(A)
      R: f32[64, 64] = sum:f32 [i < 64, j < 64, k < 64] { [i, j] <- mul(Q[i, k], E.1[k, j]) }
    }
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from math import prod

import numpy as np

from tilec.exact.boxes import integer
from tilec.expr import Call, walk
from tilec.fresh import FreshNames
from tilec.graph import AGAIN, Apply, Contraction, Graph, Let, Literal, Special, operands
from tilec.numpy_semantics import Array
from tilec.partition import Partition, labelled
from tilec.rewrite import names, rename_operands

_LINE = 64
_CHAIN = 8  # Lets that are repeated for one tensor, at most
_PEAKS = 32  # moments that a round looks at, at most
_PATIENCE = 4  # rounds without gain after which it ends


@dataclass(frozen=True, slots=True)
class Options:
    """`limit`: bytes that the temporary tensors may take. `rounds`: how often kernels are formed anew, at most."""

    limit: int
    rounds: int = 32


def run(graph: Graph, options: Options, fuse: Callable[[Graph], Partition]) -> Graph:
    """The Graph that the estimate says to need least, or the first within the budget; the same object if it is that.

    `fuse` says which Lets share kernels.
    """
    best, least, gained = graph, None, 0
    for turn in range(options.rounds + 1):
        lives = _Lives(graph, fuse(graph))
        needed = int(lives.usage().max(initial=0))
        if least is None or needed < least:
            best, least, gained = graph, needed, turn
        if needed <= options.limit or turn - gained > _PATIENCE:
            break
        drops = _Round(lives, options.limit).drops()
        if not drops:
            break
        graph = _repeated(graph, lives, drops)
    return best


@dataclass(frozen=True, slots=True)
class _Drop:
    """A tensor that is dropped after its last reader before the moment `peak`: the chain computes it again."""

    name: str
    chain: tuple[str, ...]  # in order, the tensor itself last
    sources: frozenset[str]  # what the chain reads that is in memory anyway
    peak: int


class _Lives:
    """When the tensors of a Graph are in memory. Moments are kernels, in their order."""

    def __init__(self, graph: Graph, partition: Partition) -> None:
        lets = labelled(graph)
        self.lets = {n: let for let in graph.lets for n in let.names}
        self.index = {n: k for k, let in enumerate(graph.lets) for n in let.names}
        self.given = {p.name for p in graph.params} | set(graph.results)
        self.size = {
            n: -(-prod(map(integer, t.shape)) * t.dtype.bytes // _LINE) * _LINE for n, t in graph.types().items()
        }
        self.root = {p.name: p.name for p in graph.params}  # of a view: the tensor whose memory it shows
        self.shown: set[str] = set()  # tensors with views
        self.readers: dict[str, set[int]] = {}  # of a root: the kernels that read it
        self.users: dict[str, list[int]] = {}  # the positions of the Lets that read a name
        for k, let in enumerate(graph.lets):
            view = isinstance(let.node, Special) and let.node.op == "reshape"
            self.root.update((n, self.root[operands(let.node)[0]] if view else n) for n in let.names)
            self.shown.update(self.root[n] for n in let.names if view)
            for name in dict.fromkeys(operands(let.node)):
                self.users.setdefault(name, []).append(k)
        kernel = {head: k for k, group in enumerate(partition.groups) for head in group}
        self.moments: list[set[int]] = [set()] * len(lets)  # by position: the kernels that compute a Let
        for k, (head, let) in reversed(list(enumerate(lets.items()))):
            self.moments[k] = at = {kernel[head]} if head in kernel else self._read(let.names)
            for name in operands(let.node):
                self.readers.setdefault(name, set()).update(at)
                self.readers.setdefault(self.root[name], set()).update(at)
        self.count = len(partition.groups)
        own = {n: k for head, k in kernel.items() for n in lets[head].names}
        self.spans = {n: span for n, k in own.items() if (span := self._span(n, k)) is not None}

    def _read(self, names: Iterable[str]) -> set[int]:
        return set[int]().union(*(self.readers.get(n, ()) for n in names))

    def _span(self, name: str, own: int) -> tuple[int, int] | None:
        """First and last moment of a tensor that has memory of its own."""
        later = self.readers.get(name, set()) - {own}
        return (own, max(later)) if later and name not in self.given and self.root[name] == name else None

    def usage(self) -> Array:
        """Bytes in memory at each moment."""
        change = np.zeros(self.count + 2, np.int64)
        for name, (first, last) in self.spans.items():
            change[first] += self.size[name]
            change[last + 1] -= self.size[name]
        return np.cumsum(change)

    def work(self, name: str) -> int:
        """Operations of one Let, about."""
        match self.lets[name].node:
            case Contraction(extents=extents, body=body):
                calls = sum(isinstance(e, Call) for b in body for e in walk(b))
                return prod(map(integer, extents)) * (1 + calls)
            case _:
                return self.size[name]


@dataclass(slots=True)
class _Round:
    """Chooses tensors to drop, without forming kernels anew: the estimate of memory follows every choice."""

    lives: _Lives
    limit: int
    spans: dict[str, tuple[int, int]] = field(init=False)
    usage: Array = field(init=False)
    chosen: list[_Drop] = field(default_factory=list)
    dropped: set[str] = field(default_factory=set)
    needed: set[str] = field(default_factory=set)  # what the chains rely on stays

    def __post_init__(self) -> None:
        self.spans, self.usage = dict(self.lives.spans), self.lives.usage()

    def drops(self) -> list[_Drop]:
        for _ in range(_PEAKS):
            peak = int(self.usage.argmax())
            before = len(self.chosen)
            if self.usage[peak] <= self.limit:
                break
            for drop in sorted(self._choices(peak), key=self._gain, reverse=True):
                if self.usage[peak] > self.limit and self._fits(drop):
                    self._take(drop)
            if len(self.chosen) == before:
                break
        return self.chosen

    def _choices(self, peak: int) -> list[_Drop]:
        """Every tensor that waits at the peak and can be computed again."""
        readers, out = self.lives.readers, self.dropped | self.needed
        waiting = [n for n, (first, last) in self.spans.items() if first < peak < last and n not in out]
        return [d for n in waiting if peak not in readers[n] and (d := self._drop(n, peak)) is not None]

    def _gain(self, drop: _Drop) -> tuple[float, str]:
        """Bytes saved per operation."""
        return self.lives.size[drop.name] / (1 + sum(map(self.lives.work, drop.chain))), drop.name

    def _fits(self, drop: _Drop) -> bool:
        """Whether the drop goes with those chosen before."""
        return drop.name not in self.needed and self.dropped.isdisjoint((*drop.chain, *drop.sources))

    def _drop(self, name: str, peak: int) -> _Drop | None:
        """With the Lets to repeat: `name` and what it takes that will not be in memory anyway.

        None where that is no gain, or not possible: what is read on both sides of the peak stays, and so does memory
        that another value is a view of.
        """
        lives = self.lives
        users = [lives.moments[k] for k in lives.users[name]]
        if name in lives.shown or any(min(at) <= peak < max(at) for at in users if at):
            return None
        found: set[str] = set()
        sources: set[str] = set()
        waiting = [name]
        while waiting:
            current = waiting.pop()
            let = lives.lets.get(current)
            if let is None or current in found:
                continue
            if not isinstance(let.node, Apply | Contraction | Literal) or len(let.names) != 1 or len(found) >= _CHAIN:
                return None
            found.add(current)
            for operand in operands(let.node):
                root = lives.root[operand]
                if root in lives.given or (root in self.spans and self.spans[root][1] > peak):
                    sources.add(root)
                else:
                    waiting.append(operand)
        return _Drop(name, tuple(sorted(found, key=lives.index.__getitem__)), frozenset(sources), peak)

    def _take(self, drop: _Drop) -> None:
        """Notes the drop, and what it does to the memory of each moment."""
        size, (first, _) = self.lives.size, self.spans[drop.name]
        readers = self.lives.readers[drop.name]
        early = max((m for m in readers if m < drop.peak), default=first)
        late = min(m for m in readers if m > drop.peak)
        self.usage[early + 1 : late] -= size[drop.name]
        self.usage[late] += sum(size[n] for n in drop.chain[:-1])
        for name in drop.sources & self.spans.keys():
            start, end = self.spans[name]
            if end < late:
                self.usage[end + 1 : late + 1] += size[name]
                self.spans[name] = start, late
        self.chosen.append(drop)
        self.dropped.add(drop.name)
        self.needed |= drop.sources


def _repeated(graph: Graph, lives: _Lives, drops: Iterable[_Drop]) -> Graph:
    """The Graph with each chain repeated before those readers of its tensor that come after the peak."""
    fresh = FreshNames(names(graph))
    before: dict[int, list[Let]] = {}  # copies, by the position they are put in front of
    renamed: dict[int, dict[str, str]] = {}
    for drop in drops:
        late = [k for k in lives.users[drop.name] if (at := lives.moments[k]) and min(at) > drop.peak]
        new: dict[str, str] = {}
        for old in drop.chain:
            let = lives.lets[old]
            node = rename_operands(let.node, new)
            new[old] = fresh.numbered(old)
            copy = replace(let, names=(new[old],), node=node, attributes=(*let.attributes, AGAIN))
            before.setdefault(min(late), []).append(copy)
        for k in late:
            renamed.setdefault(k, {})[drop.name] = new[drop.name]
    lets: list[Let] = []
    for k, let in enumerate(graph.lets):
        lets += before.get(k, ())
        lets.append(replace(let, node=rename_operands(let.node, renamed[k])) if k in renamed else let)
    return replace(graph, lets=tuple(lets))
