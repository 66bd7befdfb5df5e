"""Sort as loop nests, in the order of `tilec.specials`: ascending, stable, NaN last.

Short axes, as for the like of top-k, by counting: n^2 comparisons for n elements, all of them independent.

    rank[p, i]   = sum over j of (x[p, j] stands before x[p, i])
    values[p, rank[p, i]] = x[p, i],  order[p, rank[p, i]] = i

Long axes by merging: runs of 1, 2, 4 ... elements are sorted, and each element finds its place in the union of its run
and the next by counting, in a binary search, those of the other run that stand before it: n log^2 n comparisons, all
those of a pass independent. Where one thread does the work, and along open axes, see `merge_sort`.
"""

from __future__ import annotations

from tilec.affine import Affine, Size
from tilec.dtypes import BOOL, I32, I64, DType
from tilec.exact.boxes import integer
from tilec.expr import Access, Expr, IndexValue, Read, Var, read
from tilec.loops import Alloc, Block, Buffer, Let, Store
from tilec.monoid import standard
from tilec.rules import call, cast, constant

from .merge_sort import merge_sort, smaller
from .nests import Names, nest
from .values import Values

COUNTED = 64  # elements of the longest axis that is sorted by counting


def sort(
    data: str, results: tuple[str, str], axis: int, values: Values, names: Names, sequential: bool = False
) -> Block:
    """Statements that sort `data` along `axis` into (values, order); `sequential`: each row by one thread."""
    extent = values.shape(data)[axis]
    if isinstance(extent, int) and extent <= COUNTED:
        return _counting(data, results, axis, values, names)
    by_merging = merge_sort if sequential or not isinstance(extent, int) else _merging
    return by_merging(data, results, axis, values, names)


def _counting(data: str, results: tuple[str, str], axis: int, values: Values, names: Names) -> Block:
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


def _merging(data: str, results: tuple[str, str], axis: int, values: Values, names: Names) -> Block:
    shape, dtype = values.shape(data), values.types[data].dtype
    passes = max(1, (integer(shape[axis]) - 1).bit_length())
    kept = [
        (Buffer(names.fresh(f"{results[0]}.run"), dtype, shape), Buffer(names.fresh(f"{results[1]}.run"), I32, shape))
        for _ in range(min(2, passes - 1))
    ]
    block: Block = tuple(Alloc(b) for pair in kept for b in pair)
    source: tuple[str, str | None] = (data, None)
    for n in range(passes):
        target = results if n == passes - 1 else (kept[n % 2][0].name, kept[n % 2][1].name)
        block += _merge(source, target, axis, n, shape, dtype, names)
        source = target
    return block


def _merge(
    source: tuple[str, str | None],
    target: tuple[str, str],
    axis: int,
    level: int,
    shape: tuple[Size, ...],
    dtype: DType,
    names: Names,
) -> Block:
    """From runs of 2^level sorted elements to runs of twice as many."""
    loops = [(names.fresh(f"i{a}"), size) for a, size in enumerate(shape)]
    here = tuple(Affine.var(i) for i, _ in loops)
    count, width = integer(shape[axis]), 1 << level
    lets: list[Let] = []

    def let(value: Expr) -> Var:
        lets.append(Let(names.fresh("s"), value))
        return Var(lets[-1].name, value.dtype)

    def number(value: int) -> Expr:
        return constant(value, I64)

    own = let(read(source[0], here, dtype))
    at = IndexValue(here[axis], I64)
    odd = let(call("cmp_ne", call("bit_and", at, number(width)), number(0)))  # the second run of two
    start = let(call("bit_and", at, number(-2 * width)))  # of both
    other = let(call("add", start, call("cond", odd, number(0), number(width))))
    length = let(call("max", call("min", call("sub", number(count), other), number(width)), number(0)))
    before: Expr = number(0)
    for power in range(level, -1, -1):
        more = let(call("add", before, number(1 << power)))
        last = call("min", call("add", other, call("sub", more, number(1))), number(count - 1))
        element = Read(Access(source[0], (*here[:axis], last, *here[axis + 1 :])), dtype)
        stands = call("bit_and", call("cmp_le", more, length), _before(element, own, odd))
        before = let(call("cond", stands, more, before))
    inside = call("bit_and", at, number(width - 1))
    place = let(call("add", call("add", start, inside), before))
    cell: tuple[Affine | Expr, ...] = (*here[:axis], place, *here[axis + 1 :])
    order: Expr = IndexValue(here[axis], I32) if source[1] is None else read(source[1], here, I32)
    return nest(loops, (), (*lets, Store(target[0], cell, own), Store(target[1], cell, order)))


def _before(a: Expr, b: Expr, earlier: Expr) -> Expr:
    """Whether a stands before b: it is smaller, or equal and earlier; NaN is larger than all and equal to itself."""
    equal = call("cmp_eq", a, b)
    if a.dtype.is_float:
        equal = call("bit_or", equal, call("bit_and", call("cmp_ne", a, a), call("cmp_ne", b, b)))
    before = call("bit_or", smaller(a, b), call("bit_and", equal, earlier))
    assert before.dtype == BOOL
    return before
