"""Floor 5: images of other sizes: interpolation as weighted sums along the rows and the columns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import pi
from typing import Any

import numpy as np

import tilec.numpy as tnp
from tilec.errors import error
from tilec.exact.domain import fixed
from tilec.numpy.axes import axes_of, shape_of, tabled
from tilec.numpy.elementwise import (
    abs,
    divide,
    greater,
    greater_equal,
    less_equal,
    logical_and,
    maximum,
    multiply,
    subtract,
    where,
)
from tilec.numpy.indexing import getitem_of
from tilec.numpy.precision import widened
from tilec.numpy.products import tensordot
from tilec.numpy.reductions import sum
from tilec.numpy.shapes import moveaxis, reshape
from tilec.ops.bands import Band, along
from tilec.rules import shape_text
from tilec.tracing.dispatch import lift, operation
from tilec.tracing.elementwise import as_dtype, as_float
from tilec.tracing.tensor import Tensor


@dataclass(frozen=True, slots=True)
class Kernel:
    """A function of distances that is 0 from `radius` on, in the functions of a module: numpy or tilec.numpy."""

    radius: int
    value: Callable[[Any, Any], Any]


def _triangle(x: Any, xp: Any) -> Any:
    return xp.maximum(1 - x, 0)


def _cubic(x: Any, xp: Any) -> Any:
    """R. Keys, Cubic convolution interpolation for digital image processing (1981), a = -1/2."""
    near = (1.5 * x - 2.5) * x * x + 1
    far = ((-0.5 * x + 2.5) * x - 4) * x + 2
    return xp.where(x < 1, near, xp.where(x < 2, far, 0))


def _lanczos(radius: int) -> Callable[[Any, Any], Any]:
    """C. Lanczos' window of the sinc function."""
    return lambda x, xp: xp.where(x < radius, _sinc(x, xp) * _sinc(x / radius, xp), 0)


def _sinc(x: Any, xp: Any) -> Any:
    angle = xp.where(x > 0, x, 1) * pi
    return xp.where(x > 0, xp.sin(angle) / angle, 1)


KERNELS = {
    "bilinear": Kernel(1, _triangle),
    "bicubic": Kernel(2, _cubic),
    "lanczos3": Kernel(3, _lanczos(3)),
    "lanczos5": Kernel(5, _lanczos(5)),
}


@operation
def resize(
    images: Any,
    /,
    size: Sequence[int],
    *,
    interpolation: str = "bilinear",
    antialias: bool = False,
    channels_first: bool = False,
) -> Any:
    """Images [height, width, channels], or a batch of them, with (height, width) = `size`.

    interpolation: nearest, bilinear, bicubic, lanczos3 or lanczos5. Pixels are squares, of which the centres are half a
    pixel from the edges; beyond these there is nothing, and weights add up to one all the same. With `antialias` each
    new pixel is a mean of all those that it covers, where the image becomes smaller. So it is in Keras, JAX and
    Pillow; "nearest" is "nearest-exact" of PyTorch. Integers become float32, but for "nearest", which keeps the type.

    Raises TILE0202, TILE0204, TILE0210, TILE0211, TILE0403, TILE0511.
    """
    tensor = lift(images)
    rows, columns = image_axes(tensor, channels_first)
    wanted = image_size(size)
    if interpolation not in ("nearest", *KERNELS):
        raise error("TILE0511", f"there is no interpolation {interpolation!r}", help="nearest, " + ", ".join(KERNELS))
    bands = {}
    for axis, count in zip((rows, columns), wanted):
        own = fixed(tensor.type.shape[axis], "an image of that size is resized")
        if own == 0 and count:
            raise error("TILE0403", f"an image of shape {shape_text(tensor.type.shape)} has no pixels to be resized")
        if own != count:
            bands[axis] = band_of(own, count, interpolation, antialias)
    if interpolation == "nearest":
        return along(tensor, bands)
    return along(as_float(tensor), bands)


