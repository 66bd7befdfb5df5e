"""Direct calls: a program called from Python without any Python code in between.

A call of an executable costs more in Python than a small program takes to run: to bind arguments, to look at every
array, to make the result. Machine code (`direct_code`) does the same in a tenth of the time for the usual call, and
leaves every other one to Python. It is one piece of code for all programs, which are described to it by tables.

What it reads of arrays are the fields at the offsets that extension modules compiled against NumPy have built in. They
are compared with what Python says of some arrays first; where anything differs (a free-threaded or tracing interpreter,
PyPy, a NumPy with another binary interface) there are no direct calls.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from math import prod
from typing import Any

import numpy as np

from tilec.backend import Array, Direct
from tilec.backends.llvm import jit
from tilec.backends.llvm.direct_code import text
from tilec.backends.llvm.direct_code.layout import (
    BYTE_ORDER,
    DATA,
    DTYPE,
    FLAGS,
    HEADER,
    IMPORTS,
    MOST,
    NUMBER,
    RANK,
    RECORD,
    SHAPE,
    TYPE,
)
from tilec.backends.llvm.support import support_code
from tilec.backends.llvm.target import host
from tilec.graph import TensorType

HOLD, RELEASE, INTERRUPTIBLE = range(3)  # what becomes of the interpreter's lock
_FASTCALL, _KEYWORDS = 0x80, 0x02
_NUMBERS = {"f32": 1, "f64": 2, "i32": 3, "i64": 4}


@dataclass(frozen=True, slots=True)
class Launch:
    """How machine code is run: addresses, the mode, and the `arenas` that calls take and give back.

    program, call: of an interruptible program. pool: the address of the word with the pool's address, 0 for none.
    places: of inputs and results in the table. kept: what has to live as long.
    """

    run: int
    fixed: int
    mode: int
    program: int
    call: int
    pool: int
    arenas: list[Any]
    status: int
    places: Sequence[int]
    kept: Any


def direct(
    launch: Launch,
    params: Sequence[tuple[str, TensorType]],
    results: Sequence[tuple[TensorType, Callable[[], Array]]],
) -> Direct | None:
    """The way into a program whose sizes are all known; None where there is none. `results` come with what makes a
    fresh array for each.
    """
    if not results or len(params) + len(results) > MOST or not supported():
        return None
    types = [t for _, t in params] + [t for t, _ in results]
    sizes = [[int(s) for s in t.shape if isinstance(s, int)] for t in types]  # all of them
    shapes = [(ctypes.c_int64 * max(1, len(s)))(*s) for s in sizes]
    names = [sys.intern(name) for name, _ in params]
    makers = [maker for _, maker in results]
    words = [launch.run, launch.fixed, launch.mode, launch.program, launch.call, launch.pool, id(launch.arenas)]
    words += [launch.status, len(params), len(results), *_common()]
    for k, (type, shape, place) in enumerate(zip(types, shapes, launch.places, strict=True)):
        dtype = type.dtype.numpy
        words += [id(dtype), type.rank, ctypes.addressof(shape), prod(sizes[k]) * dtype.itemsize, place]
        if k < len(params):
            words += [_NUMBERS.get(type.dtype.name, 0) if type.weak and not type.shape else 0, id(names[k])]
        else:
            words += [id(makers[k - len(params)]), 0]
    assert len(words) == HEADER + RECORD * len(types)
    description = (ctypes.c_int64 * len(words))(*words)
    address = ctypes.addressof(description)
    kept = (description, shapes, names, makers, [t.dtype.numpy for t in types], launch)
    return Direct(_code().function((address, kept)), address, _code().method, kept)


def _common() -> list[int]:
    """Words that are the same for all programs."""
    return [id(o) for o in (np.ndarray, float, int, tuple, None, NotImplemented, MemoryError, sys.intern("out"))]


@cache
def supported() -> bool:
    """Whether objects of this interpreter and arrays of this NumPy are laid out as the machine code expects."""
    if sys.implementation.name != "cpython" or "t" in getattr(sys, "abiflags", ""):  # free-threaded
        return False
    if ctypes.sizeof(ctypes.c_void_p) != 8 or object.__basicsize__ != 16 or np.ndarray.__basicsize__ < FLAGS + 4:
        return False
    return all(map(_as_expected, _examples()))


def _examples() -> list[Array]:
    """Arrays that differ in every field."""
    plain = np.zeros((2, 3, 5), np.float32)
    fixed = np.zeros(7, np.int64)
    fixed.flags.writeable = False
    unaligned = np.zeros(33, np.uint8)[1:].view(np.float64)
    swapped = plain.astype(">f4" if sys.byteorder == "little" else "<f4")
    scalar, none = np.zeros((), np.float64), np.zeros((0, 4), np.bool_)
    return [plain, plain[:, ::2], plain.T, fixed, scalar, none, unaligned, swapped]


def _as_expected(array: Array) -> bool:
    start = id(array)
    if _word(start + TYPE) != id(np.ndarray) or _word(start + DATA) != array.ctypes.data:
        return False
    if _word(start + DTYPE) != id(array.dtype) or ctypes.c_int32.from_address(start + RANK).value != array.ndim:
        return False
    if ctypes.c_int32.from_address(start + FLAGS).value != array.flags.num:
        return False
    if ctypes.c_int32.from_address(id(array.dtype) + NUMBER).value != array.dtype.num:
        return False
    if ctypes.c_char.from_address(id(array.dtype) + BYTE_ORDER).value != array.dtype.byteorder.encode():
        return False
    shape = _word(start + SHAPE)  # what else would be right by now?
    return all(_word(shape + 8 * axis) == size for axis, size in enumerate(array.shape))


def _word(address: int) -> int:
    return ctypes.c_int64.from_address(address).value


class _Method(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_char_p),
        ("function", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("doc", ctypes.c_char_p),
    )


@dataclass(frozen=True, slots=True)
class _Code:
    """What Python calls. `function` makes a built-in function for a tuple that begins with a description's address."""

    function: Callable[[Any], Callable[[Any, Any], Any]]
    method: Callable[[type, str], Any]
    kept: Any


@jit.once
def _code() -> _Code:
    imports = {n: ctypes.cast(getattr(ctypes.pythonapi, n), ctypes.c_void_p).value or 0 for n in IMPORTS}
    library = jit.load([support_code(text(), host())], ["enter", "call", "names"], imports)
    enter = _Method(b"run", library.addresses["enter"], _FASTCALL, b"run(values, out)")
    call = _Method(b"__call__", library.addresses["call"], _FASTCALL | _KEYWORDS, None)
    names = (ctypes.c_int64 * 2).from_address(library.addresses["names"])
    attributes = [sys.intern("_description"), sys.intern("_call")]
    names[:] = [id(a) for a in attributes]
    new_function: Any = ctypes.pythonapi.PyCFunction_NewEx
    new_function.restype, new_function.argtypes = ctypes.py_object, [ctypes.c_void_p, ctypes.py_object, ctypes.c_void_p]
    new_method: Any = ctypes.pythonapi.PyDescr_NewMethod
    new_method.restype, new_method.argtypes = ctypes.py_object, [ctypes.py_object, ctypes.c_void_p]

    def function(described: Any) -> Callable[[Any, Any], Any]:
        return new_function(ctypes.addressof(enter), described, None)  # type: ignore[no-any-return]

    def method(owner: type, doc: str) -> Any:
        call.doc = doc.encode()
        return new_method(owner, ctypes.addressof(call))

    return _Code(function, method, (library, enter, call, attributes))
