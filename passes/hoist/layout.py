"""Operands that a loop reads across their rows in every step get a copy with the rows turned into columns.

The lanes of a contraction are cells of its result along the last axis. Where they are rows of a fixed operand, as in
`G[m, n] = +(D[m, k] * W[n, k])`, each step collects single elements from as many rows; from a copy of W with n last,
made once before the loop, it reads vectors.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from typing import TypeVar

from tilec.affine import Affine
from tilec.expr import Access, Expr, Read, read, reads, transform
from tilec.fresh import FreshNames
from tilec.graph import Contraction, Graph, Let, Sink, TensorType
from tilec.monoid import standard
from tilec.rewrite import names, with_lets

from .choice import Body, Level, Options, elements

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Copies:
    """A body that reads copies, and their names; they are Lets of the body still, to be moved out of it."""

    graph: Graph
    names: frozenset[str] = frozenset()


def with_copies(body: Body, length: int, options: Options) -> Copies:
    """The body of a scan, changed where that pays."""
    if length < options.steps:
        return Copies(body.graph)
    limit = options.stack
    fresh = FreshNames(names(body.graph))
    copies: dict[tuple[str, int], str] = {}
    lets: list[Let] = []
    for let in body.graph.lets:
        wanted = sorted(_across(let, body))
        for name, axis in wanted:
            type = body.types[name]
            bytes = elements(type) * type.dtype.bytes
            if (name, axis) not in copies and bytes <= limit:
                limit -= bytes
                copies[name, axis] = fresh.numbered(name)
                lets.append(_copy(name, type, axis, copies[name, axis]))
        lets.append(_reading(let, {n: (copies[n, a], a) for n, a in wanted if (n, a) in copies}))
    return Copies(with_lets(body.graph, lets), frozenset(copies.values()))


def _across(let: Let, body: Body) -> Iterator[tuple[str, int]]:
    """Fixed operands of a contraction that stays in the loop, with the axis along which lanes run, not the last one."""
    node = let.node
    if not isinstance(node, Contraction) or body.level[let.names[0]] < Level.SLICED or len(node.sinks) != 1:
        return
    output = node.sinks[0].indices
    lane = output[-1].as_variable() if output else None
    summed = set(node.indices) - {v for form in output for v in form.variables()}
    found: dict[str, set[int | None]] = {}
    for r in reads(node.body[0]):
        if body.level[r.access.tensor] is Level.FIXED:
            found.setdefault(r.access.tensor, set()).add(_lane_axis(r.access, lane, summed))
    for name, axes in found.items():
        axis = next(iter(axes))
        if len(axes) == 1 and axis is not None:
            yield name, axis


def _lane_axis(access: Access, lane: str | None, summed: Collection[str]) -> int | None:
    """The axis that the lanes' index alone runs along, where neighbours in memory are terms of a sum."""
    if lane is None or access.boundary != "skip":
        return None
    forms = [i if isinstance(i, Affine) else None for i in access.indices]
    if not forms or any(f is None for f in forms):
        return None
    alone = [f.as_variable() for f in forms if f is not None]
    axes = [axis for axis, f in enumerate(forms) if f is not None and lane in f.variables()]
    return axes[0] if len(axes) == 1 and alone[axes[0]] == lane and alone[-1] in summed else None


def _copy(name: str, type: TensorType, axis: int, copy: str) -> Let:
    """A tensor with an axis moved to the end."""
    indices = tuple(f"i{k}" for k in range(type.rank))
    place = tuple(map(Affine.var, indices))
    shape = _moved(type.shape, axis)
    body = read(name, place, type.dtype)
    node = Contraction(indices, standard("assign", type.dtype), (body,), (Sink(_moved(place, axis), shape),))
    return Let((copy,), node, (TensorType(type.dtype, shape),))


def _moved(items: tuple[T, ...], axis: int) -> tuple[T, ...]:
    return (*items[:axis], *items[axis + 1 :], items[axis])


def _reading(let: Let, copies: dict[str, tuple[str, int]]) -> Let:
    """The contraction on copies instead of some operands."""
    if not copies:
        return let
    assert isinstance(let.node, Contraction)

    def leaf(e: Expr) -> Expr:
        if isinstance(e, Read) and e.access.tensor in copies:
            copy, axis = copies[e.access.tensor]
            return Read(replace(e.access, tensor=copy, indices=_moved(e.access.indices, axis)), e.dtype)
        return e

    return replace(let, node=replace(let.node, body=tuple(transform(b, leaf) for b in let.node.body)))
