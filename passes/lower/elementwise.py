"""A group of pointwise Lets over one shape: a single nest, values passed on in scalars, stores for what is needed."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from tilec.affine import Affine
from tilec.graph import Let
from tilec.loops import Block, Stmt, Store

from .nests import Names, nest, over
from .values import Scope, Values


def elementwise(lets: Sequence[Let], stored: Collection[str], values: Values, names: Names) -> Block:
    """One nest for Lets of one shape, in order; `stored` are those with a buffer of their own."""
    loops, cell = over(values.shape(lets[0].names[0]), names)
    scope = Scope(values, names)
    return nest(loops, (), scope.block(passed_on(lets, cell, stored, scope)))


def passed_on(
    lets: Sequence[Let], cell: tuple[Affine, ...], stored: Collection[str], scope: Scope
) -> list[Stmt]:
    """Stores of one cell of each of these Lets that has a buffer; their values are known to the scope."""
    stores: list[Stmt] = []
    for let in lets:
        name = let.names[0]
        value = scope.inline(let, cell)
        if scope.values.uses.get(name, 0) > 0:
            value = scope.share(name, value)
        scope.known[name, cell] = value
        if name in stored:
            stores.append(Store(name, cell, value))
    return stores
