"""Floor 5: images of other sizes: interpolation as weighted sums along the rows and the columns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tilec.errors import error
from tilec.exact.domain import must_be_fixed
from tilec.numpy.axes import shape_of
from tilec.numpy_semantics import Array
from tilec.ops.bands import Band, along
from tilec.rules import shape_text
from tilec.tracing.dispatch import lift, operation
from tilec.tracing.elementwise import as_float
from tilec.tracing.tensor import Tensor


@dataclass(frozen=True, slots=True)
class Kernel:
    """A function that is 0 outside of (-radius, radius)."""

    radius: int
    value: Callable[[Array], Array]


def _triangle(x: Array) -> Array:
    return np.asarray(np.maximum(1 - np.abs(x), 0))


def _cubic(x: Array) -> Array:
    """R. Keys, Cubic convolution interpolation for digital image processing (1981), a = -1/2."""
    x = np.abs(x)
    near = (1.5 * x - 2.5) * x * x + 1
    far = ((-0.5 * x + 2.5) * x - 4) * x + 2
    return np.where(x < 1, near, np.where(x < 2, far, 0))


def _lanczos(radius: int) -> Callable[[Array], Array]:
    return lambda x: np.where(np.abs(x) < radius, np.sinc(x) * np.sinc(x / radius), 0)


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
    if interpolation != "nearest" and interpolation not in KERNELS:
        raise error("TILE0511", f"there is no interpolation {interpolation!r}", help="nearest, " + ", ".join(KERNELS))
    bands = {}
    for axis, count in zip((rows, columns), wanted):
        own = tensor.type.shape[axis]
        if not isinstance(own, int):
            raise must_be_fixed(own, "an image of that size is resized")
        if own == 0 and count:
            raise error("TILE0403", f"an image of shape {shape_text(tensor.type.shape)} has no pixels to be resized")
        if own != count:
            bands[axis] = band_of(own, count, interpolation, antialias)
    if interpolation == "nearest":
        return along(tensor, bands)
    return along(as_float(tensor), bands)


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
    height, width = found
    if not isinstance(height, int) or not isinstance(width, int):
        raise must_be_fixed(height if not isinstance(height, int) else width, "it is the new size of an image")
    return height, width


def band_of(size: int, out: int, interpolation: str, antialias: bool) -> Band:
    """Weights that make `out` pixels of `size`; where they begin is computed in integers."""
    centres = (2 * np.arange(out) + 1) * size  # of the new pixels in the old ones' coordinates, times 2 * out
    if interpolation == "nearest":
        return Band(size, centres // (2 * out), None)
    kernel = KERNELS[interpolation]
    reach = 2 * kernel.radius * (max(size, out) if antialias else out)
    first = (centres - out - reach) // (2 * out) + 1
    last = -((out - centres - reach) // (2 * out)) - 1
    places = first[:, None] + np.arange(int((last - first).max(initial=0)) + 1)
    distance = (places - (centres - out)[:, None] / (2 * out)) * (min(1.0, out / size) if antialias else 1.0)
    weights = np.where((places >= 0) & (places < size), kernel.value(distance), 0.0)
    return Band(size, first, weights / weights.sum(axis=1, keepdims=True))
