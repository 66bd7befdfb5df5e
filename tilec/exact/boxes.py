"""Floor 3: the box of an integer domain, and what a box says of an integer form. Exact, in Python ints."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction

from tilec.affine import Affine, Coef, Poly, Size
from tilec.errors import error
from tilec.exact.polyhedron import Budget, Row, Undecided, bounds, find_point, interval, tidy
from tilec.graph import Constraint

Box = dict[str, tuple[int, int]]  # least and largest value
OPEN = 1 << 40  # what an open size is taken for where a larger one only makes an answer more careful


class Unbounded(Exception):
    """Raised with the name of an index that nothing bounds."""


def integer(size: Size) -> int:
    """A size as an int; raises TileError TILE0210 for a symbolic one."""
    if isinstance(size, int):
        return size
    raise error("TILE0210", f"the size {size} is not known at compile time")


def number(value: Coef) -> int | Fraction:
    """A coefficient as a number; raises TileError TILE0210 for a symbolic one."""
    if isinstance(value, Poly):
        raise error("TILE0210", f"the coefficient {value} is not known at compile time")
    return value


def bounding_box(indices: tuple[str, ...], given: Iterable[Constraint]) -> Box | None:
    """Least and largest value of each index over the integer points of integer conditions; None where there is none.

    Exact, unless the system is too large for `exact.polyhedron`: then a box that holds all points. Raises Unbounded.
    """
    ranges: dict[str, list[int | None]] = {i: [None, None] for i in indices}
    joint: list[Constraint] = []
    for c in given:
        if len(c.form.terms) > 1:
            joint.append(c)
        elif not _narrow(ranges, c):
            return None
    hard = [c for c in joint if not _implied_by_ranges(c, ranges)]
    for names, group in _components(hard):
        if not _solve(names, group, ranges):
            return None
    box: Box = {}
    for i, (low, high) in ranges.items():
        if low is None or high is None:
            raise Unbounded(i)
        if low > high:
            return None
        box[i] = (low, high)
    return box


def _narrow(ranges: dict[str, list[int | None]], c: Constraint) -> bool:
    """Uses a condition on at most one variable; False where it cannot hold."""
    bound, const = integer(c.bound), whole(c.form.const)
    if not c.form.terms:
        return 0 <= const < bound
    ((name, coefficient),) = c.form.terms
    a = whole(coefficient)
    first, last = -const, bound - 1 - const  # first <= a * x <= last
    low, high = (-(-first // a), last // a) if a > 0 else (-(last // -a), -first // -a)
    old_low, old_high = ranges[name]
    low = low if old_low is None else max(old_low, low)
    high = high if old_high is None else min(old_high, high)
    ranges[name][:] = [low, high]
    return low <= high


def whole(value: Coef) -> int:
    """A coefficient of a normalised form; raises TileError TILE0210 for a symbolic one."""
    value = number(value)
    assert isinstance(value, int)
    return value


def _implied_by_ranges(c: Constraint, ranges: Mapping[str, Sequence[int | None]]) -> bool:
    low = high = whole(c.form.const)
    for name, coefficient in c.form.terms:
        a = whole(coefficient)
        least, most = ranges[name]
        if least is None or most is None:
            return False
        low += a * (least if a > 0 else most)
        high += a * (most if a > 0 else least)
    return low >= 0 and high < integer(c.bound)


def implied(c: Constraint, box: Mapping[str, tuple[int, int]]) -> bool:
    """Whether every integer point of the box satisfies an integer condition."""
    return _implied_by_ranges(c, box)


def _components(given: Iterable[Constraint]) -> list[tuple[tuple[str, ...], list[Constraint]]]:
    """Conditions grouped so that different groups share no variable; each group's variables in order of occurrence."""
    groups: list[tuple[dict[str, None], list[Constraint]]] = []
    for c in given:
        names: dict[str, None] = dict.fromkeys(n for n, _ in c.form.terms)
        members = [c]
        others = []
        for group in groups:
            if names.keys().isdisjoint(group[0]):
                others.append(group)
            else:
                names = {**group[0], **names}
                members = group[1] + members
        groups = [*others, (names, members)]
    return [(tuple(names), members) for names, members in groups]


