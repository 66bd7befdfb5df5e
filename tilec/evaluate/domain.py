"""Floor 3: the integer points of a contraction's domain, found the plain way, for the evaluator only.

A condition says that a rational affine form is an integer in [0, bound). All points lie in a box found by rational
interval propagation and, where that leaves an index unbounded, from the linear combinations of the forms that give the
index. The box is enumerated and filtered with exact integer arithmetic. This is on purpose independent of
`tilec.exact.domain`, which it checks, but for one question: where no box is found, whether the integer points have one.
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
from tilec.exact.boxes import Unbounded
from tilec.exact.boxes import span as value_range
from tilec.exact.domain import normalise
from tilec.graph import Constraint
from tilec.numpy_semantics import Array

Interval: TypeAlias = tuple[Fraction | None, Fraction | None]

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

    Raises TILE0401 where an index is unbounded, TILE0414 where the points cannot be numbered.
    """
    box = bounding_box(indices, conditions, span)
    if box is None:
        return
    shape = [high - low + 1 for low, high in box]
    if prod(shape) >= 1 << 62:
        raise error("TILE0414", f"a box of {prod(shape)} points holds the contraction's domain", span)
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
    rows = [_row(indices, c, c.bound) for c in conditions if c.bound is not None]
    if any(r.high < 0 for r in rows):
        return None
    box = _propagate(rows, [(None, None)] * len(indices))
    if box is not None and any(None in interval for interval in box):
        start = _combine(rows, len(indices))
        box = None if start is None else _propagate(rows, start)
    if box is None:
        return None
    result = []
    for low, high in box:
        if low is None or high is None:
            return _exact_box(indices, conditions, span)
        result.append((ceil(low), floor(high)))
    return result


def _exact_box(
    indices: Sequence[str], conditions: Sequence[Condition], span: Span | None
) -> list[tuple[int, int]] | None:
    """As `bounding_box`, where the conditions bound the indices as integers only, or contradict each other as such."""
    try:
        given = [Constraint(c.form, c.bound) for c in conditions if c.bound is not None]
        normal = normalise(tuple(indices), given)
    except Unbounded as e:
        help = f"use '{e}' alone as an index of some tensor, or add a constraint such as '{e} < 10'"
        raise error("TILE0401", f"index '{e}' is unbounded", span, help=help) from None
    if normal is None:
        return None
    box = {name: (0, extent - 1) for name, extent in zip(normal.indices, normal.extents)}
    return [value_range(normal.values.get(i, Affine.var(i)), box) for i in indices]


@dataclass(frozen=True, slots=True)
class _Row:
    """0 <= coefficients . indices + constant <= high."""

    coefficients: tuple[Fraction, ...]
    constant: Fraction
    high: Fraction


def _row(indices: Sequence[str], condition: Condition, bound: int) -> _Row:
    form = condition.form
    coefficients = tuple(rational(form.coefficient(i)) for i in indices)
    return _Row(coefficients, rational(form.const), Fraction(bound - 1))


_ROUNDS = 50  # a box is sound after any number of rounds


def _propagate(rows: Sequence[_Row], box: Sequence[Interval], whole: bool = True) -> list[Interval] | None:
    """Tightens each variable's interval by each row, given those of the others; None where the rows contradict.

    whole: the variables are integers.
    """
    found = list(box)
    for _ in range(_ROUNDS):
        before = list(found)
        for row in rows:
            if not any(row.coefficients) and not 0 <= row.constant <= row.high:
                return None
            for axis, c in enumerate(row.coefficients):
                if c:
                    found[axis] = interval = _tighten(row, axis, found, whole)
                    if interval[0] is not None and interval[1] is not None and interval[0] > interval[1]:
                        return None
        if found == before:
            break
    return found


