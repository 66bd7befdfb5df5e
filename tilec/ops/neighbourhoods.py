"""Floor 5: what filters share: windows around the elements of a tensor that is continued beyond its edges."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tilec.affine import Affine
from tilec.errors import error
from tilec.exact.domain import fixed
from tilec.expr import Expr
from tilec.numpy.axes import axes_of, each_axis, whole
from tilec.numpy.padding import pad
from tilec.ops.boundary import PADDING, checked
from tilec.tracing.contraction import element, variables
from tilec.tracing.tensor import Tensor

Axes = Sequence[int] | int | None


def sliding(x: Tensor, axes: Sequence[int]) -> tuple[list[str], list[Affine], list[Affine], Expr]:
    """All indices of windows along axes, those of a result, those of the taps, and the element that a tap reads."""
    names, forms = variables(x.ndim)
    taps, offsets = variables(len(axes), "k")
    places = [f + offsets[axes.index(a)] if a in axes else f for a, f in enumerate(forms)]
    return [*names, *taps], list(forms), list(offsets), element(x, places)


def padded(x: Tensor, axes: Sequence[int], around: Sequence[tuple[int, int]], mode: str, value: Any) -> Tensor:
    """The tensor with so many elements more on both sides of axes, by a boundary mode; raises TILE0511."""
    widths = [(0, 0)] * x.ndim
    for axis, pair in zip(axes, around):
        widths[axis] = pair
    kept: Tensor = pad(x, widths, PADDING[checked(mode)], constant_values=value)
    return kept


def around(sizes: Sequence[int], origin: Any) -> list[tuple[int, int]]:
    """How far windows reach beyond both edges."""
    low = lows("same", sizes, each_axis(origin, len(sizes), "origin", whole))
    return [(b, n - 1 - b) for b, n in zip(low, sizes)]


def lows(mode: str, sizes: Sequence[int], origins: Sequence[int]) -> list[int]:
    """By how much the first window begins before the axis. Raises TILE0511."""
    match mode:
        case "full":
            return [n - 1 for n in sizes]
        case "valid":
            return [0] * len(sizes)
        case "same":
            found = [n // 2 + o for n, o in zip(sizes, origins)]
            if wrong := [o for b, n, o in zip(found, sizes, origins) if not 0 <= b < n]:
                raise error("TILE0511", f"origin {wrong[0]} puts the middle outside of the window", notes=[f"{sizes}"])
            return found
    raise error("TILE0511", f"there is no mode {mode!r}", help="full, same, valid")


def filtered_axes(x: Tensor, axes: Any) -> list[int]:
    """Axes counted from 0, all for None; raises TILE0212."""
    return list(axes_of(tuple(axes) if isinstance(axes, range) else axes, x.ndim))


def extent_of(x: Tensor, axis: int) -> int:
    """The size of an axis, which is no open one; raises TILE0210."""
    return fixed(x.type.shape[axis], f"axis {axis} is filtered")
