"""Floor 5: aggregations along axes, each a contraction.

A sum keeps the type of its operand (bool is counted in int32) and adds 8- and 16-bit types up in 32 bits.
"""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from math import prod as product
from typing import Any, TypeAlias

from tilec.affine import Affine, Poly, Size
from tilec.dtypes import BOOL, F32, I32, DType, accumulator
from tilec.errors import error
from tilec.expr import Const, Expr, IndexValue
from tilec.graph import Constraint
from tilec.numpy.axes import axes_of, axis_of, number
from tilec.numpy.elementwise import isfinite, stop_gradient
from tilec.numpy.indexing import take_along_axis
from tilec.numpy.shapes import reshape, squeeze
from tilec.rules import call, shape_text
from tilec.tracing.contraction import contraction, element, variables
from tilec.tracing.dispatch import lift, operation, scope
from tilec.tracing.elementwise import apply, as_dtype, as_float, as_total, dtype_of
from tilec.tracing.sizes import OpenSize
from tilec.tracing.tensor import Tensor

LONGEST = 4096  # terms that are added up one after the other
MANY = 1 << 18  # elements of which positions are looked for in blocks
SHORT = 128  # terms along the last axis below which their sums are not worth vectors
Axis: TypeAlias = int | Sequence[int] | None


def _reduce(monoid: str, x: Tensor, axis: Axis, keepdims: bool, dtype: DType | None = None, stem: str = "") -> Tensor:
    """Aggregates along the axes; with `keepdims` they stay, of size 1."""
    axes = axes_of(axis, x.ndim)
    if monoid == "sum" and x.type.dtype.is_float and _is_long(x, axes):
        return _long_sum(x, axes, keepdims, dtype or x.type.dtype)
    names, forms = variables(x.ndim)
    kept = [a for a in range(x.ndim) if keepdims or a not in axes]
    sink = [Affine.constant(0) if a in axes else forms[a] for a in kept]
    shape = [1 if a in axes else x.type.shape[a] for a in kept]
    # what no term reaches is 0 in a contraction, but a product of nothing is 1
    default = lift(as_dtype(1, x.type.dtype)) if monoid == "prod" and _may_be_empty(x) else None
    return contraction(monoid, names, element(x, forms), sink, shape, dtype=dtype, default=default, stem=stem or monoid)


def _is_long(x: Tensor, axes: Sequence[int]) -> bool:
    """Whether these axes have many elements; what is open counts as few."""
    count = product(x.type.shape[a] for a in axes)
    return isinstance(count, int) and count > LONGEST


def _long_sum(x: Tensor, axes: Sequence[int], keepdims: bool, dtype: DType) -> Tensor:
    """A sum of sums. Adding so many floats up one after the other would lose digits: n ones are n up to 2^24 only.

    Memory is read in order. A last axis of some length goes first, for sums along it lie in vector lanes; else the
    first axis does, and what is left are lanes beside one another. A long axis goes in two steps.
    """
    wide = accumulator(x.type.dtype, "sum")
    last, size = x.ndim - 1, x.type.shape[-1]
    lanes = last in axes and isinstance(size, int) and size >= SHORT
    for a in sorted(axes, key=lambda a: (a != last, a)) if lanes else axes:
        if _is_long(x, [a]):
            x = _folded(x, a, wide)
        if not _is_long(x, axes):
            break
        x = _reduce("sum", x, a, True, wide)
    return _reduce("sum", x, axes, keepdims, dtype)