def _solve(names: tuple[str, ...], given: list[Constraint], ranges: dict[str, list[int | None]]) -> bool:
    """Narrows the ranges of the variables of one component to the exact ones; False where it has no point."""
    rows = tidy([*range_rows(names, ranges), *_rows(names, given)])
    if rows is None:
        return False
    try:
        exact = True
        for k, name in enumerate(names):
            found = bounds(rows, k, len(names))
            if found is None:
                return False
            ranges[name] = [found[0], found[1]]
            exact = exact and found[2]
    except Undecided:
        return _propagate(names, rows, ranges)
    return exact or None in (x for name in names for x in ranges[name]) or _tighten(names, rows, ranges)


def range_rows(names: tuple[str, ...], ranges: Mapping[str, Sequence[int | None]]) -> Iterable[Row]:
    """The ranges of variables as rows."""
    for k, name in enumerate(names):
        low, high = ranges[name]
        if low is not None:
            yield (*(int(j == k) for j in range(len(names))), -low)
        if high is not None:
            yield (*(-int(j == k) for j in range(len(names))), high)


def _rows(names: tuple[str, ...], given: Iterable[Constraint]) -> Iterable[Row]:
    for c in given:
        row = tuple(whole(c.form.coefficient(n)) for n in names)
        const = whole(c.form.const)
        yield (*row, const)
        yield (*(-a for a in row), integer(c.bound) - 1 - const)


def row_of(names: tuple[str, ...], form: Affine) -> Row:
    """form >= 0 as a row."""
    return (*(whole(form.coefficient(n)) for n in names), whole(form.const))


_TIGHTEN_STEPS = 64


def _tighten(names: tuple[str, ...], rows: tuple[Row, ...], ranges: dict[str, list[int | None]]) -> bool:
    """Moves each end inwards to a value that some integer point takes; False where there is no integer point."""
    n = len(names)
    budget = Budget()
    try:
        if find_point(rows, n, budget) is None:
            return False
        for k, name in enumerate(names):
            for end, inwards in ((0, 1), (1, -1)):
                for _ in range(_TIGHTEN_STEPS):
                    value = ranges[name][end]
                    assert value is not None
                    if _attained(rows, k, n, value, budget):
                        break
                    ranges[name][end] = value + inwards
    except Undecided:
        pass  # the rational box holds all points, and is what can be known at this cost
    return True


def _attained(rows: tuple[Row, ...], k: int, n: int, value: int, budget: Budget) -> bool:
    fixed = [(*r[:k], 0, *r[k + 1 : -1], r[-1] + r[k] * value) for r in rows]
    return find_point(fixed, n, budget) is not None


_ROUNDS = 20


def _propagate(names: tuple[str, ...], rows: tuple[Row, ...], ranges: dict[str, list[int | None]]) -> bool:
    """Interval propagation, for systems too large to project: each row bounds each variable by the others' ranges."""
    for _ in range(_ROUNDS):
        before = [list(ranges[n]) for n in names]
        for row in rows:
            for k, name in enumerate(names):
                if row[k] and not _propagate_row(names, row, k, ranges, name):
                    return False
        if before == [ranges[n] for n in names]:
            break
    return True


def _propagate_row(
    names: tuple[str, ...], row: Row, k: int, ranges: dict[str, list[int | None]], name: str
) -> bool:
    most = row[-1]  # largest value of the other terms
    for j, other in enumerate(names):
        if j != k and row[j]:
            end = ranges[other][1 if row[j] > 0 else 0]
            if end is None:
                return True
            most += row[j] * end
    low, high = interval([(row[k], most)], 0)
    old = ranges[name]
    if low is not None:
        old[0] = low if old[0] is None else max(low, old[0])
    if high is not None:
        old[1] = high if old[1] is None else min(high, old[1])
    return old[0] is None or old[1] is None or old[0] <= old[1]


def span(form: Affine, box: Mapping[str, tuple[int, int]]) -> tuple[int, int]:
    """Least and largest value of an integer form over a box that is not empty."""
    low = high = whole(form.const)
    for name, coefficient in form.terms:
        a = whole(coefficient)
        least, most = box[name]
        low += a * (least if a > 0 else most)
        high += a * (most if a > 0 else least)
    return low, high


def injective(form: Affine, box: Mapping[str, tuple[int, int]]) -> bool:
    """Whether a form tells all points of its variables apart for certain, like the digits of a number."""
    reach = 0  # largest difference that the terms so far make
    for a, name in sorted((abs(whole(c)), n) for n, c in form.terms):
        low, high = box[name]
        if high > low and a <= reach:
            return False
        reach += a * (high - low)
    return True
