"""Reads whose place is known at run time only, and reads outside of a tensor: indices that are always in range.

skip      a data-dependent index is moved into range, and whether that changed it tells if the point has a term
clamp     the nearest cell            wrap      modulo the size
reflect   mirrored at the edges       value     the nearest cell, and a select between it and the fill

An affine index that is in range over the whole box stays as it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tilec.affine import Affine, Size
from tilec.dtypes import BOOL, I64
from tilec.exact.boxes import span
from tilec.exact.domain import must_be_fixed
from tilec.expr import Access, Const, Expr, IndexValue, reads
from tilec.graph import Contraction
from tilec.rules import call, cast, constant

Index = Affine | Expr


@dataclass(slots=True)
class Located:
    """Indices in range, and what must hold for them to be the ones that were asked for."""

    indices: list[Index] = field(default_factory=list)
    inside: list[Expr] = field(default_factory=list)


def is_plain(access: Access) -> bool:
    """Whether all indices are affine and in range wherever there is a term."""
    return access.boundary == "skip" and all(isinstance(i, Affine) for i in access.indices)


def is_guarded(node: Contraction) -> bool:
    """Whether values of tensors decide which points have a term."""
    accesses = (r.access for b in node.body for r in reads(b))
    return any(a.boundary == "skip" and not is_plain(a) for a in accesses)


def locate(access: Access, shape: Sequence[Size], extents: Mapping[str, Size]) -> Located:
    """The access inside of loops of these extents; no axis has size 0. Raises TileError TILE0210."""
    found = Located()
    for index, size in zip(access.indices, shape, strict=True):
        if isinstance(index, Affine) and (access.boundary == "skip" or _is_inside(index, size, extents)):
            found.indices.append(index)
            continue
        if not isinstance(size, int):
            raise must_be_fixed(size, f"'{access.tensor}' is read outside of an axis of that size, or anywhere in it")
        raw = IndexValue(index, I64) if isinstance(index, Affine) else index
        place = _moved(raw, size, access.boundary)
        found.indices.append(place)
        if access.boundary in ("skip", "value"):
            found.inside.append(call("cmp_eq", wide(raw), place))
    return found


def filled(access: Access, found: Located, element: Expr) -> Expr:
    """The element where it is inside, else the fill of boundary `value`."""
    assert access.fill is not None
    return call("select", every(found.inside), element, cast(access.fill, element.dtype)) if found.inside else element


def every(conditions: Sequence[Expr]) -> Expr:
    """Whether all conditions hold."""
    total: Expr = conditions[0] if conditions else Const(1, BOOL)
    for condition in conditions[1:]:
        total = call("bit_and", total, condition)
    return total


def _is_inside(form: Affine, size: Size, extents: Mapping[str, Size]) -> bool:
    if (name := form.as_variable()) is not None and extents.get(name) == size:
        return True
    box = {n: (0, e - 1) for n, e in extents.items() if isinstance(e, int)}
    if not isinstance(size, int) or not form.variables() <= box.keys():
        return False
    low, high = span(form, box)
    return low >= 0 and high < size


def _moved(index: Expr, size: int, boundary: str) -> Expr:
    """The index, of any integer type, as an i64 in [0, size)."""
    if boundary not in ("wrap", "reflect"):
        return clamped(index, size)
    if boundary == "wrap":
        return _modulo(index, size)
    period = max(1, 2 * (size - 1))
    back = _modulo(index, period)
    return call("select", call("cmp_lt", back, _number(size)), back, call("sub", _number(period), back))


def _modulo(index: Expr, size: int) -> Expr:
    """A u64 is reduced before it becomes an i64, which may not hold it."""
    if index.dtype.kind == "uint" and index.dtype.bits == 64:
        return cast(call("mod", index, constant(size, index.dtype)), I64)
    return call("mod", wide(index), _number(size))


def clamped(index: Expr, rows: Size) -> Expr:
    """The index, of any integer type, as an i64 in [0, rows)."""
    last: Expr = _number(rows - 1) if isinstance(rows, int) else IndexValue(Affine.constant(rows - 1), I64)
    if index.dtype.kind == "uint" and index.dtype.bits == 64:
        return cast(call("min", index, cast(last, index.dtype)), I64)
    low = call("max", wide(index), _number(0)) if index.dtype.kind == "int" else wide(index)
    return call("min", low, last)


def wide(index: Expr) -> Expr:
    """As an i64. A u64 of 2^63 or more becomes negative, so it is equal to no row."""
    return cast(index, I64)


def _number(value: int) -> Const:
    return Const(value, I64)
