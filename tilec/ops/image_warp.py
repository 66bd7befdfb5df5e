"""Floor 5: tensors and images read at computed places: interpolation between the nearest cells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from math import nan
from typing import Any

import numpy as np

from tilec.affine import Affine, Size
from tilec.dtypes import F32, I32, I64, DType, promote
from tilec.errors import error
from tilec.exact.domain import fixed
from tilec.expr import read
from tilec.graph import Constraint
from tilec.numpy.elementwise import (
    add,
    floor,
    greater,
    greater_equal,
    less,
    multiply,
    negative,
    subtract,
    where,
)
from tilec.numpy.indexing import getitem_of
from tilec.numpy.precision import widened
from tilec.numpy.reductions import sum
from tilec.numpy.shapes import moveaxis, reshape, stack
from tilec.ops.boundary import cell, checked
from tilec.ops.image_resize import image_axes
from tilec.rules import call, cast, shape_text
from tilec.tracing.contraction import contraction, element, variables
from tilec.tracing.dispatch import lift, operation, scope
from tilec.tracing.elementwise import apply, as_dtype, as_float
from tilec.tracing.tensor import Tensor

_ORDERS = {"nearest": 0, "bilinear": 1}


@operation(arrays=("value",))
def map_coordinates(x: Any, coordinates: Any, /, order: int = 1, *, mode: str = "constant", value: Any = 0) -> Any:
    """Elements of x at `coordinates`, [axes of x, *shape of the result]: `scipy.ndimage.map_coordinates`.

    order 0 takes the nearest element, of two the later one; order 1 interpolates linearly, integers as float32. mode:
    what lies beyond the edges: constant (`value`, from the outermost cells' centres on), grid-constant (`value`, with
    interpolation up to it), nearest, reflect, mirror, wrap (a period of size - 1), grid-wrap. Differentiable in x and,
    with order 1, in the coordinates. Where a coordinate is NaN, or infinite in a mode that goes on in periods, the
    result is NaN, and of integers of order 0 the value.

    Raises TILE0202, TILE0208, TILE0210, TILE0511.
    """
    tensor, places = lift(x), as_float(lift(coordinates))
    if not tensor.ndim:
        raise error("TILE0202", "a number has no axes along which there are coordinates")
    if not places.ndim or places.type.shape[0] != tensor.ndim:
        text = f"coordinates of shape {shape_text(places.type.shape)} in a tensor of rank {tensor.ndim}"
        raise error("TILE0208", text, help="their first axis has one element for each axis of the tensor")
    each = [getitem_of(places, [a]) for a in range(tensor.ndim)]
    return _sampled(tensor, 0, each, order, mode, value)


@operation(arrays=("transform", "value"))
def affine_transform(
    images: Any,
    transform: Any,
    /,
    *,
    interpolation: str = "bilinear",
    mode: str = "grid-constant",
    value: Any = 0,
    channels_first: bool = False,
) -> Any:
    """Images in which pixel (x, y), column and row, is that at (k (a x + b y + c), k (d x + e y + f)) of the old ones,
    with k = 1 / (g x + h y + 1): `transform` is [a, b, c, d, e, f, g, h], or the first six for an affine one, or a
    batch of such rows, as in Keras. interpolation: bilinear or nearest; mode: as for `map_coordinates`.

    Raises TILE0202, TILE0203, TILE0208, TILE0210, TILE0511.
    """
    tensor, (rows, _) = lift(images), widened(transform)
    count = rows.type.shape[-1] if rows.ndim else 0
    if rows.ndim not in (1, 2) or count not in (6, 8):
        raise error("TILE0208", f"a transform of shape {shape_text(rows.type.shape)}: it has 6 or 8 numbers")
    terms = [reshape(getitem_of(rows, [..., k]), (-1, 1, 1)) for k in range(count)]
    space = image_axes(tensor, channels_first)
    height, width = (fixed(tensor.type.shape[a], "an image of that size is transformed") for a in space)
    dtype = rows.type.dtype.numpy
    y, x = np.arange(height, dtype=dtype)[:, None], np.arange(width, dtype=dtype)
    places = [_linear(terms[3:6], x, y), _linear(terms[0:3], x, y)]
    if count == 8:
        scale = _linear([*terms[6:8], np.ones((), dtype)], x, y)
        places = [apply("div", p, scale) for p in places]
    return _warped(tensor, places, interpolation, mode, value, channels_first)


def _linear(terms: Sequence[Any], x: Any, y: Any) -> Any:
    return add(add(multiply(terms[0], x), multiply(terms[1], y)), terms[2])


@operation(arrays=("start_points", "end_points", "value"))
def perspective_transform(
    images: Any,
    start_points: Any,
    end_points: Any,
    /,
    *,
    interpolation: str = "bilinear",
    mode: str = "grid-constant",
    value: Any = 0,
    channels_first: bool = False,
) -> Any:
    """Images in which what was at four points (x, y), column and row, is at four others: both are [4, 2], or
    [batch, 4, 2], in the order top left, top right, bottom left, bottom right, as in Keras.

    Raises TILE0202, TILE0203, TILE0208, TILE0210, TILE0511.
    """
    corners = [widened(p)[0] for p in (start_points, end_points)]
    for points in corners:
        if points.ndim not in (2, 3) or points.type.shape[-2:] != (4, 2):
            raise error("TILE0208", f"points of shape {shape_text(points.type.shape)}: four have the shape [4, 2]")
    start, end = (_square_to(p) for p in corners)
    matrix = _product(start, _adjugate(end))
    flat = [apply("div", matrix[i][j], matrix[2][2]) for i in range(3) for j in range(3)][:8]
    return affine_transform(
        images,
        stack(flat, axis=-1),
        interpolation=interpolation,
        mode=mode,
        value=value,
        channels_first=channels_first,
    )


def _square_to(points: Tensor) -> list[list[Any]]:
    """The matrix that takes the corners of the unit square to four points (P. S. Heckbert, Fundamentals of texture
    mapping and image warping, 1989), up to a factor, so that nothing is divided by.
    """
    (x0, y0), (x1, y1), (x2, y2), (x3, y3) = (
        tuple(getitem_of(points, [..., k, c]) for c in (0, 1))
        for k in range(4)  # (0, 0), (1, 0), (0, 1), (1, 1)
    )
    dx1, dx2, sx = x1 - x3, x2 - x3, x0 - x1 - x2 + x3
    dy1, dy2, sy = y1 - y3, y2 - y3, y0 - y1 - y2 + y3
    g, h, w = sx * dy2 - dx2 * sy, dx1 * sy - sx * dy1, dx1 * dy2 - dx2 * dy1
    return [
        [(x1 - x0) * w + g * x1, (x2 - x0) * w + h * x2, x0 * w],
        [(y1 - y0) * w + g * y1, (y2 - y0) * w + h * y2, y0 * w],
        [g, h, w],
    ]


def _adjugate(m: list[list[Any]]) -> list[list[Any]]:
    """The inverse, times the determinant."""

    def minor(i: int, j: int) -> Any:
        (a, b), (c, d) = ([m[r][s] for s in range(3) if s != j] for r in range(3) if r != i)
        return a * d - b * c

    return [[minor(j, i) if (i + j) % 2 == 0 else -minor(j, i) for j in range(3)] for i in range(3)]


def _product(a: list[list[Any]], b: list[list[Any]]) -> list[list[Any]]:
    return [[a[i][0] * b[0][j] + a[i][1] * b[1][j] + a[i][2] * b[2][j] for j in range(3)] for i in range(3)]


def _warped(
    images: Tensor, places: Sequence[Any], interpolation: str, mode: str, value: Any, channels_first: bool
) -> Any:
    """Every channel of an image at the same places, [batch or 1, height, width]."""
    if interpolation not in _ORDERS:
        raise error("TILE0511", f"there is no interpolation {interpolation!r}", help=", ".join(_ORDERS))
    order, single = _ORDERS[interpolation], images.ndim == 3
    batched = reshape(images, (1, *images.type.shape)) if single else images
    count, many = batched.type.shape[0], places[0].type.shape[0]
    if many not in (1, count):
        raise error("TILE0203", f"{many} transforms of {count} images")
    if channels_first:
        found = moveaxis(_sampled(moveaxis(batched, 1, -1), 1, places, order, mode, value), -1, 1)
    else:
        found = _sampled(batched, 1, places, order, mode, value)
    return getitem_of(found, [0]) if single else found


@dataclass(frozen=True, slots=True)
class _Cells:
    """The cells between which one coordinate lies, [1 or 2, *places], and the weights of two; whether the coordinate is
    a number, and whether it counts as inside, if that matters.
    """

    places: Tensor
    weights: Tensor | None
    somewhere: Any
    inside: Any = None


def _sampled(x: Tensor, batch: int, coordinates: Sequence[Any], order: int, mode: str, value: Any) -> Any:
    """x at places: its first `batch` axes are those of the coordinates too, which may be 1 there; the next ones are
    those that the coordinates are for; any others are kept.
    """
    if order not in (0, 1):
        raise error("TILE0511", f"an interpolation of order {order!r}", help="0 (nearest) or 1 (linear)")
    checked(mode)
    dtype = x.type.dtype if order == 0 or x.type.dtype.is_float else F32
    cells = []
    for place, size in zip(coordinates, x.type.shape[batch : batch + len(coordinates)]):
        extent = fixed(size, "an axis of that size is read at computed places")
        cells.append(_cells(as_dtype(place, promote(F32, place.type.dtype)), extent, order, mode))
    weights = cells[0].weights
    found = _interpolated(x, batch, cells, dtype if weights is None else promote(dtype, weights.type.dtype))
    shape = (*found.type.shape[:batch], *cells[0].places.type.shape[1 + batch :], *(1,) * (x.ndim - batch - len(cells)))
    if mode == "constant":
        inside = reduce(lambda a, b: apply("bit_and", a, b), [c.inside for c in cells])
        found = where(_shaped(inside, shape), found, as_dtype(value, found.type.dtype))
    elif mode == "grid-constant" and not (isinstance(value, int | float) and value == 0):
        covered = reduce(multiply, [_covered(c, n) for c, n in zip(cells, x.type.shape[batch:])])
        found = add(found, multiply(_shaped(subtract(1, as_dtype(covered, found.type.dtype)), shape), value))
    if order == 0 or mode == "constant":  # else NaN is a weight
        somewhere = reduce(lambda a, b: apply("bit_and", a, b), [c.somewhere for c in cells])
        nowhere = nan if dtype.is_float else as_dtype(value, dtype)
        found = where(_shaped(somewhere, shape), found, nowhere)
    return as_dtype(found, dtype)


def _shaped(x: Any, shape: Sequence[Size]) -> Any:
    """With axes of size 1 at the end; the first one may be 1 instead of what it is in `shape`."""
    return reshape(x, (*x.type.shape, *(1,) * (len(shape) - x.ndim)))


def _covered(cells: _Cells, size: Size) -> Any:
    """The sum of the weights of cells that there are."""
    there = apply("bit_and", apply("cmp_ge", cells.places, 0), apply("cmp_lt", cells.places, size))
    weights = 1.0 if cells.weights is None else cells.weights
    return sum(where(there, weights, 0.0), axis=0)


def _cells(place: Any, size: int, order: int, mode: str) -> _Cells:
    inside = None
    if mode == "constant":
        inside = apply("bit_and", apply("cmp_ge", place, 0), apply("cmp_le", place, size - 1))
    place = _brought_back(place, size, mode)
    somewhere = apply("cmp_eq", place, place)
    kind = I32 if size < 1 << 30 else I64
    if order == 0:
        near = as_dtype(floor(add(place, 0.5)), kind)
        return _Cells(stack([cell(near, size, mode)]), None, somewhere, inside)
    low = floor(place)
    part, first = subtract(place, low), as_dtype(low, kind)
    places = stack([cell(first, size, mode), cell(add(first, 1), size, mode)])
    return _Cells(places, stack([subtract(1, part), part]), somewhere, inside)


def _brought_back(place: Any, size: int, mode: str) -> Any:
    """A coordinate far outside as one that is inside, or less than a cell outside, as SciPy does it: which of two cells
    is the nearer one is decided there.
    """
    last = max(size - 1, 0)
    match mode:
        case "nearest":
            return apply("min", apply("max", place, 0), last)
        case "mirror" if size > 1:
            around = apply("mod", place, 2 * last)
            there = less(around, where(greater(place, 0), size, last))
            back = where(there, around, subtract(2 * last, around))
        case "reflect" | "grid-mirror":
            around = apply("mod", add(place, 0.5), 2 * size)
            back = subtract(apply("min", around, subtract(2 * size, around)), 0.5)
        case "wrap" if size > 1:  # the last cell is the first one again
            above = apply("mod", place, last)
            below = subtract(last, apply("mod", negative(place), last))
            return where(less(place, 0), below, where(greater(place, last), above, place))
        case "wrap" | "mirror":
            return multiply(place, 0)
        case "grid-wrap":
            back = apply("mod", place, size)
        case _:
            return place
    return where(apply("bit_or", less(place, 0), greater_equal(place, size)), back, place)


def _interpolated(x: Tensor, batch: int, cells: Sequence[_Cells], dtype: DType) -> Tensor:
    """One contraction: sums of cells times weights. A cell outside of x is no term."""
    shape = (*x.type.shape[:batch], *cells[0].places.type.shape[1 + batch :])
    kept = x.type.shape[batch + len(cells) :]
    names, forms = variables(len(shape) + len(kept))
    at = [Affine.constant(0) if n == 1 else f for n, f in zip(cells[0].places.type.shape[1:], forms)]
    taps = [f"k{a}" for a in range(len(cells))]
    spots, factors, inside = [], [], []
    for tap, c in zip(taps, cells):
        index = (Affine.var(tap), *at)
        spots.append(element(c.places, index))
        factors += [] if c.weights is None else [cast(element(c.weights, index), dtype)]
        inside.append(Constraint(Affine.var(tap), 1 if c.weights is None else 2))
    places = (*forms[:batch], *spots, *forms[len(shape) :])
    own = read(scope().name_of(x), places, x.type.dtype)
    body = reduce(lambda a, b: call("mul", a, b), factors, cast(own, dtype))
    return contraction(
        "sum", [*names, *taps], body, forms, (*shape, *kept), dtype=dtype, constraints=inside, stem="sampled"
    )
