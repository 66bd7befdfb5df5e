"""Floor 5: sizes that stay open while a function is traced, and the arguments whose axes have them.

`open_sizes` of `tilec.jit` names axes of arguments. Such an axis is part of the signature by its name, and the `shape`
of a traced tensor holds an `OpenSize` for it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn, TypeAlias

import numpy as np

from tilec.affine import Coef, Poly, Size, simplest, size_text
from tilec.errors import error
from tilec.tracing.place import user_span

Axes: TypeAlias = tuple[str | None, ...]  # names of the first axes; None for one that is fixed
_HELP = 'write open_sizes={"x": ("N", None), "y": "N"}: names of first axes, None for one that is fixed'
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")


class OpenSize:
    """A size that each call gives anew. It adds, subtracts, multiplies and divides where the result is a size again;
    beside tensors and floats, and where it is divided by with `/`, it is a number at run time. Whatever would need its
    value while tracing (int(), bool(), a comparison with another size) raises TILE0210 with the user's line.
    """

    __slots__ = ("poly",)

    def __init__(self, poly: Poly) -> None:
        self.poly = poly

    def __repr__(self) -> str:
        return size_text(self.poly)

    def __hash__(self) -> int:
        return hash(self.poly)

    def __add__(self, other: Any) -> Any:
        return self._with(other, lambda a, b: a + b, "add")

    __radd__ = __add__

    def __sub__(self, other: Any) -> Any:
        return self._with(other, lambda a, b: a - b, "subtract")

    def __rsub__(self, other: Any) -> Any:
        return self._with(other, lambda a, b: b - a, "subtract", swapped=True)

    def __mul__(self, other: Any) -> Any:
        return self._with(other, lambda a, b: a * b, "multiply")

    __rmul__ = __mul__

    def __neg__(self) -> Any:
        return self * -1

    def __floordiv__(self, other: Any) -> Any:
        return self._with(other, self._divided, "floor_divide")

    def __rfloordiv__(self, other: Any) -> Any:
        return self._with(other, lambda a, b: self._divided(b, a), "floor_divide", swapped=True)

    def __truediv__(self, other: Any) -> Any:
        return _function("divide")(_operand(self), _operand(other))

    def __rtruediv__(self, other: Any) -> Any:
        return _function("divide")(_operand(other), _operand(self))

    def __mod__(self, other: Any) -> Any:
        return self - self // other * other

    def __pow__(self, other: Any) -> Any:
        return _function("power")(_operand(self), _operand(other))

    def __rpow__(self, other: Any) -> Any:
        return _function("power")(_operand(other), _operand(self))

    def __eq__(self, other: object) -> bool:
        """True for the same size. Of any other, it is not known."""
        if not isinstance(other, OpenSize | int):
            return NotImplemented
        if size_of(other) != self.poly:
            self._unknown(f"whether it is {other!r}")
        return True

    def __lt__(self, other: Any) -> bool:
        self._unknown(f"how it compares with {other!r}")

    __le__ = __gt__ = __ge__ = __lt__

    def __bool__(self) -> bool:
        self._unknown("whether it is 0")

    def __int__(self) -> int:
        self._unknown("its value")

    __index__ = __int__

    def __float__(self) -> float:
        self._unknown("its value")

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        self._unknown("its value")

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        """`numpy.sqrt(size)` is the function of `tilec.numpy`, in the type that NumPy gives of an integer."""
        if method != "__call__" or kwargs:
            self._unknown("its value")
        of_floats = ufunc(*[np.int64(1)] * len(inputs)).dtype.kind == "f"
        given = [_strong(i, "float64" if of_floats else "int64") for i in inputs]
        return _operand(self).__array_ufunc__(ufunc, method, *given)

    def _with(self, other: Any, sizes: Callable[[Coef, Coef], Coef], name: str, swapped: bool = False) -> Any:
        """Of another size by polynomials, of a float at run time."""
        if isinstance(other, OpenSize | int) and not isinstance(other, bool):
            return public(sizes(self.poly, size_of(other)))
        if isinstance(other, float):
            operands = (other, _operand(self)) if swapped else (_operand(self), other)
            return _function(name)(*operands)
        return NotImplemented

    def _divided(self, a: Coef, b: Coef) -> Coef:
        found = quotient(a, b)
        return self._unknown(f"whether {b} divides {a}") if found is None else found

    def _unknown(self, what: str) -> NoReturn:
        text = f"the size {self!r} is open, and {what} is not known while the function is traced"
        help = f"give {self!r} a number: leave it out of open_sizes, or write one in the types"
        raise error("TILE0210", text, user_span(), help=help)


def size_of(value: OpenSize | int) -> Size:
    return value.poly if isinstance(value, OpenSize) else int(value)


def public(size: Coef) -> Any:
    """A size as users see it."""
    return OpenSize(size) if isinstance(size, Poly) else size


def quotient(a: Coef, b: Coef) -> Coef | None:
    """a / b where it is a polynomial with integer coefficients and b one product of sizes, else None."""
    divisors = b.terms if isinstance(b, Poly) else (((), b),)
    if len(divisors) != 1 or divisors[0][1] == 0:
        return None
    names, factor = divisors[0]
    total: Coef = 0
    for monomial, c in a.terms if isinstance(a, Poly) else (((), a),):
        left = list(monomial)
        for name in names:
            if name not in left:
                return None
            left.remove(name)
        if not isinstance(c, int) or not isinstance(factor, int) or c % factor:
            return None
        total = total + (Poly(((tuple(left), c // factor),)) if left else simplest(c // factor))
    return total


def _function(name: str) -> Any:
    import tilec.numpy

    return getattr(tilec.numpy, name)


def _operand(value: Any) -> Any:
    """A size as a tensor."""
    return _function("asarray")(value) if isinstance(value, OpenSize) else value


def _strong(value: Any, dtype: str) -> Any:
    """A size as a tensor of this type."""
    return _function("asarray")(value, dtype=dtype) if isinstance(value, OpenSize) else value


# what `tilec.jit` is told


def names_by_argument(given: Any) -> dict[str, Any]:
    """`open_sizes` as a dict; raises TILE0511 where it is not made of names."""
    if given is not None and not isinstance(given, Mapping):
        raise error("TILE0511", f"open_sizes is a dict, not {given!r}", user_span(), help=_HELP)
    found = dict(given or {})
    check_open(found)
    return found


def check_open(given: Any) -> None:
    """Raises TILE0511 where a part of `open_sizes` is not made of names."""
    match given:
        case None:
            return
        case str() if _NAME.match(given):
            return
        case tuple() if all(n is None or (isinstance(n, str) and _NAME.match(n)) for n in given):
            return
        case Mapping():
            for item in given.values():
                check_open(item)
        case list():
            for item in given:
                check_open(item)
        case _:
            raise error("TILE0511", f"open_sizes cannot hold {given!r}", user_span(), help=_HELP)


def axes_at(given: Any, path: Sequence[Any]) -> Axes:
    """The names for the array at this path of the arguments."""
    for key in path:
        if isinstance(given, Mapping):
            given = given.get(key)
        elif isinstance(given, list):
            given = given[key] if isinstance(key, int) and key < len(given) else None
    return (given,) if isinstance(given, str) else given if isinstance(given, tuple) else ()


def opened(shape: Sequence[Any], axes: Axes) -> tuple[Any, ...]:
    """The shape with the names of axes in place of their sizes."""
    return (*(name or size for name, size in zip(axes, shape)), *shape[len(axes) :])
