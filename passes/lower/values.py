"""Elements of tensors as scalar expressions: inlined Lets are computed where they are read.

A `Scope` belongs to one innermost block. It remembers each element it has made, so that a value read several times
there is computed once, in a scalar Let: an expression never grows larger than the number of Lets it comes from.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from tilec import graph, loops
from tilec.affine import Affine, Coef, Size
from tilec.builtins import ALIASES
from tilec.exact.boxes import integer
from tilec.expr import Access, Call, Const, Expr, IndexValue, Read, Var, read, substitute_indices, transform, walk
from tilec.graph import Apply, Contraction, Literal, TensorType
from tilec.rules import cast

from .access import filled, is_plain, locate
from .nests import Names

Indices = tuple[Affine, ...]


@dataclass(frozen=True, slots=True)
class Values:
    """What is known of the names of a Graph.

    types: of every name. inlined: names without memory and the Lets that compute them. uses: how often each name is
    read in the Graph.
    """

    types: Mapping[str, TensorType]
    inlined: Mapping[str, graph.Let]
    uses: Mapping[str, int]

    def shape(self, name: str) -> tuple[Size, ...]:
        return self.types[name].shape

    def fixed_shape(self, name: str) -> tuple[int, ...]:
        """Raises TileError TILE0210 where a size is open."""
        return tuple(map(integer, self.types[name].shape))


@dataclass(slots=True)
class Scope:
    """Elements made in one block, the scalar Lets that must stand before it, and when its point has a term."""

    values: Values
    names: Names
    lets: list[loops.Let] = field(default_factory=list)
    known: dict[tuple[str, Indices], Expr] = field(default_factory=dict)
    extents: Mapping[str, Size] = field(default_factory=dict)  # of the loops around, as far as they matter
    inside: list[Expr] = field(default_factory=list)  # what must hold for a point to have a term

    def element(self, name: str, indices: Indices) -> Expr:
        """`name[indices]`, indices in range."""
        indices = tuple(
            Affine.constant(0) if size == 1 else i for i, size in zip(indices, self.values.shape(name), strict=True)
        )
        found = self.known.get((name, indices))
        if found is None:
            found = self.compute(name, indices)
            if self.values.uses.get(name, 0) > 1:
                found = self.share(name, found)
            self.known[name, indices] = found
        return found

    def compute(self, name: str, indices: Indices) -> Expr:
        """The expression of one element: a read, or the inlined Let's."""
        let = self.values.inlined.get(name)
        if let is None:
            return read(name, indices, self.values.types[name].dtype)
        return self.inline(let, indices)

    def inline(self, let: graph.Let, indices: Indices) -> Expr:
        """One element of a pointwise Let's value."""
        type = let.types[0]
        match let.node:
            case Literal(values=values):
                return Const(values[0], type.dtype)
            case Apply(op=op, args=args):
                operands = tuple(self.element(a, self.broadcast(a, indices)) for a in args)
                if op == "cast":
                    return cast(operands[0], type.dtype)
                return Call(ALIASES.get(op, op), operands, type.dtype)
            case Contraction(sinks=(sink,)):
                at: dict[str, Affine | Coef] = dict.fromkeys(let.node.indices, 0)  # others have extent 1
                at.update((_variable(f), i) for f, i in zip(sink.indices, indices, strict=True))
                return cast(self.body(substitute_indices(let.node.body[0], at)), type.dtype)
            case _:
                raise AssertionError(f"{let.names[0]} cannot be inlined")

    def body(self, body: Expr) -> Expr:
        """A contraction's body with its reads resolved."""

        def leaf(e: Expr) -> Expr:
            return self.read(e) if isinstance(e, Read) else e

        return transform(body, leaf)

    def read(self, e: Read) -> Expr:
        """An element by an access of any kind, whose data-dependent indices are resolved already."""
        access, shape = e.access, self.values.shape(e.access.tensor)
        if is_plain(access):
            return self.element(access.tensor, tuple(i for i in access.indices if isinstance(i, Affine)))
        if 0 in shape:
            assert access.fill is not None, "a contraction that reads nothing has no points"
            return cast(access.fill, e.dtype)
        found = locate(access, shape, self.extents)
        let = self.values.inlined.get(access.tensor)
        if let is not None and isinstance(let.node, Literal):
            element: Expr = Const(let.node.values[0], e.dtype)
        else:
            element = Read(Access(access.tensor, tuple(found.indices)), e.dtype)
        if access.boundary == "value":
            return filled(access, found, element)
        self.inside.extend(found.inside)
        return element

    def broadcast(self, name: str, indices: Indices) -> Indices:
        """Indices into an operand that is broadcast, from the right, to the cell `indices`."""
        shape = self.values.shape(name)
        return indices[len(indices) - len(shape) :] if shape else ()

    def share(self, name: str, value: Expr) -> Expr:
        """A scalar Let for a value that costs something, so that it is computed once."""
        if isinstance(value, Const | Var | IndexValue | Read):
            return value
        variable = Var(self.names.fresh(f"{name}.value"), value.dtype)
        self.lets.append(loops.Let(variable.name, value))
        return variable

    def block(self, statements: Sequence[loops.Stmt]) -> loops.Block:
        """The statements after the scalar Lets they need. A Let that one store alone uses is put into it."""
        uses = Counter(e.name for s in (*self.lets, *statements) for e in _values(s) if isinstance(e, Var))
        single = {let.name: let.value for let in self.lets if uses[let.name] == 1}
        used = {s.value.name for s in statements if isinstance(s, loops.Store) and isinstance(s.value, Var)}
        moved = {n: v for n, v in single.items() if n in used}
        kept = [let for let in self.lets if let.name not in moved]
        return (*kept, *(_stored(s, moved) for s in statements))


def _values(stmt: loops.Stmt) -> Iterator[Expr]:
    """Every expression node of a Let or Store."""
    if isinstance(stmt, loops.Let | loops.Store):
        yield from walk(stmt.value)
    if isinstance(stmt, loops.Store):
        for i in stmt.indices:
            if not isinstance(i, Affine):
                yield from walk(i)


def _stored(stmt: loops.Stmt, moved: Mapping[str, Expr]) -> loops.Stmt:
    if isinstance(stmt, loops.Store) and isinstance(stmt.value, Var) and stmt.value.name in moved:
        return replace(stmt, value=moved[stmt.value.name])
    return stmt


def _variable(form: Affine) -> str:
    name = form.as_variable()
    assert name is not None, "only sinks of bare variables are inlined"
    return name
