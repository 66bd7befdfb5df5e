"""Floor 4: from what a caller passes to what a backend runs: argument conversion, checks, result arrays.

A backend asks for dense, aligned, native arrays (`tilec.backend.Built`). Anything else that NumPy can read is accepted
and copied first: strided, negative-strided, unaligned, read-only and foreign (DLPack, buffer protocol) arrays.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tilec.backend import Array
from tilec.dtypes import from_numpy
from tilec.errors import TileError, error
from tilec.graph import TensorType


def describe(type: TensorType) -> str:
    """`f32[64, 64]`, the short form used in messages and on the command line."""
    return f"{type.dtype}[{', '.join(map(str, type.shape))}]"


def type_of(array: Array) -> TensorType | None:
    """TensorType of a NumPy array, None where tilec has no such dtype."""
    dtype = from_numpy(array.dtype)
    return None if dtype is None else TensorType(dtype, tuple(array.shape))


def as_array(name: str, value: Any) -> Array:
    """A NumPy view (or, last resort, copy) of an array-like; raises TileError TILE0505."""
    if isinstance(value, np.ndarray):
        return value
    if isinstance(value, bool | int | float | np.generic):
        return np.asarray(value)
    try:
        if hasattr(value, "__dlpack__"):
            return np.from_dlpack(value)
        if hasattr(value, "__array__") or hasattr(value, "__array_interface__"):
            return np.asarray(value)
        return np.asarray(memoryview(value))
    except (TypeError, ValueError, RuntimeError, BufferError) as reason:
        raise error(
            "TILE0505",
            f"argument {name!r} is a {type(value).__name__}, not an array",
            notes=[str(reason).splitlines()[0]] if str(reason) else [],
            help="pass a NumPy array or an object with __dlpack__ or the buffer protocol",
        ) from None


def argument(name: str, value: Any, expected: TensorType) -> Array:
    """`value` as a dense, aligned array of exactly the expected type; raises TileError TILE0503, 0504, 0505."""
    if expected.weak and isinstance(value, bool | int | float):
        return _number(name, value, expected)
    array = as_array(name, value)
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
    return dense(array)


def _number(name: str, value: float, expected: TensorType) -> Array:
    if isinstance(value, float) and not expected.dtype.is_float:
        raise error("TILE0503", f"argument {name!r} is a float, expected {expected.dtype.long}")
    if not expected.dtype.is_float and not expected.dtype.min <= value <= expected.dtype.max:
        raise error("TILE0503", f"argument {name!r} is {value}, outside the range of {expected.dtype.long}")
    with np.errstate(over="ignore"):
        return np.asarray(value, dtype=expected.dtype.numpy)


def dense(array: Array) -> Array:
    """The array itself where it is C-contiguous and aligned, else a copy that is."""
    if array.flags.c_contiguous and array.flags.aligned:
        return array
    return np.array(array, order="C", copy=True)


def empty(name: str, type: TensorType) -> Array:
    """A fresh result array; raises TileError TILE0416 where memory does not suffice."""
    try:
        return np.empty([int(s) for s in type.shape], type.dtype.numpy)  # type: ignore[arg-type]  # sizes are ints here
    except (MemoryError, ValueError) as reason:
        raise error("TILE0416", f"result {name!r} of type {describe(type)} does not fit in memory") from reason


def result_arrays(
    names: Sequence[str], types: Sequence[TensorType], out: Any, inputs: Sequence[Array]
) -> tuple[list[Array], list[tuple[Array, Array]]]:
    """Arrays for the backend to write, and (from, to) copies to be made after the run.

    `out` is None, one array, a sequence of arrays or a mapping by result name (absent or None: a fresh array). An
    array that is not dense, or that overlaps an input, is filled by a copy. Raises TileError TILE0506, TILE0507.
    """
    given = _given(names, out)
    arrays: list[Array] = []
    copies: list[tuple[Array, Array]] = []
    for name, type, target in zip(names, types, given, strict=True):
        if target is None:
            arrays.append(empty(name, type))
            continue
        _check_out(name, type, target)
        if any(np.may_share_memory(target, other) for other in given if other is not None and other is not target):
            raise error("TILE0507", f"out= for {name!r} overlaps another out= array")
        direct = target.flags.c_contiguous and target.flags.aligned
        if direct and not any(np.may_share_memory(target, i) for i in inputs):
            arrays.append(target)
        else:
            arrays.append(empty(name, type))
            copies.append((arrays[-1], target))
    return arrays, copies


def _given(names: Sequence[str], out: Any) -> list[Array | None]:
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
    if len({id(a) for a in listed if a is not None}) < sum(a is not None for a in listed):
        raise error("TILE0507", "out= holds the same array twice")
    return listed


def _check_out(name: str, type: TensorType, target: Any) -> None:
    if not isinstance(target, np.ndarray):
        raise error("TILE0506", f"out= for {name!r} is a {target.__class__.__name__}, not a NumPy array")
    found = type_of(target)
    if found is None or (found.dtype, found.shape) != (type.dtype, type.shape):
        shown = describe(found) if found else str(target.dtype)
        raise error("TILE0506", f"out= for {name!r} is {shown}, the result is {describe(type)}")
    if not target.flags.writeable:
        raise error("TILE0507", f"out= for {name!r} is read-only")
    if any(stride == 0 and extent > 1 for stride, extent in zip(target.strides, target.shape)):
        raise error("TILE0507", f"out= for {name!r} overlaps itself: a stride is 0")


def bind(names: Sequence[str], args: Sequence[Any], kwargs: Mapping[str, Any]) -> list[Any]:
    """Positional and named arguments in the order of `names`; raises TileError TILE0501, TILE0502."""
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
        raise error("TILE0501", f"missing argument {missing[0]!r}", notes=[_signature(names)])
    return [bound[n] for n in names]


def _signature(names: Sequence[str]) -> str:
    return f"arguments: {', '.join(names) if names else '(none)'}"


__all__ = ["TileError", "argument", "as_array", "bind", "dense", "describe", "empty", "result_arrays", "type_of"]
