"""Floor 5: patches of images: pieces of them as channels or columns, and back."""

from __future__ import annotations

from math import prod
from typing import Any

from tilec.errors import error
from tilec.graph import Constraint
from tilec.numpy.shapes import permute_dims, reshape
from tilec.ops.windows import arranged, channel_axis, image_axes, per_axis, windows
from tilec.rules import shape_text
from tilec.tracing.contraction import contraction, element, variables
from tilec.tracing.dispatch import lift, operation
from tilec.tracing.tensor import Tensor


@operation
def extract_patches(
    images: Any,
    /,
    size: int | tuple[int, ...],
    strides: int | tuple[int, ...] | None = None,
    *,
    dilation: int | tuple[int, ...] = 1,
    padding: Any = "valid",
    channels_first: bool = False,
) -> Any:
    """The elements of each window of an image as channels of the result, [batch, *windows, *size * channels]: those of
    the first row's first pixel first. Windows stand side by side where no strides are given. What is beyond the edges
    is 0; padding: as for `conv`.

    Raises TILE0202, TILE0204, TILE0210, TILE0211, TILE0511.
    """
    tensor = lift(images)
    axes = image_axes(tensor, channels_first)
    sizes = per_axis(size, len(axes), "size")
    seen = windows(
        [tensor.type.shape[a] for a in axes], sizes, sizes if strides is None else strides, padding, dilation
    )
    names, forms = variables(2 * len(axes) + 2)
    batch, channel = forms[0], forms[-1]
    at, taps = forms[1 : len(axes) + 1], forms[len(axes) + 1 : -1]
    places = arranged(batch, [w.form(o, k) for w, o, k in zip(seen, at, taps)], channel, channels_first)
    count, channels = tensor.type.shape[0], tensor.type.shape[channel_axis(channels_first)]
    lead = [w.count for w in seen]
    sink = [batch, *taps, channel, *at] if channels_first else [batch, *at, *taps, channel]
    shape = [count, *sizes, channels, *lead] if channels_first else [count, *lead, *sizes, channels]
    made = contraction("assign", names, element(tensor, places), sink, shape, stem="patches")
    flat = prod([*sizes, channels])
    return reshape(made, (count, flat, *lead) if channels_first else (count, *lead, flat))


@operation
def unfold(
    x: Any,
    /,
    size: int | tuple[int, ...],
    *,
    dilation: int | tuple[int, ...] = 1,
    padding: int | tuple[Any, ...] = 0,
    strides: int | tuple[int, ...] = 1,
) -> Any:
    """The windows of x, [batch, channels, *space], as columns, [batch, channels * *size, windows]:
    `torch.nn.functional.unfold`. Raises TILE0202, TILE0204, TILE0210, TILE0211, TILE0511.
    """
    tensor = lift(x)
    axes = image_axes(tensor, True)
    sizes = per_axis(size, len(axes), "size")
    seen = windows([tensor.type.shape[a] for a in axes], sizes, strides, padding, dilation)
    names, forms = variables(2 * len(axes) + 2)
    taps, at = forms[2 : 2 + len(axes)], forms[2 + len(axes) :]
    places = [*forms[:2], *(w.form(o, k) for w, o, k in zip(seen, at, taps))]
    count, channels = tensor.type.shape[:2]
    shape = [count, channels, *sizes, *(w.count for w in seen)]
    made = contraction("assign", names, element(tensor, places), forms, shape, stem="columns")
    return reshape(made, (count, prod([channels, *sizes]), prod(w.count for w in seen)))


