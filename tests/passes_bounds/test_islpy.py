"""`tilec.exact.polyhedron` and `tilec.exact.domain` against isl, on random systems too large to enumerate."""

from __future__ import annotations

import random

import pytest

from tilec.affine import Affine, Coef
from tilec.exact.boxes import Unbounded, bounding_box
from tilec.exact.polyhedron import Row, find_point, project_exactly, tidy
from tilec.graph import Constraint

isl = pytest.importorskip("islpy", reason="islpy is the oracle of these tests and is not installed")
SYSTEMS = 1_500


def random_rows(rng: random.Random, n: int, box: int | None) -> list[Row]:
    rows: list[Row] = []
    for k in range(n):
        if box is not None:
            unit = tuple(int(j == k) for j in range(n))
            rows += [(*unit, rng.randint(0, box)), (*(-u for u in unit), rng.randint(0, box))]
    for _ in range(rng.randint(1, 4)):
        row = [rng.choice([0, 0, 1, -1, 2, -2, 3, 7, -5]) for _ in range(n)]
        const = rng.randint(-60, 60)
        rows.append((*row, const))
        if rng.random() < 0.5:  # a narrow strip
            rows.append((*(-a for a in row), -const + rng.randint(0, 3)))
    return rows


def integer(value: Coef) -> int:
    assert isinstance(value, int)
    return value


def isl_set(rows: list[Row] | tuple[Row, ...], n: int):  # type: ignore[no-untyped-def]
    names = [f"x{k}" for k in range(n)]
    conditions = [" + ".join([*(f"{a}*{x}" for a, x in zip(r, names)), str(r[-1])]) + " >= 0" for r in rows]
    return isl.Set(f"{{ [{', '.join(names)}] : {' and '.join(conditions or ['true'])} }}")


def test_emptiness_agrees() -> None:
    rng = random.Random(1)
    empty = 0
    for _ in range(SYSTEMS):
        n = rng.randint(1, 4)
        rows = random_rows(rng, n, 50)
        point = find_point(rows, n)
        assert (point is None) == isl_set(rows, n).is_empty(), rows
        empty += point is None
        if point is not None:
            assert all(sum(a * x for a, x in zip(r, (*point, 1))) >= 0 for r in rows)
    assert 0.1 < empty / SYSTEMS < 0.9


def test_boxes_agree() -> None:
    rng = random.Random(2)
    unbounded = 0
    for _ in range(SYSTEMS // 3):
        n = rng.randint(2, 4)
        names = tuple(f"x{k}" for k in range(n))
        given = []
        for _ in range(rng.randint(n, n + 2)):
            form = Affine.of({x: rng.choice([0, 1, 1, -1, 2, 3]) for x in names}, rng.randint(-20, 20))
            given.append(Constraint(form, rng.randint(1, 60)))
        rows: list[Row] = []
        for c in given:
            row = [integer(c.form.coefficient(x)) for x in names]
            const = integer(c.form.const)
            rows += [(*row, const), (*(-a for a in row), integer(c.bound) - 1 - const)]
        want = isl_set(rows, n)
        try:
            box = bounding_box(names, given)
        except Unbounded:
            unbounded += 1
            assert want.is_empty() or not want.is_bounded(), given
            continue
        assert (box is None) == want.is_empty(), given
        for k, x in enumerate(names if box is not None else ()):
            assert box is not None
            exact = (want.dim_min_val(k).to_python(), want.dim_max_val(k).to_python())
            assert box[x] == exact, given
    assert unbounded < SYSTEMS // 6


def test_exact_projections_agree() -> None:
    rng = random.Random(3)
    eliminated = 0
    for _ in range(SYSTEMS):
        n = rng.randint(2, 4)
        rows = tidy(random_rows(rng, n, 20))
        if rows is None or find_point(rows, n) is None:
            continue
        away = range(rng.randint(1, n - 1), n)
        projected, left = project_exactly(rows, away)
        gone = [k for k in away if k not in left]
        eliminated += len(gone)
        want, got = isl_set(rows, n), isl_set(projected, n)
        for k in reversed(gone):
            want = want.project_out(isl.dim_type.set, k, 1)
            got = got.project_out(isl.dim_type.set, k, 1)
        assert want.is_equal(got), (rows, projected)
    assert eliminated > SYSTEMS // 3
