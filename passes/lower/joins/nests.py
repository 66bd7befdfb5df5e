"""The kernel of a join: a nest for each box of cells that are not there already."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from tilec.affine import Affine, Coef
from tilec.exact.assigned import moving
from tilec.expr import Expr, read, substitute_indices
from tilec.graph import Let
from tilec.loops import Block, Store
from tilec.rules import cast, constant

from ..elementwise import passed_on
from ..nests import Names, nest
from ..values import Scope, Values
from . import Join
from .layers import Layer, Piece


def joined(let: Let, join: Join, rest: Sequence[Let], stored: Collection[str], values: Values, names: Names) -> Block:
    """The cells of a join that are not there already, and with them elementwise operations that read it, box by box."""
    block: Block = ()
    name, home, dtype = let.names[0], join.home, let.types[0].dtype
    rest = [r for r in rest if r.names[0] != home]
    for piece in join.pieces:
        if piece.placed and not rest:
            continue
        loops, cell = _cells(piece, names)
        scope = Scope(values, names, extents=dict(loops))
        there = home if piece.placed else None
        value = _value(let, piece.layer, cell, scope) if there is None else read(there, cell, dtype)
        if rest and values.uses.get(name, 0):
            value = scope.share(name, value)
        stores = [] if home is None or piece.placed else [Store(home, cell, value)]
        scope.known.update(dict.fromkeys([(n, cell) for n in (name, home) if n is not None], value))
        block += nest(loops, (), scope.block([*stores, *passed_on(rest, cell, stored, scope)]))
    return block


def _cells(piece: Piece, names: Names) -> tuple[list[tuple[str, int]], tuple[Affine, ...]]:
    """Loops over the box of a piece, called as in the assignment, and the cell of the whole."""
    node = piece.layer.node
    loops: list[tuple[str, int]] = []
    cell: list[Affine] = []
    for axis, ((start, extent), form) in enumerate(zip(piece.box, node.sinks[0].indices, strict=True)):
        variable = next(iter(moving(form, node)), None) if piece.layer.assigned else None
        if extent != 1:
            loops.append((names.fresh(variable or f"i{axis}"), extent))
        cell.append(Affine.var(loops[-1][0]) + start if extent != 1 else Affine.constant(start))
    return loops, tuple(cell)


def _value(let: Let, layer: Layer, cell: tuple[Affine, ...], scope: Scope) -> Expr:
    """What a cell of a join holds."""
    node, dtype = layer.node, let.types[0].dtype
    own = tuple(c - by for c, by in zip(cell, layer.shift, strict=True))
    if layer.assigned:
        at: dict[str, Affine | Coef] = dict.fromkeys(node.indices, 0)  # others have extent 1
        for form, i in zip(node.sinks[0].indices, own, strict=True):
            at.update((v, i - form.const) for v in moving(form, node))
        value = cast(scope.body(substitute_indices(node.body[0], at)), node.accumulator[0])
    elif node.defaults[0] is None:
        return constant(0, dtype)
    else:
        default = node.defaults[0]
        value = scope.element(default, own if scope.values.types[default].shape else ())
    return cast(value, dtype)
