"""Floor 5: new tensors."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from typing import Any

import numpy as np

from tilec.affine import Affine, Size
from tilec.dtypes import BOOL, F32, F64, I32, I64, U64, DType
from tilec.errors import error
from tilec.expr import Const, Expr, IndexValue
from tilec.graph import Literal, TensorType
from tilec.numpy.axes import leaves, number, shape_of, whole
from tilec.numpy.shapes import broadcast_to, stack
from tilec.rules import call, cast, constant, weak_dtype
from tilec.tracing.contraction import contraction, element, variables
from tilec.tracing.dispatch import lift, operation, scope
from tilec.tracing.elementwise import as_dtype, dtype_of
from tilec.tracing.operators import is_number
from tilec.tracing.place import located
from tilec.tracing.sizes import OpenSize
from tilec.tracing.tensor import Tensor
from tilec.tracing.trace import fitting


def asarray(x: Any, /, dtype: Any = None, *, copy: bool | None = None) -> Any:
    """A number, array or tensor, or lists of them, as deep as there are axes, as a tensor of this type, or of its own.

    Numbers have the types of new tensors. `copy` changes nothing. Raises TILE0203 of rows that differ in length.
    """
    with located():
        return _typed(_joined(x, None if dtype is None else dtype_of(dtype)), dtype=dtype)


def _joined(x: Any, dtype: DType | None) -> Any:
    """Lists of numbers as an array, others as tensors that are stacked; a float64 number with all its digits."""
    if not isinstance(x, list | tuple):
        return np.float64(x) if is_number(x) and dtype == F64 else x
    numbers = list(leaves(x))
    if not all(map(is_number, numbers)):
        return stack([_joined(part, dtype) for part in x])
    try:
        return np.array(x, F64.numpy if dtype == F64 else _dtype_for(numbers).numpy)
    except ValueError:
        raise error("TILE0203", "a tensor is made of rows of different lengths") from None


def _dtype_for(numbers: Sequence[Any]) -> DType:
    """The type of a new tensor that holds these numbers."""
    if any(isinstance(n, float) for n in numbers) or not numbers:
        return F32
    if all(isinstance(n, bool) for n in numbers):
        return BOOL
    for dtype in (I32, I64, U64):
        if dtype.min <= min(numbers) and max(numbers) <= dtype.max:
            return dtype
    raise error("TILE0415", "an element exceeds 64 bits")


@operation
def _typed(x: Any, /, dtype: Any) -> Any:
    tensor = lift(x)
    return as_dtype(tensor, tensor.type.dtype if dtype is None else dtype_of(dtype))


@operation
def zeros(shape: Any, dtype: Any = "float32") -> Any:
    """Zeros."""
    return _filled(0, shape, dtype_of(dtype))


@operation
def ones(shape: Any, dtype: Any = "float32") -> Any:
    """Ones."""
    return _filled(1, shape, dtype_of(dtype))


def from_dlpack(x: Any, /, *, device: Any = None, copy: bool | None = None) -> Any:
    """An array of another library as a tensor, or, outside of traced functions, as a NumPy array."""
    return asarray(x)


@operation
def full(shape: Any, fill_value: Any, dtype: Any = None) -> Any:
    """One value everywhere, of its own type by default."""
    if is_number(fill_value):
        return _filled(fill_value, shape, weak_dtype(fill_value) if dtype is None else dtype_of(dtype))
    value = lift(fill_value)
    return broadcast_to(as_dtype(value, value.type.dtype if dtype is None else dtype_of(dtype)), shape)


@operation
def zeros_like(x: Any, /, dtype: Any = None) -> Any:
    """Zeros of a tensor's shape, and of its type unless another is given."""
    return _like(x, 0, dtype)


@operation
def ones_like(x: Any, /, dtype: Any = None) -> Any:
    """Ones of a tensor's shape, and of its type unless another is given."""
    return _like(x, 1, dtype)


empty, empty_like = zeros, zeros_like  # memory with any contents: zeros are as good as others


@operation
def full_like(x: Any, /, fill_value: Any, dtype: Any = None) -> Any:
    """One value everywhere in a tensor's shape, and of its type unless another is given."""
    return _like(x, fill_value, dtype)


def _like(x: Any, value: Any, dtype: Any) -> Any:
    tensor = lift(x)
    return full(tensor.type.shape, value, tensor.type.dtype if dtype is None else dtype_of(dtype))


def _filled(value: bool | int | float, shape: Any, dtype: DType) -> Tensor:
    type = TensorType(dtype, shape_of(shape))
    fitting(value, dtype)
    return scope().bind(Literal(type, (constant(value, dtype).value,)), "filled")


