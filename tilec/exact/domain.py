"""Floor 3: the domain of a contraction: its conditions, its normal form, its guards.

A condition is a `Constraint`: 0 <= form < bound and form integral. The domain is the conjunction of the conditions of
all accesses, sinks and constraints. `normalise` gives it variables that run from 0 over a box, with integer forms.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from tilec.affine import Affine, Coef, Poly, Size, size_text
from tilec.errors import Span, TileError, error
from tilec.exact.boxes import OPEN, Box, bounding_box, integer, number, span, whole
from tilec.exact.lattice import integral_points
from tilec.expr import reads
from tilec.graph import Constraint, Contraction


@dataclass(frozen=True, slots=True)
class Normal:
    """A normalised domain: `values` gives each old index as an integer form in the new `indices`."""

    indices: tuple[str, ...]
    extents: tuple[int, ...]
    values: Mapping[str, Affine]


@dataclass(frozen=True, slots=True)
class OpenNormal:
    """The same where some extents may be open sizes; `values` are those of the other indices."""

    indices: tuple[str, ...]
    extents: tuple[Size, ...]
    values: Mapping[str, Affine]

    @property
    def box(self) -> Box:
        """An open size is taken for `OPEN`."""
        return {i: (0, extent_in_box(e) - 1) for i, e in zip(self.indices, self.extents, strict=True)}


def conditions(node: Contraction, shapes: Mapping[str, tuple[Size, ...]]) -> list[Constraint]:
    """All conditions of a contraction, each once; with `extents`, its box is one of them.

    Data-dependent indices and accesses other than `skip` give none, unless there is nothing to read.
    """
    found: dict[Constraint, None] = {}
    found.update((Constraint(Affine.var(i), e), None) for i, e in zip(node.indices, node.extents))
    for sink in node.sinks:
        found.update((Constraint(f, b), None) for f, b in zip(sink.indices, sink.shape, strict=True))
    for body in node.body:
        for r in reads(body):
            if r.access.boundary == "skip":
                for form, bound in zip(r.access.indices, shapes[r.access.tensor], strict=True):
                    if isinstance(form, Affine):
                        found[Constraint(form, bound)] = None
            if r.access.boundary != "value" and 0 in shapes[r.access.tensor]:
                found[Constraint(Affine(), 0)] = None
    found.update((c, None) for c in node.constraints)
    return list(found)


def integral_forms(node: Contraction) -> list[Affine]:
    """Forms that are integers at every point without being bounded: indices of accesses other than `skip`."""
    accesses = (r.access for body in node.body for r in reads(body))
    return [i for a in accesses if a.boundary != "skip" for i in a.indices if isinstance(i, Affine)]


def open_extents(given: Iterable[Constraint]) -> dict[str, Poly]:
    """Indices that run over open sizes, and these sizes.

    Such an index stands alone wherever it is an index of an axis, and all its axes have the same size, so it is
    independent of all other indices. Raises TileError TILE0210 where it is not so: then the size must be fixed.
    """
    given = list(given)
    found: dict[str, Poly] = {}
    gone = {c.form.as_variable() for c in given if c.bound == 0}  # of an empty contraction
    for c in given:
        if c.form.as_variable() in gone:
            continue
        if isinstance(c.bound, Poly):
            name = c.form.as_variable()
            if name is None:
                raise must_be_fixed(c.bound, f"the index '{c.form}' of an axis of that size is not one variable alone")
            if found.setdefault(name, c.bound) != c.bound:
                raise must_be_fixed(c.bound, f"'{name}' also indexes an axis of size {size_text(found[name])}")
        elif sizes := sorted(c.form.sizes()):
            raise must_be_fixed(sizes[0], f"it is part of the index '{c.form}'")
    for c in given:
        if not isinstance(c.bound, Poly) and (name := next((n for n, _ in c.form.terms if n in found), None)):
            raise must_be_fixed(found[name], f"'{name}', which runs over it, is also held to 0 <= {c.form} < {c.bound}")
    return found


def must_be_fixed(size: Size | str, why: str, span: Span | None = None) -> TileError:
    """TILE0210, with the reason why a size cannot stay open."""
    text = size if isinstance(size, str) else size_text(size)
    return error("TILE0210", f"the size {text} must be fixed: {why}", span, help=f"give a number for {text}")


def fixed(size: Size, why: str, span: Span | None = None) -> int:
    """A size that is not open; raises TILE0210 with the reason why it cannot be."""
    if not isinstance(size, int):
        raise must_be_fixed(size, why, span)
    return size


def closed(given: Iterable[Constraint]) -> list[Constraint]:
    """Conditions without those that say no more than that an index runs over an open size."""
    return [c for c in given if not isinstance(c.bound, Poly)]


def normalise(
    indices: tuple[str, ...],
    given: Sequence[Constraint],
    taken: Collection[str] = (),
    integral: Sequence[Affine] = (),
) -> Normal | None:
    """Variables from 0 over the tightest box, lexicographic order kept; None where the domain has no point.

    New names are none of `taken`; `integral` are forms that must be integers too. Raises Unbounded; TileError TILE0210
    on open sizes.
    """
    values = _integral(indices, [*(c.form for c in given), *integral])
    if values is None:
        return None
    if values:
        given = [Constraint(c.form.substitute(values), c.bound) for c in given]
    box = bounding_box(indices, given)
    if box is None:
        return None
    return _shifted(indices, values, box, taken)


def normalise_open(
    indices: tuple[str, ...], given: Sequence[Constraint], integral: Sequence[Affine] = ()
) -> OpenNormal | None:
    """As `normalise`; open sizes stay as they are, with the indices that run over them.

    Raises Unbounded; TileError TILE0210, see `open_extents`.
    """
    free = open_extents(given)
    for form in integral:
        if name := next((n for n, c in form.terms if n in free and isinstance(c, Fraction)), None):
            raise must_be_fixed(free[name], f"'{name}', which runs over it, counts only where '{form}' is an integer")
    normal = normalise(tuple(i for i in indices if i not in free), closed(given), free, integral)
    if normal is None:
        return None
    fixed = iter(zip(normal.indices, normal.extents, strict=True))
    pairs = [(i, free[i]) if i in free else next(fixed) for i in indices]
    return OpenNormal(tuple(n for n, _ in pairs), tuple(e for _, e in pairs), normal.values)


def _integral(indices: tuple[str, ...], forms: Sequence[Affine]) -> dict[str, Affine] | None:
    """Old indices in terms of new ones, of the same names, that make all forms integer; None where impossible."""
    fractional = [f for f in forms if _is_fractional(f)]
    if not fractional:
        return {}
    rational = [([number(f.coefficient(i)) for i in indices], number(f.const)) for f in fractional]
    lattice = integral_points(rational, len(indices))
    if lattice is None:
        return None
    rows = zip(*lattice.columns) if indices else ()
    values = {i: Affine.of(zip(indices, row), o) for i, row, o in zip(indices, rows, lattice.origin)}
    return {i: v for i, v in values.items() if v != Affine.var(i)}


def _is_fractional(form: Affine) -> bool:
    return isinstance(form.const, Fraction) or any(isinstance(c, Fraction) for _, c in form.terms)


def _shifted(indices: tuple[str, ...], values: dict[str, Affine], box: Box, taken: Collection[str]) -> Normal:
    """Moves every variable's range to start at 0; a variable that is no longer the user's gets a name of its own."""
    scaled = {name for v in values.values() for name in v.variables()} | values.keys()
    names: dict[str, str] = {}
    for i in indices:
        kept = i not in scaled and box[i][0] == 0
        names[i] = i if kept else fresh(i, {*indices, *names.values(), *taken})
    moves = {i: Affine.var(names[i]) + box[i][0] for i in indices}
    return Normal(
        tuple(names[i] for i in indices),
        tuple(box[i][1] - box[i][0] + 1 for i in indices),
        {i: values.get(i, Affine.var(i)).substitute(moves) for i in indices if i in values or names[i] != i},
    )


def fresh(name: str, taken: Collection[str]) -> str:
    """`name`, numbered so that it differs from all that are taken."""
    found, n = name, 1
    while found in taken:
        found, n = f"{name}_{n}", n + 1
    return found


def box_of(node: Contraction) -> Box:
    """The box of a normalised contraction; an open size is taken for `OPEN`."""
    return {i: (0, extent_in_box(e) - 1) for i, e in zip(node.indices, node.extents, strict=True)}


def extent_in_box(extent: Size) -> int:
    return OPEN if isinstance(extent, Poly) else extent


def guards(given: Iterable[Constraint], box: Mapping[str, tuple[int, int]]) -> tuple[Affine, ...]:
    """Forms that must be >= 0 at a point of the box for integer conditions to hold: those the box does not imply."""
    needed: dict[tuple[tuple[str, Coef], ...], int] = {}
    for c in closed(given):
        low, high = span(c.form, box)
        if low < 0:
            _keep_tightest(needed, c.form)
        if high >= integer(c.bound):
            _keep_tightest(needed, -c.form + (integer(c.bound) - 1))
    return tuple(Affine(terms, const) for terms, const in needed.items())


def _keep_tightest(needed: dict[tuple[tuple[str, Coef], ...], int], form: Affine) -> None:
    const = whole(form.const)
    needed[form.terms] = min(const, needed.get(form.terms, const))
