"""Floor 3: systems of linear inequalities over the integers: projection, bounds and search, exact in Python ints.

A row `(a[0], .., a[n-1], c)` means a . x + c >= 0. Projection is Fourier-Motzkin elimination (A. Schrijver, Theory of
Linear and Integer Programming, 12.2) with each row divided by the gcd of its coefficients and its constant rounded
down. A step is *exact over the integers* where every pair of a lower and an upper bound has a unit coefficient on the
variable (W. Pugh, The Omega Test, 1991); otherwise the result holds the true projection and perhaps more.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import gcd

Row = tuple[int, ...]

MAX_ROWS = 600  # a projection that grows beyond gives up
MAX_STEPS = 20_000  # a search that takes longer gives up


class Undecided(Exception):
    """The question is too large for the limits above; never an answer."""


@dataclass(frozen=True, slots=True)
class Projection:
    """Rows in which only the kept variables occur; `exact`: their integer points are the projected ones."""

    rows: tuple[Row, ...]
    exact: bool


def tidy(rows: Iterable[Row]) -> tuple[Row, ...] | None:
    """Rows reduced and without repetition, the tightest of parallel ones kept; None where a contradiction shows."""
    tightest: dict[Row, int] = {}
    for row in rows:
        coefficients, constant = row[:-1], row[-1]
        common = gcd(*coefficients)
        if common == 0:
            if constant < 0:
                return None
            continue
        if common > 1:
            coefficients, constant = tuple(c // common for c in coefficients), constant // common
        old = tightest.get(coefficients)
        if old is None or constant < old:
            tightest[coefficients] = constant
    for coefficients, constant in tightest.items():
        opposite = tightest.get(tuple(-c for c in coefficients))
        if opposite is not None and opposite + constant < 0:
            return None
    return tuple((*a, c) for a, c in tightest.items())


def eliminate(rows: tuple[Row, ...], k: int) -> Projection | None:
    """Projects variable k away; None where a contradiction shows. Raises Undecided where the result is too large."""
    lower = [r for r in rows if r[k] > 0]
    upper = [r for r in rows if r[k] < 0]
    if len(lower) * len(upper) > MAX_ROWS * 10:
        raise Undecided
    exact = all(r[k] == 1 for r in lower) or all(r[k] == -1 for r in upper)
    kept = [r for r in rows if not r[k]]
    kept += [tuple(-u[k] * a + low[k] * b for a, b in zip(low, u)) for low in lower for u in upper]
    reduced = tidy(kept)
    if reduced is None:
        return None
    if len(reduced) > MAX_ROWS:
        raise Undecided
    return Projection(reduced, exact)


def project(rows: tuple[Row, ...], away: Iterable[int]) -> Projection | None:
    """Projects variables away, cheapest first; None where a contradiction shows. Raises Undecided."""
    exact, left = True, set(away)
    while left:
        k = min(left, key=lambda v: (_growth(rows, v), v))
        left.remove(k)
        step = eliminate(rows, k)
        if step is None:
            return None
        rows, exact = step.rows, exact and step.exact
    return Projection(rows, exact)


def project_exactly(rows: tuple[Row, ...], away: Iterable[int]) -> tuple[tuple[Row, ...], frozenset[int]]:
    """Projects away as many of the variables as can be exactly; returns the rows and the variables left.

    The rows must be feasible.
    """
    left = set(away)
    progress = True
    while progress:
        progress = False
        for k in sorted(left, key=lambda v: (_growth(rows, v), v)):
            try:
                step = eliminate(rows, k)
            except Undecided:
                continue
            if step is not None and step.exact:
                rows, progress = step.rows, True
                left.remove(k)
                break
    return rows, frozenset(left)


def _growth(rows: tuple[Row, ...], k: int) -> int:
    lower = sum(r[k] > 0 for r in rows)
    upper = sum(r[k] < 0 for r in rows)
    return lower * upper - lower - upper


def interval(rows: Iterable[Row], k: int, point: dict[int, int] | None = None) -> tuple[int | None, int | None]:
    """Bounds of variable k by the rows in which no other variable is free; None for no bound."""
    low: int | None = None
    high: int | None = None
    for row in rows:
        a = row[k]
        if not a:
            continue
        rest = row[-1] + (sum(row[v] * x for v, x in point.items()) if point else 0)
        if a > 0:
            bound = -(rest // a)
            low = bound if low is None else max(low, bound)
        else:
            bound = rest // -a
            high = bound if high is None else min(high, bound)
    return low, high


def bounds(rows: tuple[Row, ...], k: int, n: int) -> tuple[int | None, int | None, bool] | None:
    """Least and largest value of variable k (None: no bound) and whether they are attained for certain.

    None where the system has no solution. Raises Undecided.
    """
    projection = project(rows, (v for v in range(n) if v != k))
    if projection is None:
        return None
    low, high = interval(projection.rows, k)
    if low is not None and high is not None and low > high:
        return None
    return low, high, projection.exact


class Budget:
    """Work left to searches that share it; `spend` raises Undecided when there is none."""

    def __init__(self, steps: int = MAX_STEPS) -> None:
        self._left = steps

    def spend(self, steps: int) -> None:
        self._left -= steps
        if self._left < 0:
            raise Undecided


def find_point(rows: Iterable[Row], n: int, budget: Budget | None = None) -> tuple[int, ...] | None:
    """An integer solution, or None where there is none. Raises Undecided.

    Variables are eliminated one by one; the stages so made bound each variable by those fixed before it, and the search
    goes through these bounds, deepest first. Where all steps are exact it never turns back.
    """
    start = tidy(rows)
    if start is None:
        return None
    budget = budget or Budget()
    stages: list[tuple[int, tuple[Row, ...]]] = []
    left = set(range(n))
    current = start
    while left:
        k = min(left, key=lambda v: (_growth(current, v), v))
        left.remove(k)
        stages.append((k, current))
        budget.spend(len(current) // 4)
        step = eliminate(current, k)
        if step is None:
            return None
        current = step.rows
    point: dict[int, int] = {}
    if not _search(stages, len(stages) - 1, point, budget):
        return None
    return tuple(point[k] for k in range(n))


def _search(stages: list[tuple[int, tuple[Row, ...]]], depth: int, point: dict[int, int], budget: Budget) -> bool:
    if depth < 0:
        return True
    k, rows = stages[depth]
    low, high = interval(rows, k, point) if any(r[k] for r in rows) else (0, 0)  # else any value does
    for value in _values(low, high):
        budget.spend(1)
        point[k] = value
        if _search(stages, depth - 1, point, budget):
            return True
        del point[k]
    return False


def _values(low: int | None, high: int | None) -> Iterator[int]:
    """From the nearest bound on; upwards and downwards from 0 where there is none."""
    if low is not None:
        value = low
        while high is None or value <= high:
            yield value
            value += 1
    elif high is not None:
        while True:
            yield high
            high -= 1
    else:
        yield 0
        distance = 1
        while True:
            yield distance
            yield -distance
            distance += 1
