"""Floor 0: room for the frames of Python functions.

CPython keeps frames in chunks of 16 KB, and gives a chunk back to the system when the first frame in it ends. Where a
chunk happens to end between a loop and what it calls, every call maps memory, touches it and unmaps it: a compilation
took up to three times as long by the luck of how deep in the stack it began. A chunk is as large as the frame that asks
for it needs, rounded up to a power of two, and those that follow share it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FunctionType
from typing import Any, TypeVar

_WORDS = 1 << 16  # of a frame: 512 KB, never touched, and as much again behind it

F = TypeVar("F", bound=Callable[..., Any])


def roomy(function: F) -> F:
    """The function, whose frame says that it needs so much that all it calls finds room in the same chunk."""
    if sys.implementation.name == "cpython" and isinstance(function, FunctionType):
        function.__code__ = function.__code__.replace(co_stacksize=_WORDS)
    return function
