"""Floor 5: weighted sums of a few neighbours along axes: matrices of one band, applied as contractions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from math import gcd

import numpy as np

from tilec.affine import Affine, Size
from tilec.dtypes import F32, DType, promote
from tilec.expr import Expr, IndexValue, read
from tilec.graph import Constraint
from tilec.numpy.shapes import reshape
from tilec.numpy_semantics import Array
from tilec.rules import call, cast
from tilec.tracing.contraction import contraction
from tilec.tracing.dispatch import lift, scope
from tilec.tracing.tensor import Tensor


@dataclass(frozen=True, slots=True)
class Band:
    """Element o along an axis becomes the sum of weights[o, s] * x[first[o] + s]; without weights, x[first[o]].

    Places outside of the axis have the weight 0.
    """

    size: int
    first: Array
    weights: Array | None

    @property
    def out(self) -> int:
        return len(self.first)

    @property
    def width(self) -> int:
        return 1 if self.weights is None else self.weights.shape[1]

    def period(self) -> tuple[int, int]:
        """The least q that divides the number of results, and p, such that first[o + q] = first[o] + p everywhere."""
        common = gcd(self.size, self.out)
        step, period = self.size // max(common, 1), self.out // max(common, 1)
        later, earlier = self.first[period:], self.first[: self.out - period]
        return (step, period) if np.array_equal(later, earlier + step) else (self.size, self.out)

    def dense(self) -> Array:
        """The whole matrix."""
        weights = np.ones((self.out, 1)) if self.weights is None else self.weights
        places = self.first[:, None] + np.arange(self.width)
        inside = (places >= 0) & (places < self.size)
        whole = np.zeros((self.out, self.size))
        np.add.at(whole, (np.nonzero(inside)[0], places[inside]), weights[inside])
        return whole


def along(x: Tensor, bands: Mapping[int, Band]) -> Tensor:
    """Applies bands along axes. Axes go together where that takes no more products than one after the other, else the
    one first that leaves the fewest elements. 16-bit floats are added up, and kept between the steps, in float32.
    """
    dtype = x.type.dtype
    groups = _groups(bands)
    for group in groups:
        x = _applied(x, {a: bands[a] for a in group}, dtype if group is groups[-1] else _wide(dtype))
    return x


def _groups(bands: Mapping[int, Band]) -> list[list[int]]:
    """Axes that share a contraction."""
    order = sorted(bands, key=lambda a: (bands[a].out / max(bands[a].size, 1), a))
    if all(band.weights is None for band in bands.values()):
        return [order] if order else []
    groups: list[list[int]] = []
    for axis in order:
        if groups and _together([bands[a] for a in groups[-1]], bands[axis]):
            groups[-1].append(axis)
        else:
            groups.append([axis])
    return groups


def _together(earlier: list[Band], band: Band) -> bool:
    """Whether both in one contraction take at most as many products for each result as one after the other."""
    before = float(np.prod([b.width for b in earlier]))
    apart = before * band.size / max(band.out, 1) + band.width
    return before * band.width <= apart


def _wide(dtype: DType) -> DType:
    return promote(dtype, F32)


def _applied(x: Tensor, bands: Mapping[int, Band], dtype: DType) -> Tensor:
    """One contraction along all axes of `bands`, into this dtype."""
    axes = [
        _planned(f"i{a}", bands[a]) if a in bands else _Loops(Affine.var(f"i{a}"), (f"i{a}",), (size,))
        for a, size in enumerate(x.type.shape)
    ]
    wide = _wide(dtype)
    value = read(scope().name_of(x), tuple(a.place for a in axes), x.type.dtype)
    factors = [_factor(a, wide) for a in axes if a.weights is not None]
    made = contraction(
        "sum" if factors else "assign",
        [n for a in axes for n in a.results] + [n for a in axes for n in a.inner],
        reduce(lambda a, b: call("mul", a, b), factors, cast(value, wide)) if factors else value,
        [Affine.var(n) for a in axes for n in a.results],
        [n for a in axes for n in a.sizes],
        dtype=dtype,
        constraints=[Constraint(Affine.var(n), a.width) for a in axes for n in a.inner],
        stem="resampled",
    )
    found: Tensor = reshape(made, tuple(bands[a].out if a in bands else n for a, n in enumerate(x.type.shape)))
    return found


@dataclass(frozen=True, slots=True)
class _Loops:
    """How the contraction runs along one axis: the place that is read; index variables and sizes of the result, whose
    axis may be split in two; the variable of the sum, its extent, and the weights by all of them.
    """

    place: Affine | Expr
    results: tuple[str, ...]
    sizes: tuple[Size, ...]
    inner: tuple[str, ...] = ()
    width: int = 1
    weights: Array | None = None


def _factor(axis: _Loops, dtype: DType) -> Expr:
    """The element of the weights."""
    assert axis.weights is not None
    table = lift(axis.weights.astype(dtype.numpy))
    return read(scope().name_of(table), tuple(map(Affine.var, [*axis.results, *axis.inner])), dtype)


def _planned(name: str, band: Band) -> _Loops:
    """Where places repeat, `first[q*t + r] = p*t + first[r]`, and few are read in vain, they are affine, which compiles
    to what a strided convolution does, and so does the derivative; else they are read from a table.
    """
    if not band.out:
        return _by_table(name, band)
    step, period = band.period()
    spread = int(np.ptp(band.first[:period])) + band.width
    in_vain = spread > (1 if band.weights is None else 2 * band.width)
    return _by_table(name, band) if in_vain else _affine(name, band, step, period, spread)


def _affine(name: str, band: Band, step: int, period: int, spread: int) -> _Loops:
    start = int(band.first[:period].min())
    split = period > 1
    results = (name, f"{name}_r") if split else (name,)
    sizes = (band.out // period, period) if split else (band.out,)
    place = Affine.var(name) * step + start
    inner = (f"{name}_s",) if spread > 1 else ()
    place = place + Affine.var(inner[0]) if inner else place
    if band.weights is None:
        return _Loops(place, results, sizes)
    shifted = np.zeros((band.out, spread))
    offsets = band.first - start - step * (np.arange(band.out) // period)
    np.put_along_axis(shifted, offsets[:, None] + np.arange(band.width), band.weights, axis=1)
    weights = shifted.reshape(*sizes, *(spread,) * len(inner))
    return _Loops(place, results, sizes, inner, spread, weights)


def _by_table(name: str, band: Band) -> _Loops:
    width = min(band.width, band.size)
    first = np.clip(band.first, 0, band.size - width)
    table = lift(first.astype(np.int32))
    start = read(scope().name_of(table), (Affine.var(name),), table.type.dtype)
    if band.weights is None:
        return _Loops(start, (name,), (band.out,))
    weights = np.take_along_axis(band.dense(), first[:, None] + np.arange(width), axis=1)
    if width == 1:
        return _Loops(start, (name,), (band.out,), weights=weights[:, 0])
    inner = f"{name}_s"
    place = call("add", start, IndexValue(Affine.var(inner), table.type.dtype))
    return _Loops(place, (name,), (band.out,), (inner,), width, weights)
