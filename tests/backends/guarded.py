"""Arrays that begin or end where a page that must not be touched begins: an access beside them ends the process."""

from __future__ import annotations

import ctypes
import mmap
import sys
from typing import Any

import numpy as np
import pytest

Array = np.ndarray[Any, np.dtype[Any]]
_kept: list[mmap.mmap] = []  # memory with protected pages is never given back: other arrays may come to lie there


def guarded(array: Array, at_end: bool) -> Array:
    """A copy of `array`, of at least one byte, against a protected page; skips where memory cannot be protected."""
    if sys.platform == "win32":
        pytest.skip("Windows protects memory by other functions")
    page, protect = mmap.PAGESIZE, getattr(ctypes.CDLL(None), "mprotect", None)
    room = -(-array.nbytes // page) * page
    memory = mmap.mmap(-1, room + 2 * page)
    start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    for border in (start, start + page + room):
        if protect is None or protect(ctypes.c_void_p(border), ctypes.c_size_t(page), 0):
            pytest.skip("memory cannot be protected here")
    _kept.append(memory)
    offset = page + (room - array.nbytes if at_end else 0)
    copy: Array = np.frombuffer(memory, np.uint8, array.nbytes, offset).view(array.dtype).reshape(array.shape)
    copy[...] = array
    return copy
