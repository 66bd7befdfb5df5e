"""The evaluator's points against plain enumeration of a large box."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from itertools import product

import numpy as np
import pytest

from tilec.affine import Affine
from tilec.errors import TileError
from tilec.evaluate.domain import Condition, bounding_box, points
from tilec.evaluate.graph import evaluate
from tilec.graph import Graph
from tilec.passes import bounds
from tilec.text.graph_text import parse_graph
from tilec.type_graph import infer_graph

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


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("0 <= 2*i - 2*j - 1 < 1", 0),
        ("0 <= 1/2*i - 1/2*j < 1, 0 <= 1/2*i - 1/2*j + 1/2 < 1", 0),
        ("0 <= 3*i - 6*j - 1 < 2", 0),
        ("0 <= i - j < 3", "TILE0401"),
        ("0 <= i - 2*j < 3, 0 <= j < 2", 18),
    ],
)
def test_unbounded_or_without_an_integer_point(where: str, expected: int | str) -> None:
    """The evaluator and the pass agree on which it is."""
    text = f"graph f(A: f32[3]) -> (O) {{ O = sum:f32 [i, j, k] {{ [ : ] <- A[k] }} where {where} }}"
    graph = infer_graph(parse_graph(text))
    inputs = {"A": np.ones(3, np.float32)}

    def value(change: Callable[[Graph], Graph]) -> float:
        return float(evaluate(change(graph), inputs)["O"])

    for change in (_same, bounds.run):
        if isinstance(expected, str):
            with pytest.raises(TileError, match=expected):
                value(change)
        else:
            assert value(change) == expected


def _same(graph: Graph) -> Graph:
    return graph
