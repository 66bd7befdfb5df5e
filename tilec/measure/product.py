"""Floor 5: how long a product of two matrices takes on a device, from arrays to an array.

`python -m tilec.measure.product TARGET` prints it as JSON: a device is tried in a process of its own.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence

import numpy as np

from tilec.api import compile
from tilec.errors import error
from tilec.measure.answers import answered

SIZE = 2048  # rows and columns: enough arithmetic to be worth the way to a GPU and back
_TEXT = "function (A[M, K], B[K, N]) -> (C) { C[m, n : M, N] = +(A[m, k] * B[k, n]); }"
_PATIENCE = 1.0  # seconds to call for


def seconds(target: str, size: int = SIZE) -> float:
    """Seconds of the fastest call. Raises TileError, TILE0514 where the product is wrong."""
    a, b = np.random.default_rng(1).uniform(-1, 1, (2, size, size)).astype(np.float32)
    product = compile(_TEXT, target=target, A=(size, size), B=(size, size))
    result = product(a, b)  # memory is touched for the first time, and some drivers compile only now
    rows = slice(None, None, max(1, size // 8))
    if not np.allclose(result[rows], a[rows] @ b, rtol=0, atol=1e-3):
        raise error("TILE0514", f"a product of matrices is wrong on {target}")
    started, times = time.perf_counter(), list[float]()
    while len(times) < 2 or time.perf_counter() - started < _PATIENCE:
        before = time.perf_counter()
        product(a, b, out=result)
        times.append(time.perf_counter() - before)
    return min(times)


def main(arguments: Sequence[str]) -> int:
    """Prints the seconds for the named target, or the error that there was."""
    return answered(lambda: {"seconds": seconds(arguments[0])})


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
