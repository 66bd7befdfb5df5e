"""Floor 5: `Tensor`: a value of a Graph that is being built.

Operators (`tilec.tracing.operators`) and methods add nodes; a tensor hashes by identity. Iteration gives the slices
along the first axis, as many as its size says. Nothing here has a value that Python could look at: `bool(t)`, `int(t)`
and `numpy.asarray(t)` raise TILE0521 with the user's line.
"""

from __future__ import annotations

from operator import index
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from tilec.affine import Poly
from tilec.errors import error
from tilec.graph import TensorType
from tilec.tracing.operators import Operators, functions, is_operand, method
from tilec.tracing.place import user_span
from tilec.tracing.sizes import OpenSize

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_BRANCH = "tilec.cond chooses between two functions, tilec.numpy.where between two values"
_RENAMED = {f"arc{name}": f"a{name}" for name in ("sin", "cos", "tan", "tan2", "sinh", "cosh", "tanh")} | {
    "absolute": "abs",
    "invert": "bitwise_invert",
    "left_shift": "bitwise_left_shift",
    "right_shift": "bitwise_right_shift",
    "rint": "round",
}
_LOOP = (
    "tilec.while_loop and tilec.fori_loop repeat a function as often as values say; "
    "an argument that Python must know, as an axis, is named in static_argnames"
)


