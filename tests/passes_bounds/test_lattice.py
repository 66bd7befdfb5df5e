"""`tilec.exact.lattice` against enumeration."""

from __future__ import annotations

import random
from fractions import Fraction
from itertools import product

from tilec.exact.lattice import integral_points, kernel


def test_integral_points() -> None:
    rng = random.Random(7)
    impossible = 0
    for _ in range(250):
        n = rng.randint(1, 3)
        forms = []
        for _ in range(rng.randint(1, 3)):
            d = rng.choice([1, 2, 3, 4, 6])
            forms.append(([Fraction(rng.randint(-4, 4), d) for _ in range(n)], Fraction(rng.randint(-4, 4), d)))
        lattice = integral_points(forms, n)
        cube = list(product(range(-4, 5), repeat=n))
        want = {x for x in cube if all((sum(a * v for a, v in zip(f, x)) + c).denominator == 1 for f, c in forms)}
        if lattice is None:
            impossible += 1
            assert not want
            continue
        columns = lattice.columns
        assert all(columns[k][i] == 0 for k in range(n) for i in range(k))
        assert all(columns[k][k] > 0 and 0 <= lattice.origin[k] < columns[k][k] for k in range(n))
        assert {x for x in cube if contains(lattice.origin, columns, x)} == want
    assert impossible > 12


def contains(origin: tuple[int, ...], columns: tuple[tuple[int, ...], ...], x: tuple[int, ...]) -> bool:
    rest = [a - b for a, b in zip(x, origin)]
    for k, column in enumerate(columns):
        if rest[k] % column[k]:
            return False
        factor = rest[k] // column[k]
        rest = [r - factor * c for r, c in zip(rest, column)]
    return True


def test_kernel() -> None:
    rng = random.Random(8)
    for _ in range(200):
        n = rng.randint(1, 3)
        rows = [[rng.randint(-3, 3) for _ in range(n)] for _ in range(rng.randint(0, 2))]
        basis = kernel(rows, n)
        reach = range(-20, 21) if len(basis) < 3 else range(-3, 4)
        spanned = {
            tuple(sum(t * b[k] for t, b in zip(ts, basis)) for k in range(n))
            for ts in product(reach, repeat=len(basis))
        }
        for x in product(range(-2, 3), repeat=n):
            inside = all(sum(a * v for a, v in zip(r, x)) == 0 for r in rows)
            assert (x in spanned) == inside
