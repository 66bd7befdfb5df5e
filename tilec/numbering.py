"""Floor 3: numbers for expressions: equal ones have one number; and keys for Lets that compute the same.

The text of an expression grows with its tree, in which a shared term is written as often as it is used; numbers are
found in time linear in the terms themselves.
"""

from __future__ import annotations

from dataclasses import replace

from tilec.affine import Affine
from tilec.expr import Call, Expr, Read, Var, substitute_indices, walk
from tilec.graph import Constraint, Contraction, Let, Node, Sink
from tilec.text.affine_text import print_affine
from tilec.text.expr_text import print_expr
from tilec.text.graph_text import print_node


class Numbering:
    """Gives out numbers. Constants are told apart as their text is: 0.0 from -0.0, and NaN is itself."""

    def __init__(self) -> None:
        self._numbers: dict[object, int] = {}

    def stand_in(self, expr: Expr) -> Var:
        """A variable that stands for the expression, and for no different one."""
        return Var(f"e{self.number(expr)}", expr.dtype)

    def number(self, expr: Expr) -> int:
        known: dict[int, int] = {}
        for term in reversed(list(walk(expr))):  # parts before wholes
            known[id(term)] = self._numbers.setdefault(_key(term, known), len(self._numbers))
        return known[id(expr)]


def _key(term: Expr, known: dict[int, int]) -> object:
    match term:
        case Call(op, args, dtype):
            return op, dtype.name, tuple(known[id(a)] for a in args)
        case Read(access, dtype):
            indices = tuple(print_affine(i) if isinstance(i, Affine) else known[id(i)] for i in access.indices)
            fill = None if access.fill is None else print_expr(access.fill)
            return access.tensor, dtype.name, indices, access.boundary, fill
        case _:
            return print_expr(term)


def value_key(let: Let, numbering: Numbering) -> str:
    """Equal for Lets of equal values and types, however the index variables of a contraction are named."""
    return print_node(let.types, _canonical(let.node, numbering))


def _canonical(node: Node, numbering: Numbering) -> Node:
    if not isinstance(node, Contraction):
        return node
    new = {index: f"{i}" for i, index in enumerate(node.indices)}
    forms = {old: Affine.var(name) for old, name in new.items()}
    return replace(
        node,
        indices=tuple(new.values()),
        body=tuple(numbering.stand_in(substitute_indices(b, forms)) for b in node.body),
        sinks=tuple(Sink(tuple(f.rename(new) for f in s.indices), s.shape) for s in node.sinks),
        constraints=tuple(Constraint(c.form.rename(new), c.bound) for c in node.constraints),
    )
