"""What the planning of joins knows of a Graph and its partition."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from tilec.affine import Size
from tilec.graph import Graph, Let, Special, operands
from tilec.partition import Partition, labelled

from ..values import Values


@dataclass(frozen=True, slots=True)
class Context:
    """stored: names with memory. settled: what constants alone decide. at: the position of the group that computes a
    name. chained: what kernels of several groups compute, which stay as they are. readers: the Lets that read a name.
    """

    values: Values
    stored: Collection[str]
    settled: Collection[str]
    results: Collection[str]
    lets: Mapping[str, Let]
    groups: tuple[tuple[str, ...], ...]
    at: Mapping[str, int]
    chained: Collection[str]
    readers: Mapping[str, list[Let]]
    shapes: Mapping[str, tuple[Size, ...]]

    def uses(self, name: str) -> int:
        return self.values.uses.get(name, 0)

    def shape(self, let: Let) -> tuple[int, ...]:
        return self.values.fixed_shape(let.names[0])

    def is_placed(self, name: str) -> bool:
        """Whether a kernel of one group computes it."""
        return name in self.at and name not in self.chained

    def reshaped(self, name: str) -> str | None:
        """What a name is a reshape of, sizes known."""
        let = self.lets.get(name)
        if let is None or not isinstance(let.node, Special) or let.node.op != "reshape":
            return None
        (source,) = let.node.args
        sizes = (*self.values.shape(name), *self.values.shape(source))
        return source if all(isinstance(n, int) for n in sizes) else None

    def memory(self, names: Iterable[str]) -> Iterator[str]:
        """All names whose memory is touched where these are read."""
        stack = list(dict.fromkeys(names))
        seen = set(stack)
        while stack:
            name = stack.pop()
            yield name
            let = self.lets.get(name)
            shown = let is not None and isinstance(let.node, Special) and let.node.op == "reshape"
            inner = operands(let.node) if let is not None and (shown or name in self.values.inlined) else ()
            stack += [n for n in dict.fromkeys(inner) if n not in seen]
            seen.update(inner)


def context(
    graph: Graph, partition: Partition, values: Values, stored: Collection[str], constant: Collection[str]
) -> Context:
    """`constant`: parameters that `init` knows."""
    by_label = labelled(graph)
    readers: dict[str, list[Let]] = {}
    settled = set(constant)
    for let in graph.lets:
        for name in dict.fromkeys(operands(let.node)):
            readers.setdefault(name, []).append(let)
        if settled.issuperset(operands(let.node)):
            settled.update(let.names)
    several = [group for kernel in partition.kernels() if len(kernel) > 1 for group in kernel]
    return Context(
        values=values,
        stored=stored,
        settled=settled,
        results=frozenset(graph.results),
        lets={n: let for let in graph.lets for n in let.names},
        groups=partition.groups,
        at={n: k for k, group in enumerate(partition.groups) for x in group for n in by_label[x].names},
        chained={n for group in several for x in group for n in by_label[x].names},
        readers=readers,
        shapes={n: t.shape for n, t in values.types.items()},
    )
