"""Sort as one thread does it: for each row a stable merge from the bottom up, whose rounds are counted while it runs.

    for i: values[i] = x[i], order[i] = i
    w = 1
    while w < n { merge runs of w from the results to a spare pair; merge runs of 2 * w back; w *= 4 }

n log2 n steps for n elements. The length may be an open size: nothing but conditions depends on it.
"""

from __future__ import annotations

from tilec.affine import Affine, Size
from tilec.dtypes import BOOL, I32, I64, DType
from tilec.expr import Access, Expr, IndexValue, Read, Var, read
from tilec.loops import Alloc, Block, Buffer, Let, Store, While
from tilec.rules import call, constant

from .nests import Names, nest
from .values import Values

Pair = tuple[str, str]  # buffers of values and of places


def merge_sort(data: str, results: Pair, axis: int, values: Values, names: Names) -> Block:
    """Statements that sort `data` along `axis` into (values, order)."""
    shape, dtype = values.shape(data), values.types[data].dtype
    loops = [(names.fresh(f"i{a}"), size) for a, size in enumerate(shape)]
    cell = tuple(Affine.var(i) for i, _ in loops)
    start = nest(
        loops,
        (),
        (Store(results[0], cell, read(data, cell, dtype)), Store(results[1], cell, IndexValue(cell[axis], I32))),
    )
    spare = tuple(Buffer(names.fresh(f"{r}.run"), t, shape) for r, t in zip(results, (dtype, I32)))
    rows = [(names.fresh(f"i{a}"), size if a != axis else 1) for a, size in enumerate(shape)]
    row = _Row(tuple(Affine.var(i) for i, _ in rows), axis, shape[axis], dtype, names)
    sort = nest(rows, (), row.sort(results, (spare[0].name, spare[1].name)))
    return (*map(Alloc, spare), *start, *sort)


class _Row:
    """Builds the statements that sort one row, in a loop whose state is held in registers."""

    def __init__(self, at: tuple[Affine, ...], axis: int, length: Size, dtype: DType, names: Names) -> None:
        self._at, self._axis, self._dtype, self._names = at, axis, dtype, names
        known = isinstance(length, int)
        self._length = _number(length) if known else IndexValue(Affine.constant(length), I64)  # type: ignore[arg-type]
        self._width, self._low, self._left, self._right = map(names.fresh, ("width", "low", "left", "right"))

    def sort(self, results: Pair, spare: Pair) -> Block:
        """Sorts the row of `results`."""
        state = (self._width, self._low, self._left, self._right)
        width = _read(self._width)
        round = (
            *self._merged(results, spare, width),
            *self._merged(spare, results, call("mul", width, _number(2))),
            _set(self._width, call("mul", width, _number(4))),
        )
        allocs = (Alloc(Buffer(name, I64, (), "register")) for name in state)
        return (*allocs, _set(self._width, _number(1)), While(call("cmp_lt", width, self._length), round))

    def _merged(self, source: Pair, target: Pair, width: Expr) -> Block:
        """Merges each two neighbouring runs of so many elements."""
        low = _read(self._low)
        middle = self._let(call("min", call("add", low, width), self._length))
        high = self._let(call("min", call("add", middle[1], width), self._length))
        body = (
            middle[0],
            high[0],
            _set(self._left, low),
            _set(self._right, middle[1]),
            self._merge(source, target, middle[1], high[1]),
            _set(self._low, high[1]),
        )
        return (_set(self._low, _number(0)), While(call("cmp_lt", low, self._length), body))

    def _merge(self, source: Pair, target: Pair, middle: Expr, high: Expr) -> While:
        """Takes from the second run what is smaller than what is left of the first, else from the first."""
        left, right = _read(self._left), _read(self._right)
        place = self._let(call("sub", call("add", left, right), middle))
        a = self._let(self._element(source[0], call("min", left, call("sub", middle, _number(1))), self._dtype))
        b = self._let(self._element(source[0], call("min", right, call("sub", high, _number(1))), self._dtype))
        is_left, is_right = call("cmp_lt", left, middle), call("cmp_lt", right, high)
        second = call("bit_and", is_right, smaller(b[1], a[1]))
        later = self._let(call("cond", is_left, second, constant(True, BOOL)))
        origin = self._let(call("cond", later[1], right, left))
        cell = self._cell(place[1])
        body = (
            *(place[0], a[0], b[0], later[0], origin[0]),
            Store(target[0], cell, call("cond", later[1], b[1], a[1])),
            Store(target[1], cell, self._element(source[1], origin[1], I32)),
            _set(self._left, call("cond", later[1], left, call("add", left, _number(1)))),
            _set(self._right, call("cond", later[1], call("add", right, _number(1)), right)),
        )
        return While(call("cmp_lt", call("add", left, right), call("add", middle, high)), body)

    def _let(self, value: Expr) -> tuple[Let, Var]:
        let = Let(self._names.fresh("s"), value)
        return let, Var(let.name, value.dtype)

    def _cell(self, place: Expr) -> tuple[Affine | Expr, ...]:
        return (*self._at[: self._axis], place, *self._at[self._axis + 1 :])

    def _element(self, buffer: str, place: Expr, dtype: DType) -> Expr:
        return Read(Access(buffer, self._cell(place)), dtype)


def smaller(a: Expr, b: Expr) -> Expr:
    """Whether a is smaller than b; NaN is larger than all else."""
    less = call("cmp_lt", a, b)
    if not a.dtype.is_float:
        return less
    return call("bit_or", less, call("bit_and", call("cmp_eq", a, a), call("cmp_ne", b, b)))


def _number(value: int) -> Expr:
    return constant(value, I64)


def _read(name: str) -> Expr:
    return read(name, (), I64)


def _set(name: str, value: Expr) -> Store:
    return Store(name, (), value)
