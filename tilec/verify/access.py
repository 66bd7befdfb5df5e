"""Floor 3: integer reasoning of the Loops verifier: accesses in bounds, parallel iterations disjoint.

A question is first put to interval arithmetic over the box of the enclosing loops, with one enclosing condition at a
time subtracted; what that cannot decide goes to exact integer search (`exact.polyhedron`). Where sizes are symbolic or
the search gives up, the answer is "not refuted", and the access is accepted: the evaluator checks it again at run time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from tilec.affine import Affine
from tilec.exact.polyhedron import Row, Undecided, find_point

Box = Mapping[str, int]  # extent of every enclosing loop: 0 <= index < extent
_MOST_VARIABLES = 12  # of an exact search


@dataclass(frozen=True, slots=True)
class Region:
    """The points at which a statement runs: a box and forms that are >= 0. `exact` is False with symbolic parts."""

    box: Box
    conditions: tuple[Affine, ...] = ()
    exact: bool = True


def least(form: Affine, box: Box) -> int | None:
    """Smallest value over the box; None where a size is symbolic."""
    total = form.const
    if not isinstance(total, int):
        return None
    for name, c in form.terms:
        if not isinstance(c, int) or name not in box:
            return None
        total += min(0, c * (box[name] - 1))
    return total


def refute(form: Affine, region: Region) -> dict[str, int] | None:
    """A point of the region at which `form` is negative, or None if there is none or none was found."""
    low = least(form, region.box)
    if low is None or low >= 0 or not region.exact:
        return None
    if any(_implies(c, form, region.box) for c in region.conditions):
        return None
    return solve([*region.conditions, -form - 1], region.box)


def _implies(condition: Affine, form: Affine, box: Box) -> bool:
    """Whether `condition >= 0` alone proves `form >= 0`: form - q * condition >= 0 over the box for some q > 0."""
    for name, c in condition.terms:
        other = form.coefficient(name)
        if isinstance(c, int) and isinstance(other, int) and other * c > 0 and other % c == 0:
            low = least(form - condition * (other // c), box)
            if low is not None and low >= 0:
                return True
    return False


def solve(forms: Sequence[Affine], box: Box) -> dict[str, int] | None:
    """A point of the box at which all forms are >= 0; None where there is none, or none is found within limits."""
    names = _connected(forms)
    if len(names) > _MOST_VARIABLES:
        return None
    rows = [_row(f, names) for f in forms]
    rows += [row for i, n in enumerate(names) for row in _range(i, len(names), box[n])]
    try:
        point = find_point(rows, len(names))
    except Undecided:
        return None
    return None if point is None else dict(zip(names, point))


def _connected(forms: Iterable[Affine]) -> list[str]:
    return sorted({n for f in forms for n in f.variables()})


def _row(form: Affine, names: Sequence[str]) -> Row:
    values = [*(form.coefficient(n) for n in names), form.const]
    assert all(isinstance(v, int) for v in values)
    return tuple(values)  # type: ignore[arg-type]  # just checked


def _range(position: int, count: int, extent: int) -> tuple[Row, Row]:
    unit = [0] * count
    unit[position] = 1
    return (*unit, 0), (*(-u for u in unit), extent - 1)


@dataclass(frozen=True, slots=True)
class Touch:
    """One access inside a parallel loop. `inner` are the loop indices that are bound inside it."""

    indices: tuple[Affine, ...]
    region: Region
    inner: frozenset[str]
    writes: bool


def collision(index: str, touches: Sequence[Touch]) -> str | None:
    """Two different iterations of the parallel loop `index` that touch one cell, as text, or None.

    All touches are of one buffer; a pair of reads does not count. A quick test looks for an axis along which the
    iterations lie in disjoint ranges; else pairs are searched exactly.
    """
    if not any(t.writes for t in touches) or _separated(index, touches):
        return None
    for i, a in enumerate(touches):
        for b in touches[i:]:
            if (a.writes or b.writes) and (text := _meeting(index, a, b)):
                return text
    return None


def _separated(index: str, touches: Sequence[Touch]) -> bool:
    return any(_separated_along(index, touches, axis) for axis in range(len(touches[0].indices)))


def _separated_along(index: str, touches: Sequence[Touch], axis: int) -> bool:
    """Whether iteration v of the loop stays in c*v + common + [low, high] with high - low < c."""
    common: set[tuple[tuple[str, object], ...]] = set()
    lows: list[int] = []
    highs: list[int] = []
    stride: object = 0
    for t in touches:
        form = t.indices[axis]
        inner = Affine(tuple((n, c) for n, c in form.terms if n in t.inner), form.const)
        low, high = least(inner, t.region.box), least(-inner, t.region.box)
        if low is None or high is None:
            return False
        stride = form.coefficient(index)
        common.add(tuple((n, c) for n, c in form.terms if n not in t.inner))
        lows.append(low)
        highs.append(-high)
    return len(common) == 1 and isinstance(stride, int) and max(highs) - min(lows) < abs(stride)


def _meeting(index: str, a: Touch, b: Touch) -> str | None:
    if not (a.region.exact and b.region.exact):
        return None
    second = {n: f"{n}''" for n in b.inner | {index}}
    forms = [*a.region.conditions, *(c.rename(second) for c in b.region.conditions)]
    for x, y in zip(a.indices, b.indices):
        difference = x - y.rename(second)
        forms += [difference, -difference]
    box = {**a.region.box, **b.region.box, **{second[n]: b.region.box[n] for n in second if n in b.region.box}}
    for sign in (1, -1):
        apart = (Affine.var(second[index]) - Affine.var(index)) * sign - 1
        point = solve([*forms, apart], box)
        if point is not None:
            return f"{index} = {point[index]} and {point[second[index]]}"
    return None