def _tighten(row: _Row, axis: int, box: Sequence[Interval], whole: bool) -> Interval:
    """The interval of one variable, cut to what one row allows."""
    c = row.coefficients[axis]
    rest = _range(row, axis, box)
    ends = [None if rest[1] is None else -rest[1] / c, None if rest[0] is None else (row.high - rest[0]) / c]
    low, high = ends if c > 0 else reversed(ends)
    if whole:
        low, high = low if low is None else Fraction(ceil(low)), high if high is None else Fraction(floor(high))
    old_low, old_high = box[axis]
    low = old_low if low is None else low if old_low is None else max(low, old_low)
    high = old_high if high is None else high if old_high is None else min(high, old_high)
    return low, high


def _range(row: _Row, skip: int, box: Sequence[Interval]) -> Interval:
    """Least and greatest value of a row without its term `skip`."""
    low: Fraction | None = row.constant
    high: Fraction | None = row.constant
    for axis, c in enumerate(row.coefficients):
        if axis != skip and c:
            ends = box[axis] if c > 0 else box[axis][::-1]
            low = None if low is None or ends[0] is None else low + c * ends[0]
            high = None if high is None or ends[1] is None else high + c * ends[1]
    return low, high


def _combine(rows: Sequence[_Row], count: int) -> list[Interval] | None:
    """Intervals of the indices that are linear combinations of the rows; None where the rows contradict.

    Every row has a lower and an upper end, so the domain of the rows is bounded in exactly those directions. The
    reduced echelon form gives, per row, a combination y of the rows whose leading index has coefficient 1; if nothing
    else is left in it, y is that index. Contradictions are looked for in terms of the y's, of which all rows consist.
    """
    reduced = _echelon([list(r.coefficients) for r in rows], count)
    values = [_value(rows, weights) for _, _, weights in reduced]
    pivots = [pivot for pivot, _, _ in reduced]
    in_terms = [_Row(tuple(r.coefficients[p] for p in pivots), r.constant, r.high) for r in rows]
    tight = _propagate(in_terms, values, whole=False)
    if tight is None:
        return None
    result: list[Interval] = [(None, None)] * count
    for (pivot, left, _), interval in zip(reduced, tight):
        if sum(x != 0 for x in left) == 1:
            result[pivot] = interval
    return result


def _value(rows: Sequence[_Row], weights: Sequence[Fraction]) -> Interval:
    """Range of a combination of the rows' linear parts."""
    low = sum((min(w * -r.constant, w * (r.high - r.constant)) for r, w in zip(rows, weights)), Fraction(0))
    high = sum((max(w * -r.constant, w * (r.high - r.constant)) for r, w in zip(rows, weights)), Fraction(0))
    return low, high


Reduced: TypeAlias = tuple[int, list[Fraction], list[Fraction]]


def _echelon(matrix: list[list[Fraction]], count: int) -> list[Reduced]:
    """Reduced row echelon form: (pivot column, row, the combination of the matrix' rows that gives it)."""
    work = [(row, [Fraction(i == k) for k in range(len(matrix))]) for i, row in enumerate(matrix)]
    done: list[Reduced] = []
    for column in range(count):
        found = next((w for w in work if w[0][column]), None)
        if found is None:
            continue
        work.remove(found)
        scale = found[0][column]
        pivot = [x / scale for x in found[0]], [x / scale for x in found[1]]
        work = [_minus(w, pivot, column) for w in work]
        done = [(p, *_minus((row, weights), pivot, column)) for p, row, weights in done]
        done.append((column, *pivot))
    return done


Weighted: TypeAlias = tuple[list[Fraction], list[Fraction]]


def _minus(row: Weighted, pivot: Weighted, column: int) -> Weighted:
    """`row` with a multiple of the pivot row subtracted so that `column` vanishes."""
    factor = row[0][column]
    return [a - factor * b for a, b in zip(row[0], pivot[0])], [a - factor * b for a, b in zip(row[1], pivot[1])]


def resolve_form(form: Affine, sizes: Mapping[str, int]) -> Affine:
    """The form with named sizes replaced by numbers."""
    return form.resolve(sizes) if form.sizes() else form
