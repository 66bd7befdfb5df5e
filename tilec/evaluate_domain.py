"""Floor 3: the integer points of a contraction's domain, found the plain way, for the evaluator only.

A condition says that a rational affine form is an integer in [0, bound). All points lie in a box found by rational
interval propagation and, where that leaves an index unbounded, by Fourier-Motzkin elimination (Schrijver, Theory of
Linear and Integer Programming, 12.2). The box is enumerated and filtered with exact integer arithmetic. This is on
purpose independent of `tilec.domain`, which it checks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor, prod
from typing import TypeAlias

import numpy as np

from tilec.affine import Affine, Poly
from tilec.errors import Span, error
from tilec.numpy_semantics import Array

Row: TypeAlias = tuple[tuple[Fraction, ...], Fraction]  # coefficients . indices + constant >= 0
Interval: TypeAlias = tuple[int | None, int | None]

CHUNK = 1 << 18


@dataclass(frozen=True, slots=True)
class Points:
    """`count` integer points: an int64 array of that length per index."""

    count: int
    values: Mapping[str, Array]

    def where(self, keep: Array) -> Points:
        """The points that a bool mask keeps."""
        return Points(int(keep.sum()), {name: v[keep] for name, v in self.values.items()})


@dataclass(frozen=True, slots=True)
class Condition:
    """`form` is an integer in [0, bound); without a bound it only is an integer. All sizes are numbers."""

    form: Affine
    bound: int | None


def rational(value: int | Fraction | Poly) -> Fraction:
    assert not isinstance(value, Poly)
    return Fraction(value)


def points(indices: Sequence[str], conditions: Sequence[Condition], span: Span | None = None) -> Iterator[Points]:
    """Chunks of the points that satisfy all conditions, in lexicographic order of `indices`.

    Raises TILE0401 where an index is unbounded.
    """
    box = bounding_box(indices, conditions, span)
    if box is None:
        return
    shape = [high - low + 1 for low, high in box]
    for start in range(0, prod(shape), CHUNK):
        numbers = np.arange(start, min(start + CHUNK, prod(shape)), dtype=np.int64)
        grid = np.unravel_index(numbers, shape) if shape else ()
        chunk = Points(len(numbers), {name: g + low for name, g, (low, _) in zip(indices, grid, box)})
        for condition in conditions:
            chunk = chunk.where(satisfied(condition, chunk))
        if chunk.count:
            yield chunk


def satisfied(condition: Condition, at: Points) -> Array:
    """Which points satisfy one condition."""
    value, scale = scaled(condition.form, at)
    inside = value % scale == 0
    if condition.bound is not None:
        inside = inside & (value >= 0) & (value < condition.bound * scale)
    return np.asarray(inside, bool)


def scaled(form: Affine, at: Points) -> tuple[Array, int]:
    """(form * denominator) at the points, exact, and the denominator."""
    scale = form.denominator()
    terms = [(at.values[name], int(rational(c) * scale)) for name, c in form.terms]
    constant = int(rational(form.const) * scale)
    largest = abs(constant) + sum(abs(c) * int(np.abs(v).max(initial=0)) for v, c in terms)
    dtype = np.int64 if largest < 1 << 62 else object  # Python integers where int64 might overflow
    total = np.full(at.count, constant, dtype)
    for values, c in terms:
        total = total + values.astype(dtype) * c
    return total, scale


def integers(form: Affine, at: Points) -> Array:
    """Values of a form that is integral at every point."""
    value, scale = scaled(form, at)
    return np.asarray(value // scale, np.int64)


def bounding_box(
    indices: Sequence[str], conditions: Sequence[Condition], span: Span | None = None
) -> list[tuple[int, int]] | None:
    """An inclusive range per index that holds all points; None where there is none."""
    rows = _rows(indices, conditions)
    box = _propagate(rows, [(None, None)] * len(indices))
    if box is not None and any(None in interval for interval in box):
        exact = [_eliminate(rows, axis) for axis in range(len(indices))]
        if any(interval is None for interval in exact):
            return None
        box = _propagate(rows, [interval for interval in exact if interval is not None])
    if box is None:
        return None
    result = []
    for name, (low, high) in zip(indices, box):
        if low is None or high is None:
            raise error("TILE0401", f"index '{name}' is unbounded", span, help="add a constraint, such as 'i < 10'")
        result.append((low, high))
    return result


def _rows(indices: Sequence[str], conditions: Sequence[Condition]) -> list[Row]:
    rows: list[Row] = []
    for c in conditions:
        if c.bound is None:
            continue
        coefficients = tuple(rational(c.form.coefficient(i)) for i in indices)
        constant = rational(c.form.const)
        rows.append((coefficients, constant))
        rows.append((tuple(-x for x in coefficients), c.bound - 1 - constant))
    return rows


_ROUNDS = 50  # a box is sound after any number of rounds


def _propagate(rows: Sequence[Row], box: list[Interval]) -> list[Interval] | None:
    """Tightens each index's interval by each row, given the intervals of the others."""
    for _ in range(_ROUNDS):
        before = list(box)
        for coefficients, constant in rows:
            for axis, c in enumerate(coefficients):
                if c == 0:
                    continue
                rest = _upper(coefficients, constant, box, axis)
                if rest is None:
                    continue
                low, high = box[axis]
                if c > 0:  # axis >= -rest / c
                    edge = ceil(-rest / c)
                    low = edge if low is None else max(low, edge)
                else:
                    edge = floor(rest / -c)
                    high = edge if high is None else min(high, edge)
                if low is not None and high is not None and low > high:
                    return None
                box[axis] = (low, high)
            if not any(coefficients) and constant < 0:
                return None
        if box == before:
            break
    return box