@operation
def fold(
    x: Any,
    /,
    output_size: int | tuple[int, ...],
    size: int | tuple[int, ...],
    *,
    dilation: int | tuple[int, ...] = 1,
    padding: int | tuple[Any, ...] = 0,
    strides: int | tuple[int, ...] = 1,
) -> Any:
    """The columns of `unfold` put back into [batch, channels, *output_size], where windows overlap their sum:
    `torch.nn.functional.fold`. Raises TILE0202, TILE0204, TILE0209, TILE0210, TILE0211, TILE0511.
    """
    tensor = lift(x)
    if tensor.ndim != 3:
        found = shape_text(tensor.type.shape)
        raise error("TILE0202", f"columns have the shape [batch, channels * window, windows], not {found}")
    rank = max(len(v) if isinstance(v, tuple | list) else 2 for v in (output_size, size))
    sizes, extents = per_axis(size, rank, "size"), per_axis(output_size, rank, "output_size")
    seen = windows(extents, sizes, strides, padding, dilation)
    batch, rows, columns = tensor.type.shape
    if not isinstance(rows, int) or rows % prod(sizes) or columns != prod(w.count for w in seen):
        wanted = f"{prod(sizes)} times as many rows as channels, {prod(w.count for w in seen)} columns"
        raise error("TILE0209", f"columns of shape {shape_text(tensor.type.shape)}; there are {wanted}")
    channels = rows // prod(sizes)
    split = reshape(tensor, (batch, channels, *sizes, *(w.count for w in seen)))
    names, forms = variables(2 * rank + 2)
    taps, at = forms[2 : 2 + rank], forms[2 + rank :]
    sink = [*forms[:2], *(w.form(o, k) for w, o, k in zip(seen, at, taps))]
    inside = [Constraint(f, n) for f, n in zip(forms[2:], split.type.shape[2:])]
    shape = [batch, channels, *extents]
    return contraction("sum", names, element(split, forms), sink, shape, constraints=inside, stem="folded")


@operation
def space_to_depth(x: Any, /, block_size: int, *, channels_first: bool = False) -> Any:
    """Blocks of pixels as channels: [batch, height, width, channels] becomes [batch, height / n, width / n,
    n * n * channels], with the block's first row first. Raises TILE0202, TILE0209, TILE0210, TILE0511.
    """
    tensor, n = _image(x), _block(block_size)
    batch, height, width, channels = _sizes(tensor, channels_first)
    if height % n or width % n:
        raise error("TILE0209", f"an image of {height} x {width} pixels is not made of blocks of {n} x {n}")
    rows, columns = [height // n, n], [width // n, n]
    if channels_first:
        split = reshape(tensor, (batch, channels, *rows, *columns))
        return reshape(permute_dims(split, (0, 3, 5, 1, 2, 4)), (batch, n * n * channels, height // n, width // n))
    split = reshape(tensor, (batch, *rows, *columns, channels))
    return reshape(permute_dims(split, (0, 1, 3, 2, 4, 5)), (batch, height // n, width // n, n * n * channels))


@operation
def depth_to_space(x: Any, /, block_size: int, *, channels_first: bool = False) -> Any:
    """The inverse of `space_to_depth`: channels become blocks of pixels.

    Raises TILE0202, TILE0209, TILE0210, TILE0511.
    """
    tensor, n = _image(x), _block(block_size)
    batch, height, width, channels = _sizes(tensor, channels_first)
    if not isinstance(channels, int) or channels % (n * n):
        raise error("TILE0209", f"{channels} channels are not {n} x {n} times as many as before")
    left = channels // (n * n)
    if channels_first:
        split = reshape(tensor, (batch, n, n, left, height, width))
        return reshape(permute_dims(split, (0, 3, 4, 1, 5, 2)), (batch, left, n * height, n * width))
    split = reshape(tensor, (batch, height, width, n, n, left))
    return reshape(permute_dims(split, (0, 1, 3, 2, 4, 5)), (batch, n * height, n * width, left))


def _image(x: Any) -> Tensor:
    tensor = lift(x)
    if tensor.ndim != 4:
        raise error("TILE0202", f"a batch of images has 4 axes; the shape is {shape_text(tensor.type.shape)}")
    return tensor


def _sizes(x: Tensor, channels_first: bool) -> tuple[Any, Any, Any, Any]:
    """Batch, height, width, channels."""
    rows, columns = image_axes(x, channels_first)
    shape = x.type.shape
    return shape[0], shape[rows], shape[columns], shape[channel_axis(channels_first)]


def _block(size: Any) -> int:
    return per_axis(size, 1, "block size")[0]
