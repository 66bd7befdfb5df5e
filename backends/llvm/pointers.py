"""Addresses of arrays, fast: one call of machine code instead of an attribute look-up per array.

`ndarray.ctypes.data` takes a microsecond, the buffer protocol 30 ns. So a small function, made here, asks each array
of a tuple for its buffer through CPython's own entry points and fills the table that kernels take. Arrays that
export no buffer (bfloat16) are left to the slow way.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

from tilec.backend import Array
from tilec.backends.llvm import jit
from tilec.backends.llvm.support import support_code
from tilec.backends.llvm.target import host

_IR = """
declare ptr @PyTuple_GetItem(ptr, i64)
declare i32 @PyObject_GetBuffer(ptr, ptr, i32)
declare void @PyBuffer_Release(ptr)
declare void @PyErr_Clear()

define i32 @fill(ptr %table, ptr %places, ptr %arrays, i64 %count) {
; table[places[i]] = address of arrays[i]; 0 where an array has no buffer.
entry:
  %view = alloca [32 x i64], align 16
  %some = icmp sgt i64 %count, 0
  br i1 %some, label %next, label %good
next:
  %i = phi i64 [ 0, %entry ], [ %following, %filled ]
  %array = call ptr @PyTuple_GetItem(ptr %arrays, i64 %i)
  %failed = call i32 @PyObject_GetBuffer(ptr %array, ptr %view, i32 0)
  %ok = icmp eq i32 %failed, 0
  br i1 %ok, label %filled, label %bad
filled:
  %address = load ptr, ptr %view, align 8
  %slot = getelementptr i64, ptr %places, i64 %i
  %place = load i64, ptr %slot, align 8
  %entry_slot = getelementptr ptr, ptr %table, i64 %place
  store ptr %address, ptr %entry_slot, align 8
  call void @PyBuffer_Release(ptr %view)
  %following = add i64 %i, 1
  %more = icmp slt i64 %following, %count
  br i1 %more, label %next, label %good
good:
  ret i32 1
bad:
  call void @PyErr_Clear()
  ret i32 0
}
"""
_IMPORTS = ("PyTuple_GetItem", "PyObject_GetBuffer", "PyBuffer_Release", "PyErr_Clear")


@jit.once
def _fill() -> tuple[Any, jit.Library]:
    """The function (it holds the interpreter's lock), and what keeps its code mapped."""
    imports = {n: ctypes.cast(getattr(ctypes.pythonapi, n), ctypes.c_void_p).value or 0 for n in _IMPORTS}
    library = jit.load([support_code(_IR, host())], ["fill"], imports)
    form = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.py_object, ctypes.c_int64)
    return form(library.addresses["fill"]), library


class Table:
    """Tables of pointers: `fixed` ones, and one per array at `places`."""

    def __init__(self, fixed: Sequence[int | None], places: Sequence[int]) -> None:
        self._type = ctypes.c_void_p * max(1, len(fixed))
        self._fixed = tuple(fixed)
        self._places = tuple(places)
        self._words = (ctypes.c_int64 * max(1, len(places)))(*places)
        self._fill = _fill()[0]

    def new(self) -> Any:
        """A table of the fixed pointers."""
        return self._type(*self._fixed)

    def fill(self, table: Any, arrays: tuple[Array, ...]) -> None:
        """Stores the arrays' addresses; raises ValueError for another number of arrays than of places."""
        if len(arrays) != len(self._places):
            raise ValueError(f"{len(arrays)} arrays for {len(self._places)} places")
        if not self._fill(table, self._words, arrays, len(arrays)):
            for place, array in zip(self._places, arrays):
                table[place] = array.ctypes.data
