"""Which assignments of parts to one tensor are made together, and which parts are computed where they belong.

`R[i] <- A[i]`, `R[i + m] <- B[i]` else that: a concatenation; a margin around a tensor and the update of a slice are of
the same kind. Such a chain of assignments is one `Join`: boxes that cover the result, each with what its cells hold. A
part that has memory is computed in that of its box, so that it is never copied (`Place`); the others are stored by one
kernel, each cell once. Where only elementwise operations read the result, they are computed box by box, and it has no
memory at all.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from tilec.graph import Apply, Graph
from tilec.partition import Partition

from ..values import Values
from .context import Context, context
from .layers import Layers, Piece, pieces
from .places import Place, Places


@dataclass(frozen=True, slots=True)
class Join:
    """Boxes that cover a result. `home`: the name that has its memory, if any; it may be a copy of the result."""

    pieces: tuple[Piece, ...]
    home: str | None


@dataclass(frozen=True, slots=True)
class Plan:
    """joins: by the name of the result. absorbed: Lets that are part of another's join, and have no kernel.

    places: of parts in the memory of others. shared: names whose memory several kernels fill.
    """

    joins: Mapping[str, Join] = field(default_factory=dict)
    absorbed: Collection[str] = frozenset()
    places: Mapping[str, Place] = field(default_factory=dict)
    shared: Collection[str] = frozenset()


def plan(
    graph: Graph, partition: Partition, values: Values, stored: Collection[str], constant: Collection[str]
) -> Plan:
    """The joins of a bounded Graph. `stored`: names with memory; `constant`: parameters that `init` knows."""
    known = context(graph, partition, values, stored, constant)
    layers = Layers(known)
    places = Places(known, layers)
    joins: dict[str, Join] = {}
    for group in reversed(partition.groups):  # the whole before its parts
        name = group[0]
        if name in layers.absorbed or layers.box(name) is None:
            continue
        join = _join(group, known, layers, places)
        if len(join.pieces) > 1 or join.pieces[0].placed or join.pieces[0].layer.let is not known.lets[name]:
            joins[name] = join
    shared = {n for part, place in places.of.items() for n in (part, place.tensor)}
    return Plan(joins, layers.absorbed, places.of, shared)


def _join(group: tuple[str, ...], known: Context, layers: Layers, places: Places) -> Join:
    name = group[0]
    found = layers.of(known.lets[name])
    home = _home(group, known)
    movable = home is not None and name not in known.settled
    placed = places.find(home, group, found) if home is not None and movable else set()
    return Join(pieces(found, placed), home)


def _home(group: tuple[str, ...], known: Context) -> str | None:
    """What has the memory of a join: itself, or a copy that is stored in its place."""
    name, types = group[0], known.values.types
    if name in known.stored:
        return name
    copies = (n for n in group[1:] if known.lets[n].node == Apply("ident", (name,)) and n in known.stored)
    return next((n for n in copies if types[n] == types[name]), None)
