"""Floor 3: integer lattices, exact: where rational affine forms are integral, and integer kernels.

The integer points at which forms `(a . x + b) / d` are all integral are `origin + basis . y`, y integer: each form is a
congruence a . x = -b (mod d). They are solved one after another by unimodular column operations, and the basis is put
into column Hermite normal form (A. Schrijver, Theory of Linear and Integer Programming, 4.1; H. Cohen, A Course in
Computational Algebraic Number Theory, 2.4). That form is lower triangular with a positive diagonal, so that the
lexicographic order of y is the lexicographic order of x.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import gcd, lcm

Column = list[int]


@dataclass(frozen=True, slots=True)
class Lattice:
    """`origin + sum(y[k] * columns[k])`; as many columns as coordinates, lower triangular with positive diagonal."""

    origin: tuple[int, ...]
    columns: tuple[tuple[int, ...], ...]


def integral_points(forms: Iterable[tuple[Sequence[int | Fraction], int | Fraction]], n: int) -> Lattice | None:
    """All x in Z^n at which every form (coefficients, constant) is integral, or None where there is none."""
    origin = [0] * n
    columns = _identity(n)
    for coefficients, constant in forms:
        if not _restrict(origin, columns, coefficients, constant):
            return None
    hermite(columns)
    for i, column in enumerate(columns):
        _add(origin, column, -(origin[i] // column[i]))
    return Lattice(tuple(origin), tuple(map(tuple, columns)))


def _restrict(
    origin: Column, columns: list[Column], coefficients: Sequence[int | Fraction], constant: int | Fraction
) -> bool:
    """Narrows origin + columns to the points at which one more form is integral; False where none is left."""
    slopes = [sum(map(_product, coefficients, column), Fraction(0)) for column in columns]
    value = sum(map(_product, coefficients, origin), Fraction(constant))
    d = lcm(value.denominator, *(s.denominator for s in slopes))
    if d == 1:
        return True
    row = [int(s * d) % d for s in slopes]
    pivot = _collect(row, columns, range(len(row)))
    common = gcd(row[pivot] if pivot is not None else 0, d)
    b = int(value * d)
    if b % common:
        return False
    if pivot is not None:
        step = d // common
        start = -(b // common) * pow(row[pivot] // common, -1, step) % step
        _add(origin, columns[pivot], start)
        columns[pivot][:] = [c * step for c in columns[pivot]]
    return True


def hermite(columns: list[Column]) -> None:
    """Column Hermite normal form of a non-singular square matrix, in place; columns[k] is the k-th column."""
    n = len(columns)
    for i in range(n):
        row = [column[i] for column in columns]
        pivot = _collect(row, columns, range(i, n))
        assert pivot is not None, "singular"
        columns[i], columns[pivot] = columns[pivot], columns[i]
        if columns[i][i] < 0:
            columns[i] = [-c for c in columns[i]]
        for j in range(i):
            _add(columns[j], columns[i], -(columns[j][i] // columns[i][i]))


def kernel(rows: Sequence[Sequence[int]], n: int) -> list[tuple[int, ...]]:
    """A basis of the lattice {x in Z^n : row . x = 0 for every row}."""
    columns = _identity(n)
    first = 0
    for coefficients in rows:
        row = [sum(map(int.__mul__, coefficients, column)) for column in columns]
        pivot = _collect(row, columns, range(first, n))
        if pivot is not None:
            columns[first], columns[pivot] = columns[pivot], columns[first]
            first += 1
    return [tuple(column) for column in columns[first:]]


def _collect(row: list[int], columns: list[Column], among: range) -> int | None:
    """Euclid's algorithm on the entries of `row` in `among`, carried out on the columns: all but one become 0.

    Returns the position of the entry left, None where all were 0 from the start.
    """
    while True:
        live = [k for k in among if row[k]]
        if len(live) <= 1:
            return live[0] if live else None
        pivot = min(live, key=lambda k: abs(row[k]))
        for k in live:
            if k != pivot:
                q = row[k] // row[pivot]
                row[k] -= q * row[pivot]
                _add(columns[k], columns[pivot], -q)


def _identity(n: int) -> list[Column]:
    return [[int(i == k) for i in range(n)] for k in range(n)]


def _add(target: Column, column: Sequence[int], factor: int) -> None:
    if factor:
        for i, c in enumerate(column):
            target[i] += factor * c


def _product(a: int | Fraction, b: int) -> Fraction:
    return Fraction(a * b)
