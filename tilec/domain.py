"""Floor 3: the domain of a contraction, exact: its points, its box, its guards, its writers, its reached cells.

A condition is a `Constraint`: 0 <= form < bound and form integral. The domain is the conjunction of the conditions of
all accesses, sinks and constraints. `normalise` gives it variables that run from 0 over a box, with integer forms.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from tilec.affine import Affine, Coef, Poly, Size
from tilec.errors import error
from tilec.expr import reads
from tilec.graph import Constraint, Contraction
from tilec.lattice import integral_points, kernel
from tilec.polyhedron import Row, Undecided, bounds, find_point, interval, project_exactly, tidy

Box = dict[str, tuple[int, int]]  # least and largest value


class Unbounded(Exception):
    """Raised with the name of an index that nothing bounds."""


@dataclass(frozen=True, slots=True)
class Normal:
    """A normalised domain: `values` gives each old index as an integer form in the new `indices`."""

    indices: tuple[str, ...]
    extents: tuple[int, ...]
    values: Mapping[str, Affine]


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


def conditions(node: Contraction, shapes: Mapping[str, tuple[Size, ...]]) -> list[Constraint]:
    """All conditions of a contraction, each once; with `extents`, its box is one of them.

    Data-dependent indices and accesses other than `skip` give none.
    """
    found: dict[Constraint, None] = {}
    found.update((Constraint(Affine.var(i), e), None) for i, e in zip(node.indices, node.extents))
    for sink in node.sinks:
        found.update((Constraint(f, b), None) for f, b in zip(sink.indices, sink.shape, strict=True))
    for body in node.body:
        for r in reads(body):
            if r.access.boundary == "skip":
                for form, bound in zip(r.access.indices, shapes[r.access.tensor], strict=True):
                    if isinstance(form, Affine):
                        found[Constraint(form, bound)] = None
    found.update((c, None) for c in node.constraints)
    return list(found)


# --- normalisation ----------------------------------------------------------------------------------------------------


def normalise(indices: tuple[str, ...], given: Sequence[Constraint]) -> Normal | None:
    """Variables from 0 over the tightest box, lexicographic order kept; None where the domain has no point.

    Raises Unbounded; TileError TILE0210 on symbolic sizes.
    """
    values = _integral(indices, given)
    if values is None:
        return None
    if values:
        given = [Constraint(c.form.substitute(values), c.bound) for c in given]
    box = bounding_box(indices, given)
    if box is None:
        return None
    return _shifted(indices, values, box)


def _integral(indices: tuple[str, ...], given: Sequence[Constraint]) -> dict[str, Affine] | None:
    """Old indices in terms of new ones, of the same names, that make all forms integer; None where impossible."""
    fractional = [c.form for c in given if _is_fractional(c.form)]
    if not fractional:
        return {}
    forms = [([number(f.coefficient(i)) for i in indices], number(f.const)) for f in fractional]
    lattice = integral_points(forms, len(indices))
    if lattice is None:
        return None
    rows = zip(*lattice.columns) if indices else ()
    values = {i: Affine.of(zip(indices, row), o) for i, row, o in zip(indices, rows, lattice.origin)}
    return {i: v for i, v in values.items() if v != Affine.var(i)}


def _is_fractional(form: Affine) -> bool:
    return isinstance(form.const, Fraction) or any(isinstance(c, Fraction) for _, c in form.terms)


def _shifted(indices: tuple[str, ...], values: dict[str, Affine], box: Box) -> Normal:
    """Moves every variable's range to start at 0; a variable that is no longer the user's gets a name of its own."""
    scaled = {name for v in values.values() for name in v.variables()} | values.keys()
    names: dict[str, str] = {}
    for i in indices:
        kept = i not in scaled and box[i][0] == 0
        names[i] = i if kept else fresh(i, {*indices, *names.values()})
    moves = {i: Affine.var(names[i]) + box[i][0] for i in indices}
    return Normal(
        tuple(names[i] for i in indices),
        tuple(box[i][1] - box[i][0] + 1 for i in indices),
        {i: values.get(i, Affine.var(i)).substitute(moves) for i in indices if i in values or names[i] != i},
    )


def fresh(name: str, taken: Collection[str]) -> str:
    """`name`, numbered so that it differs from all that are taken."""
    found, n = name, 1
    while found in taken:
        found, n = f"{name}_{n}", n + 1
    return found


# --- boxes ------------------------------------------------------------------------------------------------------------


def bounding_box(indices: tuple[str, ...], given: Iterable[Constraint]) -> Box | None:
    """Least and largest value of each index over the integer points of integer conditions; None where there is none.

    Exact, unless the system is too large for `tilec.polyhedron`: then a box that holds all points. Raises Unbounded.
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
    bound, const = integer(c.bound), _int(c.form.const)
    if not c.form.terms:
        return 0 <= const < bound
    ((name, coefficient),) = c.form.terms
    a = _int(coefficient)
    first, last = -const, bound - 1 - const  # first <= a * x <= last
    low, high = (-(-first // a), last // a) if a > 0 else (-(last // -a), -first // -a)
    old_low, old_high = ranges[name]
    low = low if old_low is None else max(old_low, low)
    high = high if old_high is None else min(old_high, high)
    ranges[name][:] = [low, high]
    return low <= high


def _int(value: Coef) -> int:
    value = number(value)
    assert isinstance(value, int)
    return value


def _implied_by_ranges(c: Constraint, ranges: Mapping[str, Sequence[int | None]]) -> bool:
    low = high = _int(c.form.const)
    for name, coefficient in c.form.terms:
        a = _int(coefficient)
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
    rows = tidy([*_range_rows(names, ranges), *_rows(names, given)])
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


def _range_rows(names: tuple[str, ...], ranges: Mapping[str, Sequence[int | None]]) -> Iterable[Row]:
    for k, name in enumerate(names):
        low, high = ranges[name]
        if low is not None:
            yield (*(int(j == k) for j in range(len(names))), -low)
        if high is not None:
            yield (*(-int(j == k) for j in range(len(names))), high)


def _rows(names: tuple[str, ...], given: Iterable[Constraint]) -> Iterable[Row]:
    for c in given:
        row = tuple(_int(c.form.coefficient(n)) for n in names)
        const = _int(c.form.const)
        yield (*row, const)
        yield (*(-a for a in row), integer(c.bound) - 1 - const)


def _row(names: tuple[str, ...], form: Affine) -> Row:
    return (*(_int(form.coefficient(n)) for n in names), _int(form.const))


_TIGHTEN_STEPS = 64


def _tighten(names: tuple[str, ...], rows: tuple[Row, ...], ranges: dict[str, list[int | None]]) -> bool:
    """Moves each end inwards to a value that some integer point takes; False where there is no integer point."""
    n = len(names)
    try:
        if find_point(rows, n) is None:
            return False
        for k, name in enumerate(names):
            for end, inwards in ((0, 1), (1, -1)):
                for _ in range(_TIGHTEN_STEPS):
                    value = ranges[name][end]
                    assert value is not None
                    if _attained(rows, k, n, value):
                        break
                    ranges[name][end] = value + inwards
    except Undecided:
        pass  # the rational box holds all points, and is what can be known at this cost
    return True


def _attained(rows: tuple[Row, ...], k: int, n: int, value: int) -> bool:
    fixed = [(*r[:k], 0, *r[k + 1 : -1], r[-1] + r[k] * value) for r in rows]
    return find_point(fixed, n, 2_000) is not None


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


# --- questions about a normalised contraction -------------------------------------------------------------------------


def box_of(node: Contraction) -> Box:
    """The box of a normalised contraction."""
    return {i: (0, integer(e) - 1) for i, e in zip(node.indices, node.extents, strict=True)}


def guards(given: Iterable[Constraint], box: Mapping[str, tuple[int, int]]) -> tuple[Affine, ...]:
    """Forms that must be >= 0 at a point of the box for integer conditions to hold: those the box does not imply."""
    needed: dict[tuple[tuple[str, Coef], ...], int] = {}
    for c in given:
        low, high = span(c.form, box)
        if low < 0:
            _keep_tightest(needed, c.form)
        if high >= integer(c.bound):
            _keep_tightest(needed, -c.form + (integer(c.bound) - 1))
    return tuple(Affine(terms, const) for terms, const in needed.items())


def _keep_tightest(needed: dict[tuple[tuple[str, Coef], ...], int], form: Affine) -> None:
    const = _int(form.const)
    needed[form.terms] = min(const, needed.get(form.terms, const))


def span(form: Affine, box: Mapping[str, tuple[int, int]]) -> tuple[int, int]:
    """Least and largest value of an integer form over a box that is not empty."""
    low = high = _int(form.const)
    for name, coefficient in form.terms:
        a = _int(coefficient)
        least, most = box[name]
        low += a * (least if a > 0 else most)
        high += a * (most if a > 0 else least)
    return low, high


def several_writers(sink: Sequence[Affine], box: Box, needed: Sequence[Affine]) -> bool:
    """Whether two points of the domain (box and guards, integer) have the same sink. Raises Undecided.

    Two such points differ by a vector of the integer kernel of the sink's linear part, so the question is whether an
    x in the domain and a t != 0 exist with x + K t in the domain: one small search for each leading entry of t.
    """
    if any(high < low for low, high in box.values()):
        return False
    free = tuple(n for n, (low, high) in box.items() if high > low)
    if {f.as_variable() for f in sink} >= set(free):
        return False
    basis = kernel([[_int(f.coefficient(n)) for n in free] for f in sink], len(free))
    if not basis:
        return False
    here = [*_range_rows(free, box), *(_row(free, _fixed(g, box)) for g in needed)]
    n, m = len(free), len(basis)
    both: list[Row] = [(*r[:n], *(0,) * m, r[n]) for r in here]
    both += [(*r[:n], *(sum(map(int.__mul__, r[:n], k)) for k in basis), r[n]) for r in here]
    return any(find_point([*both, *_leading(n, m, k)], n + m) is not None for k in range(m))


def _fixed(form: Affine, box: Box) -> Affine:
    return form.substitute({n: low for n, (low, high) in box.items() if low == high})


def _leading(n: int, m: int, k: int) -> Iterable[Row]:
    """t[0] = .. = t[k-1] = 0 and t[k] >= 1; one sign is enough, for the two points may be swapped."""
    for j in range(k):
        unit = (*(0,) * n, *(int(i == j) for i in range(m)))
        yield (*unit, 0)
        yield (*(-u for u in unit), 0)
    yield (*(0,) * n, *(int(i == k) for i in range(m)), -1)


def injective(form: Affine, box: Mapping[str, tuple[int, int]]) -> bool:
    """Whether a form tells all points of its variables apart for certain, like the digits of a number."""
    reach = 0  # largest difference that the terms so far make
    for a, name in sorted((abs(_int(c)), n) for n, c in form.terms):
        low, high = box[name]
        if high > low and a <= reach:
            return False
        reach += a * (high - low)
    return True


@dataclass(frozen=True, slots=True)
class Reached:
    """How to visit every reached cell: the sink at all points of the loops `indices` that satisfy `needed`.

    `everywhere`: each cell of the output is reached for certain.
    """

    indices: tuple[str, ...]
    needed: tuple[Affine, ...]
    everywhere: bool


def reached(sink: Sequence[Affine], shape: Sequence[Size], box: Box, needed: Sequence[Affine]) -> Reached:
    """Projects the domain (box and guards, not empty) onto the sink's variables, as far as that is exact."""
    names = tuple(box)
    used = {n for f in sink for n in f.variables()}
    if needed:
        involved = {n for g in needed for n in g.variables()}
        keep, conditions_left = _project_onto(names, used, involved, box, needed)
    else:
        keep, conditions_left = used, ()
    everywhere = not conditions_left and _covers(sink, shape, box)
    return Reached(tuple(n for n in names if n in keep), conditions_left, everywhere)


def _project_onto(
    names: tuple[str, ...], used: set[str], involved: set[str], box: Box, needed: Sequence[Affine]
) -> tuple[set[str], tuple[Affine, ...]]:
    variables = tuple(n for n in names if n in involved)
    rows = tidy([*_range_rows(variables, box), *(_row(variables, g) for g in needed)])
    if rows is None:
        return used, (Affine.constant(-1),)
    away = [k for k, n in enumerate(variables) if n not in used]
    rows, left = project_exactly(rows, away)
    forms = (Affine.of(zip(variables, r[:-1]), r[-1]) for r in rows)
    return used | {variables[k] for k in left}, tuple(f for f in forms if span(f, box)[0] < 0)


def _covers(sink: Sequence[Affine], shape: Sequence[Size], box: Box) -> bool:
    """Whether the sink of a whole box fills the output: each axis a variable of its own, or a single cell."""
    seen: set[str] = set()
    for form, size in zip(sink, shape, strict=True):
        if form.is_constant:
            if integer(size) != 1:
                return False
        elif not _covers_axis(form, integer(size), box) or form.variables() & seen:
            return False
        seen |= form.variables()
    return True


def _covers_axis(form: Affine, size: int, box: Box) -> bool:
    """Whether a form takes every value of an axis: no coefficient is larger than what the smaller ones cover."""
    low, high = span(form, box)
    if low > 0 or high < size - 1:
        return False
    covered = 1  # length of the interval of values of the terms so far
    for a, name in sorted((abs(_int(c)), n) for n, c in form.terms):
        if a > covered:
            return False
        covered += a * (box[name][1] - box[name][0])
    return True
