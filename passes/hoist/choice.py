"""What moves out of a loop: how often each Let of its body has another value, and which are worth moving."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from math import prod

from tilec.affine import Affine
from tilec.expr import Read, reads
from tilec.graph import (
    AGAIN,
    Apply,
    Contraction,
    Graph,
    Let,
    Literal,
    Node,
    Special,
    TensorType,
    While,
    operands,
    subgraphs,
)
from tilec.rewrite import has_effect

from .stack import can_be_stacked

# Weights of at least so many bytes, and for how many rows at most they are read again in more time than the products
# take: from the cache of a core, from that of the processor, from memory. Measured by benchmarks/hoisting.py.
_ROWS = ((0, 2), (1 << 20, 4), (1 << 22, 64))


@dataclass(frozen=True, slots=True)
class Options:
    """When computing ahead pays, for a scan.

    stack: bytes that a loop reads by slices at most, for products of slices to be computed ahead; and of transposed
    copies. terms: of a sum, that are worth the memory of its element for all steps. steps: of a loop, that are worth a
    transposed copy, which costs what three to five of them save.
    """

    stack: int = 1 << 24
    terms: int = 32
    steps: int = 16


class Level(IntEnum):
    """What a value depends on: on captures at most; on slices of inputs too; or it is to stay where it is."""

    FIXED = 0
    SLICED = 1
    CARRIED = 2


@dataclass(frozen=True, slots=True)
class Body:
    """The body of a loop, with the level of every name. Lets are meant by their positions."""

    graph: Graph
    types: Mapping[str, TensorType]
    level: Mapping[str, Level]
    binder: Mapping[str, int]  # of every name that a Let binds
    copies: frozenset[str] = frozenset()  # to be made before the loop, whatever they cost

    @staticmethod
    def of(graph: Graph, carried: int, inputs: int, copies: frozenset[str] = frozenset()) -> Body:
        """`carried` and `inputs` count the first parameters; the others are captures."""
        kinds = [Level.CARRIED] * carried + [Level.SLICED] * inputs
        kinds += [Level.FIXED] * (len(graph.params) - len(kinds))
        level = {p.name: kind for p, kind in zip(graph.params, kinds)}
        for let in graph.lets:
            own = max((level[n] for n in operands(let.node)), default=Level.FIXED)
            stays = not _is_total(let.node) or AGAIN in let.attributes
            level.update(dict.fromkeys(let.names, Level.CARRIED if stays else own))
        binder = {n: k for k, let in enumerate(graph.lets) for n in let.names}
        return Body(graph, graph.types(), level, binder, copies)

    def fixed(self) -> set[int]:
        """Lets of the same value in every round that are worth moving, with those that they need."""
        wanted = [k for k, let in enumerate(self.graph.lets) if self._level(let) is Level.FIXED and self._is_work(let)]
        return self._with_needs(wanted)

    def stackable(self, length: int, options: Options, moved: set[int]) -> set[int]:
        """Lets to be computed for all steps, beside those that move anyway."""
        found: set[int] = set()
        changed = True
        while changed:
            changed = False
            for k, let in enumerate(self.graph.lets):
                if k in found or not self._worth_stacking(let, length, options.terms):
                    continue
                chosen = self._and_followers(found | self._with_needs([k]))
                fits = self._bytes(chosen | moved, length) <= options.stack
                if fits and all(self._can_be_stacked(j) for j in chosen):
                    found, changed = chosen, True
        return found

    def frontier(self, moved: set[int]) -> list[str]:
        """Names that moved Lets bind and what stays reads, in order; those of what is `repeated` are not needed."""
        away = moved - self.repeated(moved)
        used = self._used(set(range(len(self.graph.lets))) - away)
        return [n for k in sorted(away) for n in self.graph.lets[k].names if n in used]

    def repeated(self, moved: set[int]) -> set[int]:
        """Moved Lets that stay as well, for kernels compute them where they are read at no cost."""
        kept = set(range(len(self.graph.lets))) - moved
        found: set[int] = set()
        for k in sorted(moved, reverse=True):
            let = self.graph.lets[k]
            if self._is_free(let) and not self._used(kept | found).isdisjoint(let.names):
                found.add(k)
        return found

    def _used(self, lets: Iterable[int]) -> set[str]:
        return {*self.graph.results, *(n for k in lets for n in operands(self.graph.lets[k].node))}

    def _let(self, name: str) -> Let:
        return self.graph.lets[self.binder[name]]

    def _level(self, let: Let) -> Level:
        return max((self.level[n] for n in let.names), default=Level.CARRIED)

    def _with_needs(self, wanted: Iterable[int]) -> set[int]:
        """Lets and all those on which they depend."""
        found: set[int] = set()
        pending = list(wanted)
        while pending:
            k = pending.pop()
            if k not in found:
                found.add(k)
                pending += [self.binder[n] for n in operands(self.graph.lets[k].node) if n in self.binder]
        return found

    def _is_free(self, let: Let) -> bool:
        """Whether reading the result costs no more than reading what it is made of."""
        match let.node:
            case Contraction(body=(Read(),)) as node:
                return self.copies.isdisjoint(let.names) and node.monoid.name == "assign"
            case Apply(op=op):
                return op == "ident"
            case Special(op=op):
                return op == "reshape"
            case node:
                return isinstance(node, Literal)

    def _is_work(self, let: Let) -> bool:
        """Whether a fixed Let is better computed once: it is no copy, nor much larger than what it is made of."""
        if self._is_free(let):
            return False
        if not isinstance(let.node, Apply):
            return True
        made = [n for n in operands(let.node) if n not in self.binder or not isinstance(self._let(n).node, Literal)]
        return elements(let.types[0]) <= max((elements(self.types[n]) for n in made), default=0)

    # --- slices -------------------------------------------------------------------------------------------------------

    def _worth_stacking(self, let: Let, length: int, least: int) -> bool:
        """Whether a Let is a small product of a slice and something fixed."""
        node = let.node
        if not isinstance(node, Contraction) or self._level(let) is not Level.SLICED or length < 2:
            return False
        if node.monoid.name != "sum":
            return False
        found = reads(node.body[0])
        weights = [r for r in found if self.level[r.access.tensor] is not Level.SLICED]
        extents = self._extents(found)
        output = {v for form in node.sinks[0].indices for v in form.variables()}
        summed, shared = set(node.indices) - output, set(_variables(weights))
        terms = prod(extents.get(v, 1) for v in summed)
        columns = prod(extents.get(v, 1) for v in output & shared)
        rows = elements(let.types[0]) // max(columns, 1)
        most = max(n for bytes, n in _ROWS if self._weight(weights) >= bytes)
        return bool(summed & shared) and terms >= least and rows <= most

    def _weight(self, found: Iterable[Read]) -> int:
        """Bytes of the tensors read."""
        types = {r.access.tensor: self.types[r.access.tensor] for r in found}
        return sum(elements(t) * t.dtype.bytes for t in types.values())

    def _extents(self, found: Iterable[Read]) -> dict[str, int]:
        """Of indices that are an axis of an operand on their own."""
        known: dict[str, int] = {}
        for r in found:
            for form, size in zip(r.access.indices, self.types[r.access.tensor].shape):
                name = form.as_variable() if isinstance(form, Affine) else None
                if name is not None and isinstance(size, int):
                    known[name] = min(size, known.get(name, size))
        return known

    def _can_be_stacked(self, k: int) -> bool:
        let = self.graph.lets[k]
        return self._level(let) is Level.FIXED or can_be_stacked(let, self.types, self._sliced(let))

    def _sliced(self, let: Let) -> set[str]:
        return {n for n in operands(let.node) if self.level[n] is Level.SLICED}

    def _and_followers(self, moved: set[int]) -> set[int]:
        """With elementwise Lets after them that leave less to be read: all that is sliced in their operands moves."""
        found = set(moved)
        for k, let in enumerate(self.graph.lets):
            if k in found or not isinstance(let.node, Apply) or self._level(let) is not Level.SLICED:
                continue
            before = {n for n in self._sliced(let) if self.binder.get(n) in found}
            users = {n: sum(n in operands(other.node) for other in self.graph.lets) for n in before}
            gone = sum(elements(self.types[n]) for n in before if users[n] == 1 and n not in self.graph.results)
            if before == self._sliced(let) and gone >= elements(let.types[0]) and self._can_be_stacked(k):
                found |= self._with_needs([k])
        return found

    def _bytes(self, moved: set[int], length: int) -> int:
        """Of all that the loop reads by slices once some Lets have moved."""
        names = [n for n in self.frontier(moved) if self.level[n] is Level.SLICED]
        names += [p.name for p in self.graph.params if self.level[p.name] is Level.SLICED]
        return length * sum(elements(self.types[n]) * self.types[n].dtype.bytes for n in names)


def _is_total(node: Node) -> bool:
    """Whether computing a node, even for nothing, makes no difference: it ends, and does nothing else."""
    return not has_effect(node) and not any(isinstance(n, While) or _may_fail(n) for n in _nested(node))


def _may_fail(node: Node) -> bool:
    return isinstance(node, Special) and node.op == "host_call"


def _nested(node: Node) -> Iterator[Node]:
    yield node
    for graph in subgraphs(node):
        for let in graph.lets:
            yield from _nested(let.node)


def _variables(found: Iterable[Read]) -> Iterator[str]:
    for r in found:
        for form in r.access.indices:
            if isinstance(form, Affine):
                yield from form.variables()


def elements(type: TensorType) -> int:
    """Elements of a tensor, an open size counted as very many."""
    return prod(s if isinstance(s, int) else 1 << 32 for s in type.shape)
