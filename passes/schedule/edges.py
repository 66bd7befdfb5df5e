"""Guards on the rows of a contraction: of padded convolutions, of bands and triangles.

The taps of a convolution are few, so they are written out around the tile; where the tiles at the edges are nests of
their own, each guard is a constant then, and terms beyond the edge cost nothing. Where the rows are the taps, as in the
gradient of a convolution by its filter, it is a reduction that runs over an edge: its few first and last terms are
written out instead. With other long reductions in the guards, rows that need none are separated from the others before
they are tiled.
"""

from __future__ import annotations

from collections.abc import Collection
from math import prod

from tilec.passes.schedule.plan import Nest, Plan, step
from tilec.schedule import Directive

MOST_TAPS = 16  # that are written out


def before(nest: Nest, row: str | None, inner: Collection[str]) -> list[Directive]:
    """What is done before the rows are tiled; `inner` are the reductions inside of a tile."""
    if row is None or row not in nest.guarded or _taps(nest, row, inner) is not None or _sliding(nest, row, inner):
        return []
    return [step("interior", row)]


def after(plan: Plan, nest: Nest, row: str | None, inner: Collection[str]) -> bool:
    """Tiles at the edges become nests of their own, in which guards are constants; or the ends of a long sum do."""
    if row is None or row not in nest.guarded:
        return True
    if (sliding := _sliding(nest, row, inner)) is not None:
        plan.separate(sliding)
    taps = _taps(nest, row, inner)
    if taps is None:
        return True
    for loop in (f"{row}.b", f"{row}.0"):
        plan.separate(loop)
    return plan.attempt(*(step("unroll", n) for n in taps))


def _joined(nest: Nest, row: str) -> set[str]:
    """The other loops in guards on the rows."""
    return {n for g in nest.guards if row in g.variables() for n in g.variables()} - {row}


def _taps(nest: Nest, row: str, inner: Collection[str]) -> list[str] | None:
    """The reductions in guards on the rows, where these are all there is, and few; None otherwise."""
    joined = _joined(nest, row)
    if not joined <= set(inner) or prod(nest.extents.get(n, 0) for n in joined) > MOST_TAPS:
        return None
    return [n for n in nest.extents if n in joined]


def _sliding(nest: Nest, row: str, inner: Collection[str]) -> str | None:
    """The long reduction that alone decides the guards on few rows, but for its own ends; None otherwise."""
    joined = _joined(nest, row)
    if len(joined) != 1 or not joined <= set(inner) or nest.extents[row] > MOST_TAPS:
        return None
    (loop,) = joined
    return loop if nest.extents[loop] > MOST_TAPS else None
