"""The evaluator's points against plain enumeration of a large box."""

from __future__ import annotations

from fractions import Fraction
from itertools import product

import numpy as np
import pytest

from tilec.affine import Affine
from tilec.errors import TileError
from tilec.evaluate_domain import Condition, bounding_box, points

NAMES = ("i", "j", "k")
REACH = 12


def enumerate_plainly(names: tuple[str, ...], conditions: list[Condition]) -> list[tuple[int, ...]]:
    found = []
    for values in product(range(-REACH, REACH + 1), repeat=len(names)):
        env = dict(zip(names, values))
        if all(_holds(c, env) for c in conditions):
            found.append(values)
    return found


def _holds(condition: Condition, env: dict[str, int]) -> bool:
    value = condition.form.evaluate(env)
    return isinstance(value, int) and condition.bound is not None and 0 <= value < condition.bound


def enumerate_chunks(names: tuple[str, ...], conditions: list[Condition]) -> list[tuple[int, ...]]:
    found: list[tuple[int, ...]] = []
    for chunk in points(names, conditions):
        columns = [chunk.values[n].tolist() for n in names]
        found.extend(zip(*columns) if columns else [()] * chunk.count)
    return found


def random_form(random: np.random.Generator, names: tuple[str, ...]) -> Affine:
    terms = {n: Fraction(int(random.integers(-3, 4)), int(random.integers(1, 4))) for n in names}
    return Affine.of(terms, Fraction(int(random.integers(-4, 5)), int(random.integers(1, 3))))


@pytest.mark.parametrize("seed", range(80))
def test_random_domains(seed: int) -> None:
    random = np.random.default_rng(seed)
    names = NAMES[: 1 + seed % 3]
    box = [Condition(Affine.var(n) + int(random.integers(0, 6)), int(random.integers(3, 8))) for n in names]
    extra = [Condition(random_form(random, names), int(random.integers(1, 9))) for _ in range(2)]
    conditions = [*extra, *box]
    assert enumerate_chunks(names, conditions) == enumerate_plainly(names, conditions)


@pytest.mark.parametrize("seed", range(60))
def test_domains_bounded_by_combinations_only(seed: int) -> None:
    """Unimodular combinations: |i|, |j| stay small, but no single row bounds an index."""
    random = np.random.default_rng(seed)
    a, b = (int(x) for x in random.integers(1, 4, 2))
    i, j = Affine.var("i"), Affine.var("j")
    conditions = [Condition(i * a + j, int(random.integers(1, 5))), Condition(i * (a + 1) + j * b, 4)]
    if a * b == a + 1:  # parallel rows
        return
    assert enumerate_chunks(("i", "j"), conditions) == enumerate_plainly(("i", "j"), conditions)


def test_no_index_at_all() -> None:
    assert enumerate_chunks((), []) == [()]
    assert enumerate_chunks((), [Condition(Affine.constant(5), 3)]) == []
    assert enumerate_chunks((), [Condition(Affine.constant(Fraction(1, 2)), 3)]) == []


def test_contradiction_is_no_point_even_if_unbounded() -> None:
    i, j = Affine.var("i"), Affine.var("j")
    assert bounding_box(("i", "j"), [Condition(i, 0)]) is None
    assert bounding_box(("i", "j"), [Condition(i - j, 3), Condition(j - i - 1, 3)]) is None


def test_unbounded() -> None:
    with pytest.raises(TileError) as caught:
        bounding_box(("i", "j"), [Condition(Affine.var("i") - Affine.var("j"), 3)])
    assert caught.value.code == "TILE0401"
