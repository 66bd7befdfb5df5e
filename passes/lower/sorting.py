"""Sort as loop nests: each element's rank is counted, then the elements are put in their places.

    rank[p, i]   = sum over j of (x[p, j] stands before x[p, i])
    values[p, rank[p, i]] = x[p, i],  order[p, rank[p, i]] = i

n^2 comparisons for an axis of n elements, all of them independent: for the short axes of top-k and the like. The order
is that of `tilec.specials`: ascending, stable, NaN last.
"""

from __future__ import annotations

from tilec.affine import Affine
from tilec.dtypes import BOOL, I32, I64
from tilec.expr import Access, Expr, IndexValue, Read, read
from tilec.loops import Alloc, Block, Buffer, Store
from tilec.monoid import standard
from tilec.rules import call, cast, constant

from .nests import Names, nest
from .values import Values


def sort(data: str, results: tuple[str, str], axis: int, values: Values, names: Names) -> Block:
    """Statements that sort `data` along `axis` into (values, order)."""
    shape, dtype = values.shape(data), values.types[data].dtype
    rank = Buffer(names.fresh(f"{results[0]}.rank"), I32, shape)
    loops = [(names.fresh(f"i{a}"), size) for a, size in enumerate(shape)]
    here = tuple(Affine.var(i) for i, _ in loops)
    j = names.fresh("j")
    there = (*here[:axis], Affine.var(j), *here[axis + 1 :])
    earlier = call("cmp_lt", IndexValue(Affine.var(j), I64), IndexValue(here[axis], I64))
    before = _before(read(data, there, dtype), read(data, here, dtype), earlier)
    start = nest(loops, (), (Store(rank.name, here, constant(0, I32)),))
    count = nest([*loops, (j, shape[axis])], (), (Store(rank.name, here, cast(before, I32), standard("sum", I32)),))
    place: Expr = cast(read(rank.name, here, I32), I64)
    target = (*here[:axis], place, *here[axis + 1 :])
    moved = Store(results[0], target, Read(Access(data, here), dtype))
    order = Store(results[1], target, IndexValue(here[axis], I32))
    return (Alloc(rank), *start, *count, *nest(loops, (), (moved, order)))


def _before(a: Expr, b: Expr, earlier: Expr) -> Expr:
    """Whether a stands before b: it is smaller, or equal and earlier; NaN is larger than all and equal to itself."""
    smaller, equal = call("cmp_lt", a, b), call("cmp_eq", a, b)
    if a.dtype.is_float:
        a_nan, b_nan = call("cmp_ne", a, a), call("cmp_ne", b, b)
        smaller = call("bit_or", smaller, call("bit_and", call("cmp_eq", a, a), b_nan))
        equal = call("bit_or", equal, call("bit_and", a_nan, b_nan))
    before = call("bit_or", smaller, call("bit_and", equal, earlier))
    assert before.dtype == BOOL
    return before
