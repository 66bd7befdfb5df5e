"""Contractions that assign: the box of cells that one reaches, and the tensor that it puts there."""

from __future__ import annotations

from typing import TypeAlias

from tilec.affine import Affine
from tilec.exact.domain import box_of, conditions, guards
from tilec.expr import Read, walk
from tilec.graph import Contraction, Let

from ..access import is_plain
from ..values import Values
from .boxes import Box, extents

Axes: TypeAlias = tuple[int | None, ...]  # per axis of a tensor the axis of another one that it follows


def assigned(let: Let, values: Values) -> Box | None:
    """The cells that an assignment reaches, if they are a box and every one of them has its own point."""
    node = let.node
    if not isinstance(node, Contraction) or node.monoid.name != "assign" or len(node.sinks) != 1:
        return None
    reads = [e.access for e in walk(node.body[0]) if isinstance(e, Read)]
    shapes = {t: values.shape(t) for t in (*(a.tensor for a in reads), *let.names)}
    sizes = (*node.extents, *(n for shape in shapes.values() for n in shape))
    if not all(isinstance(n, int) and n > 0 for n in sizes) or not all(map(is_plain, reads)):
        return None
    left = {i: n for i, n in zip(node.indices, node.extents, strict=True) if isinstance(n, int) and n != 1}
    found: list[tuple[int, int]] = []
    for form in node.sinks[0].indices:
        start, variables = form.const, moving(form, node)
        if not isinstance(start, int) or len(variables) > 1 or any(form.coefficient(v) != 1 for v in variables):
            return None
        found.append((start, left.pop(variables[0], 0) if variables else 1))
    shape = values.fixed_shape(let.names[0])
    fits = all(s >= 0 and n > 0 and s + n <= size for (s, n), size in zip(found, shape, strict=True))
    box = box_of(node)
    if left or not fits or any(high < 0 for _, high in box.values()):
        return None
    return None if guards(conditions(node, shapes), box) else tuple(found)


def moving(form: Affine, node: Contraction) -> list[str]:
    """The variables of a form that take more than one value."""
    return [i for i, n in zip(node.indices, node.extents, strict=True) if n != 1 and i in form.variables()]


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
