"""Floor 4: from what a caller passes to what a backend runs: argument conversion, checks, result arrays.

A backend asks for dense, aligned, native arrays (`tilec.backend.Built`). Anything else that NumPy can read is accepted
and copied first: strided, negative-strided, unaligned, read-only and foreign (DLPack, buffer protocol) arrays.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np

from tilec.affine import size_text
from tilec.backend import Array
from tilec.dtypes import BF16, from_numpy
from tilec.errors import TileError, error
from tilec.graph import TensorType
from tilec.result_memory import maker


def describe(type: TensorType) -> str:
    """`f32[64, 64]`, the short form used in messages and on the command line."""
    return f"{type.dtype}[{', '.join(map(size_text, type.shape))}]"


class Typed(Protocol):
    """What has the type of an array."""

    @property
    def dtype(self) -> np.dtype[Any]: ...

    @property
    def shape(self) -> tuple[int, ...]: ...


def type_of(array: Array | Typed) -> TensorType | None:
    """TensorType of a NumPy array, None where tilec has no such dtype."""
    dtype = from_numpy(array.dtype)
    return None if dtype is None else TensorType(dtype, tuple(array.shape))


def as_array(name: str | None, value: Any) -> Array:
    """A NumPy view (or, last resort, copy) of an array-like: an argument of this name, or an operand that has none.

    Always of the base class: what a subclass of ndarray says of its shape need not be true. Raises TILE0505.
    """
    what = "an operand" if name is None else f"argument {name!r}"
    if _is_masked(value):
        raise error("TILE0505", f"{what} is a masked array, and a mask has no meaning here", help="pass .filled(...)")
    if isinstance(value, bytes):
        help = "numbers that are kept in bytes: numpy.frombuffer(..., 'uint8')"
        raise error("TILE0505", f"{what} is of type bytes, not an array", help=help)
    try:
        return _foreign(value)
    except TileError:  # a traced tensor says what to do
        raise
    except Exception as reason:  # the methods of a foreign object may raise anything
        raise error(
            "TILE0505",
            f"{what} is {'None' if value is None else f'of type {type(value).__name__}'}, not an array",
            notes=_first_line(reason) if _claims(value) else [],
            help=_ARRAY if isinstance(value, list | tuple) else _ARRAY_LIKE,
        ) from None


_NONE: Mapping[str, int | float] = MappingProxyType({})
_ARRAY = "make an array of it, with the dtype that you mean: numpy.array(..., 'float32')"
_ARRAY_LIKE = "pass a NumPy array or an object with __dlpack__ or the buffer protocol"


def _is_masked(value: Any) -> bool:
    """Whether this is a masked array; without importing their module, which takes longer than loading a program."""
    masked = sys.modules.get("numpy.ma")
    return masked is not None and isinstance(value, masked.MaskedArray)


def _claims(value: Any) -> bool:
    """Whether an object says that it is like an array."""
    return any(hasattr(value, name) for name in ("__dlpack__", "__array__", "__array_interface__", "__buffer__"))


def _foreign(value: Any) -> Array:
    if isinstance(value, np.ndarray):
        return value if type(value) is np.ndarray else np.ndarray.view(value, np.ndarray)
    if isinstance(value, bool | int | float | np.generic):
        return np.asarray(value)
    if hasattr(value, "__dlpack__") and _is_in_host(value):
        return _torch_bfloat16(value) if _is_torch_bfloat16(value) else np.from_dlpack(value)
    if hasattr(value, "__array__") or hasattr(value, "__array_interface__"):
        return np.ndarray.view(np.asarray(value), np.ndarray)
    return np.asarray(memoryview(value))


def _is_in_host(value: Any) -> bool:
    """Whether NumPy can read the memory of an object; if it cannot, the object may have a copy to offer."""
    return not hasattr(value, "__array__") or value.__dlpack_device__()[0] == _HOST


_HOST = 1  # kDLCPU


def _is_torch_bfloat16(value: Any) -> bool:
    """Whether this is a tensor of a type that NumPy's reader of DLPack does not know; without importing its library."""
    torch = sys.modules.get("torch")
    if torch is None or not isinstance(value, torch.Tensor):
        return False
    return bool(value.dtype == torch.bfloat16 and not value.requires_grad)  # with a gradient, it is refused below


def _torch_bfloat16(value: Any) -> Array:
    """The memory of the tensor, read as integers of the same width and taken for what it is."""
    return np.from_dlpack(value.view(sys.modules["torch"].int16)).view(BF16.numpy)


def _first_line(reason: Exception) -> list[str]:
    return str(reason).splitlines()[:1]


def argument(name: str, value: Any, expected: TensorType) -> Array:
    """`value` as a dense, aligned array of exactly the expected type; raises TileError TILE0503, 0504, 0505."""
    if expected.weak and not expected.shape and isinstance(value, bool | int | float):
        return _number(name, value, expected)
    array = as_array(name, value)
    check_type(name, array, expected)
    return dense(array)


