"""Floor 5: axes and shapes as users give them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from math import prod
from operator import index
from sys import float_info
from typing import Any, TypeVar, cast

import numpy as np

from tilec.affine import Poly, Size
from tilec.errors import error
from tilec.rules import shape_text
from tilec.tracing.sizes import OpenSize, quotient

T = TypeVar("T")

MOST_NUMBERS = 1 << 27  # in a table that becomes part of a program: a gigabyte
_MOST = float_info.max


def axis_of(axis: Any, rank: int) -> int:
    """An axis counted from 0; a negative one counts from the last. Raises TILE0212."""
    number = whole(axis, "an axis")
    if not -rank <= number < rank:
        raise error("TILE0212", f"a tensor of rank {rank} has no axis {number}")
    return number % rank


def axes_of(axes: Any, rank: int) -> tuple[int, ...]:
    """Several axes, all for None; raises TILE0212."""
    if axes is None:
        return tuple(range(rank))
    given = tuple(axes) if isinstance(axes, tuple | list) else (axes,)
    found = tuple(axis_of(a, rank) for a in given)
    if len(set(found)) != len(found):
        raise error("TILE0212", f"an axis is named twice: {list(given)}")
    return found


def leaves(x: Sequence[Any]) -> Iterator[Any]:
    """What lists within lists hold."""
    for part in x:
        yield from leaves(part) if isinstance(part, list | tuple) else (part,)


def shape_of(shape: Any) -> tuple[Size, ...]:
    """A shape: one size or a sequence of sizes, open ones as polynomials. Raises TILE0211."""
    sizes = tuple(shape) if isinstance(shape, tuple | list) else (shape,)
    found = tuple(map(_size, sizes))
    if negative := [s for s in found if isinstance(s, int) and s < 0]:
        raise error("TILE0211", f"negative size {negative[0]} in the shape {shape_text(found)}")
    return found


def completed(shape: Any, count: Size) -> tuple[Size, ...]:
    """A shape for `count` elements, in which one size may be -1; raises TILE0209."""
    sizes = [_size(s) for s in (shape if isinstance(shape, tuple | list) else (shape,))]
    known = prod(s for s in sizes if s != -1)
    if sizes.count(-1) == 1 and (rest := quotient(count, known)) is not None:
        sizes[sizes.index(-1)] = cast(Size, rest)
    if -1 in sizes or prod(sizes) != count:
        raise error("TILE0209", f"{count} elements cannot be reshaped to {shape_text(tuple(sizes))}")
    return shape_of(tuple(sizes))


def plus(a: Size, b: Size) -> Size:
    return cast(Size, a + b)


def _size(value: Any) -> Size:
    return value if isinstance(value, Poly) else value.poly if isinstance(value, OpenSize) else whole(value, "a size")


def whole(value: Any, what: str) -> int:
    """A Python integer, which decides the code; raises TILE0210 (and TILE0521 for a traced tensor)."""
    try:
        return index(value)
    except TypeError:
        raise error("TILE0210", f"{what} is an integer, not {value!r}") from None


def count_of(value: Any, what: str) -> int:
    """A Python integer that is not below 0; raises TILE0210, TILE0211 (and TILE0521 for a traced tensor)."""
    found = whole(value, what)
    if found < 0:
        raise error("TILE0211", f"{what} is 0 or more, not {found}")
    return found


def number(value: Any, what: str) -> int | float:
    """A finite number, which decides the code; raises TILE0210 (and TILE0521 for a traced tensor)."""
    try:
        found = value if isinstance(value, int | float | np.floating) else index(value)
    except TypeError:
        raise error("TILE0210", f"{what} is a number, not {value!r}") from None
    if not -_MOST <= found <= _MOST:
        shown = f"an integer of {found.bit_length()} bits" if isinstance(found, int) else repr(value)
        raise error("TILE0210", f"{what} is a finite number, not {shown}")
    return float(found) if isinstance(found, np.floating) else found


def positive(value: Any, what: str) -> float:
    """A finite number above 0, which decides the code; raises TILE0210."""
    found = float(number(value, what))
    if found <= 0:
        raise error("TILE0210", f"{what} is more than 0, not {value!r}")
    return found


def tabled(count: int, what: str) -> int:
    """How many numbers a table has that becomes part of a program; raises TILE0416 of too many."""
    if count > MOST_NUMBERS:
        help = "as many as that are computed in the program, from its arguments"
        raise error("TILE0416", f"{what} takes a table of {count} numbers; the limit is {MOST_NUMBERS}", help=help)
    return count


def each_axis(given: Any, count: int, what: str, checked: Callable[[Any, str], T]) -> list[T]:
    """A checked number for each axis, from one for all or a sequence; raises TILE0204, and what the check raises."""
    values = list(given) if isinstance(given, tuple | list) else [given] * count
    if len(values) != count:
        raise error("TILE0204", f"{what}: {len(values)} numbers for {count} axes")
    return [checked(v, what) for v in values]


def pairs(given: Any, rank: int) -> list[tuple[int, int]]:
    """A pair for each axis: from one number, one pair, or a sequence of pairs, one alone for all; raises TILE0204."""
    if not isinstance(given, Sequence):
        given = (given, given)
    if len(given) == 1 and isinstance(given[0], Sequence):
        given = tuple(given) * rank
    if len(given) == 2 and not isinstance(given[0], Sequence):
        given = (given,) * rank
    if len(given) != rank:
        raise error("TILE0204", f"{len(given)} pairs for a tensor of rank {rank}")
    if any(not isinstance(pair, Sequence) or len(pair) != 2 for pair in given):
        raise error("TILE0204", f"not a pair for each axis: {given!r}")
    return [(whole(a, "a width"), whole(b, "a width")) for a, b in given]
