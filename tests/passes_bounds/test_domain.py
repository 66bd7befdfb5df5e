"""`tilec.exact.domain` against enumeration, on seeded random domains small enough to list all their points."""

from __future__ import annotations

import random
from collections.abc import Iterator
from fractions import Fraction
from itertools import product
from math import prod

import pytest

from tilec.affine import Affine
from tilec.exact import cells
from tilec.exact.boxes import bounding_box
from tilec.exact.cells import reached, several_writers
from tilec.exact.domain import Normal, guards, normalise
from tilec.exact.polyhedron import Undecided
from tilec.graph import Constraint

RADIUS = 5
NAMES = ("i", "j", "k")
DOMAINS = 800


def random_form(rng: random.Random, names: tuple[str, ...]) -> Affine:
    terms: dict[str, int | Fraction] = {n: rng.choice([0, 0, 1, 1, -1, 2, -2, 3]) for n in names}
    const: int | Fraction = rng.randint(-3, 3)
    if rng.random() < 0.3:
        d = rng.choice([2, 3, 4])
        terms = {n: Fraction(c, d) for n, c in terms.items()}
        const = Fraction(const, rng.choice([1, d]))
    return Affine.of(terms, const)


def random_domain(rng: random.Random) -> tuple[tuple[str, ...], list[Constraint]]:
    """1 to 3 indices, each within [-RADIUS, RADIUS], and up to 3 more conditions."""
    names = NAMES[: rng.randint(1, 3)]
    given = []
    for n in names:
        low = rng.randint(-RADIUS, 1)
        given.append(Constraint(Affine.var(n) - low, rng.randint(1, RADIUS - low + 1)))
    given += [Constraint(random_form(rng, names), rng.randint(1, 8)) for _ in range(rng.randint(0, 3))]
    rng.shuffle(given)
    return names, given


def holds(c: Constraint, point: dict[str, int]) -> bool:
    value = c.form.evaluate(point)
    assert isinstance(c.bound, int)
    return isinstance(value, int) and 0 <= value < c.bound


def points(names: tuple[str, ...], given: list[Constraint]) -> list[tuple[int, ...]]:
    cube = product(range(-RADIUS, RADIUS + 1), repeat=len(names))
    return [p for p in cube if all(holds(c, dict(zip(names, p))) for c in given)]


def substituted(given: list[Constraint], normal: Normal) -> list[Constraint]:
    return [Constraint(c.form.substitute(normal.values), c.bound) for c in given]


def box_points(normal: Normal) -> Iterator[dict[str, int]]:
    for p in product(*map(range, normal.extents)):
        yield dict(zip(normal.indices, p))


def old_point(names: tuple[str, ...], normal: Normal, point: dict[str, int]) -> tuple[int, ...]:
    values = (normal.values.get(n, Affine.var(n)).evaluate(point) for n in names)
    return tuple(v for v in values if isinstance(v, int))


def cases(count: int, seed: int) -> Iterator[tuple[random.Random, tuple[str, ...], list[Constraint]]]:
    rng = random.Random(seed)
    for _ in range(count):
        yield (rng, *random_domain(rng))


def test_normalised_points_are_the_points_in_the_same_order() -> None:
    empty = 0
    for _, names, given in cases(DOMAINS, 1):
        want = points(names, given)
        normal = normalise(names, given)
        if normal is None:
            empty += 1
            assert not want, (names, given)
            continue
        forms = substituted(given, normal)
        assert all(c.form.denominator() == 1 for c in forms)
        got = [old_point(names, normal, p) for p in box_points(normal) if all(holds(c, p) for c in forms)]
        assert got == want, (names, given, normal)
    assert 0 < empty < DOMAINS // 2


def test_box_is_tight() -> None:
    for _, names, given in cases(DOMAINS, 2):
        normal = normalise(names, given)
        if normal is None:
            continue
        forms = substituted(given, normal)
        live = [p for p in box_points(normal) if all(holds(c, p) for c in forms)]
        for n, extent in zip(normal.indices, normal.extents):
            assert {min(p[n] for p in live), max(p[n] for p in live)} == {0, extent - 1}, (names, given, normal)


