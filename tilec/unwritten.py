"""Floor 0: memory of calls that nothing has written to yet."""

from __future__ import annotations

from typing import Any

import numpy as np

NAN = 0xFF  # a byte: floats of it are NaN, integers -1

content: int | None = None
"""What each byte of such memory is. None: what the system gives, and its zeros hide reads of what nothing wrote. The
tests choose NAN, which does not.
"""


def memory(size: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Fresh memory of so many bytes; raises MemoryError."""
    return np.empty(size, np.uint8) if content is None else np.full(size, content, np.uint8)