@operation(arrays=("scale", "translation"))
def scale_and_translate(
    images: Any,
    /,
    output_shape: Sequence[int],
    scale: Any,
    translation: Any,
    spatial_dims: Sequence[int],
    method: str = "bilinear",
    *,
    antialias: bool = True,
) -> Any:
    """What is at x along axis spatial_dims[k] goes to x * scale[k] + translation[k], measured from the edge of the
    first pixel; `output_shape` is that of the result. A pixel from outside of the image is 0: as in JAX and Keras.

    method: bilinear, bicubic, lanczos3 or lanczos5. Scale and translation are data of the program, and differentiable.

    Raises TILE0204, TILE0208, TILE0210, TILE0211, TILE0212, TILE0511.
    """
    tensor, dtype = widened(images)
    axes = axes_of(spatial_dims, tensor.ndim)
    wanted = shape_of(output_shape)
    if len(wanted) != tensor.ndim:
        raise error("TILE0204", f"{len(wanted)} sizes for a tensor of rank {tensor.ndim}")
    if method not in tuple(KERNELS):
        raise error("TILE0511", f"there is no interpolation {method!r}", help=", ".join(KERNELS))
    numbers = [widened(t)[0] for t in (scale, translation)]
    for given in numbers:
        if given.type.shape != (len(axes),):
            shape = shape_text(given.type.shape)
            raise error("TILE0208", f"scale or translation of shape {shape}; there are {len(axes)} axes")
    if changed := [a for a in range(tensor.ndim) if a not in axes and wanted[a] != tensor.type.shape[a]]:
        raise error("TILE0208", f"axis {changed[0]} is not in spatial_dims, but changes its size")
    for k, axis in enumerate(axes):
        size, out = (fixed(n, "an axis of that size is scaled") for n in (tensor.type.shape[axis], wanted[axis]))
        factor, shift = (getitem_of(t, [k]) for t in numbers)
        weights = _traced_weights(size, out, factor, shift, method, antialias)
        tensor = moveaxis(tensordot(weights, tensor, axes=([1], [axis])), 0, axis)
    return as_dtype(tensor, dtype)


def _traced_weights(size: int, out: int, scale: Any, shift: Any, method: str, antialias: bool) -> Any:
    """The weights of `size` pixels, for each of `out`."""
    dtype = scale.type.dtype.numpy
    steps = divide(1, scale)
    centres = subtract(
        multiply(subtract(np.arange(tabled(out, "resizing"), dtype=dtype) + dtype.type(0.5), shift), steps), 0.5
    )
    widest = maximum(steps, 1) if antialias else 1
    places = subtract(reshape(centres, (out, 1)), np.arange(size, dtype=dtype))
    weights = KERNELS[method].value(divide(abs(places), widest), tnp)
    total = sum(weights, axis=1, keepdims=True)
    some = greater(abs(total), 1000 * float(np.finfo(np.float32).eps))
    inside = logical_and(greater_equal(centres, -0.5), less_equal(centres, size - 0.5))
    return where(logical_and(reshape(inside, (out, 1)), some), divide(weights, where(some, total, 1)), 0)


def image_axes(images: Tensor, channels_first: bool) -> tuple[int, int]:
    """The axes of rows and of columns; raises TILE0202."""
    if images.ndim not in (3, 4):
        text = f"images have three axes, a batch of them four; the shape is {shape_text(images.type.shape)}"
        raise error("TILE0202", text)
    return (images.ndim - 2, images.ndim - 1) if channels_first else (images.ndim - 3, images.ndim - 2)


def image_size(size: Any) -> tuple[int, int]:
    """Height and width; raises TILE0204, TILE0210, TILE0211."""
    found = shape_of(size)
    if len(found) != 2:
        raise error("TILE0204", f"the size of an image is its height and its width, not {size!r}")
    height, width = (fixed(n, "it is the new size of an image") for n in found)
    return height, width


def band_of(size: int, out: int, interpolation: str, antialias: bool) -> Band:
    """Weights that make `out` pixels of `size`; where they begin is computed in integers."""
    tabled(out, "resizing")
    centres = (2 * np.arange(out) + 1) * size  # of the new pixels in the old ones' coordinates, times 2 * out
    if interpolation == "nearest":
        return Band(size, centres // (2 * out), None)
    kernel = KERNELS[interpolation]
    reach = 2 * kernel.radius * (max(size, out) if antialias else out)
    first = (centres - out - reach) // (2 * out) + 1
    last = -((out - centres - reach) // (2 * out)) - 1
    width = int((last - first).max(initial=0)) + 1
    places = first[:, None] + np.arange(tabled(out * width, "resizing") // max(out, 1))
    distance = (places - (centres - out)[:, None] / (2 * out)) * (min(1.0, out / size) if antialias else 1.0)
    weights = np.where((places >= 0) & (places < size), kernel.value(np.abs(distance), np), 0.0)
    return Band(size, first, weights / weights.sum(axis=1, keepdims=True))