def _folded(x: Tensor, axis: int, dtype: DType) -> Tensor:
    """Neighbours along an axis added up, about as many as the root of its size, so that memory is read in order.

    Where nothing near the root divides the size, every so many elements.
    """
    names, forms = variables(x.ndim)
    size = x.type.shape[axis]
    assert isinstance(size, int)
    root = 1 << (size.bit_length() + 1) // 2
    near = [n for n in range(root // 4, 2 * root) if size % n == 0]
    kept = builtins.min(near, key=lambda n: abs(n - root), default=root)
    fold, block = Affine.var("fold"), size // kept
    at = forms[axis] * block + fold if near else forms[axis] + fold * kept
    read = [at if a == axis else f for a, f in enumerate(forms)]
    shape = [kept if a == axis else n for a, n in enumerate(x.type.shape)]
    inside = [Constraint(fold, block)] if near else []
    body = element(x, read)
    return contraction("sum", (*names, "fold"), body, forms, shape, dtype=dtype, constraints=inside, stem="sum")


def _may_be_empty(x: Tensor) -> bool:
    return builtins.any(n == 0 or isinstance(n, Poly) for n in x.type.shape)


def _extremum(monoid: str, x: Any, axis: Axis, keepdims: bool) -> Tensor:
    tensor = lift(x)
    message = f"the {monoid}imum of no elements: the shape is {shape_text(tensor.type.shape)}"
    count = product(tensor.type.shape[a] for a in axes_of(axis, tensor.ndim))
    if isinstance(count, Poly):
        scope().require(apply("cmp_gt", lift(OpenSize(count)), lift(0)), "TILE0403", message)
    elif not count:
        raise error("TILE0403", message)
    return _reduce(monoid, tensor, axis, keepdims)


@operation
def sum(x: Any, /, axis: Axis = None, *, dtype: Any = None, keepdims: bool = False) -> Any:
    """The sum along axes, of all elements by default. Of more than 4096 floats it is a sum of sums, as one chain of
    additions would be less accurate."""
    return _reduce("sum", _converted(x, dtype), axis, keepdims)


@operation
def prod(x: Any, /, axis: Axis = None, *, dtype: Any = None, keepdims: bool = False) -> Any:
    """The product along axes, of all elements by default."""
    tensor = _converted(x, dtype)
    return _reduce("prod", as_dtype(tensor, I32) if tensor.type.dtype == BOOL else tensor, axis, keepdims)


def _converted(x: Any, dtype: Any) -> Tensor:
    return as_total(x) if dtype is None else as_dtype(lift(x), dtype_of(dtype))


@operation
def max(x: Any, /, axis: Axis = None, *, keepdims: bool = False) -> Any:
    """The largest element along axes; NaN where there is one."""
    return _extremum("max", x, axis, keepdims)


def max_or_zero(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The largest element along axes, 0 of no elements, as a contraction has it: for what is never negative, or where
    nothing comes of it."""
    return _reduce("max", lift(x), axis, keepdims)


@operation
def min(x: Any, /, axis: Axis = None, *, keepdims: bool = False) -> Any:
    """The smallest element along axes; NaN where there is one."""
    return _extremum("min", x, axis, keepdims)


@operation
def any(x: Any, /, axis: Axis = None, *, keepdims: bool = False) -> Any:
    """Whether an element along axes is not zero."""
    return _reduce("max", as_dtype(lift(x), BOOL), axis, keepdims, stem="any")


@operation
def all(x: Any, /, axis: Axis = None, *, keepdims: bool = False) -> Any:
    """Whether no element along axes is zero."""
    missing = apply("logical_not", lift(x))
    return apply("logical_not", _reduce("max", missing, axis, keepdims, stem="all"))


@operation
def mean(x: Any, /, axis: Axis = None, *, keepdims: bool = False) -> Any:
    """The mean along axes; integers become float32, and 16-bit floats are added and divided in float32."""
    return _mean(as_float(x), axis, keepdims, 0.0)


def _mean(x: Tensor, axis: Axis, keepdims: bool, correction: float) -> Any:
    number(correction, "a correction")
    count = product(x.type.shape[a] for a in axes_of(axis, x.ndim))
    total = _reduce("sum", _wide(x), axis, keepdims)
    if isinstance(count, Poly):
        left = apply("max", OpenSize(count) - correction, 0) if correction else OpenSize(count)
        return as_dtype(apply("div", total, left), x.type.dtype)
    return as_dtype(apply("div", total, float(builtins.max(count - correction, 0))), x.type.dtype)


def _wide(x: Tensor) -> Tensor:
    """A float tensor in at least float32: what is computed of 16-bit floats in several steps is rounded once."""
    wide: Tensor = as_dtype(x, F32) if x.type.dtype.bits < 32 else x
    return wide


@operation
def var(x: Any, /, axis: Axis = None, *, correction: float = 0.0, keepdims: bool = False) -> Any:
    """The variance along axes: squared distances from the mean over (count - correction), or over 0 if that is less."""
    return _var(x, axis, correction, keepdims)


@operation
def std(x: Any, /, axis: Axis = None, *, correction: float = 0.0, keepdims: bool = False) -> Any:
    """The square root of the variance."""
    return apply("sqrt", _var(x, axis, correction, keepdims))


def _var(x: Any, axis: Axis, correction: float, keepdims: bool) -> Any:
    tensor = as_float(x)
    wide = _wide(tensor)
    centred = apply("sub", wide, _mean(wide, axis, True, 0.0))
    return as_dtype(_mean(apply("mul", centred, centred), axis, keepdims, correction), tensor.type.dtype)


@operation
def argmax(x: Any, /, axis: int | None = None, *, keepdims: bool = False) -> Any:
    """The first position of the largest element along an axis, int32; NaN counts as largest."""
    return _position("max", lift(x), axis, keepdims)


@operation
def argmin(x: Any, /, axis: int | None = None, *, keepdims: bool = False) -> Any:
    """The first position of the smallest element along an axis, int32; NaN counts as smallest."""
    return _position("min", lift(x), axis, keepdims)


def _position(monoid: str, x: Tensor, axis: int | None, keepdims: bool) -> Any:
    """The least index at which the element is the extremum, or NaN where there is one."""
    rank = x.ndim
    if axis is None:
        x = reshape(x, (product(x.type.shape),))
    along = 0 if axis is None else axis_of(axis, rank)
    block = _block(x.type.shape, along)
    position = _by_blocks(monoid, x, along, block) if block else _first(monoid, x, along)
    if axis is None:
        return reshape(position, (1,) * rank if keepdims else ())
    return position if keepdims else squeeze(position, along)


def _block(shape: Sequence[Size], along: int) -> int:
    """How many elements of a long axis are one block for `_by_blocks`; 0 where that does not pay.

    Blocks of the last axis lie together, of others each element is in a cache line of its own.
    """
    sizes = [s for s in shape if isinstance(s, int)]
    if len(sizes) < len(shape) or product(sizes) < MANY:
        return 0
    count, most = sizes[along], 1024 if along == len(shape) - 1 else 32
    return next((n for n in range(most, most // 4, -1) if count % n == 0 and count >= 64 * n), 0)


def _by_blocks(monoid: str, x: Tensor, along: int, block: int) -> Tensor:
    """Reads a long axis once: extrema of blocks, the first block that has the extremum of all, and the place in it."""
    before, after = x.type.shape[:along], x.type.shape[along + 1 :]
    count = x.type.shape[along]
    assert isinstance(count, int)
    blocks = reshape(x, (*before, count // block, block, *after))
    where = _first(monoid, _extremum(monoid, blocks, along + 1, False), along)
    near = take_along_axis(blocks, reshape(where, (*before, 1, 1, *after)), axis=along)
    inside = _first(monoid, reshape(near, (*before, block, *after)), along)
    found: Tensor = apply("add", apply("mul", where, block), inside)
    return found


def _first(monoid: str, x: Tensor, along: int) -> Tensor:
    """The position along an axis, which is kept with size 1."""
    best = _extremum(monoid, x, along, True)
    names, forms = variables(x.ndim)
    own = element(x, forms)
    others = [Affine.constant(0) if a == along else f for a, f in enumerate(forms)]
    found = call("bit_or", call("cmp_eq", own, element(best, others)), call("cmp_ne", own, own))
    body = call("cond", found, IndexValue(forms[along], I32), _number(x.type.shape[along]))
    shape = [1 if a == along else n for a, n in enumerate(x.type.shape)]
    return contraction("min", names, body, others, shape, stem=f"arg{monoid}")


def _number(size: Size) -> Expr:
    return Const(size, I32) if isinstance(size, int) else IndexValue(Affine.constant(size), I32)


@operation
def logsumexp(x: Any, /, axis: Axis = None, *, keepdims: bool = False) -> Any:
    """log(sum(exp(x))) along axes, without overflow."""
    return _logsumexp(as_float(x), axis, keepdims)


def _logsumexp(x: Tensor, axis: Axis, keepdims: bool) -> Any:
    wide = _wide(x)
    shift = _finite_max(wide, axis)
    total = apply("log", _reduce("sum", apply("exp", apply("sub", wide, shift)), axis, True))
    found = as_dtype(apply("add", total, shift), x.type.dtype)
    return found if keepdims else squeeze(found, axes_of(axis, x.ndim))


def _finite_max(x: Tensor, axis: Axis) -> Any:
    """The maximum along axes, kept, 0 where it is not finite or where nothing is: what exp is taken relative to. A
    constant to autodiff."""
    top = stop_gradient(max_or_zero(x, axis, True))
    return apply("cond", isfinite(top), top, 0)


@operation
def softmax(x: Any, /, axis: Axis = -1) -> Any:
    """exp(x) / sum(exp(x)) along axes, without overflow."""
    tensor = as_float(x)
    wide = _wide(tensor)
    powers = apply("exp", apply("sub", wide, _finite_max(wide, axis)))
    return as_dtype(apply("div", powers, _reduce("sum", powers, axis, True)), tensor.type.dtype)


@operation
def log_softmax(x: Any, /, axis: Axis = -1) -> Any:
    """log(softmax(x)), accurate where softmax(x) is small."""
    tensor = as_float(x)
    wide = _wide(tensor)
    shifted = apply("sub", wide, _finite_max(wide, axis))
    total = _reduce("sum", apply("exp", shifted), axis, True)
    return as_dtype(apply("sub", shifted, apply("log", total)), tensor.type.dtype)
