"""Windows of NumPy arrays, channels last: what convolutions and pooling are compared with."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
Pairs = Sequence[tuple[int, int]]


def widths(extents: Sequence[int], sizes: Sequence[int], strides: Sequence[int], spread: Sequence[int]) -> Pairs:
    """The padding that is called "same": ceil(extent / stride) windows, an odd element of padding at the end."""
    found = []
    for extent, size, stride, dilation in zip(extents, sizes, strides, spread, strict=True):
        last = (int(np.ceil(extent / stride)) - 1) * stride + (size - 1) * dilation
        total = max(last + 1 - extent, 0)
        found.append((total // 2, total - total // 2))
    return found


def windows(
    x: Array, sizes: Sequence[int], strides: Sequence[int], spread: Sequence[int], padding: Pairs, fill: Any = 0
) -> Array:
    """[batch, *windows, channels, *window] of a padded image [batch, *space, channels]."""
    padded = np.pad(x, [(0, 0), *padding, (0, 0)], constant_values=fill)
    spans = [(n - 1) * d + 1 for n, d in zip(sizes, spread, strict=True)]
    axes = tuple(range(1, x.ndim - 1))
    found = np.lib.stride_tricks.sliding_window_view(padded, spans, axis=axes)
    steps = [slice(None), *(slice(None, None, s) for s in strides), slice(None)]
    return found[(*steps, *(slice(None, None, d) for d in spread))]


def convolution(
    x: Array, w: Array, strides: Sequence[int], spread: Sequence[int], padding: Pairs, groups: int = 1
) -> Array:
    """In float64, one group after the other."""
    sizes, count = w.shape[:-2], prod(w.shape[:-1])
    parts = []
    for part, kernel in zip(np.split(x, groups, axis=-1), np.split(w, groups, axis=-1), strict=True):
        seen = np.moveaxis(windows(part.astype(np.float64), sizes, strides, spread, padding), x.ndim - 1, -1)
        flat = seen.reshape(*seen.shape[: x.ndim - 1], count)
        parts.append(flat @ kernel.astype(np.float64).reshape(count, kernel.shape[-1]))
    return np.concatenate(parts, axis=-1)


def first(x: Array) -> Array:
    """Channels put first."""
    return np.moveaxis(x, -1, 1)
