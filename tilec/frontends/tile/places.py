"""Which cells an access of a contraction's body reads: affine indices, indices that depend on data, boundary modes.

    A[i + k - 1]              affine; outside there is no term
    W[Idx[i], j]              any integer expression over elements; outside there is no term, below 0 neither
    A[clamp(i - 1)]           outside, the nearest cell is read
    A[wrap(i - 1)]            the index counts modulo the size
    A[reflect(i - 1)]         mirrored at the edges, which are not repeated
    A[pad(i - 1, 0)]          outside, the number is read

The four words are functions only here, as a whole index. Several axes of one access may have the same of them; an axis
without one bounds its index as ever.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tilec.affine import Affine
from tilec.errors import Span, error
from tilec.expr import Access, Boundary, Const, Expr
from tilec.frontends.tile.builder import Builder
from tilec.frontends.tile.calls import value
from tilec.frontends.tile.forms import walk
from tilec.frontends.tile.indices import affine
from tilec.frontends.tile.scalars import convert
from tilec.frontends.tile.syntax import Call, Expression, Index
from tilec.frontends.tile.values import Scalar, Scope, Tensor
from tilec.graph import Constraint
from tilec.rules import Typed

MODES: Mapping[str, Boundary] = {"clamp": "clamp", "wrap": "wrap", "reflect": "reflect", "pad": "value"}


@dataclass(frozen=True, slots=True)
class Place:
    """What an access reads. `forms` are those indices that bound their variables; None for the others."""

    indices: tuple[Affine | Expr, ...]
    forms: tuple[Affine | None, ...]
    boundary: Boundary = "skip"
    fill: int | float | None = None

    def access(self, tensor: Tensor, span: Span) -> Access:
        """Raises TILE0226 where the tensor's type does not have the number that is read outside."""
        dtype = tensor.type.dtype
        if isinstance(self.fill, float) and not dtype.is_float:
            raise error("TILE0226", f"'pad' gives the float {self.fill} for an element of type {dtype.long}", span)
        fill = None if self.fill is None else Const(convert(self.fill, dtype), dtype)
        return Access(tensor.name, self.indices, self.boundary, fill)

    def constraints(self, tensor: Tensor) -> tuple[Constraint, ...]:
        """What an access with a boundary mode does not say: that the axes without one are read inside."""
        if self.boundary == "skip":
            return ()
        pairs = zip(self.forms, tensor.type.shape, strict=True)
        return tuple(Constraint(form, size) for form, size in pairs if form is not None)


def place(b: Builder, scope: Scope, access: Index, element: Callable[[Expression], Typed]) -> Place:
    """The place of an access; `element` translates an expression over elements.

    Raises TILE0226 for different modes in one access and what `affine` raises, TILE0304 for an index not an integer.
    """
    found = [_index(b, scope, unmoved(i), element) for i in access.indices]
    modes = [(i, i.function.text) for i in access.indices if isinstance(i, Call) and is_moved(i)]
    forms = tuple(
        index if isinstance(index, Affine) and not is_moved(i) else None for i, index in zip(access.indices, found)
    )
    if not modes:
        return Place(tuple(found), forms)
    fills = {_fill(b, scope, call) for call, name in modes if name == "pad"}
    plain = [i for i in access.indices if not is_moved(i) and has_element(i)]
    if len({name for _, name in modes}) > 1 or len(fills) > 1 or plain:
        help = "give all axes that are read outside, or at an index that depends on data, the same mode"
        raise error("TILE0226", "an access has one boundary mode", access.span, help=help)
    return Place(tuple(found), forms, MODES[modes[0][1]], next(iter(fills), None))


def is_moved(index: Expression) -> bool:
    """Whether an index has a boundary mode."""
    return isinstance(index, Call) and index.function.text in MODES


def unmoved(index: Expression) -> Expression:
    """The index without its boundary mode."""
    return index.args[0] if isinstance(index, Call) and is_moved(index) and index.args else index


def has_element(expression: Expression) -> bool:
    """Whether an element of a tensor occurs."""
    return any(isinstance(node, Index) and node.indices for node in walk(expression))


def _index(b: Builder, scope: Scope, index: Expression, element: Callable[[Expression], Typed]) -> Affine | Expr:
    if not has_element(index):
        return affine(b, scope, index)
    found = element(index).expr
    if not found.dtype.is_integer:
        raise error("TILE0304", f"an index is of type {found.dtype.long}", index.span, help="convert it with 'as_int'")
    return found


def _fill(b: Builder, scope: Scope, call: Call) -> int | float:
    with b.scratch():
        found = value(b, scope, call.args[1])
    if isinstance(found, Scalar) and isinstance(found.value, int | float):
        return found.value
    raise error("TILE0226", "'pad' gives a constant number", call.args[1].span)
