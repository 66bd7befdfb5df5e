"""Floor 5: Tile programs called with traced tensors: their Graphs become part of the one being built."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from tilec.api import parse_text
from tilec.errors import Source
from tilec.graph import Graph, TensorType
from tilec.tracing.dispatch import lift, scope
from tilec.tracing.operators import is_number
from tilec.tracing.place import located
from tilec.tracing.tensor import Tensor


def call_program(source: Source, function: str | None, arguments: Mapping[str, Any]) -> list[Tensor]:
    """The results of a function for these arguments by name: tensors, arrays and Python numbers."""
    with located():
        given = {n: v if is_number(v) else lift(v) for n, v in arguments.items()}
        entries = tuple((n, v.type if isinstance(v, Tensor) else _Number(v)) for n, v in given.items())
        graph = elaborated(source.name, source.text, function, entries)
        return call_graph(graph, given)


def call_graph(graph: Graph, arguments: Mapping[str, Any]) -> list[Tensor]:
    """The results of a typed Graph for arguments by name."""
    return scope().inline(graph, [lift(arguments[p.name]) for p in graph.params])


class _Number:
    """A number as a part of a key: 1, 1.0 and True are different."""

    def __init__(self, value: int | float) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Number) and repr(self.value) == repr(other.value)

    def __hash__(self) -> int:
        return hash(repr(self.value))


@lru_cache(1024)
def elaborated(
    name: str, text: str, function: str | None, signature: Sequence[tuple[str, TensorType | _Number]]
) -> Graph:
    """The typed Graph of a function for arguments of these types."""
    from tilec.frontends.tile.elaborate import to_graph

    entries = {n: e.value if isinstance(e, _Number) else e for n, e in signature}
    return to_graph(parse_text(text, name), function, entries)