def _upper(coefficients: Sequence[Fraction], constant: Fraction, box: list[Interval], skip: int) -> Fraction | None:
    """Greatest value of the row without its term `skip`, None if unbounded."""
    total = constant
    for axis, c in enumerate(coefficients):
        if axis == skip or c == 0:
            continue
        edge = box[axis][1] if c > 0 else box[axis][0]
        if edge is None:
            return None
        total += c * edge
    return total


def _eliminate(rows: Sequence[Row], keep: int) -> Interval | None:
    """Range of one index after Fourier-Motzkin elimination of all others; None where the rows contradict."""
    current = _distinct(rows)
    for axis in range(len(rows[0][0]) if rows else 0):
        if axis == keep:
            continue
        positive = [r for r in current if r[0][axis] > 0]
        negative = [r for r in current if r[0][axis] < 0]
        neutral = [r for r in current if r[0][axis] == 0]
        current = _distinct([*neutral, *(_combine(p, n, axis) for p in positive for n in negative)])
    low: int | None = None
    high: int | None = None
    for coefficients, constant in current:
        c = coefficients[keep]
        if c > 0:
            low = ceil(-constant / c) if low is None else max(low, ceil(-constant / c))
        elif c < 0:
            high = floor(constant / -c) if high is None else min(high, floor(constant / -c))
        elif constant < 0:
            return None
    return None if low is not None and high is not None and low > high else (low, high)


def _combine(positive: Row, negative: Row, axis: int) -> Row:
    p, n = positive[0][axis], -negative[0][axis]
    coefficients = tuple(n * a + p * b for a, b in zip(positive[0], negative[0]))
    return coefficients, n * positive[1] + p * negative[1]


def _distinct(rows: Sequence[Row]) -> list[Row]:
    """Rows scaled to a leading coefficient of 1 or -1; of parallel ones only the tightest."""
    tightest: dict[tuple[Fraction, ...], Fraction] = {}
    for coefficients, constant in rows:
        scale = abs(next((c for c in coefficients if c), Fraction(1)))
        key = tuple(c / scale for c in coefficients)
        tightest[key] = min(tightest.get(key, constant / scale), constant / scale)
    return list(tightest.items())


def resolve_form(form: Affine, sizes: Mapping[str, int]) -> Affine:
    """The form with named sizes replaced by numbers."""
    return form.resolve(sizes) if form.sizes() else form
