"""Floor 5: operators of traced tensors: each is a function of `tilec.numpy`.

A Python number beside a tensor is weak: it takes the tensor's type within its category. `==` compares elements.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tilec.tracing.sizes import OpenSize


class Operators:
    """Arithmetic of a value that `tilec.numpy` takes as an operand."""

    __slots__ = ()
    __hash__ = object.__hash__

    def __add__(self, other: Any) -> Any:
        return operate("add", self, other)

    def __radd__(self, other: Any) -> Any:
        return operate("add", other, self)

    def __sub__(self, other: Any) -> Any:
        return operate("subtract", self, other)

    def __rsub__(self, other: Any) -> Any:
        return operate("subtract", other, self)

    def __mul__(self, other: Any) -> Any:
        return operate("multiply", self, other)

    def __rmul__(self, other: Any) -> Any:
        return operate("multiply", other, self)

    def __truediv__(self, other: Any) -> Any:
        return operate("divide", self, other)

    def __rtruediv__(self, other: Any) -> Any:
        return operate("divide", other, self)

    def __floordiv__(self, other: Any) -> Any:
        return operate("floor_divide", self, other)

    def __rfloordiv__(self, other: Any) -> Any:
        return operate("floor_divide", other, self)

    def __mod__(self, other: Any) -> Any:
        return operate("remainder", self, other)

    def __rmod__(self, other: Any) -> Any:
        return operate("remainder", other, self)

    def __pow__(self, other: Any) -> Any:
        return operate("power", self, other)

    def __rpow__(self, other: Any) -> Any:
        return operate("power", other, self)

    def __matmul__(self, other: Any) -> Any:
        return operate("matmul", self, other)

    def __rmatmul__(self, other: Any) -> Any:
        return operate("matmul", other, self)

    def __and__(self, other: Any) -> Any:
        return operate("bitwise_and", self, other)

    def __rand__(self, other: Any) -> Any:
        return operate("bitwise_and", other, self)

    def __or__(self, other: Any) -> Any:
        return operate("bitwise_or", self, other)

    def __ror__(self, other: Any) -> Any:
        return operate("bitwise_or", other, self)

    def __xor__(self, other: Any) -> Any:
        return operate("bitwise_xor", self, other)

    def __rxor__(self, other: Any) -> Any:
        return operate("bitwise_xor", other, self)

    def __lshift__(self, other: Any) -> Any:
        return operate("bitwise_left_shift", self, other)

    def __rlshift__(self, other: Any) -> Any:
        return operate("bitwise_left_shift", other, self)

    def __rshift__(self, other: Any) -> Any:
        return operate("bitwise_right_shift", self, other)

    def __rrshift__(self, other: Any) -> Any:
        return operate("bitwise_right_shift", other, self)

    def __lt__(self, other: Any) -> Any:
        return operate("less", self, other)

    def __le__(self, other: Any) -> Any:
        return operate("less_equal", self, other)

    def __gt__(self, other: Any) -> Any:
        return operate("greater", self, other)

    def __ge__(self, other: Any) -> Any:
        return operate("greater_equal", self, other)

    def __eq__(self, other: Any) -> Any:  # elementwise, as in NumPy
        return operate("equal", self, other)

    def __ne__(self, other: Any) -> Any:
        return operate("not_equal", self, other)

    def __neg__(self) -> Any:
        return method("negative", self)

    def __pos__(self) -> Any:
        return self

    def __abs__(self) -> Any:
        return method("abs", self)

    def __invert__(self) -> Any:
        return method("bitwise_invert", self)

    def __round__(self, digits: int | None = None) -> Any:
        return method("round", self, 0 if digits is None else digits)

    def __divmod__(self, other: Any) -> tuple[Any, Any]:
        return self // other, self % other

    def __rdivmod__(self, other: Any) -> tuple[Any, Any]:
        return other // self, other % self


def functions() -> Any:
    """`tilec.numpy`, which is built on this module."""
    import tilec.numpy

    return tilec.numpy


def method(name: str, *args: Any, **kwargs: Any) -> Any:
    return getattr(functions(), name)(*args, **kwargs)


def operate(name: str, left: Any, right: Any) -> Any:
    """NotImplemented for what is no operand, so that Python tries the other side or complains in its own words."""
    for value in (left, right):
        if not is_operand(value):
            return NotImplemented
    return method(name, left, right)


def is_number(value: Any) -> bool:
    """Whether this is a Python number, whose type is weak. A scalar of NumPy's is an array without axes, as NumPy 2 and
    the array API have it, though `numpy.float64` derives from float.
    """
    return isinstance(value, bool | int | float) and not isinstance(value, np.generic)


def is_operand(value: Any) -> bool:
    """Whether a value can stand beside a tensor: a tensor, a number or an array, foreign ones too."""
    known = Operators | OpenSize | bool | int | float | np.ndarray | np.generic
    return isinstance(value, known) or hasattr(value, "__dlpack__")
