"""Floor 5: how fast a device copies its memory.

`python -m tilec.measure.bandwidth TARGET` prints bytes per second as JSON, read and written bytes both counted.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence

import numpy as np

from tilec.devices import resolve_target
from tilec.measure.answers import answered
from tilec.target import Target

_BYTES = 256 << 20  # beyond every cache
_PATIENCE = 0.5  # seconds to copy for


def measure(target: Target) -> float | None:
    """Bytes per second, by the fastest of several copies; None where nothing could be told. Raises TileError."""
    if target.backend == "reference" or target.kind == "simulator":
        return None
    size, copy = _opencl(target) if target.backend == "opencl" else _host()
    copy()  # memory is there from now on
    best, until = float("inf"), time.perf_counter() + _PATIENCE
    while time.perf_counter() < until:
        started = time.perf_counter()
        copy()
        best = min(best, time.perf_counter() - started)
    return 2 * size / best if 0 < best < float("inf") else None


def _opencl(target: Target) -> tuple[int, Callable[[], None]]:
    from tilec.backends.opencl.sessions import Session

    session = Session.on(target)
    size = max(1, min(_BYTES, session.largest, session.memory // 4))
    source, result = session.take(size), session.take(size)
    session.write(source.memory, 0, np.ones(size, np.uint8))  # what nobody has written may have no memory yet

    def copy() -> None:
        session.copy(source, 0, result, size)
        session.finish()

    return size, copy


def _host() -> tuple[int, Callable[[], None]]:
    source, result = np.ones(_BYTES, np.uint8), np.empty(_BYTES, np.uint8)
    return _BYTES, lambda: np.copyto(result, source)


def main(arguments: Sequence[str]) -> int:
    """Prints bytes per second of the named target, or the error that there was."""
    return answered(lambda: {"bandwidth": measure(resolve_target(arguments[0], force=True))})


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
