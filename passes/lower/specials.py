"""Whole-tensor operations as loop nests: gather, scatter, sort, random numbers, tensor literals."""

from __future__ import annotations

from collections.abc import Callable
from math import prod

from tilec.affine import Affine, Poly, Size
from tilec.errors import error
from tilec.exact.boxes import integer
from tilec.expr import Access, Read
from tilec.graph import Let, Literal, Special
from tilec.loops import Block, Store
from tilec.monoid import Standard, standard
from tilec.rules import call, constant
from tilec.specials import SCATTERS, axis_of

from .access import clamped, wide
from .nests import Names, nest, over
from .random import prng_step
from .sorting import sort
from .values import Scope, Values

MAX_LITERAL = 1 << 16


def special(let: Let, values: Values, names: Names, flat: Callable[[str], str], sequential: bool = False) -> Block:
    """Statements that compute a Special into the buffers called by its names. Raises TileError TILE0602.

    `flat` declares a rank-1 view of a result and gives its name; `sequential` is as in `lower.Options`.
    """
    match let.node:
        case Special(op="prng_step", args=(state,)):
            after, result = let.names
            return prng_step(state, after, flat(result), values.fixed_shape(result), values, names)
        case Special(op="sort", args=(data,)):
            first, second = let.names
            axis = axis_of(let.node, len(values.shape(data)))
            return sort(data, (first, second), axis, values, names, sequential)
        case Special(op="gather", args=(data, where)):
            return _gather(let.names[0], data, where, values, names)
        case Special(op=op, args=(updates, where, *_)) if op in SCATTERS:
            return _scatter(let.names[0], updates, where, SCATTERS[op], values, names)
        case Special(op=op):
            raise error("TILE0602", f"the operation '{op}' is not lowered yet", let.span)
        case _:
            raise error("TILE0602", f"{type(let.node).__name__} nodes are not lowered yet", let.span)


def _gather(result: str, data: str, where: str, values: Values, names: Names) -> Block:
    """result[p.., q..] = data[clamp(where[p..]), q..], or 0 where data has no rows."""
    loops, cell = over(values.shape(result), names)
    rank = len(values.shape(where))
    scope = Scope(values, names)
    dtype = values.types[data].dtype
    rows = values.shape(data)[0]
    none = (Store(result, cell, constant(0, dtype)),)
    if rows == 0:
        return nest(loops, (), none)
    row = clamped(scope.element(where, cell[:rank]), rows)
    access = Access(data, (row, *_tail(cell[rank:], values.shape(data)[1:])))
    found = scope.block([Store(result, cell, Read(access, dtype))])
    empty = nest(loops, (Affine.constant(-rows),), none) if isinstance(rows, Poly) else ()
    return empty + nest(loops, (Affine.constant(rows - 1),), found)


def _scatter(result: str, updates: str, where: str, by: Standard, values: Values, names: Names) -> Block:
    """result = 0; result[where[p..], q..] += updates[p.., q..] where in range; or by another monoid, from its identity.

    An update out of range adds 0 to the nearest row instead: the sum holds no -0 that this could change, for it
    starts from +0.
    """
    shape, dtype = values.shape(result), values.types[result].dtype
    monoid = standard(by, dtype)
    (nothing,) = monoid.identity
    loops, cell = over(shape, names)
    block = nest(loops, (), (Store(result, cell, nothing),))
    if shape[0] == 0:
        return block
    loops, cell = over(values.shape(updates), names)
    rank = len(values.shape(where))
    scope = Scope(values, names)
    raw = scope.element(where, cell[:rank])
    row = clamped(raw, shape[0])
    update = scope.element(updates, cell)
    inside = call("cmp_eq", wide(raw), row)
    value = call("select", inside, update, nothing)
    store = Store(result, (row, *_tail(cell[rank:], shape[1:])), value, monoid)
    return block + nest(loops, (Affine.constant(shape[0] - 1),), scope.block([store]))


def _tail(indices: tuple[Affine, ...], shape: tuple[Size, ...]) -> tuple[Affine, ...]:
    return tuple(Affine.constant(0) if size == 1 else i for i, size in zip(indices, shape, strict=True))


def literal(let: Let, names: Names) -> Block:
    """Stores of a constant tensor's elements; a single value fills all of it. Raises TileError TILE0417 if too many."""
    node, name = let.node, let.names[0]
    assert isinstance(node, Literal)
    dtype = let.types[0].dtype
    if len(node.values) == 1:
        loops, cell = over(let.types[0].shape, names)
        return nest(loops, (), (Store(name, cell, constant(node.values[0], dtype)),))
    if len(node.values) > MAX_LITERAL:
        raise error("TILE0417", f"a literal of {len(node.values)} elements", let.span, help="pass it as an argument")
    shape = tuple(map(integer, let.types[0].shape))
    return tuple(
        Store(name, _cell(position, shape), constant(value, dtype)) for position, value in enumerate(node.values)
    )


def _cell(position: int, shape: tuple[int, ...]) -> tuple[Affine, ...]:
    cell = []
    step = prod(shape)
    for size in shape:
        step //= size
        cell.append(Affine.constant(position // step))
        position %= step
    return tuple(cell)
