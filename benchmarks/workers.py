"""Contenders in processes of their own, so that no library's threads, allocator or settings reach another.

A worker prepares one case at a time, answers with a sample of its result, and times itself on demand; the others sleep
meanwhile.
"""

from __future__ import annotations

import importlib
import multiprocessing
import os
import statistics
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from benchmarks.contenders import module_of

SAMPLE = 1 << 16  # elements of a result that are compared
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS", "TILEC_THREADS")
# threads that wait for more work stop soon, so that they do not keep the next contender from a processor
SOON = {"KMP_BLOCKTIME": "2", "OPENBLAS_THREAD_TIMEOUT": "20", "OMP_PROC_BIND": "close", "OMP_PLACES": "cores"}
OTHERS = {"JAX_PLATFORMS": "cpu", "NUMBA_THREADING_LAYER": "omp"}


@dataclass(frozen=True, slots=True)
class Prepared:
    """How a case began: the first run with all compilation, a usual one, in seconds; some elements of the result."""

    first: float
    usual: float
    sample: Any


class Worker:
    """A contender's process. `prepare` and `time` raise RuntimeError with what it said where it failed."""

    def __init__(self, contender: str, topic: str, threads: int, module: str = "") -> None:
        self.contender = contender
        context = multiprocessing.get_context("spawn")
        self._connection, other = context.Pipe()
        arguments = (other, module or module_of(contender), topic, threads)
        self._process = context.Process(target=_serve, args=arguments, daemon=True)
        before = dict(os.environ)
        counts = dict.fromkeys(THREADS, str(threads))
        os.environ.update({**counts, **SOON, **OTHERS})  # which the child reads at its start
        self._process.start()
        os.environ.clear()
        os.environ.update(before)
        other.close()
        self._answer()

    def prepare(self, case: Any, operands: Sequence[Any]) -> Prepared | None:
        """None where the contender has no such case."""
        found = self._ask("prepare", case, operands)
        return None if found is None else Prepared(*found)

    def time(self, usual: float, budget: float) -> float:
        """Median seconds of calls during about `budget` seconds."""
        return float(self._ask("time", usual, budget))

    def call(self) -> Any:
        """Some elements of the result of one more run."""
        return self._ask("call")

    def peak_memory(self) -> int:
        """Bytes that the process held at most so far."""
        return int(self._ask("memory"))

    def alive(self) -> bool:
        return self._process.is_alive()

    def close(self) -> None:
        self._connection.close()
        self._process.join(5)
        self._process.kill()

    def _ask(self, *question: Any) -> Any:
        with suppress(ConnectionError):  # which the answer tells, too
            self._connection.send(question)
        return self._answer()

    def _answer(self) -> Any:
        try:
            problem, value = self._connection.recv()
        except (EOFError, ConnectionError):
            self._process.join(5)
            raise RuntimeError(f"{self.contender} ended with exit code {self._process.exitcode}") from None
        if problem:
            raise RuntimeError(f"{self.contender}: {problem}")
        return value


def _serve(connection: Connection, name: str, topic: str, threads: int) -> None:
    """What runs in the worker: questions in, (problem, answer) out."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    module = importlib.import_module(name)
    module.start(threads)
    connection.send((None, None))
    run: Any = None
    while True:
        try:
            question, *arguments = connection.recv()
        except (EOFError, ConnectionError):
            return
        try:
            match question:
                case "prepare":
                    run = None  # before the next one takes memory
                    run, answer = _prepare(module, topic, *arguments)
                case "time":
                    answer = _median(run, *arguments)
                case "call":
                    answer = _sample(module, run())
                case _:
                    answer = _peak()
            connection.send((None, answer))
        except Exception as reason:
            connection.send((f"{type(reason).__name__}: {str(reason)[:300]}", None))


def _prepare(module: Any, topic: str, case: Any, operands: Sequence[Any]) -> tuple[Any, Any]:
    function = getattr(module, topic, None)
    if function is None:
        return None, None
    started = time.perf_counter()
    try:
        run = function(*operands, *case) if topic in ("product", "convolution") else function(case[0], operands)
    except KeyError:
        return None, None
    result = run()
    first = time.perf_counter() - started
    run()
    started = time.perf_counter()
    run()
    return run, (first, time.perf_counter() - started, _sample(module, result))


def _sample(module: Any, result: Any) -> Any:
    import numpy as np

    array = np.asarray(module.array(result[0] if isinstance(result, tuple) else result), np.float32).reshape(-1)
    return array[:: max(1, array.size // SAMPLE)].copy()


def _median(run: Any, usual: float, budget: float) -> float:
    run()  # wakes its threads, and brings its data back into the caches
    samples = []
    for _ in range(max(1, min(2000, int(budget / max(usual, 1e-7))))):
        started = time.perf_counter()
        run()
        samples.append(time.perf_counter() - started)
    return statistics.median(samples)


def _peak() -> int:
    status = Path("/proc/self/status")
    if status.exists():  # Linux, where ru_maxrss counts the parent's memory, too
        line = next(line for line in status.read_text(encoding="ascii").splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
