"""Floor 3: evaluates one contraction as its definition says: enumerate the points, evaluate the body, aggregate.

Aggregation starts at the monoid's identity and takes the points of a cell in lexicographic order of the indices. Float
sums and products use `ufunc.at`, which is sequential in that order; max and min, whose result no order changes, are
halved; every other monoid is stepped, point by point, all cells at once.

An access with a boundary mode other than `skip` restricts the points only to those where its indices are integers:
`clamp` reads the nearest cell, `wrap` counts modulo the size, `reflect` mirrors without repeating the edge cell,
`value` reads `fill`. Of a data-dependent index with `skip`, a value outside means no term; it never wraps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from tilec.affine import Affine, resolve
from tilec.dtypes import BOOL
from tilec.errors import Span, error
from tilec.evaluate.domain import Condition, Points, integers, points, resolve_form
from tilec.evaluate.expr import Mode, constant, evaluate_expr, storage
from tilec.evaluate.order import ranks, rounds
from tilec.expr import Access, Expr, Read, walk
from tilec.graph import Contraction, Sink, TensorType
from tilec.monoid import STANDARD, Monoid, standard
from tilec.numpy_semantics import Array, cast, is_float, maximum, minimum

Tensors: TypeAlias = Mapping[str, Array]
Sizes: TypeAlias = Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Terms:
    """What a chunk of points contributes: per component the flat output cells and the body's values."""

    cells: tuple[Array, ...]
    values: tuple[Array, ...]


@dataclass(frozen=True, slots=True)
class Magnitude:
    """Per output cell the number of terms (int64) and the sum of their absolute values (float64)."""

    count: Array
    total: Array


def evaluate_contraction(
    node: Contraction,
    types: Sequence[TensorType],
    tensors: Tensors,
    sizes: Sizes,
    mode: Mode = "typed",
    span: Span | None = None,
) -> tuple[Array, ...]:
    """Results in `storage` form. Raises TILE0401 (unbounded index) and TILE0402 (two writers of one cell)."""
    shapes = [shape_of(s, sizes) for s in node.sinks]
    states = [
        np.full(int(np.prod(shape, dtype=np.int64)), constant(one, mode))
        for shape, one in zip(shapes, node.monoid.identity)
    ]
    reached = [np.zeros(len(s), bool) for s in states]
    for terms in enumerate_terms(node, tensors, sizes, mode, span):
        aggregate(node.monoid, states, reached, terms, mode, span)
        for seen, cells in zip(reached, terms.cells):
            seen[cells] = True
    results = []
    for state, seen, shape, type_, default in zip(states, reached, shapes, types, node.defaults):
        target = storage(type_.dtype, mode)
        other = np.zeros((), target) if default is None else cast(tensors[default], target)
        value = cast(state, target).reshape(shape)
        results.append(np.where(seen.reshape(shape), value, other).astype(target))
    return tuple(results)


def contraction_magnitude(
    node: Contraction, tensors: Tensors, sizes: Sizes | None = None, span: Span | None = None
) -> tuple[Magnitude, ...]:
    """For error bounds: count and sum of absolute terms of each cell of each component, from float64-mode tensors."""
    sizes = sizes or {}
    shapes = [shape_of(s, sizes) for s in node.sinks]
    counts = [np.zeros(shape, np.int64).reshape(-1) for shape in shapes]
    totals = [np.zeros(shape, np.float64).reshape(-1) for shape in shapes]
    for terms in enumerate_terms(node, tensors, sizes, "float64", span):
        for count, total, cells, values in zip(counts, totals, terms.cells, terms.values):
            np.add.at(count, cells, 1)
            np.add.at(total, cells, np.abs(values.astype(np.float64)))
    return tuple(Magnitude(c.reshape(s), t.reshape(s)) for c, t, s in zip(counts, totals, shapes))


def shape_of(sink: Sink, sizes: Sizes) -> tuple[int, ...]:
    return tuple(int(resolve(s, sizes)) for s in sink.shape)


