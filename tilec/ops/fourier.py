"""Floor 5: discrete Fourier transforms of any length, on pairs (real part, imaginary part)."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod, sqrt
from typing import Any

import numpy as np

from tilec.affine import Size
from tilec.dtypes import F32, promote
from tilec.errors import error
from tilec.exact.domain import fixed
from tilec.graph import TensorType
from tilec.numpy.axes import axes_of, axis_of, tabled, whole
from tilec.numpy.elementwise import add, multiply, negative, subtract
from tilec.numpy.indexing import getitem_of
from tilec.numpy.padding import pad
from tilec.numpy.shapes import reshape, stack
from tilec.numpy_semantics import Array
from tilec.ops.fourier_steps import Pair, times, transform, turns
from tilec.rules import common_type, shape_text
from tilec.tracing.dispatch import lift, operation
from tilec.tracing.elementwise import as_dtype, as_float
from tilec.tracing.tensor import Tensor

_NORMS = ("backward", "ortho", "forward")


@operation
def fft(x: Any, /, n: int | None = None, axis: int = -1, norm: str = "backward") -> Any:
    """The discrete Fourier transform along an axis, as numpy.fft.fft, of a pair (real part, imaginary part) of tensors
    of one shape; such a pair is the result. The axis is cut, or padded with zeros, to n elements first.

    norm: "backward" divides the inverse by n, "forward" this one, "ortho" both by sqrt(n). 16-bit floats are
    transformed in float32 and rounded once; integers become float32.

    Raises TILE0203, TILE0210, TILE0212, TILE0403 (no elements), TILE0505 (no pair), TILE0511.
    """
    return _transformed(_pair(x), n, axis, norm, -1)


@operation
def ifft(x: Any, /, n: int | None = None, axis: int = -1, norm: str = "backward") -> Any:
    """The inverse of `fft`."""
    return _transformed(_pair(x), n, axis, norm, 1)


@operation
def fft2(x: Any, /, axes: Sequence[int] = (-2, -1), norm: str = "backward") -> Any:
    """`fft` along two axes, or as many as are given."""
    return _several(_pair(x), axes, norm, -1)


@operation
def ifft2(x: Any, /, axes: Sequence[int] = (-2, -1), norm: str = "backward") -> Any:
    """The inverse of `fft2`."""
    return _several(_pair(x), axes, norm, 1)


@operation
def rfft(x: Any, /, n: int | None = None, axis: int = -1, norm: str = "backward") -> Any:
    """The first n // 2 + 1 elements of `fft` of a real tensor, as numpy.fft.rfft; the others are their conjugates."""
    tensor = as_float(lift(x))
    place = axis_of(axis, tensor.ndim)
    (real,), count = _sized([tensor], n, place)
    view = _view(real, place)
    wide = as_dtype(view, promote(real.type.dtype, F32))
    if count % 2:
        parts = transform((wide, None), -1)
        parts = tuple(getitem_of(p, [slice(None), slice(count // 2 + 1)]) for p in parts)
    else:
        parts = _halves_joined(wide, count)
    shape = _with(real, place, count // 2 + 1)
    return _finished(parts, shape, tensor, _factor(norm, count, -1))


@operation
def irfft(x: Any, /, n: int | None = None, axis: int = -1, norm: str = "backward") -> Any:
    """The n real numbers of which `rfft` is the pair x, as numpy.fft.irfft; n is 2 * (elements - 1) by default."""
    first, second = _pair(x)
    place = axis_of(axis, first.ndim)
    count = 2 * (_fixed(first, place) - 1) if n is None else whole(n, "a length")
    if count < 1:
        raise error("TILE0403", f"a transform of {count} elements")
    (real, imaginary), half = _sized([first, second], count // 2 + 1, place)
    wide = promote(real.type.dtype, F32)
    real, imaginary = as_dtype(_view(real, place), wide), as_dtype(_view(imaginary, place), wide)
    kept = np.ones((half, 1), wide.numpy)  # the others are conjugates of one another; these are real
    kept[0], kept[-1] = 0, count % 2 if count > 1 else 0
    imaginary = multiply(imaginary, kept)
    found = _real_odd((real, imaginary), count) if count % 2 else _real_even((real, imaginary), count)
    return _finished([found], _with(first, place, count), first, _factor(norm, count, 1))[0]


def _pair(x: Any) -> Pair:
    """Two float tensors of one shape and type; raises TILE0203, TILE0505."""
    if not isinstance(x, tuple | list) or len(x) != 2:
        raise error("TILE0505", "a complex tensor is a pair (real part, imaginary part)", help="rfft takes a real one")
    real, imaginary = (as_float(lift(part)) for part in x)
    if real.type.shape != imaginary.type.shape:
        shapes = shape_text(real.type.shape), shape_text(imaginary.type.shape)
        raise error("TILE0203", f"a real part of shape {shapes[0]} with an imaginary part of shape {shapes[1]}")
    dtype = common_type([TensorType(t.type.dtype, (), t.type.weak) for t in (real, imaginary)]).dtype
    return as_dtype(real, dtype), as_dtype(imaginary, dtype)


def _several(x: Pair, axes: Any, norm: str, sign: int) -> Pair:
    for axis in reversed(axes_of(axes, x[0].ndim)):
        x = _transformed(x, None, axis, norm, sign)
    return x


def _transformed(x: Pair, n: int | None, axis: int, norm: str, sign: int) -> Any:
    place = axis_of(axis, x[0].ndim)
    parts, count = _sized(x, n, place)
    wide = promote(x[0].type.dtype, F32)
    real, imaginary = (as_dtype(_view(p, place), wide) for p in parts)
    found = transform((real, imaginary), sign)
    return _finished(found, _with(x[0], place, count), x[0], _factor(norm, count, sign))


def _factor(norm: str, count: int, sign: int) -> float:
    if norm not in _NORMS:
        raise error("TILE0511", f"there is no norm {norm!r}", help=", ".join(_NORMS))
    if norm == "ortho":
        return 1 / sqrt(count)
    return 1 / count if (norm == "backward") == (sign > 0) else 1.0


def _sized(parts: Sequence[Tensor], n: int | None, axis: int) -> tuple[list[Tensor], int]:
    """Cut or padded to n elements along the axis; raises TILE0210, TILE0403."""
    own = _fixed(parts[0], axis)
    count = own if n is None else whole(n, "a length")
    if tabled(count, "a transform") < 1:
        raise error("TILE0403", f"a transform of {count} elements")
    if count < own:
        part = [slice(count) if a == axis else slice(None) for a in range(parts[0].ndim)]
        return [getitem_of(p, part) for p in parts], count
    if count > own:
        widths = [(0, count - own) if a == axis else (0, 0) for a in range(parts[0].ndim)]
        return [pad(p, widths) for p in parts], count
    return list(parts), count


def _fixed(x: Tensor, axis: int) -> int:
    return fixed(x.type.shape[axis], "an axis of that size is transformed")


def _view(x: Tensor, axis: int) -> Any:
    """What comes before the axis, the axis, and what comes after it."""
    shape = x.type.shape
    return reshape(x, (prod(shape[:axis]), shape[axis], prod(shape[axis + 1 :])))


def _with(x: Tensor, axis: int, count: int) -> tuple[Size, ...]:
    return tuple(count if a == axis else n for a, n in enumerate(x.type.shape))


def _finished(parts: Sequence[Tensor], shape: Sequence[Size], like: Tensor, factor: float) -> Any:
    scaled = parts if factor == 1 else [multiply(p, factor) for p in parts]
    return tuple(reshape(as_dtype(p, like.type.dtype), tuple(shape)) for p in scaled)


def _halves_joined(x: Tensor, n: int) -> Pair:
    """The transform of a real tensor from that of half the length: even elements are the real, odd ones the imaginary
    parts of Z, and X[k] = (Z[k] + Z*[n/2 - k]) / 2 - i w^k (Z[k] - Z*[n/2 - k]) / 2.
    """
    before, _, after = x.type.shape
    split = reshape(x, (before, n // 2, 2, after))
    real, imaginary = (getitem_of(split, [slice(None), slice(None), part]) for part in (0, 1))
    transformed = transform((real, imaginary), -1)
    same, other = (_reflected(transformed, n // 2, mirrored) for mirrored in (False, True))
    even = add(same[0], other[0]), subtract(same[1], other[1])
    odd = add(same[1], other[1]), subtract(other[0], same[0])
    turned = times(odd, _columns(turns(np.arange(n // 2 + 1), n, -1, x)))
    return multiply(add(even[0], turned[0]), 0.5), multiply(add(even[1], turned[1]), 0.5)


def _reflected(x: Pair, n: int, mirrored: bool) -> Pair:
    """Elements 0 to n, or n to 0, along the middle axis; n is 0 again."""
    places = np.arange(n + 1) % n
    taken = [getitem_of(p, [slice(None), places[::-1] if mirrored else places]) for p in x]
    return taken[0], taken[1]


def _columns(pair: tuple[Array, Array]) -> tuple[Array, Array]:
    return pair[0][:, None], pair[1][:, None]


def _real_even(x: Pair, n: int) -> Tensor:
    """The inverse of `_halves_joined`, times n: Z[k] = X[k] + X*[n/2 - k] + i w^-k (X[k] - X*[n/2 - k])."""
    before, _, after = x[0].type.shape
    same, other = ([getitem_of(p, [slice(None), s]) for p in x] for s in (slice(n // 2), slice(n // 2, 0, -1)))
    even = add(same[0], other[0]), subtract(same[1], other[1])
    odd = negative(add(same[1], other[1])), subtract(same[0], other[0])
    turned = times(odd, _columns(turns(np.arange(n // 2), n, 1, x[0])))
    real, imaginary = transform((add(even[0], turned[0]), add(even[1], turned[1])), 1)
    whole_axis: Tensor = reshape(stack([real, imaginary], axis=2), (before, n, after))
    return whole_axis


def _real_odd(x: Pair, n: int) -> Tensor:
    """The real part of the transform of all elements."""
    places = np.arange(n)
    beyond = (places > n // 2)[:, None]
    taken = [getitem_of(p, [slice(None), np.minimum(places, n - places)]) for p in x]
    sign = np.where(beyond, -1, 1).astype(x[0].type.dtype.numpy)
    return transform((taken[0], multiply(taken[1], sign)), 1)[0]
