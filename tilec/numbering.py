"""Floor 3: numbers for expressions: equal ones have one number; and Lets that compute the same.

The text of an expression grows with its tree, in which a shared term is written as often as it is used; numbers are
found in time linear in the terms themselves.
"""

from __future__ import annotations

from dataclasses import replace

from tilec.affine import Affine
from tilec.expr import Call, Expr, Read, Var, substitute_indices, walk
from tilec.graph import Constraint, Contraction, Let, Node, Sink, operands, subgraphs
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


class Values:
    """Lets by their values and types: equal ones are found, however the index variables of a contraction are named.

    Nodes with Graphs inside are told apart by their operands first. Their texts are long, and where they are nested as
    long as all that is inside of them; they are written only where the operands are the same.
    """

    def __init__(self) -> None:
        self._numbering = Numbering()
        self._known: dict[str, Let] = {}
        self._outlines: dict[object, tuple[Let, Let] | None] = {}  # with a text, None

    def first(self, let: Let, value: Let | None = None) -> Let:
        """What was given for the first Let equal to this one: `value`, or the Let itself, where this is the first."""
        value = value or let
        if subgraphs(let.node):
            outline = type(let.node), operands(let.node), let.types
            if outline not in self._outlines:
                self._outlines[outline] = let, value
                return value
            if other := self._outlines[outline]:
                self._known.setdefault(self._key(other[0]), other[1])
                self._outlines[outline] = None
        return self._known.setdefault(self._key(let), value)

    def _key(self, let: Let) -> str:
        return print_node(let.types, _canonical(let.node, self._numbering))


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
