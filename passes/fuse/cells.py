"""What computing one cell of a tensor costs, and which cells of others it reads."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from tilec.affine import Affine, Poly, Size
from tilec.exact.domain import box_of, conditions, guards
from tilec.expr import Call, Expr, Read, walk
from tilec.graph import Contraction, Let

EXPENSIVE = 8  # cost of an operation that is not in _CHEAP_OPS
WHOLE = 1 << 30  # in the place of a number of leading axes: the own cell is read
_MANY = 1024  # what an open size is taken for where work is weighed
_CHEAP_OPS = frozenset({
    "neg", "abs", "add", "sub", "mul", "max", "min", "cond", "cast", "bitcast", "relu", "ident",
    "stop_gradient", "reverse_grad",
    "bit_and", "bit_or", "bit_xor", "bit_not", "bit_left", "bit_right",
})  # fmt: skip


def is_sum(let: Let) -> bool:
    return isinstance(let.node, Contraction) and let.node.monoid.name == "sum"


def aligned_axes(shape: tuple[Size, ...], own: tuple[Size, ...]) -> int:
    """On how many leading axes an operand that is broadcast to the shape `own` is read at the own cell."""
    if shape == own:
        return WHOLE
    same = [n == m for n, m in zip(shape, own)] if len(shape) == len(own) else []
    return (*same, False).index(False)


def leading_axes(node: Contraction) -> list[tuple[str, int]]:
    """The tensors that a contraction reads, and on how many leading axes at the cell that is computed."""
    found = []
    for access in (e.access for body in node.body for e in walk(body) if isinstance(e, Read)):
        pairs = zip(node.sinks[0].indices, access.indices)
        same = [f.as_variable() is not None and f == i for f, i in pairs]
        found.append((access.tensor, (*same, False).index(False)))
    return found


def is_plain(node: Contraction, shapes: dict[str, tuple[Size, ...]]) -> bool:
    """Whether every cell aggregates the whole range of all other variables, and nothing else."""
    accesses = [e.access for e in walk(node.body[0]) if isinstance(e, Read)]
    if len(node.sinks) != 1 or node.defaults != (None,) or not accesses:
        return False
    if any(a.boundary != "skip" or not all(isinstance(i, Affine) for i in a.indices) for a in accesses):
        return False
    extents = dict(zip(node.indices, node.extents))
    for form, size in zip(node.sinks[0].indices, node.sinks[0].shape, strict=True):
        if extents.pop(form.as_variable() or "", 1 if form == Affine() else None) != size:
            return False
    box = box_of(node)
    return all(high >= 0 for _, high in box.values()) and not guards(conditions(node, shapes), box)


def count(sizes: Sequence[Size]) -> int:
    """Elements, or about as many."""
    return prod(int(s.evaluate(dict.fromkeys(s.names(), _MANY))) if isinstance(s, Poly) else s for s in sizes)


def cost_of(op: str) -> int:
    return 1 if op in _CHEAP_OPS or op.startswith("cmp_") else EXPENSIVE


def body_cost(body: Expr) -> int:
    return sum(cost_of(e.op) for e in walk(body) if isinstance(e, Call))


def is_rearrangement(node: Contraction, shapes: dict[str, tuple[Size, ...]]) -> bool:
    """Whether every cell is computed from one point: each axis of the output runs over a variable of its own, whole,
    and there are no other variables, aggregation, default or guard."""
    if node.monoid.name != "assign" or len(node.sinks) != 1:
        return False
    accesses = [e.access for e in walk(node.body[0]) if isinstance(e, Read)]
    if any(a.boundary == "skip" and not all(isinstance(i, Affine) for i in a.indices) for a in accesses):
        return False  # whether a cell has a term is known at run time
    extents = dict(zip(node.indices, node.extents))
    for form, size in zip(node.sinks[0].indices, node.sinks[0].shape, strict=True):
        variable = form.as_variable()
        if variable is None or extents.pop(variable, None) != size:
            return False
    if any(e != 1 for e in extents.values()):
        return False
    box = box_of(node)
    return all(high >= 0 for _, high in box.values()) and not guards(conditions(node, shapes), box)