def test_guards_are_what_the_box_does_not_imply() -> None:
    for _, names, given in cases(DOMAINS // 3, 3):
        normal = normalise(names, given)
        if normal is None:
            continue
        forms = substituted(given, normal)
        box = {n: (0, e - 1) for n, e in zip(normal.indices, normal.extents)}
        needed = guards(forms, box)
        for p in box_points(normal):
            by_guards = all(g.evaluate(p) >= 0 for g in needed)
            assert by_guards == all(holds(c, p) for c in forms)
        for g in needed:
            assert any(g.evaluate(p) < 0 for p in box_points(normal))


def test_unchanged_variables_keep_their_names() -> None:
    normal = normalise(("i", "j"), [Constraint(Affine.var("i"), 4), Constraint(Affine.var("j") - 2, 3)])
    assert normal is not None
    assert normal.indices == ("i", "j_1")
    assert normal.values == {"j": Affine.var("j_1") + 2}


def random_sink(rng: random.Random, normal: Normal) -> tuple[Affine, ...]:
    return tuple(
        Affine.of({n: rng.choice([0, 0, 1, 1, 2, -1, 3]) for n in normal.indices}, rng.randint(0, 1))
        for _ in range(rng.randint(1, 2))
    )


def test_several_writers_is_exact() -> None:
    answers = []
    for rng, names, given in cases(DOMAINS, 4):
        normal = normalise(names, given)
        if normal is None:
            continue
        sink = random_sink(rng, normal)
        box = {n: (0, e - 1) for n, e in zip(normal.indices, normal.extents)}
        forms = substituted(given, normal)
        written = [tuple(f.evaluate(p) for f in sink) for p in box_points(normal) if all(holds(c, p) for c in forms)]
        answers.append(several_writers(sink, box, guards(forms, box)))
        assert answers[-1] == (len(set(written)) < len(written)), (normal, sink, forms)
    assert 0.1 < sum(answers) / len(answers) < 0.9


def test_reached_visits_exactly_the_reached_cells() -> None:
    projected = everywhere = 0
    for rng, names, given in cases(DOMAINS, 5):
        normal = normalise(names, given)
        if normal is None:
            continue
        sink = random_sink(rng, normal)
        box = {n: (0, e - 1) for n, e in zip(normal.indices, normal.extents)}
        forms = substituted(given, normal)
        shape = tuple(max(1, max(int(f.evaluate(p)) for p in box_points(normal)) + rng.randint(-1, 1)) for f in sink)
        needed = guards([*forms, *map(Constraint, sink, shape)], box)
        if any(g.is_constant for g in needed):
            continue
        inside = [p for p in box_points(normal) if all(g.evaluate(p) >= 0 for g in needed)]
        want = {tuple(f.evaluate(p) for f in sink) for p in inside}
        visit = reached(sink, shape, box, needed)
        ranges = [range(box[n][1] + 1) for n in visit.indices]
        loops = [dict(zip(visit.indices, p)) for p in product(*ranges)]
        got = {tuple(f.evaluate(p) for f in sink) for p in loops if all(g.evaluate(p) >= 0 for g in visit.needed)}
        assert got == want, (normal, sink, forms, visit)
        projected += len(visit.indices) < len(normal.indices)
        everywhere += visit.everywhere
        if visit.everywhere:
            assert len(want) == prod(shape)
    assert projected > 50
    assert everywhere > 20


@pytest.mark.parametrize("size", [2**31, 2**63 - 1, 2**80])
def test_huge_sizes(size: int) -> None:
    i, k = Affine.var("i"), Affine.var("k")
    given = [Constraint(i * 2 + k - 1, size), Constraint(k, 3), Constraint(i, size)]
    box = bounding_box(("i", "k"), given)
    assert box == {"i": (0, size // 2), "k": (0, 2)}
    assert not several_writers((i * 3 + k,), {"i": (0, size), "k": (0, 2)}, ())
    assert several_writers((i * 2 + k,), {"i": (0, size), "k": (0, 2)}, ())


def test_bounded_only_jointly() -> None:
    i, j = Affine.var("i"), Affine.var("j")
    assert bounding_box(("i", "j"), [Constraint(i + j, 5), Constraint(i - j, 5)]) == {"i": (0, 4), "j": (-2, 2)}


def test_enumeration_agrees_with_the_search(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last resort of `several_writers`, taken at once."""

    def undecided(*_: object) -> bool:
        raise Undecided

    asked = 0
    for rng, names, given in cases(DOMAINS // 2, 6):
        normal = normalise(names, given)
        if normal is None:
            continue
        sink = random_sink(rng, normal)
        box = {n: (0, e - 1) for n, e in zip(normal.indices, normal.extents)}
        needed = guards(substituted(given, normal), box)
        want = several_writers(sink, box, needed)
        with monkeypatch.context() as patch:
            patch.setattr(cells, "_two_points", undecided)
            assert several_writers(sink, box, needed) == want
        asked += want
    assert asked > 20
