"""A worker some of whose candidates crash, hang, compute something else, or take all memory; for the tests."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from typing import Any

from tilec.backend import Array, Built
from tilec.tune import worker

_attempt, _run = worker.Bench.attempt, worker.Bench.run


def attempt(bench: worker.Bench, name: str, schedule: Any) -> dict[str, Any]:
    """The faults named on the command line, by turns with candidates that are right."""
    number = int(name[1:]) if name[1:].isdigit() else 0
    fault = sys.argv[1:][number % len(sys.argv[1:])]
    match fault:
        case "crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        case "exit":
            os._exit(0)
        case "hang":
            while True:
                time.sleep(1)
        case "null":
            ctypes.string_at(0)
        case "memory":
            _ = [bytearray(1 << 28) for _ in range(1000)]
        case "babble":
            os.write(1, b"not for you\n" * 1000)
        case "wrong":
            bench.run = lambda built, arrays: spoiled(bench, built, arrays)  # type: ignore[method-assign]
    return _attempt(bench, name, schedule)


def spoiled(bench: worker.Bench, built: Built, arrays: Any) -> dict[str, Array]:
    found = _run(bench, built, arrays)
    for array in found.values():
        array.reshape(-1)[-1] += 1
    return found


class Bench(worker.Bench):
    """Without slots, so that a method can be replaced."""

    attempt = attempt


worker.Bench = Bench  # type: ignore[misc]
worker.main()