class Tensor(Operators):
    """An abstract array: `dtype` (NumPy's), `shape`, and the `name` of a value of the Graph being built."""

    __slots__ = ("__weakref__", "name", "trace", "type")
    __hash__ = object.__hash__

    def __init__(self, trace: Any, name: str, type: TensorType) -> None:
        self.trace, self.name, self.type = trace, name, type  # the `Trace`, a module above this one, that it is of

    def __array_namespace__(self, *, api_version: str | None = None) -> Any:
        """`tilec.numpy`, for libraries that are written to the array API."""
        return functions()

    @property
    def device(self) -> str:
        """Where the elements will be: what `tilec.jit(target=...)` says, which tensors know nothing of."""
        return "cpu"

    def to_device(self, device: Any, /, *, stream: Any = None) -> Tensor:
        """The tensor itself; raises TILE0511 for another device."""
        if device != "cpu":
            help = "tilec.jit(target=...) says where the whole function runs"
            raise error("TILE0511", f"a tensor cannot be moved to {device!r}", user_span(), help=help)
        return self

    @property
    def __tilec_type__(self) -> TensorType:
        """What tells the rest of tilec that this is a traced tensor."""
        return self.type

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.type.dtype.numpy

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes, an `OpenSize` for one that each call gives anew."""
        return tuple(OpenSize(s) if isinstance(s, Poly) else s for s in self.type.shape)  # type: ignore[misc]

    @property
    def ndim(self) -> int:
        return self.type.rank

    @property
    def size(self) -> int:
        count = 1
        for extent in self.shape:
            count *= extent
        return count

    def __repr__(self) -> str:
        return f"Tensor({self.type.dtype.long}[{', '.join(map(str, self.type.shape))}], {self.name!r})"

    def __copy__(self) -> Tensor:
        return self

    def __deepcopy__(self, memo: Any) -> Tensor:
        return self

    # methods

    def __getitem__(self, key: Any) -> Tensor:
        return _method("getitem", self, key)

    def __setitem__(self, key: Any, value: Any) -> NoReturn:
        help = "tilec.numpy.where chooses between old and new elements, concat joins parts"
        raise error("TILE0511", "the elements of a traced tensor cannot be assigned", user_span(), help=help)

    def __len__(self) -> int:
        if not self.shape:
            raise error("TILE0202", "a tensor of rank 0 has no length", user_span())
        return index(self.shape[0])

    def __iter__(self) -> Iterator[Tensor]:
        """The slices along the first axis, whose size must be known; raises TILE0202, TILE0210, TILE0417."""
        if not self.shape:
            help = "only an axis is iterated over; a single value is used as it is"
            raise error("TILE0202", "a tensor of rank 0 cannot be iterated over", user_span(), help=help)
        return (self[k] for k in range(len(self)))

    @property
    def T(self) -> Tensor:  # noqa: N802  # NumPy's name
        return _method("permute_dims", self)

    @property
    def mT(self) -> Tensor:  # noqa: N802
        return _method("matrix_transpose", self)

    def sum(self, axis: Any = None, *, dtype: Any = None, keepdims: bool = False) -> Tensor:
        return _method("sum", self, axis=axis, dtype=dtype, keepdims=keepdims)

    def prod(self, axis: Any = None, *, dtype: Any = None, keepdims: bool = False) -> Tensor:
        return _method("prod", self, axis=axis, dtype=dtype, keepdims=keepdims)

    def max(self, axis: Any = None, *, keepdims: bool = False) -> Tensor:
        return _method("max", self, axis=axis, keepdims=keepdims)

    def min(self, axis: Any = None, *, keepdims: bool = False) -> Tensor:
        return _method("min", self, axis=axis, keepdims=keepdims)

    def mean(self, axis: Any = None, *, keepdims: bool = False) -> Tensor:
        return _method("mean", self, axis=axis, keepdims=keepdims)

    def var(self, axis: Any = None, *, correction: float = 0.0, ddof: float = 0.0, keepdims: bool = False) -> Tensor:
        """NumPy's methods call the correction `ddof`."""
        return _method("var", self, axis=axis, correction=correction or ddof, keepdims=keepdims)

    def std(self, axis: Any = None, *, correction: float = 0.0, ddof: float = 0.0, keepdims: bool = False) -> Tensor:
        return _method("std", self, axis=axis, correction=correction or ddof, keepdims=keepdims)

    def any(self, axis: Any = None, *, keepdims: bool = False) -> Tensor:
        return _method("any", self, axis=axis, keepdims=keepdims)

    def all(self, axis: Any = None, *, keepdims: bool = False) -> Tensor:
        return _method("all", self, axis=axis, keepdims=keepdims)

    def argmax(self, axis: int | None = None, *, keepdims: bool = False) -> Tensor:
        return _method("argmax", self, axis=axis, keepdims=keepdims)

    def argmin(self, axis: int | None = None, *, keepdims: bool = False) -> Tensor:
        return _method("argmin", self, axis=axis, keepdims=keepdims)

    def cumsum(self, axis: int | None = None, *, dtype: Any = None) -> Tensor:
        return _method("cumulative_sum", self, axis=axis, dtype=dtype)

    def cumprod(self, axis: int | None = None, *, dtype: Any = None) -> Tensor:
        return _method("cumulative_prod", self, axis=axis, dtype=dtype)

    def ptp(self, axis: Any = None) -> Tensor:
        return _method("ptp", self, axis)

    def sort(self, axis: int = -1) -> Tensor:
        """A new tensor, where an array is sorted in place."""
        return _method("sort", self, axis=axis)

    def argsort(self, axis: int = -1) -> Tensor:
        return _method("argsort", self, axis=axis)

    def searchsorted(self, values: Any, side: str = "left") -> Tensor:
        return _method("searchsorted", self, values, side=side)

    def nonzero(self, *, size: int | None = None, fill_value: int = 0) -> Any:
        return method("nonzero", self, size=size, fill_value=fill_value)

    def choose(self, choices: Any, mode: str = "clip") -> Tensor:
        return _method("choose", self, choices, mode=mode)

    def diagonal(self, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Tensor:
        return _method("diagonal", self, offset, axis1, axis2)

    def repeat(self, repeats: Any, axis: int | None = None) -> Tensor:
        return _method("repeat", self, repeats, axis=axis)

    def copy(self) -> Tensor:
        return self

    def conj(self) -> Tensor:
        return self

    conjugate = conj

    @property
    def real(self) -> Tensor:
        return self

    @property
    def imag(self) -> Tensor:
        return _method("imag", self)

    @property
    def itemsize(self) -> int:
        """Bytes of an element."""
        return self.dtype.itemsize

    @property
    def nbytes(self) -> int:
        """Bytes of all elements."""
        return self.size * self.itemsize

    def clip(self, min: Any = None, max: Any = None) -> Tensor:
        return _method("clip", self, min, max)

    def round(self, decimals: int = 0) -> Tensor:
        return _method("round", self, decimals)

    def dot(self, other: Any) -> Tensor:
        return _method("dot", self, other)

    def astype(self, dtype: Any) -> Tensor:
        return _method("astype", self, dtype)

    def reshape(self, *shape: int | Sequence[int]) -> Tensor:
        return _method("reshape", self, shape[0] if len(shape) == 1 else shape)

    def ravel(self) -> Tensor:
        return _method("reshape", self, -1)

    flatten = ravel

    def transpose(self, *axes: int | Sequence[int]) -> Tensor:
        return _method("permute_dims", self, *((axes[0] if len(axes) == 1 else axes,) if axes else ()))

    def swapaxes(self, axis1: int, axis2: int) -> Tensor:
        return _method("swapaxes", self, axis1, axis2)

    def squeeze(self, axis: Any = None) -> Tensor:
        return _method("squeeze", self, axis)

    def take(self, indices: Any, axis: int | None = None) -> Tensor:
        return _method("take", self, indices, axis=axis)

    # NumPy's functions

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        """`array + tensor` and `numpy.exp(tensor)` are the functions of `tilec.numpy`."""
        name = _RENAMED.get(ufunc.__name__, ufunc.__name__)
        function = getattr(functions(), name, None)
        if method != "__call__" or kwargs or function is None:
            self._not_numpy(f"numpy.{ufunc.__name__}" + ("" if method == "__call__" else f".{method}"))
        return function(*inputs)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> NoReturn:
        self._not_numpy(f"numpy.{function.__name__}")

    def _not_numpy(self, name: str) -> NoReturn:
        own = name.removeprefix("numpy.")
        help = f"use tilec.numpy.{own}" if hasattr(functions(), own) else "use functions of tilec.numpy"
        raise error("TILE0521", f"{name} needs the elements of {self!r}, which are not known", user_span(), help=help)

    # what has no answer while tracing

    def __bool__(self) -> bool:
        self._unknown("the truth of", "it decides what Python does next", _BRANCH)

    def __int__(self) -> int:
        self._unknown("the integer value of", "", _LOOP)

    __index__ = __int__

    def __float__(self) -> float:
        self._unknown("the value of", "", "stay with tensors: .astype converts them")

    def __complex__(self) -> complex:
        self._unknown("the value of", "", "tilec has no complex numbers")

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        self._unknown("the elements of", "", "use functions of tilec.numpy instead of NumPy's")

    def item(self) -> Any:
        self._unknown("the value of", "", "return it from the function, and look at it there")

    def __format__(self, form: str) -> str:
        if not form:
            return repr(self)
        self._unknown("the value of", "", "return it from the function, and print it there")

    def __reduce__(self) -> NoReturn:
        self._unknown("the elements of", "", "return it from the function, and save it there")

    def tolist(self) -> Any:
        self._unknown("the elements of", "", "return it from the function, and look at it there")

    def _unknown(self, what: str, why: str, help: str) -> NoReturn:
        notes = ["while a function is traced, tensors have a type and a shape, but no elements"]
        are = "are" if what.endswith("elements of") else "is"
        message = f"{what} {self!r} {are} not known" + (f", but {why}" if why else "")
        raise error("TILE0521", message, user_span(), notes=notes, help=help)


def _method(name: str, *args: Any, **kwargs: Any) -> Tensor:
    found: Tensor = method(name, *args, **kwargs)
    return found


__all__ = ["Tensor", "is_operand"]