def enumerate_terms(
    node: Contraction, tensors: Tensors, sizes: Sizes, mode: Mode, span: Span | None = None
) -> Iterator[Terms]:
    """All terms, in chunks, in lexicographic order of the points."""
    shapes = [shape_of(s, sizes) for s in node.sinks]
    for at in term_points(node, tensors, sizes, mode, span):
        cells = tuple(_cells(s, shape, at, sizes) for s, shape in zip(node.sinks, shapes))
        yield Terms(cells, tuple(_values(body, tensors, sizes, mode, at) for body in node.body))


def term_points(
    node: Contraction, tensors: Tensors, sizes: Sizes, mode: Mode, span: Span | None = None
) -> Iterator[Points]:
    """The points that have a term, in chunks, none of them empty."""
    for chunk in points(node.indices, conditions(node, tensors, sizes), span):
        if (at := _inside_data_dependent(node, tensors, sizes, mode, chunk)).count:
            yield at


def conditions(node: Contraction, tensors: Tensors, sizes: Sizes) -> list[Condition]:
    """Everything that makes an assignment of the indices a point."""
    found: dict[Condition, None] = {}

    def add(form: Affine, bound: int | None) -> None:
        found[Condition(resolve_form(form, sizes), bound)] = None

    for access in _accesses(node):
        for form, size in zip(access.indices, tensors[access.tensor].shape, strict=True):
            if isinstance(form, Affine):
                add(form, size if access.boundary == "skip" else None)
            if size == 0 and access.boundary != "value":
                add(Affine(), 0)  # nothing to read anywhere
    for sink in node.sinks:
        for form, size in zip(sink.indices, shape_of(sink, sizes), strict=True):
            add(form, size)
    for constraint in node.constraints:
        add(constraint.form, int(resolve(constraint.bound, sizes)))
    for name, extent in zip(node.indices, node.extents):
        add(Affine.var(name), int(resolve(extent, sizes)))
    return list(found)


def _accesses(node: Contraction) -> list[Access]:
    return [e.access for body in node.body for e in walk(body) if isinstance(e, Read)]


def _inside_data_dependent(node: Contraction, tensors: Tensors, sizes: Sizes, mode: Mode, at: Points) -> Points:
    """Drops the points at which a data-dependent index is outside; inner accesses are checked before outer ones."""
    for access in reversed(_accesses(node)):
        for form, size in zip(access.indices, tensors[access.tensor].shape):
            if not isinstance(form, Affine) and access.boundary == "skip":
                index = np.broadcast_to(_values(form, tensors, sizes, mode, at), (at.count,))
                at = at.where((index >= 0) & (index < size))
    return at


def _values(body: Expr, tensors: Tensors, sizes: Sizes, mode: Mode, at: Points) -> Array:
    """Body at the points: one value per point."""

    def index(form: Affine) -> Array:
        return integers(resolve_form(form, sizes), at)

    def no_variable(name: str) -> Array:
        raise AssertionError(f"free variable {name} in a contraction's body")

    def read(access: Access) -> Array:
        data = tensors[access.tensor]
        position = [
            index(i) if isinstance(i, Affine) else np.broadcast_to(_values(i, tensors, sizes, mode, at), (at.count,))
            for i in access.indices
        ]
        return read_cells(data, position, access, mode)

    return np.broadcast_to(evaluate_expr(body, read, index, no_variable, mode), (at.count,))


def read_cells(data: Array, position: Sequence[Array], access: Access, mode: Mode) -> Array:
    """Elements at integer positions, with the access's boundary mode."""
    if access.boundary == "value":
        return _read_filled(data, position, access, mode)
    inside = [_moved(p, size, access) for p, size in zip(position, data.shape)]
    return np.asarray(data[tuple(inside)])


def _moved(position: Array, size: int, access: Access) -> Array:
    if position.dtype.itemsize < 8:  # a narrow type need not hold the size
        position = position.astype(np.int64)
    match access.boundary:
        case "clamp":
            return np.asarray(np.clip(position, 0, size - 1))
        case "wrap":
            return np.asarray(position % size)
        case "reflect":
            period = max(1, 2 * (size - 1))
            back = position % period
            return np.asarray(np.where(back < size, back, period - back))
        case _:
            return position


