"""Floor 3: which cells of its output a contraction writes: several times, or at all. Exact."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from tilec.affine import Affine, Poly, Size
from tilec.exact.boxes import Box, integer, range_rows, row_of, span, whole
from tilec.exact.lattice import kernel
from tilec.exact.polyhedron import Row, Undecided, find_point, project_exactly, tidy


def several_writers(sink: Sequence[Affine], box: Box, needed: Sequence[Affine]) -> bool:
    """Whether two points of the domain (box and guards, integer) have the same sink. Raises Undecided.

    Two such points differ by a vector of the integer kernel of the sink's linear part, so the question is whether an
    x in the domain and a t != 0 exist with x + K t in the domain: first for single basis vectors, then by one search
    for each leading entry of t, at last by enumeration.
    """
    if any(high < low for low, high in box.values()):
        return False
    free = tuple(n for n, (low, high) in box.items() if high > low)
    if {f.as_variable() for f in sink} >= set(free):
        return False
    basis = kernel([[whole(f.coefficient(n)) for n in free] for f in sink], len(free))
    if not basis:
        return False
    here = [*range_rows(free, box), *(row_of(free, _fixed(g, box)) for g in needed)]
    try:
        return _two_points(here, basis, len(free))
    except Undecided:
        return _repeats(sink, box, needed)


def _two_points(here: list[Row], basis: list[tuple[int, ...]], n: int) -> bool:
    """Whether two points of a domain, given by rows, differ by a vector of a lattice that is not 0."""
    if any(_shifted_point(here, step, n) for step in basis):
        return True
    m = len(basis)
    both: list[Row] = [(*r[:n], *(0,) * m, r[n]) for r in here]
    both += [(*r[:n], *(sum(map(int.__mul__, r[:n], k)) for k in basis), r[n]) for r in here]
    return any(find_point([*both, *_leading(n, m, k)], n + m) is not None for k in range(m))


def _shifted_point(here: list[Row], step: tuple[int, ...], n: int) -> bool:
    """Whether x and x + step are in the domain for some x, as far as a search can tell."""
    there = [(*r[:n], r[n] + sum(map(int.__mul__, r[:n], step))) for r in here]
    try:
        return find_point([*here, *there], n) is not None
    except Undecided:
        return False


MAX_POINTS = 1 << 22  # of a box that is enumerated


def _repeats(sink: Sequence[Affine], box: Box, needed: Sequence[Affine]) -> bool:
    """The answer by listing all points of the box. Raises Undecided where they are too many."""
    names = [n for n, (low, high) in box.items() if high > low]
    sizes = [box[n][1] - box[n][0] + 1 for n in names]
    spans = [span(f, box) for f in (*sink, *needed)]
    if prod(sizes) > MAX_POINTS or any(max(-low, high) >= 1 << 62 for low, high in spans):
        raise Undecided
    inside = np.ones(sizes, bool)
    for form in needed:
        inside &= _on_grid(form, names, box) >= 0
    cells = np.stack([_on_grid(f, names, box)[inside] for f in sink] or [np.zeros(int(inside.sum()), np.int64)])
    ordered = cells[:, np.lexsort(cells)]
    return bool((ordered[:, 1:] == ordered[:, :-1]).all(axis=0).any())


def _on_grid(form: Affine, names: list[str], box: Box) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Values of a form at all points of the box; int64 of one axis per name."""
    form = _fixed(form, box)
    total = np.full([box[n][1] - box[n][0] + 1 for n in names], whole(form.const), np.int64)
    for axis, name in enumerate(names):
        low, high = box[name]
        values = np.arange(low, high + 1, dtype=np.int64) * whole(form.coefficient(name))
        total += values.reshape([-1 if k == axis else 1 for k in range(len(names))])
    return total


def _fixed(form: Affine, box: Box) -> Affine:
    return form.substitute({n: low for n, (low, high) in box.items() if low == high})


def _leading(n: int, m: int, k: int) -> Iterable[Row]:
    """t[0] = .. = t[k-1] = 0 and t[k] >= 1; one sign is enough, for the two points may be swapped."""
    for j in range(k):
        unit = (*(0,) * n, *(int(i == j) for i in range(m)))
        yield (*unit, 0)
        yield (*(-u for u in unit), 0)
    yield (*(0,) * n, *(int(i == k) for i in range(m)), -1)


@dataclass(frozen=True, slots=True)
class Reached:
    """How to visit every reached cell: the sink at all points of the loops `indices` that satisfy `needed`.

    `everywhere`: each cell of the output is reached for certain.
    """

    indices: tuple[str, ...]
    needed: tuple[Affine, ...]
    everywhere: bool


def reached(sink: Sequence[Affine], shape: Sequence[Size], box: Box, needed: Sequence[Affine]) -> Reached:
    """Projects the domain (box and guards, not empty) onto the sink's variables, as far as that is exact."""
    names = tuple(box)
    used = {n for f in sink for n in f.variables()}
    if needed:
        involved = {n for g in needed for n in g.variables()}
        keep, conditions_left = _project_onto(names, used, involved, box, needed)
    else:
        keep, conditions_left = used, ()
    everywhere = not conditions_left and _covers(sink, shape, box)
    return Reached(tuple(n for n in names if n in keep), conditions_left, everywhere)


def _project_onto(
    names: tuple[str, ...], used: set[str], involved: set[str], box: Box, needed: Sequence[Affine]
) -> tuple[set[str], tuple[Affine, ...]]:
    variables = tuple(n for n in names if n in involved)
    rows = tidy([*range_rows(variables, box), *(row_of(variables, g) for g in needed)])
    if rows is None:
        return used, (Affine.constant(-1),)
    away = [k for k, n in enumerate(variables) if n not in used]
    rows, left = project_exactly(rows, away)
    forms = (Affine.of(zip(variables, r[:-1]), r[-1]) for r in rows)
    return used | {variables[k] for k in left}, tuple(f for f in forms if span(f, box)[0] < 0)


def _covers(sink: Sequence[Affine], shape: Sequence[Size], box: Box) -> bool:
    """Whether the sink of a whole box fills the output: each axis a variable of its own, or a single cell."""
    seen: set[str] = set()
    for form, size in zip(sink, shape, strict=True):
        if isinstance(size, Poly):
            if form.as_variable() is None or form.variables() & seen:
                return False
        elif form.is_constant:
            if integer(size) != 1:
                return False
        elif not _covers_axis(form, integer(size), box) or form.variables() & seen:
            return False
        seen |= form.variables()
    return True


def _covers_axis(form: Affine, size: int, box: Box) -> bool:
    """Whether a form takes every value of an axis: no coefficient is larger than what the smaller ones cover."""
    low, high = span(form, box)
    if low > 0 or high < size - 1:
        return False
    covered = 1  # length of the interval of values of the terms so far
    for a, name in sorted((abs(whole(c)), n) for n, c in form.terms):
        if a > covered:
            return False
        covered += a * (box[name][1] - box[name][0])
    return True
