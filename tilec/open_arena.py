"""Floor 3: places in an arena of open sizes, as multiples of these sizes: known before any of them is.

Buffers of 3136*N and 40*N bytes are multiples of one size, N. They share a part of the arena, in which they are placed
by their lifetimes as if N were 1; the parts follow one another. So one plan serves all sizes, and a call has only to
multiply. The price: buffers in different parts never share memory.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import gcd, prod

from tilec.affine import Poly, Size, resolve
from tilec.arena import Life, assign, largest_live_set
from tilec.buffers import root
from tilec.exact.domain import must_be_fixed
from tilec.loops import Program, touched
from tilec.verify.lifetimes import lifetimes

LINE = 64  # bytes: where every buffer begins


@dataclass(frozen=True, slots=True)
class OpenLife:
    """A buffer's size in bytes, which may be open, and the first and last moment at which it is needed."""

    name: str
    size: Size
    first: int
    last: int


def open_lives(program: Program) -> list[OpenLife]:
    """One life per heap buffer that is not a view and that only `steps` touch, in the order of the buffers."""
    moments = lifetimes(program)
    buffers = {b.name: b for b in program.buffers}
    kept = {root(buffers[n], buffers).name for step in program.init for n in touched(step)}
    return [
        OpenLife(b.name, prod(b.shape, start=b.dtype.bytes), *moments[b.name])
        for b in program.buffers
        if b.space == "heap" and b.base is None and b.name in moments and b.name not in kept
    ]


def lives_at(lives: Sequence[OpenLife], sizes: Mapping[str, int]) -> list[Life]:
    """The same, sizes known."""
    return [Life(b.name, int(resolve(b.size, sizes)), b.first, b.last) for b in lives]


def assign_at(lives: Sequence[OpenLife], sizes: Mapping[str, int]) -> tuple[dict[str, int], int]:
    """Places and bytes of the arena of a call from Python, which plans for its sizes alone; raises TILE0414."""
    return assign(lives_at(lives, sizes), LINE, tries=1)  # a call waits for it


@dataclass(frozen=True, slots=True)
class Part:
    """Buffers whose sizes are multiples of `unit`.

    Let U be the value of the unit, rounded up to a multiple of `step`. The part takes `extent` * U bytes, whole cache
    lines; a buffer lies `place` * U bytes behind its start.
    """

    unit: Size
    step: int
    extent: int
    places: tuple[tuple[str, int], ...]


def parts(lives: Sequence[OpenLife]) -> list[Part]:
    """The parts of the arena, in order; raises TileError TILE0210 for a size with a fraction in it, and TILE0414."""
    multiples: dict[Size, list[Life]] = {}
    for life in lives:
        factor, unit = _factored(life.size)
        multiples.setdefault(unit, []).append(Life(life.name, factor, life.first, life.last))
    return [_part(unit, members) for unit, members in multiples.items()]


def _factored(size: Size) -> tuple[int, Size]:
    """A size as a number times a size whose coefficients have no divisor in common."""
    if not isinstance(size, Poly):
        return size, 1
    coefficients = [c for _, c in size.terms]
    if not all(isinstance(c, int) for c in coefficients):
        raise must_be_fixed(size, "it is divided")
    factor = gcd(*(c for c in coefficients if isinstance(c, int)))
    unit = size * Fraction(1, factor)
    assert isinstance(unit, Poly)
    return factor, unit


def _part(unit: Size, members: Sequence[Life]) -> Part:
    alignment = LINE if unit == 1 else _alignment(members)
    places, end = assign(members, alignment)
    return Part(unit, LINE // alignment, -(-end // alignment) * alignment, tuple(places.items()))


def _alignment(members: Sequence[Life]) -> int:
    """The widest alignment of multiples that costs little: the wider, the less a small unit is rounded up."""
    least, _ = largest_live_set(members, 1)
    wide = (a for a in (LINE, 32, 16, 8, 4, 2) if largest_live_set(members, a)[0] <= least + least // 16)
    return next(wide, 1)
