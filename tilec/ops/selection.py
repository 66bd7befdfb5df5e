"""Floor 5: the largest elements, classes as vectors of zeros and ones, and quotients where there is no zero."""

from __future__ import annotations

from typing import Any

from tilec.dtypes import I32
from tilec.errors import error
from tilec.numpy.axes import axis_of, whole
from tilec.numpy.creation import one_hot as last_one_hot
from tilec.numpy.creation import zeros
from tilec.numpy.elementwise import divide, isnan, where
from tilec.numpy.indexing import getitem_of, take_along_axis
from tilec.numpy.reductions import max as largest
from tilec.numpy.reductions import sum as total
from tilec.numpy.shapes import moveaxis
from tilec.numpy.sorting import argsort
from tilec.rules import shape_text
from tilec.tracing.dispatch import lift, operation
from tilec.tracing.elementwise import apply, as_dtype


@operation
def top_k(x: Any, /, k: int, *, axis: int = -1, sorted: bool = True) -> Any:
    """The k largest elements along an axis in descending order and their positions, int32: a pair (values, indices).

    Of equal elements the first come first, NaN before all numbers. `sorted` changes nothing. Raises TILE0211, TILE0212.
    """
    tensor = lift(x)
    along = axis_of(axis, tensor.ndim)
    count = whole(k, "the number of elements")
    size = tensor.type.shape[along]
    if count < 0 or (isinstance(size, int) and count > size):
        raise error("TILE0211", f"the largest {count} of {size} elements")
    first = [*[slice(None)] * along, slice(0, count)]
    places = getitem_of(argsort(tensor, axis=along, descending=True), first)
    return take_along_axis(tensor, places, axis=along), places


@operation
def in_top_k(targets: Any, predictions: Any, /, k: int) -> Any:
    """Whether predictions[j, targets[j]] is among the k largest of predictions[j, :], equals of the last one included.

    targets: [N] integers; predictions: [N, C]. NaN is larger than every number; a target that is no class, or whose own
    prediction is NaN, is not among them. Raises TILE0202, TILE0304.
    """
    classes, scores = lift(targets), lift(predictions)
    if not classes.type.dtype.is_integer:
        raise error("TILE0304", f"targets are integers, not {classes.type.dtype.long}")
    if scores.ndim != 2 or classes.type.shape != scores.type.shape[:1]:
        shapes = f"{shape_text(classes.type.shape)} for predictions of shape {shape_text(scores.type.shape)}"
        raise error("TILE0202", f"one target for each row of predictions: targets of shape {shapes}")
    count: Any = scores.type.shape[1]
    hit = last_one_hot(classes, count, dtype="bool")
    own = total(where(hit, scores, 0), 1, keepdims=True)
    larger = apply("bit_or", apply("cmp_gt", scores, own), isnan(scores))
    rank = total(as_dtype(larger, I32), 1)
    usable = apply("bit_and", largest(hit, 1), apply("logical_not", isnan(getitem_of(own, [..., 0]))))
    return apply("bit_and", usable, apply("cmp_lt", rank, whole(k, "the number of elements")))


@operation
def one_hot(x: Any, /, num_classes: int, *, axis: int = -1, dtype: Any = "float32") -> Any:
    """A new axis, the last one by default, that is 1 at the position that the integer x says, else 0."""
    found = last_one_hot(x, num_classes, dtype=dtype)
    return moveaxis(found, -1, axis_of(axis, found.ndim))


@operation
def multi_hot(x: Any, /, num_classes: int, *, axis: int = -1, dtype: Any = "float32") -> Any:
    """Whether each class is among the integers along the last axis of x, which an axis of classes replaces, as 1 or 0.

    Integers that are no class are passed over.
    """
    tensor = lift(x)
    if tensor.ndim == 0:
        raise error("TILE0202", "multi_hot of a tensor of rank 0")
    hot = last_one_hot(tensor, num_classes, dtype=dtype)
    some = tensor.type.shape[-1] != 0  # of nothing there is no largest element
    found = largest(hot, -2) if some else zeros((*tensor.type.shape[:-1], hot.type.shape[-1]), dtype=dtype)
    return moveaxis(found, -1, axis_of(axis, found.ndim))


@operation
def divide_no_nan(x1: Any, x2: Any, /) -> Any:
    """x1 / x2, and 0 where x2 is 0; integers become float32."""
    some = apply("cmp_ne", x2, 0)
    return where(some, divide(x1, where(some, x2, 1)), 0)