def check_type(name: str, array: Array | Typed, expected: TensorType) -> None:
    """Raises TileError TILE0503, TILE0504 for an argument of another type."""
    found = type_of(array)
    if found is None or found.dtype != expected.dtype:
        shown = found.dtype.long if found else str(array.dtype)
        raise error(
            "TILE0503",
            f"argument {name!r} has dtype {shown}, expected {expected.dtype.long}",
            help=f"convert it with .astype({expected.dtype.long!r}), or compile for the other dtype",
        )
    if found.shape != expected.shape:
        raise error(
            "TILE0504",
            f"argument {name!r} has shape {list(found.shape)}, expected {list(expected.shape)}",
            help="an executable serves one set of shapes; compile again for others",
        )


class Slot:
    """A parameter or result with all that a call needs to know of it, looked up once: calls should cost little."""

    __slots__ = ("_dtype", "_maker", "_name", "_real", "_shape", "_type")

    def __init__(self, name: str, type: TensorType) -> None:
        self._name, self._type = name, type
        self._dtype, self._shape = type.dtype.numpy, tuple(type.shape)
        self._maker: Callable[[], Array] | None = None
        self._real = type.weak and not type.shape and type.dtype.is_float and type.dtype.bits >= 32

    @property
    def name(self) -> str:
        return self._name

    @property
    def type(self) -> TensorType:
        return self._type

    def taken(self, value: Any) -> Array:
        """`argument`, with short ways for an array that is what is expected, and for a float."""
        if (
            type(value) is np.ndarray
            and value.dtype is self._dtype
            and value.shape == self._shape
            and value.flags.num & _DENSE == _DENSE
        ):
            return value
        if self._real and type(value) is float and -1e38 < value < 1e38:
            return np.array(value, self._dtype)
        return argument(self._name, value, self._type)

    def writable(self, out: Any, inputs: Sequence[Array]) -> bool:
        """Whether a backend may write to `out` just as it is; False also where that takes longer to find out."""
        return (
            type(out) is np.ndarray
            and out.dtype is self._dtype
            and out.shape == self._shape
            and out.flags.num & _WRITABLE == _WRITABLE
            and not any(np.may_share_memory(out, x) for x in inputs)
        )

    @property
    def maker(self) -> Callable[[], Array]:
        """See `tilec.result_memory.maker`."""
        if self._maker is None:
            self._maker = maker(self._shape, self._dtype)  # type: ignore[arg-type]  # sizes are ints here
        return self._maker

    def fresh(self) -> Array:
        """`empty`, with a short way."""
        try:
            return self.maker()
        except (MemoryError, ValueError):
            return empty(self._name, self._type)


_DENSE = 0x101  # NPY_ARRAY_C_CONTIGUOUS, NPY_ARRAY_ALIGNED
_WRITABLE = _DENSE | 0x400  # NPY_ARRAY_WRITEABLE


def _number(name: str, value: float, expected: TensorType) -> Array:
    if isinstance(value, float) and not expected.dtype.is_float:
        raise error("TILE0503", f"argument {name!r} is a float, expected {expected.dtype.long}")
    if not expected.dtype.is_float and not expected.dtype.min <= value <= expected.dtype.max:
        raise error("TILE0503", f"argument {name!r} is {value}, outside the range of {expected.dtype.long}")
    if -1e38 < value < 1e38:  # no overflow to care for: the guard below takes longer than the rest
        return np.array(value, expected.dtype.numpy)
    try:
        with np.errstate(over="ignore"):
            return np.asarray(value, dtype=expected.dtype.numpy)
    except OverflowError:  # an int beyond the largest double
        raise error("TILE0503", f"argument {name!r} is outside the range of {expected.dtype.long}") from None


def dense(array: Array) -> Array:
    """The array itself where it is C-contiguous and aligned, else a copy that is; raises TileError TILE0416."""
    if _is_dense(array):
        return array
    try:
        return np.array(array, order="C", copy=True)
    except MemoryError:
        raise error("TILE0416", f"a copy of an array of shape {list(array.shape)} does not fit in memory") from None


def _is_dense(array: Array) -> bool:
    return array.flags.c_contiguous and array.flags.aligned


def empty(name: str, type: TensorType) -> Array:
    """A fresh result array; raises TileError TILE0416 where memory does not suffice."""
    try:
        return maker(tuple(int(s) for s in type.shape), type.dtype.numpy)()  # type: ignore[arg-type]  # ints here
    except (MemoryError, ValueError) as reason:
        raise error("TILE0416", f"result {name!r} of type {describe(type)} does not fit in memory") from reason


@dataclass(frozen=True, slots=True)
class Destinations:
    """Where results go: arrays for the backend to write, (from, to) copies after the run, what the caller gets."""

    arrays: list[Array]
    copies: list[tuple[Array, Array]]
    returned: list[Array]


