"""Random numbers as loop nests: taus88 generators side by side (see `tilec.evaluate.special`).

They write their values in row-major order, through a flat view of the result.
"""

from __future__ import annotations

from math import prod

from tilec.affine import Affine
from tilec.dtypes import F32, U32
from tilec.expr import Expr, Var, read
from tilec.loops import Block, Let, Stmt, Store
from tilec.rules import call, cast, constant

from .nests import Names, nest
from .values import Values

_TAUS = ((0xFFFFFFFE, 12, 13, 19), (0xFFFFFFF8, 4, 2, 25), (0xFFFFFFF0, 17, 3, 11))  # mask, left, mix, right


def prng_step(state: str, after: str, flat: str, shape: tuple[int, ...], values: Values, names: Names) -> Block:
    """after = state; then value number t * n + i comes from step t of generator i, one of n."""
    rows, n = values.fixed_shape(state)
    i, t, row = names.fresh("i"), names.fresh("t"), names.fresh("row")
    count = prod(shape)
    cell = (Affine.var(row), Affine.var(i))
    copy = nest([(row, rows), (i, n)], (), (Store(after, cell, read(state, cell, U32)),))
    g = names.fresh("g")
    position = Affine.of({t: n, g: 1})
    scalars = _Scalars(names)
    bits: Expr | None = None
    stores: list[Stmt] = []
    for k, constants in enumerate(_TAUS):
        where = (Affine.constant(k), Affine.var(g))
        new = scalars.let(_taus(scalars.let(read(after, where, U32)), *constants))
        stores.append(Store(after, where, new))
        bits = new if bits is None else call("bit_xor", bits, new)
    assert bits is not None
    value = call("mul", cast(_shift("bit_right", bits, 8), F32), constant(2.0**-24, F32))
    stores.append(Store(flat, (position,), value))
    guard = () if count % n == 0 else (-position + (count - 1),)
    return copy + nest([(t, -(-count // n)), (g, n)], guard, (*scalars.lets, *stores))


def _taus(s: Expr, mask: int, left: int, mix: int, right: int) -> Expr:
    """One component of taus88: ((s & mask) << left) ^ (((s << mix) ^ s) >> right)."""
    kept = _shift("bit_left", call("bit_and", s, constant(mask, U32)), left)
    return call("bit_xor", kept, _shift("bit_right", call("bit_xor", _shift("bit_left", s, mix), s), right))


def _shift(op: str, value: Expr, count: int) -> Expr:
    return call(op, value, constant(count, value.dtype))


class _Scalars:
    """Scalar Lets in order, each with a name of its own."""

    def __init__(self, names: Names) -> None:
        self._names = names
        self.lets: list[Let] = []

    def let(self, value: Expr) -> Var:
        variable = Var(self._names.fresh("s"), value.dtype)
        self.lets.append(Let(variable.name, value))
        return variable