def _read_filled(data: Array, position: Sequence[Array], access: Access, mode: Mode) -> Array:
    assert access.fill is not None, "a 'value' boundary has a fill"
    fill = cast(constant(access.fill, mode), data.dtype)
    inside = np.ones(np.broadcast_shapes(*(p.shape for p in position)), bool)
    for p, size in zip(position, data.shape):
        inside &= (p >= 0) & (p < size)
    result = np.full(inside.shape, fill)
    result[inside] = data[tuple(np.broadcast_to(p, inside.shape)[inside] for p in position)]
    return result


def _cells(sink: Sink, shape: tuple[int, ...], at: Points, sizes: Sizes) -> Array:
    """Row-major number of the output cell of each point."""
    cell = np.zeros(at.count, np.int64)
    for form, size in zip(sink.indices, shape):
        cell = cell * size + integers(resolve_form(form, sizes), at)
    return cell


def aggregate(
    monoid: Monoid,
    states: list[Array],
    reached: Sequence[Array],
    terms: Terms,
    mode: Mode,
    span: Span | None = None,
) -> None:
    """Adds a chunk's terms to the states, in order. `reached` tells the cells of earlier chunks."""
    state, cells = states[0], terms.cells[0]
    values = np.asarray(terms.values[0]).astype(state.dtype)
    known = monoid.name if monoid.arity == 1 and _is_standard(monoid) else ""
    if known == "assign":
        if reached[0][cells].any() or len(np.unique(cells)) < len(cells):
            raise error("TILE0402", "several writers of one cell in an assignment", span)
        state[cells] = values
    elif known in ("sum", "prod") and monoid.dtypes[0] != BOOL and state.dtype.kind in "iuf":
        with np.errstate(all="ignore"):
            (np.add if known == "sum" else np.multiply).at(state, cells, values)
    elif known in ("max", "min") and (is_float(state) or state.dtype.kind in "iu"):
        combine = maximum if known == "max" else minimum
        kept, best = _halve(cells, values, combine)
        state[kept] = combine(state[kept], best)
    else:
        _step(monoid, states, terms, mode)


def _is_standard(monoid: Monoid) -> bool:
    return monoid.name in STANDARD and monoid == standard(monoid.name, monoid.dtypes[0])


def _halve(cells: Array, values: Array, combine: Callable[[Array, Array], Array]) -> tuple[Array, Array]:
    """One value per distinct cell, joined pairwise: for functions that are associative to the last bit."""
    order, rank = ranks(cells)
    cells, values = cells[order], values[order]
    while rank.any():
        left = np.flatnonzero(rank % 2 == 0)
        paired = left[(left + 1 < len(rank)) & (rank[np.minimum(left + 1, len(rank) - 1)] % 2 == 1)]
        values = values.copy()
        values[paired] = combine(values[paired], values[paired + 1])
        cells, values, rank = cells[left], values[left], rank[left] // 2
    return cells, values


def _step(monoid: Monoid, states: list[Array], terms: Terms, mode: Mode) -> None:
    """Combines one point of every cell at a time; where components differ in their sinks, one point at a time."""
    together = all(np.array_equal(c, terms.cells[0]) for c in terms.cells)
    cells = terms.cells[0]
    for chosen in rounds(cells) if together else [np.array([i]) for i in range(len(cells))]:
        env = {f"a{k}": s[c[chosen]] for k, (s, c) in enumerate(zip(states, terms.cells))}
        env |= {f"b{k}": v[chosen] for k, v in enumerate(terms.values)}
        new = [evaluate_expr(e, _nothing, _nothing, env.__getitem__, mode) for e in monoid.combine]
        for state, own, value in zip(states, terms.cells, new):
            state[own[chosen]] = value


def _nothing(what: object) -> Array:
    raise AssertionError(f"a combine function refers to variables only, not to {what}")
