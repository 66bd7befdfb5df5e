"""Pass `remat`: values are computed again where they are needed late, so that temporary tensors fit into a budget.

At the moment at which most memory is needed, one of the tensors that only wait there, for a later kernel, is dropped:
the Lets that it takes are repeated, marked `again`, right before its later readers. The tensor that saves most bytes
per operation goes first (greedy, as in T. Chen et al., Training Deep Nets with Sublinear Memory Cost, 2016, and the
heuristics compared in P. Jain et al., Checkmate, 2020), until the estimate is within the budget or nothing is left to
drop. It runs last of the passes on Graphs.

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

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import prod

from tilec.arena import Life, largest_live_set
from tilec.exact.boxes import integer
from tilec.expr import Call, walk
from tilec.fresh import FreshNames
from tilec.graph import AGAIN, Apply, Contraction, Graph, Let, Literal, Special, operands
from tilec.partition import Partition
from tilec.rewrite import names, rename_operands

_LINE = 64
_CHAIN = 8  # Lets that are repeated for one tensor, at most


@dataclass(frozen=True, slots=True)
class Options:
    """`limit`: bytes that the temporary tensors may take. `rounds`: tensors that are dropped, at most."""

    limit: int
    rounds: int = 500


def run(graph: Graph, options: Options, fuse: Callable[[Graph], Partition]) -> Graph:
    """The Graph that the estimate says to need least, or the first within the budget; the same object if it is that.

    `fuse` says which Lets share kernels.
    """
    best, least = graph, _Lives(graph, fuse(graph)).peak()[0]
    for _ in range(options.rounds):
        if least <= options.limit:
            break
        dropped = _Lives(graph, fuse(graph)).without_one()
        if dropped is None:
            break
        graph = dropped
        seen = _Lives(graph, fuse(graph)).peak()[0]
        if seen < least:
            best, least = graph, seen
    return best


class _Lives:
    """When the tensors of a Graph are in memory. Moments are kernels, in their order."""

    def __init__(self, graph: Graph, partition: Partition) -> None:
        self._graph = graph
        self._lets = {n: let for let in graph.lets for n in let.names}
        self._index = {n: k for k, let in enumerate(graph.lets) for n in let.names}
        heads = {let.names[0]: let for let in graph.lets if let.names}
        self._group = {
            n: k for k, group in enumerate(partition.groups) for h in group if h in heads for n in heads[h].names
        }
        self._given = {p.name for p in graph.params} | set(graph.results)
        self._size = {
            n: -(-prod(map(integer, t.shape)) * t.dtype.bytes // _LINE) * _LINE for n, t in graph.types().items()
        }
        self._root = {p.name: p.name for p in graph.params}
        for let in graph.lets:
            view = isinstance(let.node, Special) and let.node.op == "reshape"
            self._root.update((n, self._root[operands(let.node)[0]] if view else n) for n in let.names)
        self._moments: dict[str, set[int]] = {}  # of a Let's head: the kernels that compute it
        self._readers: dict[str, set[int]] = {}  # of a root: the kernels that read it
        for let in reversed(graph.lets):
            self._note(let)

    def _note(self, let: Let) -> None:
        head = let.names[0] if let.names else ""
        inlined = head not in self._group
        at = set().union(*(self._readers.get(n, set()) for n in let.names)) if inlined else {self._group[head]}
        self._moments[head] = at
        for name in operands(let.node):
            self._readers.setdefault(name, set()).update(at)
            self._readers.setdefault(self._root[name], set()).update(at)

    def lives(self) -> dict[str, tuple[int, int]]:
        """First and last moment of every tensor that has memory of its own."""
        found = {}
        for name, own in self._group.items():
            later = self._readers.get(name, set()) - {own}
            if later and name not in self._given and self._root[name] == name:
                found[name] = own, max(later)
        return found

    def peak(self) -> tuple[int, int]:
        """The largest live set in bytes, and its first moment."""
        lives = [Life(n, self._size[n], first, last) for n, (first, last) in self.lives().items()]
        return largest_live_set(lives, _LINE)

    def without_one(self) -> Graph | None:
        """The Graph with the best tensor that waits at the peak computed again; None where there is none."""
        _, peak = self.peak()
        lives = self.lives()
        waiting = [n for n, (first, last) in lives.items() if first < peak < last and peak not in self._readers[n]]
        choices = [(self._gain(n, chain), n, chain) for n in waiting if (chain := self._chain(n, peak, lives))]
        if not choices:
            return None
        _, name, chain = max(choices, key=lambda c: (c[0], c[1]))
        return self._again(name, chain, peak)

    def _gain(self, name: str, chain: list[str]) -> float:
        """Bytes saved per operation."""
        return self._size[name] / (1 + sum(map(self._work, chain)))

    def _work(self, name: str) -> int:
        match self._lets[name].node:
            case Contraction(extents=extents, body=body):
                calls = sum(isinstance(e, Call) for b in body for e in walk(b))
                return prod(map(integer, extents)) * (1 + calls)
            case _:
                return self._size[name]

    def _chain(self, name: str, peak: int, lives: Mapping[str, tuple[int, int]]) -> list[str] | None:
        """The Lets to repeat, in order: `name` and what it takes that will not be in memory anyway.

        None where that is no gain, or not possible: what is read on both sides of the peak stays, and so does memory
        that another value is a view of.
        """
        if any(self._root[n] == name for let in self._users(name) for n in let.names):
            return None
        if any(min(at) <= peak < max(at) for at in map(self._users_moments, self._users(name)) if at):
            return None
        found: set[str] = set()
        waiting = [name]
        while waiting:
            current = waiting.pop()
            let = self._lets.get(current)
            if let is None or current in found:
                continue
            if not isinstance(let.node, Apply | Contraction | Literal) or len(let.names) != 1 or len(found) >= _CHAIN:
                return None
            found.add(current)
            for operand in operands(let.node):
                root = self._root[operand]
                alive = root in self._given or (root in lives and lives[root][1] > peak)
                if not alive:
                    waiting.append(operand)
        return sorted(found, key=self._index.__getitem__)

    def _users(self, name: str) -> list[Let]:
        return [let for let in self._graph.lets if name in operands(let.node)]

    def _users_moments(self, let: Let) -> set[int]:
        return self._moments[let.names[0] if let.names else ""]

    def _again(self, name: str, chain: list[str], peak: int) -> Graph:
        """The Graph with the chain repeated before those readers of `name` that come after the peak."""
        late = [let for let in self._users(name) if (at := self._users_moments(let)) and min(at) > peak]
        place = min(self._graph.lets.index(let) for let in late)
        fresh = FreshNames(names(self._graph))
        new: dict[str, str] = {}
        copies = []
        for old in chain:
            let = self._lets[old]
            node = rename_operands(let.node, new)
            new[old] = fresh.numbered(old)
            copies.append(replace(let, names=(new[old],), node=node, attributes=(*let.attributes, AGAIN)))
        changed = {id(let) for let in late}
        lets = [
            replace(let, node=rename_operands(let.node, {name: new[name]})) if id(let) in changed else let
            for let in self._graph.lets
        ]
        return replace(self._graph, lets=(*lets[:place], *copies, *lets[place:]))


