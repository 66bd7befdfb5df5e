"""Floor 5: aggregations that pass NaN over."""

from __future__ import annotations

from math import inf, nan
from typing import Any

from tilec.dtypes import F32
from tilec.numpy.cumulative import cumulative_prod, cumulative_sum
from tilec.numpy.elementwise import isnan, where
from tilec.numpy.reductions import Axis, all, argmax, argmin, max, min, prod, sum
from tilec.tracing.dispatch import lift, operation
from tilec.tracing.elementwise import apply, as_dtype, as_float


def _without(x: Any, value: float) -> Any:
    """x with a number in place of NaN; integers have none."""
    tensor = lift(x)
    return where(isnan(tensor), value, tensor) if tensor.type.dtype.is_float else tensor


@operation
def nansum(x: Any, /, axis: Axis = None, *, keepdims: bool = False) -> Any:
    """The sum along axes of what is not NaN."""
    return sum(_without(x, 0.0), axis, keepdims=keepdims)


@operation
def nanprod(x: Any, /, axis: Axis = None, *, keepdims: bool = False) -> Any:
    """The product along axes of what is not NaN."""
    return prod(_without(x, 1.0), axis, keepdims=keepdims)


@operation
def nancumsum(x: Any, /, axis: int | None = None) -> Any:
    """Running sums of what is not NaN."""
    return cumulative_sum(_without(x, 0.0), axis)


@operation
def nancumprod(x: Any, /, axis: int | None = None) -> Any:
    """Running products of what is not NaN."""
    return cumulative_prod(_without(x, 1.0), axis)


@operation
def nanmax(x: Any, /, axis: Axis = None, *, keepdims: bool = False) -> Any:
    """The largest element along axes that is not NaN; NaN where all are."""
    return _or_nan(max(_without(x, -inf), axis, keepdims=keepdims), x, axis, keepdims)


@operation
def nanmin(x: Any, /, axis: Axis = None, *, keepdims: bool = False) -> Any:
    """The smallest element along axes that is not NaN; NaN where all are."""
    return _or_nan(min(_without(x, inf), axis, keepdims=keepdims), x, axis, keepdims)


def _or_nan(found: Any, x: Any, axis: Axis, keepdims: bool) -> Any:
    tensor = lift(x)
    return where(all(isnan(tensor), axis, keepdims=keepdims), nan, found) if tensor.type.dtype.is_float else found


@operation
def nanargmax(x: Any, /, axis: int | None = None, *, keepdims: bool = False) -> Any:
    """The first position of the largest element that is not NaN, int32; 0 where all are."""
    return argmax(_without(x, -inf), axis, keepdims=keepdims)


@operation
def nanargmin(x: Any, /, axis: int | None = None, *, keepdims: bool = False) -> Any:
    """The first position of the smallest element that is not NaN, int32; 0 where all are."""
    return argmin(_without(x, inf), axis, keepdims=keepdims)


@operation
def nanmean(x: Any, /, axis: Axis = None, *, keepdims: bool = False) -> Any:
    """The mean along axes of what is not NaN; NaN where all are."""
    return _mean(as_float(x), axis, keepdims, 0.0)


@operation
def nanvar(x: Any, /, axis: Axis = None, *, correction: float = 0.0, keepdims: bool = False) -> Any:
    """The variance along axes of what is not NaN: squared distances from the mean over (count - correction)."""
    return _var(x, axis, correction, keepdims)


@operation
def nanstd(x: Any, /, axis: Axis = None, *, correction: float = 0.0, keepdims: bool = False) -> Any:
    """The square root of `nanvar`."""
    return apply("sqrt", _var(x, axis, correction, keepdims))


def _var(x: Any, axis: Axis, correction: float, keepdims: bool) -> Any:
    tensor = as_float(x)
    wide = as_dtype(tensor, F32) if tensor.type.dtype.bits < 32 else tensor
    centred = apply("sub", wide, _mean(wide, axis, True, 0.0))
    return as_dtype(_mean(apply("mul", centred, centred), axis, keepdims, correction), tensor.type.dtype)


def _mean(x: Any, axis: Axis, keepdims: bool, correction: float) -> Any:
    """The sum over the number of terms less the correction, which is not below 0; 16-bit floats in float32."""
    dtype = x.type.dtype
    wide = as_dtype(x, F32) if dtype.bits < 32 else x
    there = as_dtype(apply("logical_not", isnan(x)), wide.type.dtype)
    count = apply("max", apply("sub", sum(there, axis, keepdims=keepdims), correction), 0)
    return as_dtype(apply("div", sum(_without(wide, 0.0), axis, keepdims=keepdims), count), dtype)
