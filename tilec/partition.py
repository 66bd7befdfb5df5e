"""Floor 2: fusion as data: which Lets of a Graph share a kernel. The Graph itself stays as it is.

A Let is called by its first name, one without names by its position (`label`). A Let in `inlined` has no kernel and no
memory: its expression is put where its value is read. Within a group the Lets are in the Graph's order; the first may
be of any kind, the others are pointwise Lets of its shape, that read its value, and one another's, at their own cell
only. A Let with sub-Graphs is a group of its own, and these have partitions of their own. Neighbouring groups that do
the same for each row of their tensors may share a kernel, which then goes through the rows once: a chain.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tilec.graph import Graph, Let


@dataclass(frozen=True, slots=True)
class Partition:
    """`groups`: Lets computed together, in execution order; `inlined`: Lets computed where they are read.

    `inner`: by label, the partitions of a Let's sub-Graphs, in the order of `tilec.graph.subgraphs`. `joined`: groups,
    by their first Let, that share the kernel of the group before.
    """

    groups: tuple[tuple[str, ...], ...]
    inlined: tuple[str, ...] = ()
    inner: tuple[tuple[str, tuple[Partition, ...]], ...] = ()
    joined: tuple[str, ...] = ()

    def kernels(self) -> tuple[tuple[tuple[str, ...], ...], ...]:
        """The groups of each kernel, in execution order."""
        found: list[tuple[tuple[str, ...], ...]] = []
        for group in self.groups:
            if group[0] in self.joined:
                found[-1] += (group,)
            else:
                found.append((group,))
        return tuple(found)

    def __str__(self) -> str:
        return "".join(f"{line}\n" for line in self._lines())

    def _lines(self) -> Iterator[str]:
        inner = dict(self.inner)
        for group in self.groups:
            yield f"{'+ ' if group[0] in self.joined else ''}{', '.join(group)}"
            for part in inner.get(group[0], ()):
                yield from (f"  {line}" for line in part._lines())
        yield f"inlined: {', '.join(self.inlined)}"


def label(let: Let, position: int) -> str:
    """What a Partition calls a Let of a Graph."""
    return let.names[0] if let.names else f"#{position}"


def labelled(graph: Graph) -> dict[str, Let]:
    """The Lets of a Graph by their labels, in order."""
    return {label(let, k): let for k, let in enumerate(graph.lets)}