def result_arrays(names: Sequence[str], types: Sequence[TensorType], out: Any, inputs: Sequence[Array]) -> Destinations:
    """Fresh arrays, or those of `out`: None, one array, a sequence of arrays or a mapping by result name (absent or
    None: a fresh array).

    An array that is not dense, or that overlaps an input, is filled by a copy. Raises TileError TILE0506, TILE0507.
    """
    given = named_out(names, out)
    targets = [None if g is None else _checked_out(n, t, g) for n, t, g in zip(names, types, given, strict=True)]
    found = Destinations([], [], [])
    for i, (name, type, target) in enumerate(zip(names, types, targets)):
        if any(target is not None and other is not None and overlap(target, other) for other in targets[:i]):
            raise error("TILE0507", f"out= for {name!r} overlaps another out= array")
        if target is not None and _is_dense(target) and not any(np.may_share_memory(target, x) for x in inputs):
            found.arrays.append(target)
        else:
            found.arrays.append(empty(name, type))
            if target is not None:
                found.copies.append((found.arrays[-1], target))
        found.returned.append(found.arrays[-1] if target is None else given[i])
    return found


def overlap(a: Array, b: Array) -> bool:
    """Whether two arrays share memory, or that takes too long to find out."""
    try:
        return np.shares_memory(a, b, max_work=1000)  # type: ignore[arg-type]  # any int is taken
    except np.exceptions.TooHardError:
        return True


def named_out(names: Sequence[str], out: Any) -> list[Any]:
    """What `out` holds for each result, None where that is nothing; raises TileError TILE0506."""
    if out is None:
        return [None] * len(names)
    if isinstance(out, Mapping):
        if unknown := [n for n in out if n not in names]:
            notes = [f"results: {', '.join(names)}"]
            raise error("TILE0506", f"out= names {unknown[0]!r}, which is not a result", notes=notes)
        return [out.get(n) for n in names]
    listed = list(out) if isinstance(out, tuple | list) else [out]
    if len(listed) != len(names):
        raise error("TILE0506", f"out= holds {len(listed)} arrays, the function has {len(names)} results")
    return listed


def _checked_out(name: str, type: TensorType, given: Any) -> Array:
    """`given` as an array of the base class, of the right type, that can be written."""
    if not isinstance(given, np.ndarray) or _is_masked(given):
        raise error("TILE0506", f"out= for {name!r} is of type {given.__class__.__name__}, not a NumPy array")
    target = np.ndarray.view(given, np.ndarray)  # what a subclass says of its shape need not be true
    found = type_of(target)
    if found is None or (found.dtype, found.shape) != (type.dtype, type.shape):
        shown = describe(found) if found else str(target.dtype)
        raise error("TILE0506", f"out= for {name!r} is {shown}, the result is {describe(type)}")
    if not target.flags.writeable:
        raise error("TILE0507", f"out= for {name!r} is read-only")
    if overlaps_itself(target):
        raise error("TILE0507", f"out= for {name!r} overlaps itself")
    return target


def overlaps_itself(array: Array) -> bool:
    """Whether two elements may share memory: an axis does not step over all that the axes of smaller stride reach."""
    if array.flags.c_contiguous:
        return False
    reach = array.itemsize
    for stride, extent in sorted((abs(s), e) for s, e in zip(array.strides, array.shape) if e > 1):
        if stride < reach:
            return array.size > 0
        reach += stride * (extent - 1)
    return False


def bind(
    names: Sequence[str], args: Sequence[Any], kwargs: Mapping[str, Any], fixed: Mapping[str, int | float] = _NONE
) -> list[Any]:
    """Positional and named arguments in the order of `names`; raises TileError TILE0501, TILE0502.

    `fixed` are the values that the code is compiled for: they have to be given all the same.
    """
    if not kwargs and len(args) == len(names):
        return list(args)
    if len(args) > len(names):
        raise error("TILE0502", f"{len(args)} arguments given, {len(names)} expected", notes=[_signature(names)])
    bound = dict(zip(names, args))
    for name, value in kwargs.items():
        if name not in names:
            raise error("TILE0502", f"unexpected argument {name!r}", notes=[_signature(names)])
        if name in bound:
            raise error("TILE0502", f"argument {name!r} is given twice")
        bound[name] = value
    if missing := [n for n in names if n not in bound]:
        raise _missing(missing[0], names, fixed)
    return [bound[n] for n in names]


def _missing(name: str, names: Sequence[str], fixed: Mapping[str, int | float]) -> TileError:
    help = None
    if name in fixed:
        help = f"pass the {fixed[name]} that it is compiled for, or leave it out by constants= of tilec.compile"
    return error("TILE0501", f"missing argument {name!r}", notes=[_signature(names)], help=help)


def _signature(names: Sequence[str]) -> str:
    return f"arguments: {', '.join(names) if names else '(none)'}"


__all__ = [
    "Slot",
    "TileError",
    "argument",
    "as_array",
    "bind",
    "check_type",
    "dense",
    "describe",
    "empty",
    "named_out",
    "overlap",
    "overlaps_itself",
    "result_arrays",
    "type_of",
]
