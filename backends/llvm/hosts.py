"""Host functions called by machine code: a step between kernels, run by NumPy under the interpreter's lock.

The program's arena has words for this: the function that is called with the number of the step and the address of the
words, then the addresses of the step's operands and results. It returns 0, or the program ends.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence

import numpy as np

from tilec.backend import Array
from tilec.backends.llvm.layout import Host, HostArray
from tilec.dtypes import BY_NAME
from tilec.host_functions import call_host

_CALL = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_int64, ctypes.c_void_p)


class Hosts:
    """What a program's machine code calls for its host functions. `place`: of the words in an arena."""

    def __init__(self, calls: Sequence[Host], place: int) -> None:
        self._calls, self._place = calls, place
        self._failures: dict[int, BaseException] = {}  # by the address of the words
        self._function = _CALL(self._called)
        self._address = ctypes.cast(self._function, ctypes.c_void_p).value or 0

    def enter(self, arena: int) -> None:
        """Tells an arena what is to be called."""
        ctypes.c_int64.from_address(arena + self._place).value = self._address

    def raise_from(self, arena: int) -> None:
        """Raises what ended the last call on an arena, if anything did."""
        if self._failures and (failure := self._failures.pop(arena + self._place, None)) is not None:
            raise failure

    def _called(self, number: int, words: int) -> int:
        """What no exception may leave: there is machine code around it."""
        try:
            self._call(self._calls[number], words)
        except BaseException as failure:
            self._failures[words] = failure
            return 1
        return 0

    def _call(self, call: Host, words: int) -> None:
        count = len(call.inputs) + len(call.outputs)
        places = (ctypes.c_int64 * count).from_address(words + 8)
        arrays = [_view(a, place) for a, place in zip((*call.inputs, *call.outputs), places)]
        given, taken = arrays[: len(call.inputs)], arrays[len(call.inputs) :]
        for array in given:
            array.flags.writeable = False
        found = call_host(call.function, [a.shape for a in call.outputs], given, call.span)
        for target, value in zip(taken, found, strict=True):
            target[...] = value


def _view(array: HostArray, address: int) -> Array:
    """The elements at an address."""
    dtype = BY_NAME[array.dtype].numpy
    if 0 in array.shape:
        return np.empty(array.shape, dtype)
    last = sum((n - 1) * s for n, s in zip(array.shape, array.strides, strict=True))
    memory = (ctypes.c_uint8 * ((last + 1) * dtype.itemsize)).from_address(address)
    flat = np.ctypeslib.as_array(memory).view(dtype)
    return np.lib.stride_tricks.as_strided(flat, array.shape, [s * dtype.itemsize for s in array.strides])
