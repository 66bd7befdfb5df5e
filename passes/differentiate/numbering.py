"""Numbers for the points of a cell, in lexicographic order of their indices.

Where all sizes are known the ranges are exact. Open sizes may stand anywhere: then ranges are found by interval
arithmetic on polynomials in the sizes, and may be too wide, which leaves gaps between the numbers and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import TypeAlias

from tilec.affine import Affine, Coef, Poly
from tilec.errors import Span, TileError, error
from tilec.exact.boxes import Unbounded, span
from tilec.exact.domain import conditions, integral_forms, normalise_open
from tilec.graph import Constraint, Contraction, Let
from tilec.passes.differentiate.builder import Builder

Range: TypeAlias = tuple[Coef, Coef]  # least and greatest value


def numbering(b: Builder, let: Let, node: Contraction) -> tuple[Affine, Coef]:
    """A form that numbers the points of a cell in lexicographic order, from 0 or more, and a number above all of them.

    Indices that the output names are the same for all points of a cell, and do not count.
    Raises TILE0210 where no condition bounds an index in open sizes, TILE0401 where an index is unbounded.
    """
    given = conditions(node, b.shapes(*node.body))
    named = {form.as_variable() for form in node.sinks[0].indices}
    counted = [i for i in node.indices if i not in named]
    try:
        ranges = _exact(node, given, counted)
    except Unbounded as e:
        raise error("TILE0401", f"index '{e}' is unbounded", let.span) from None
    except TileError as problem:
        ranges = _wide(given)
        if not ranges.keys() >= set(counted):
            raise _located(problem, let.span) from None
    if ranges is None:
        return Affine(), 1
    form, stride = Affine(), 1  # type: Affine, Coef
    for index in reversed(counted):
        low, high = ranges[index]
        form = form + (Affine.var(index) - low) * stride
        stride = stride * (high - low + 1)
    return form, stride


def _exact(node: Contraction, given: Sequence[Constraint], counted: Sequence[str]) -> dict[str, Range] | None:
    """None where there is no point."""
    normal = normalise_open(node.indices, given, integral_forms(node))
    if normal is None:
        return None
    found: dict[str, Range] = {}
    extents = dict(zip(normal.indices, normal.extents))
    for index in counted:
        extent = extents.get(index)
        known = span(normal.values.get(index, Affine.var(index)), normal.box)
        found[index] = (0, extent - 1) if isinstance(extent, Poly) else known
    return found


def _wide(given: Sequence[Constraint]) -> dict[str, Range]:
    """Ranges that hold all values: from conditions on one variable, then from sums in which all others have a range."""
    found: dict[str, Range] = {}
    for c in sorted(given, key=lambda c: len(c.form.terms)):
        if (name := c.form.as_variable()) is not None:
            found.setdefault(name, (0, c.bound - 1))
    while True:
        new = {name: r for c in given for name in _open_in(c, found) if (r := _solved(c, name, found)) is not None}
        if not new:
            return found
        found.update(new)


def _open_in(c: Constraint, found: Mapping[str, Range]) -> list[str]:
    """The variable of a condition that has no range yet, where there is one only."""
    names = [n for n, _ in c.form.terms if n not in found]
    return names if len(names) == 1 else []


def _solved(c: Constraint, name: str, found: Mapping[str, Range]) -> Range | None:
    """0 <= a * name + rest < bound, solved for the name where a is 1 or -1 and the other coefficients are integers."""
    a = c.form.coefficient(name)
    rest: Range = (c.form.const, c.form.const)
    for other, k in c.form.terms:
        if other != name:
            if not isinstance(k, int):
                return None
            low, high = found[other] if k > 0 else found[other][::-1]
            rest = (rest[0] + low * k, rest[1] + high * k)
    if a not in (1, -1) or any(isinstance(e, Fraction) or _is_fractional(e) for e in rest):
        return None
    least, most = -rest[1], c.bound - 1 - rest[0]  # of a * name
    return (least, most) if a == 1 else (-most, -least)


def _is_fractional(value: Coef) -> bool:
    return isinstance(value, Poly) and any(isinstance(c, Fraction) for _, c in value.terms)


def _located(problem: TileError, place: Span | None) -> TileError:
    first = problem.diagnostics[0]
    return error(first.code, first.message, place, help=first.help)
