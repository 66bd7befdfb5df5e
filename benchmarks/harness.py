"""A small benchmark harness: contenders take turns in short samples, medians are compared, ratios are printed.

Only figures of one run compare: on a shared machine absolute times drift by factors from one minute to the next.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

SINGLE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def single_thread() -> None:
    """Holds the libraries that are compared with to one thread; call it before importing them."""
    for name in SINGLE_THREAD:
        os.environ[name] = "1"


@dataclass(frozen=True, slots=True)
class Times:
    """Seconds per call of one contender: median and minimum over the samples."""

    median: float
    minimum: float


def interleave(
    contenders: Mapping[str, Callable[[], object]], rounds: int = 31, sample: float = 1e-3, budget: float = 8.0
) -> dict[str, Times]:
    """Times each contender in turn, `rounds` times or for `budget` seconds, each sample lasting about `sample` seconds.

    Each sample is preceded by an untimed call, so that a contender finds its own data in the caches.
    """
    repeats = {name: _repeats(call, sample) for name, call in contenders.items()}
    samples: dict[str, list[float]] = {name: [] for name in contenders}
    end = time.perf_counter() + budget
    for done in range(rounds):
        for name, call in contenders.items():
            call()
            started = time.perf_counter()
            for _ in range(repeats[name]):
                call()
            samples[name].append((time.perf_counter() - started) / repeats[name])
        if done >= 4 and time.perf_counter() > end:
            break
    return {name: Times(statistics.median(s), min(s)) for name, s in samples.items()}


def _repeats(call: Callable[[], object], sample: float) -> int:
    call()
    started = time.perf_counter()
    call()
    return max(1, int(sample / max(time.perf_counter() - started, 1e-7)))


def row(title: str, work: float, unit: str, times: Mapping[str, Times], ours: str = "tilec") -> str:
    """One line: each contender's rate (`work` per second at the median), and ours as a ratio to each other one."""
    rates = "  ".join(f"{name} {work / t.median:8.1f}" for name, t in times.items())
    ratios = "  ".join(f"{t.median / times[ours].median:.2f} of {name}" for name, t in times.items() if name != ours)
    return f"{title:34} {unit:8} {rates}   tilec is {ratios}"
