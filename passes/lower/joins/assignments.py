"""The tensor that an assignment puts into its box."""

from __future__ import annotations

from typing import TypeAlias

from tilec.affine import Affine
from tilec.exact.assigned import moving
from tilec.expr import Read
from tilec.graph import Contraction, Let

from ..values import Values
from .boxes import Box, extents

Axes: TypeAlias = tuple[int | None, ...]  # per axis of a tensor the axis of another one that it follows


def part(let: Let, box: Box, values: Values) -> tuple[str, Axes] | None:
    """The tensor all of which an assignment puts into its box, and the axes of the box that its own axes are.

    None where only some of it is, its axes in another order, or its elements converted.
    """
    node = let.node
    assert isinstance(node, Contraction)
    body, sink = node.body[0], node.sinks[0]
    if not isinstance(body, Read) or body.access.tensor in values.inlined:
        return None
    name, dtype = body.access.tensor, let.types[0].dtype
    if values.types[name].dtype != dtype or node.accumulator[0] != dtype:
        return None
    shape = values.fixed_shape(name)
    if [n for n in shape if n != 1] != [n for n in extents(box) if n != 1]:
        return None
    of = {v: k for k, f in enumerate(sink.indices) for v in moving(f, node)}
    axes: list[int | None] = []
    for index, size in zip(body.access.indices, shape, strict=True):
        variable = index.as_variable() if isinstance(index, Affine) else None
        if size != 1 and variable not in of:
            return None
        axes.append(of[variable] if size != 1 and variable is not None else None)
    kept = [a for a in axes if a is not None]
    if kept != sorted(kept):
        return None  # it would be stored transposed
    if len(shape) == len(box) and all(a is None or a == k for k, a in enumerate(axes)):
        return name, tuple(range(len(box)))
    return name, tuple(axes)