@operation
def arange(start: Any, stop: Any = None, step: Any = 1, dtype: Any = None) -> Any:
    """start, start + step ... before stop; from 0 where there is one number only. Integers are int32, or int64 where
    one of them does not fit.
    """
    if stop is None:
        start, stop = 0, start
    if isinstance(stop, OpenSize) and (start, step) == (0, 1):
        return _progression(0, 1, stop.poly, I32 if dtype is None else dtype_of(dtype))
    numbers = [number(v, "a bound") for v in (start, stop, step)]
    if numbers[2] == 0:
        raise error("TILE0216", "arange with a step of 0")
    count = max(0, ceil((numbers[1] - numbers[0]) / numbers[2]))
    if dtype is not None:
        found = dtype_of(dtype)
    elif all(isinstance(n, int) for n in numbers):
        last = numbers[0] + max(count - 1, 0) * numbers[2]
        found = I64 if I64 in (weak_dtype(numbers[0]), weak_dtype(last)) else I32
    else:
        found = F32
    return _progression(numbers[0], numbers[2], count, found)


@operation
def linspace(start: float, stop: float, num: int = 50, *, endpoint: bool = True, dtype: Any = "float32") -> Any:
    """`num` numbers at equal distances from start to stop."""
    start, stop = number(start, "a bound"), number(stop, "a bound")
    count = whole(num, "the number of elements")
    shape_of(count)
    steps = count - 1 if endpoint else count
    step = (stop - start) / steps if steps > 0 else 0.0
    return _progression(float(start), float(step), count, dtype_of(dtype))


def _progression(start: int | float, step: int | float, count: Size, dtype: DType) -> Tensor:
    """start + i * step: of integers exact, else computed in float64 and rounded once."""
    names, forms = variables(1)
    if isinstance(start, int) and isinstance(step, int):
        body: Expr = cast(IndexValue(forms[0] * step + start, I64), dtype)
    else:
        scaled = call("mul", cast(IndexValue(forms[0], I64), F64), Const(float(step), F64))
        body = cast(call("add", scaled, Const(float(start), F64)), dtype)
    return contraction("assign", names, body, forms, (count,), stem="arange")


@operation
def eye(n_rows: int, n_cols: int | None = None, k: int = 0, dtype: Any = "float32") -> Any:
    """Ones on the k-th diagonal, zeros elsewhere."""
    shape = shape_of((n_rows, n_rows if n_cols is None else n_cols))
    _, (row, column) = variables(2)
    return _compared("cmp_eq", column - row, whole(k, "a diagonal"), shape, dtype_of(dtype))


@operation
def tril(x: Any, /, k: int = 0) -> Any:
    """The matrices' elements on and below the k-th diagonal, zeros above."""
    return _triangle("cmp_le", lift(x), whole(k, "a diagonal"))


@operation
def triu(x: Any, /, k: int = 0) -> Any:
    """The matrices' elements on and above the k-th diagonal, zeros below."""
    return _triangle("cmp_ge", lift(x), whole(k, "a diagonal"))


def _triangle(op: str, x: Tensor, k: int) -> Tensor:
    if x.ndim < 2:
        raise error("TILE0202", f"a triangle of a tensor of rank {x.ndim}")
    names, forms = variables(x.ndim)
    inside = call(op, IndexValue(forms[-1] - forms[-2], I32), Const(k, I32))
    body = call("cond", inside, element(x, forms), constant(0, x.type.dtype))
    return contraction("assign", names, body, forms, x.type.shape, stem="triangle")


def _compared(op: str, form: Affine, value: int, shape: tuple[Size, ...], dtype: DType) -> Tensor:
    names, forms = variables(len(shape))
    body = cast(call(op, IndexValue(form, I32), Const(value, I32)), dtype)
    return contraction("assign", names, body, forms, shape, stem="eye")


@operation
def one_hot(x: Any, /, num_classes: int, *, dtype: Any = "float32") -> Any:
    """A last axis that is 1 at the position that the integer x says, else 0; all 0 where it is outside."""
    tensor = lift(x)
    if not tensor.type.dtype.is_integer:
        raise error("TILE0304", f"one_hot takes integers, not {tensor.type.dtype.long}")
    shape = (*tensor.type.shape, *shape_of(num_classes))
    names, forms = variables(len(shape))
    wide = cast(element(tensor, forms[:-1]), I64)
    body = cast(call("cmp_eq", wide, IndexValue(forms[-1], I64)), dtype_of(dtype))
    return contraction("assign", names, body, forms, shape, stem="one_hot")
