"""Floor 5: filters of images: blur and edges."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tilec.errors import error
from tilec.numpy.axes import number, tabled
from tilec.numpy.shapes import stack
from tilec.ops.filters import weighted
from tilec.ops.image_resize import image_axes
from tilec.ops.windows import per_axis
from tilec.tracing.dispatch import lift, operation
from tilec.tracing.elementwise import as_float

Numbers = float | Sequence[float]


@operation(arrays=("value",))
def gaussian_blur(
    images: Any,
    /,
    size: int | Sequence[int] = 3,
    sigma: Numbers = 1.0,
    *,
    mode: str = "constant",
    value: Any = 0,
    channels_first: bool = False,
) -> Any:
    """Images [height, width, channels], or a batch of them, each pixel the mean of `size` of them, (rows, columns), by
    a Gaussian's weights. mode: what lies beyond the edges, as for `gaussian_filter`; 0 as in Keras by default.

    Raises TILE0202, TILE0204, TILE0210, TILE0511.
    """
    tensor = as_float(lift(images))
    deviations = list(sigma) if isinstance(sigma, tuple | list) else [sigma, sigma]
    if len(deviations) != 2:
        raise error("TILE0204", f"sigma: {len(deviations)} numbers for 2 axes")
    for axis, n, given in zip(image_axes(tensor, channels_first), per_axis(size, 2, "size"), deviations):
        deviation = number(given, "sigma")
        if deviation <= 0:
            raise error("TILE0511", f"a standard deviation is more than 0, not {given!r}")
        weights = np.exp(-0.5 * ((np.arange(tabled(n, "a Gaussian")) - (n - 1) / 2) / deviation) ** 2)
        tensor = weighted(tensor, axis, weights / weights.sum(), mode, value, (n + 1) % 2 * -1)
    return tensor


@operation
def sobel_edges(images: Any, /, *, channels_first: bool = False) -> Any:
    """How fast images change from row to row and from column to column, as a last axis of two: Sobel's operator, with
    the image mirrored at its edges, as in TensorFlow. Raises TILE0202, TILE0210.
    """
    tensor = as_float(lift(images))
    axes = image_axes(tensor, channels_first)
    slope, smooth = np.array([-1.0, 0.0, 1.0]), np.array([1.0, 2.0, 1.0])
    found = []
    for along, across in (axes, axes[::-1]):
        found.append(weighted(weighted(tensor, across, smooth, "mirror", 0), along, slope, "mirror", 0))
    return stack(found, axis=-1)
