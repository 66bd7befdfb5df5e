"""Cotangents of reads whose cells depend on data, or are moved by a boundary mode: the transpose is a scatter.

A sink is affine, so the cotangent is summed over the points that read one place, `U[place]`, beside the number of the
cell that this place reads, `F[place]`, or -1 where it reads none; then the whole-tensor operation `scatter` adds U at F
in row-major order of the places, the same on every backend. What is read at a clamped, wrapped or mirrored index gets
its cotangent at the cell that was read; a fill is a constant.

A place is the indices that the read names. Axes at the end that are each read whole, by an index of their own, stay
axes: the rows of an embedding are added row by row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import prod

from tilec.affine import Affine, Coef, Size
from tilec.dtypes import BOOL, I64, DType
from tilec.errors import error
from tilec.exact.boxes import Unbounded
from tilec.exact.domain import conditions, integral_forms, normalise_open
from tilec.expr import Access, Const, Expr, IndexValue, Read, substitute_indices, variables
from tilec.graph import Constraint, Contraction, Sink, Special, TensorType
from tilec.monoid import Monoid, standard
from tilec.passes.differentiate.builder import Builder
from tilec.passes.differentiate.weights import over_points
from tilec.rules import call, cast, constant


def is_plain(access: Access) -> bool:
    """Whether all indices are affine, and outside of the tensor there is no term."""
    return access.boundary == "skip" and all(isinstance(i, Affine) for i in access.indices)


def scatter(b: Builder, node: Contraction, access: Access, term: Expr, monoid: Monoid) -> str:
    """The sum of `term` over the points of `node`, into the cells that the access reads.

    Raises TILE0210 where an open size is in the way, TILE0401 where an index is unbounded.
    """
    target, stem = b.types[access.tensor], f"{access.tensor}_bar"
    given = conditions(node, b.shapes(term, *node.body))
    try:
        normal = normalise_open(node.indices, given, integral_forms(node))
    except Unbounded as e:
        raise error("TILE0401", f"index '{e}' is unbounded", b.span) from None
    if normal is None or 0 in target.shape:
        return b.filled(0, target, stem)
    extents = dict(zip(normal.indices, normal.extents, strict=True))
    moved = substitute_indices(Read(access, target.dtype), normal.values)
    assert isinstance(moved, Read)
    split = _split(moved.access, target.shape, extents)
    tail = tuple(str(i) for i in moved.access.indices[split:])
    used = _used(moved.access, split)
    place = tuple(i for i in normal.indices if i in used)
    points = _substituted(node, given, normal.indices, normal.values)
    sink = Sink(tuple(map(Affine.var, (*place, *tail))), tuple(extents[i] for i in (*place, *tail)))
    updates = over_points(b, points, monoid, substitute_indices(term, normal.values), sink, stem, target.dtype)
    cells = _cells(b, moved.access, target.shape[:split], place, tuple(extents[i] for i in place))
    flat = _reshaped(b, access.tensor, (prod(target.shape[:split]), *target.shape[split:]), stem)
    found = b.bind(Special("scatter", (updates, cells, flat)), stem)
    return _reshaped(b, found, target.shape, stem)


def _split(access: Access, shape: Sequence[Size], extents: Mapping[str, Size]) -> int:
    """How many axes are numbered together; each of the others is read whole by an index of its own."""
    split = len(access.indices)
    own: set[str] = set()
    while split > 1:
        index = access.indices[split - 1]
        name = index.as_variable() if isinstance(index, Affine) else None
        if name is None or extents[name] != shape[split - 1] or name in own | _used(access, split - 1):
            break
        own.add(name)
        split -= 1
    return split


def _used(access: Access, count: int) -> frozenset[str]:
    """Index variables of the first `count` axes."""
    return variables(Read(replace(access, indices=access.indices[:count]), I64))


def _substituted(
    node: Contraction, given: Sequence[Constraint], indices: tuple[str, ...], values: Mapping[str, Affine]
) -> Contraction:
    """The contraction over other indices; what the box of the old ones has said is said by constraints."""
    return replace(
        node,
        indices=indices,
        body=tuple(substitute_indices(body, values) for body in node.body),
        sinks=tuple(replace(s, indices=tuple(i.substitute(values) for i in s.indices)) for s in node.sinks),
        constraints=tuple(Constraint(c.form.substitute(values), c.bound) for c in given),
        extents=(),
    )


def _cells(b: Builder, access: Access, shape: Sequence[Size], place: tuple[str, ...], extents: tuple[Size, ...]) -> str:
    """Per place the row-major number of the cell that is read in the axes of `shape`, -1 where there is none."""
    number: Expr = Const(0, I64)
    inside: Expr = Const(1, BOOL)
    for index, size in zip(access.indices, shape):
        raw: Expr = IndexValue(index, I64) if isinstance(index, Affine) else index
        cell = _moved(raw, size, access.boundary)
        number = call("add", call("mul", number, _number(size)), cell)
        if access.boundary in ("skip", "value"):
            inside = call("bit_and", inside, call("cmp_eq", cast(raw, I64), cell))
    body = call("cond", inside, number, Const(-1, I64))
    sink = Sink(tuple(map(Affine.var, place)), extents)
    none = b.filled(-1, TensorType(I64), "none")
    node = Contraction(place, standard("assign", I64), (body,), (sink,), (), (none,))
    return b.bind(node, f"{access.tensor}_cells", I64)


def _number(size: Coef, dtype: DType = I64) -> Expr:
    """A size as a value, at run time where it is open."""
    if isinstance(size, int):
        return constant(size, dtype)
    return cast(IndexValue(Affine.constant(size), I64), dtype)


def _moved(index: Expr, size: Size, boundary: str) -> Expr:
    """The index, of any integer type, as an i64 in [0, size)."""
    if boundary == "wrap":
        return _modulo(index, _number(size))
    if boundary == "reflect":
        twice = 2 * (size - 1)
        period = Const(max(1, twice), I64) if isinstance(twice, int) else call("max", _number(twice), Const(1, I64))
        back = _modulo(index, period)
        return call("cond", call("cmp_lt", back, _number(size)), back, call("sub", period, back))
    if _is_wide(index.dtype):
        return cast(call("min", index, _number(size - 1, index.dtype)), I64)
    return call("min", call("max", cast(index, I64), Const(0, I64)), _number(size - 1))


def _modulo(index: Expr, size: Expr) -> Expr:
    if _is_wide(index.dtype):
        return cast(call("mod", index, cast(size, index.dtype)), I64)
    return call("mod", cast(index, I64), size)


def _is_wide(dtype: DType) -> bool:
    """Whether an i64 does not hold all values."""
    return dtype.kind == "uint" and dtype.bits == 64


def _reshaped(b: Builder, name: str, shape: tuple[Size, ...], stem: str) -> str:
    if b.types[name].shape == shape:
        return name
    return b.bind(Special("reshape", (name,), (("shape", shape),)), stem)
