"""Floor 5: tensors with margins: of one value, of the tensor's own elements, or of what these come to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tilec.dtypes import F32, F64, DType
from tilec.errors import error
from tilec.exact.domain import fixed
from tilec.numpy.axes import number, pairs, plus, tabled
from tilec.numpy.elementwise import floor, round
from tilec.numpy.indexing import getitem_of, take
from tilec.numpy.quantiles import median
from tilec.numpy.reductions import max, mean, min
from tilec.numpy.shapes import broadcast_to, concat
from tilec.tracing.contraction import contraction, element, variables
from tilec.tracing.dispatch import lift, operation
from tilec.tracing.elementwise import apply, as_dtype
from tilec.tracing.operators import is_number
from tilec.tracing.tensor import Tensor
from tilec.tracing.trace import fitting

_COPIED = ("edge", "reflect", "symmetric", "wrap")
_STATISTICS = {"maximum": max, "mean": mean, "median": median, "minimum": min}
MODES = ("constant", "empty", *_COPIED, "linear_ramp", *_STATISTICS)


@operation(arrays=("constant_values",))
def pad(x: Any, /, pad_width: Any, mode: str = "constant", *, constant_values: Any = 0, end_values: float = 0) -> Any:
    """The tensor with a margin: `pad_width` is a number, a pair (before, after), or a pair for each axis.

    The modes are NumPy's. "constant": of one value; "empty": of zeros, where NumPy leaves values open. For axes of
    known, non-zero size: "edge", "reflect", "symmetric" and "wrap", of the tensor's own elements; "maximum", "mean",
    "median" and "minimum", of those of all elements along an axis; "linear_ramp", in equal steps from the edge to
    `end_values`. Raises TILE0202, TILE0204, TILE0210, TILE0211, TILE0511.
    """
    tensor = lift(x)
    widths = pairs(pad_width, tensor.ndim)
    if any(n < 0 for pair in widths for n in pair):
        raise error("TILE0211", f"negative width in {widths}")
    if mode == "constant":
        if is_number(constant_values):
            fitting(constant_values, tensor.type.dtype)
        return _framed(tensor, widths, lift(constant_values))
    if mode == "empty":
        return _framed(tensor, widths, lift(0))
    if mode not in MODES:
        raise error("TILE0511", f"there is no mode of padding {mode!r}", help=", ".join(MODES))
    end = number(end_values, "a value at the end")
    for axis, pair in enumerate(widths):
        if pair != (0, 0):
            tensor = _continued(tensor, axis, pair, mode, end)
    return tensor


def _continued(x: Tensor, axis: int, pair: tuple[int, int], mode: Any, end: float) -> Any:
    """With a margin along an axis."""
    size = fixed(x.type.shape[axis], f"an axis of that size is padded in the mode {mode!r}")
    if size == 0:
        raise error("TILE0211", f"axis {axis} of size 0 has no elements to pad it with in the mode {mode!r}")
    tabled(size + sum(pair), f"padding in the mode {mode!r}")
    if mode in _COPIED:
        return take(x, np.pad(np.arange(size), pair, mode=mode), axis=axis)  # NumPy pads their positions
    if mode == "linear_ramp":
        return _joined(x, axis, [_ramp(x, axis, n, end, before) for n, before in zip(pair, (True, False))])
    wide = x if mode in ("maximum", "minimum") else as_dtype(x, _wide(x.type.dtype))
    found = _STATISTICS[mode](wide, axis, keepdims=True)
    value = as_dtype(found if x.type.dtype.is_float else round(found), x.type.dtype)
    return _joined(x, axis, [broadcast_to(value, _with(x, axis, n)) for n in pair])


def _ramp(x: Tensor, axis: int, count: int, end: float, before: bool) -> Any:
    """So many numbers from `end` towards the edge, or from the edge on."""
    steps = np.arange(count) if before else np.arange(count)[::-1]
    share = (steps / (count or 1)).reshape([-1 if a == axis else 1 for a in range(x.ndim)])
    part = [slice(None)] * axis + [slice(0, 1) if before else slice(-1, None)]
    dtype = _wide(x.type.dtype)
    edge = as_dtype(getitem_of(x, part), dtype)
    values = apply("add", apply("mul", apply("sub", edge, end), share.astype(dtype.numpy)), end)
    return as_dtype(values if x.type.dtype.is_float else floor(values), x.type.dtype)


def _wide(dtype: DType) -> DType:
    """In which means are computed: of integers, which are rounded afterwards, in float64."""
    return (F32 if dtype.bits < 32 else dtype) if dtype.is_float else F64


def _joined(x: Tensor, axis: int, margins: Sequence[Any]) -> Any:
    return concat([margins[0], x, margins[1]], axis=axis)


def _with(x: Tensor, axis: int, count: int) -> tuple[Any, ...]:
    return tuple(count if a == axis else n for a, n in enumerate(x.type.shape))


def _framed(tensor: Tensor, widths: Sequence[tuple[int, int]], value: Tensor) -> Tensor:
    if value.ndim:
        raise error("TILE0202", f"a margin is of one value, not of a tensor of rank {value.ndim}")
    names, forms = variables(tensor.ndim)
    sink = [f + before for f, (before, _) in zip(forms, widths)]
    shape = [plus(n, before + after) for n, (before, after) in zip(tensor.type.shape, widths)]
    default = as_dtype(value, tensor.type.dtype)
    return contraction("assign", names, element(tensor, forms), sink, shape, default=default, stem="pad")
