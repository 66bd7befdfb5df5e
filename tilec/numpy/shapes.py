"""Floor 5: functions that rearrange elements, each a contraction that assigns, or a reshape."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any, cast

from tilec.affine import Affine, Poly
from tilec.errors import error
from tilec.graph import Special
from tilec.numpy.axes import axes_of, axis_of, completed, plus, shape_of, whole
from tilec.rules import broadcast, shape_text
from tilec.tracing.contraction import contraction, element, rearranged, variables
from tilec.tracing.dispatch import lift, operation, scope
from tilec.tracing.elementwise import apply, as_dtype, common_of
from tilec.tracing.sizes import OpenSize
from tilec.tracing.tensor import Tensor


@operation
def reshape(x: Any, /, shape: Any, *, copy: bool | None = None) -> Any:
    """The same elements in row-major order in another shape; one size may be -1. `copy` changes nothing."""
    tensor = lift(x)
    found = completed(shape, prod(tensor.type.shape))
    if found == tensor.type.shape:
        return tensor
    return scope().bind(Special("reshape", scope().names([tensor]), (("shape", found),)), "reshape")


@operation
def permute_dims(x: Any, /, axes: Sequence[int] | None = None) -> Any:
    """The axes in another order, reversed by default."""
    tensor = lift(x)
    order = axes_of(tuple(reversed(range(tensor.ndim))) if axes is None else axes, tensor.ndim)
    if len(order) != tensor.ndim:
        raise error("TILE0212", f"{len(order)} axes are given for a tensor of rank {tensor.ndim}")
    if order == tuple(range(tensor.ndim)):
        return tensor
    _, forms = variables(tensor.ndim)
    source = [forms[order.index(a)] for a in range(tensor.ndim)]
    return rearranged(tensor, source, [tensor.type.shape[a] for a in order], "transpose")


transpose = permute_dims


@operation
def matrix_transpose(x: Any, /) -> Any:
    """The last two axes exchanged."""
    tensor = lift(x)
    if tensor.ndim < 2:
        raise error("TILE0202", f"a tensor of rank {tensor.ndim} has no two axes to exchange")
    return swapaxes(tensor, -1, -2)


@operation
def swapaxes(x: Any, /, axis1: int, axis2: int) -> Any:
    """Two axes exchanged."""
    tensor = lift(x)
    a, b = axis_of(axis1, tensor.ndim), axis_of(axis2, tensor.ndim)
    order = list(range(tensor.ndim))
    order[a], order[b] = b, a
    return permute_dims(tensor, order)


@operation
def moveaxis(x: Any, /, source: int | Sequence[int], destination: int | Sequence[int]) -> Any:
    """Axes moved to other places; the others keep their order."""
    tensor = lift(x)
    old, new = axes_of(source, tensor.ndim), axes_of(destination, tensor.ndim)
    if len(old) != len(new):
        raise error("TILE0212", f"{len(old)} axes are moved to {len(new)} places")
    order = [a for a in range(tensor.ndim) if a not in old]
    for place, axis in sorted(zip(new, old)):
        order.insert(place, axis)
    return permute_dims(tensor, order)


@operation
def expand_dims(x: Any, /, axis: int | Sequence[int] = 0) -> Any:
    """New axes of size 1, at these places of the result."""
    tensor = lift(x)
    count = len(axis) if isinstance(axis, tuple | list) else 1
    places = axes_of(axis, tensor.ndim + count)
    sizes = iter(tensor.type.shape)
    return reshape(tensor, tuple(1 if a in places else next(sizes) for a in range(tensor.ndim + count)))


@operation
def squeeze(x: Any, /, axis: int | Sequence[int] | None = None) -> Any:
    """Without these axes of size 1, or without all of them."""
    tensor = lift(x)
    if axis is None:
        axis = [a for a, n in enumerate(tensor.type.shape) if n == 1]
    gone = axes_of(axis, tensor.ndim)
    if wrong := [a for a in gone if tensor.type.shape[a] != 1]:
        raise error("TILE0212", f"axis {wrong[0]} of shape {shape_text(tensor.type.shape)} is not of size 1")
    return reshape(tensor, tuple(n for a, n in enumerate(tensor.type.shape) if a not in gone))


@operation
def broadcast_to(x: Any, /, shape: Any) -> Any:
    """The tensor repeated along axes of size 1, and along new first axes."""
    tensor, wanted = lift(x), shape_of(shape)
    if broadcast([tensor.type.shape, wanted]) != wanted:
        raise error("TILE0203", f"shape {shape_text(tensor.type.shape)} does not broadcast to {shape_text(wanted)}")
    if tensor.type.shape == wanted:
        return tensor
    _, forms = variables(len(wanted))
    own = forms[len(wanted) - tensor.ndim :]
    source = [Affine.constant(0) if n == 1 else f for n, f in zip(tensor.type.shape, own, strict=True)]
    return rearranged(tensor, source, wanted, "broadcast")


@operation
def flip(x: Any, /, axis: int | Sequence[int] | None = None) -> Any:
    """The elements along axes in reverse order."""
    tensor = lift(x)
    axes = axes_of(axis, tensor.ndim)
    for a in axes:
        if isinstance(size := tensor.type.shape[a], Poly):
            tensor = _reordered(tensor, a, size, lambda n, k: n - 1 - k)
    axes = tuple(a for a in axes if isinstance(tensor.type.shape[a], int))
    _, forms = variables(tensor.ndim)
    source = [-f + (n - 1) if a in axes else f for a, (f, n) in enumerate(zip(forms, tensor.type.shape))]
    return rearranged(tensor, source, tensor.type.shape, "flip")


@operation
def roll(x: Any, /, shift: int | Sequence[int], axis: int | Sequence[int] | None = None) -> Any:
    """The elements moved along an axis, or several; those that leave it come in at its other end. Without an axis the
    flattened tensor is rolled.
    """
    tensor = lift(x)
    if axis is None:
        return reshape(roll(reshape(tensor, -1), shift, axis=0), tensor.type.shape)
    shifts = list(shift) if isinstance(shift, tuple | list) else [shift]
    axes = list(axis) if isinstance(axis, tuple | list) else [axis]
    if len(shifts) > 1 and len(axes) not in (1, len(shifts)):
        raise error("TILE0204", f"{len(shifts)} shifts along {len(axes)} axes")
    for k in range(max(len(shifts), len(axes))):
        along = axis_of(axes[k % len(axes)], tensor.ndim)
        tensor = _rolled(tensor, whole(shifts[k % len(shifts)], "a shift"), along)
    return tensor


def _rolled(x: Tensor, shift: int, axis: int) -> Any:
    size = x.type.shape[axis]
    if isinstance(size, Poly):
        return _reordered(x, axis, size, lambda n, k: apply("mod", k - shift, n))
    cut = -shift % size if size else 0
    return concat([_part(x, axis, cut, size - cut), _part(x, axis, 0, cut)], axis=axis)


def _reordered(x: Tensor, axis: int, size: Poly, source: Callable[[Any, Any], Any]) -> Tensor:
    """Element k along an axis of an open size is element source(size, k) of `x`."""
    from tilec.numpy.creation import arange
    from tilec.numpy.indexing import take

    count = OpenSize(size)
    return cast(Tensor, take(x, source(count, arange(count, dtype="int64")), axis=axis))


def _part(x: Tensor, axis: int, start: int, count: int) -> Tensor:
    _, forms = variables(x.ndim)
    source = [f + start if a == axis else f for a, f in enumerate(forms)]
    return rearranged(x, source, [count if a == axis else n for a, n in enumerate(x.type.shape)], "part")


@operation
def concat(arrays: Sequence[Any], /, axis: int | None = 0) -> Any:
    """The tensors one after another along an axis; with None, flattened first."""
    parts = _alike(arrays)
    if axis is None:
        parts, axis = [reshape(p, -1) for p in parts], 0
    along = axis_of(axis, parts[0].ndim)
    shapes = {(*p.type.shape[:along], *p.type.shape[along + 1 :]) for p in parts}
    if len(shapes) > 1 or len({p.ndim for p in parts}) > 1:
        texts = ", ".join(shape_text(p.type.shape) for p in parts)
        raise error("TILE0203", f"shapes that differ outside of axis {along} are joined: {texts}")
    while len(parts) > 1:  # neighbours in pairs: each element is copied a logarithmic number of times
        joined = [_join(parts[k], parts[k + 1], along) for k in range(0, len(parts) - 1, 2)]
        parts = joined + parts[len(joined) * 2 :]
    return parts[0]


concatenate = concat


def _join(a: Tensor, b: Tensor, axis: int) -> Tensor:
    total = [plus(m, n) if k == axis else m for k, (m, n) in enumerate(zip(a.type.shape, b.type.shape))]
    names, forms = variables(a.ndim)
    first = contraction("assign", names, element(a, forms), forms, total, stem="concat")
    sink = [f + a.type.shape[axis] if k == axis else f for k, f in enumerate(forms)]
    return contraction("assign", names, element(b, forms), sink, total, default=first, stem="concat")


@operation
def stack(arrays: Sequence[Any], /, axis: int = 0) -> Any:
    """Tensors of one shape along a new axis."""
    parts = _alike(arrays)
    if len({p.type.shape for p in parts}) > 1:
        raise error("TILE0203", f"different shapes are stacked: {', '.join(shape_text(p.type.shape) for p in parts)}")
    along = axis_of(axis, parts[0].ndim + 1)
    return concat([expand_dims(p, along) for p in parts], axis=along)


def _alike(arrays: Sequence[Any]) -> list[Tensor]:
    """Tensors of one dtype."""
    if not isinstance(arrays, tuple | list) or not arrays:
        raise error("TILE0505", "a non-empty sequence of tensors is joined")
    parts = [lift(a) for a in arrays]
    dtype = common_of([p.type for p in parts])
    return [as_dtype(p, dtype) for p in parts]
