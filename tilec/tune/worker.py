"""Floor 5: builds, checks and times schedules of one kernel after the other: `python -P -m tilec.tune.worker`.

Jobs come as lines of JSON on standard input, and each gets a line of JSON as its answer. Whatever a schedule makes the
compiler or the machine code do (crash, hang, take all memory), it does to this process. An alarm ends it when a job
takes too long, the end of its input when whoever gives the jobs is gone.

    {"job": "load", "program": text, "target": {...}, "seed": 1, "limit": seconds}     a program of `alone`
        -> {"milliseconds": of a run under the default schedule, "schedule": [...], "verified": [...]}
    {"job": "try", "name": word, "schedule": [...], "limit": seconds}
        -> {"ratio": of its time to that of the default schedule}  or  {"lost": why}
    {"job": "compare", "names": [...], "rounds": 9, "limit": seconds}
        -> {"ratios": {name: ...}, "milliseconds": of the default}
    {"job": "drop", "names": [...], "limit": seconds}  ->  {}
"""

from __future__ import annotations

import json
import os
import signal
import statistics
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from queue import SimpleQueue
from typing import Any

from tilec.backend import Array, Built
from tilec.configuration import config
from tilec.devices import backend
from tilec.errors import TileError
from tilec.evaluate.loops import evaluate_kernel
from tilec.loops import Buffer, Kernel, Program
from tilec.passes.prepack import fixed_params
from tilec.passes.schedule.default import default_schedule
from tilec.schedule import Schedule, parse_schedule
from tilec.target import Target
from tilec.text.loops_text import parse_program
from tilec.tune.alone import differing, finished, inputs, on_a_line, order, terms
from tilec.tune.fits import applied, points

_EVALUATED = 1 << 15  # points of a kernel that the evaluator runs in a moment
_SPECIAL = 1 << 26  # points of a kernel that is run again on infinities and NaN
_SHORT = 200e-6  # seconds: shorter runs are timed several at a time
_ROUNDS = 3
_HOPELESS = 1.2  # times the default's time: not looked at again
_PLACES = 5
_MOVED = 32 << 20  # bytes of arrays that are larger than caches anyway
_ROOM = 1 << 30  # bytes of address space for compiling, besides the arrays


Clock = Callable[[int], float]  # seconds of a run, of so many that are timed as one


class Lost(Exception):
    """Why a candidate is none."""


@dataclass(slots=True)
class Bench:
    """A kernel, its arrays, the results that are right, and what has been built of it."""

    program: Program
    target: Target
    arrays: dict[str, Array]
    special: dict[str, Array] | None = None
    expected: dict[str, Array] = field(default_factory=dict)
    expected_special: dict[str, Array] = field(default_factory=dict)
    order: Schedule = ()  # what the default schedule does to the order of sums
    built: dict[str, Built] = field(default_factory=dict)
    ready: dict[str, Clock] = field(default_factory=dict)
    together: dict[str, int] = field(default_factory=dict)  # how many runs of each are timed as one

    @property
    def kernel(self) -> Kernel:
        return self.program.kernels[0]

    def results(self) -> list[Buffer]:
        return [self.program.buffer(n) for n in self.program.results]

    def make(self, schedule: Schedule) -> Built:
        """Machine code of the kernel under a schedule; raises Lost."""
        try:
            ready = finished(self.program, applied(self.kernel, schedule))
            constants = {n: self.arrays[n] for n, _ in self.program.constants}
            return backend(self.target.backend).build(ready, self.target, constants)
        except TileError as refused:
            raise Lost(refused.diagnostics[0].message) from None

    def run(self, built: Built, arrays: Mapping[str, Array]) -> dict[str, Array]:
        """The results of one run on fresh memory."""
        fresh = {n: arrays[n].copy() for n in self.program.results}
        built([fresh.get(n, arrays[n]) for n in self.program.params], list(fresh.values()))
        return fresh

    def load(self) -> dict[str, Any]:
        """Builds the default schedule and takes its results for right; the evaluator is asked where it is quick."""
        constant = fixed_params(self.program).get(self.kernel.name, frozenset())
        schedule = default_schedule(self.kernel, self.target, constant=constant)
        self.order = order(schedule)
        built = self.make(schedule)
        self.expected = self.run(built, self.arrays)
        if self.special is not None:
            self.expected_special = self.run(built, self.special)
        verified = ["the default schedule"]
        if points(self.kernel.body) <= _EVALUATED:
            self._evaluate()
            verified.append("the evaluator")
        self._keep("default", built)
        seconds = statistics.median(self.times(["default"], _ROUNDS)["default"])
        return {"milliseconds": seconds * 1e3, "schedule": [str(d) for d in schedule], "verified": verified}

    def _evaluate(self) -> None:
        arrays = {n: a.copy() for n, a in self.arrays.items()}
        evaluate_kernel(self.kernel, arrays)
        if wrong := differing(self.expected, arrays, self.results(), max(64, terms(self.kernel))):
            raise Lost(f"the default schedule computes another {wrong} than the evaluator")

    def attempt(self, name: str, schedule: Schedule) -> dict[str, Any]:
        """Builds, checks and times a candidate beside the default schedule; keeps it if there is hope. Raises Lost."""
        if order(schedule) != self.order:
            raise Lost("it may take sums in another order than the default schedule")
        built = self.make(schedule)
        self._check(self.run(built, self.arrays), self.expected)
        if self.special is not None:
            self._check(self.run(built, self.special), self.expected_special)
        self._keep(name, built)
        ratio = self.ratios([name], 1)[0][name]  # what is much slower shows it at once
        if ratio <= _HOPELESS:
            ratio = self.ratios([name], _ROUNDS)[0][name]
        if ratio > _HOPELESS:
            self.drop(name)
        return {"ratio": ratio}

    def drop(self, name: str) -> None:
        for known in (self.built, self.ready, self.together):
            known.pop(name, None)

    def _check(self, found: Mapping[str, Array], expected: Mapping[str, Array]) -> None:
        if wrong := differing(found, expected, self.results()):
            raise Lost(f"it computes another {wrong} than the default schedule")

    def _keep(self, name: str, built: Built) -> None:
        """Makes it ready to be timed; its first run warms it up."""
        self.built[name], self.ready[name] = built, self._ready(built)
        self.together[name] = max(1, round(_SHORT / max(self.ready[name](1), 1e-7)))

    def _ready(self, built: Built) -> Clock:
        fresh = {n: on_a_line(self.arrays[n]) for n in self.program.results}
        params, results = [fresh.get(n, self.arrays[n]) for n in self.program.params], list(fresh.values())
        if hasattr(built, "bind"):
            return partial(_by_host, built.bind(params, results))
        if built.timing() is None:
            return partial(_by_host, lambda: built(params, results))
        return partial(_by_device, built, params, results)

    def times(self, names: Sequence[str], rounds: int) -> dict[str, list[float]]:
        """Seconds of single runs, taken by turns."""
        found: dict[str, list[float]] = {n: [] for n in names}
        for _ in range(rounds):
            for name in names:
                found[name].append(self.ready[name](self.together[name]))
        return found

    def ratios(self, names: Sequence[str], rounds: int) -> tuple[dict[str, float], float]:
        """Medians of times over those of the default schedule in the same round; milliseconds of the latter."""
        return _ratios(self.times(["default", *names], rounds))

    def compared(self, names: Sequence[str], rounds: int) -> tuple[dict[str, float], float]:
        """As `ratios`, with the arrays in several places: which sets of a cache they share is chance."""
        if sum(a.nbytes for a in self.arrays.values()) > _MOVED:
            return self.ratios(names, rounds)
        found: dict[str, list[float]] = {n: [] for n in ("default", *names)}
        held = []  # so that no place is taken twice
        for _ in range(_PLACES):
            held.append(self.arrays)
            self.arrays = {n: on_a_line(a) for n, a in self.arrays.items()}
            for name in found:
                self._keep(name, self.built[name])
            for name, seconds in self.times(list(found), max(2, rounds // _PLACES)).items():
                found[name] += seconds
        return _ratios(found)


def _ratios(found: Mapping[str, Sequence[float]]) -> tuple[dict[str, float], float]:
    default = found["default"]
    ratios = {n: statistics.median(t / d for t, d in zip(s, default)) for n, s in found.items() if n != "default"}
    return ratios, statistics.median(default) * 1e3


def _by_host(call: Callable[[], None], count: int) -> float:
    started = time.perf_counter()
    for _ in range(count):
        call()
    return (time.perf_counter() - started) / count


def _by_device(built: Built, params: Sequence[Array], results: Sequence[Array], count: int) -> float:
    """What launches take: copies of arguments and results, which are alike for all schedules, are left out."""
    timing = built.timing()
    assert timing is not None
    with timing as times:
        for _ in range(count):
            built(params, results)
    return sum(t.seconds for t in times) / count


# jobs --------------------------------------------------------------------------------------------------------------


def load(job: Mapping[str, Any]) -> tuple[Bench, dict[str, Any]]:
    """The bench of a kernel, and what is known of its default schedule; raises Lost."""
    program = parse_program(job["program"])
    target = Target(**{**job["target"], "features": tuple(job["target"]["features"])})
    seed = int(job["seed"])
    special = inputs(program, seed, special=True) if points(program.kernels[0].body) <= _SPECIAL else None
    bench = Bench(program, target, inputs(program, seed), special)
    found = bench.load()
    if target.backend == "llvm":  # drivers of GPUs map all of a device's memory
        _limit_memory(sum(a.nbytes for a in bench.arrays.values()), target.threads)
    return bench, found


def _limit_memory(data: int, threads: int) -> None:
    """A candidate that asks for much more than the default schedule did gets none."""
    try:
        import resource

        with open("/proc/self/statm", encoding="ascii") as file:
            present = int(file.read().split()[0]) * resource.getpagesize()
        limit = present + 8 * data + _ROOM + threads * (256 << 20)  # a thread reserves a stack and a heap
        _, most = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (limit if most < 0 else min(limit, most), most))
    except (ImportError, OSError, ValueError):  # another system: time is limited all the same
        pass


def answer(job: Mapping[str, Any], bench: Bench | None) -> tuple[Bench | None, dict[str, Any]]:
    """Does one job."""
    try:
        if job["job"] == "load":
            return load(job)
        assert bench is not None
        match job["job"]:
            case "try":
                return bench, bench.attempt(job["name"], parse_schedule("\n".join(job["schedule"])))
            case "compare":
                ratios, milliseconds = bench.compared(job["names"], job["rounds"])
                return bench, {"ratios": ratios, "milliseconds": milliseconds}
            case _:
                for name in job["names"]:
                    bench.drop(name)
                return bench, {}
    except Lost as reason:
        return bench, {"lost": str(reason)}
    except TileError as reason:
        return bench, {"lost": reason.diagnostics[0].message}
    except MemoryError:
        return bench, {"lost": "it takes too much memory"}


def main() -> None:
    """Answers jobs. Standard output is for answers only, whatever a library prints."""
    jobs: SimpleQueue[str] = SimpleQueue()
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    threading.Thread(target=_read, args=(jobs,), daemon=True).start()
    bench: Bench | None = None
    with config(cache=False, compile_workers=0, tune=0):
        while True:
            job = json.loads(jobs.get())
            _alarm(job["limit"])
            bench, found = answer(job, bench)
            _alarm(0)
            print(json.dumps(found), file=answers, flush=True)


def _read(jobs: SimpleQueue[str]) -> None:
    """Passes jobs on; in the end nobody waits for an answer, and whatever the process is doing is in vain."""
    for line in sys.stdin:
        jobs.put(line)
    os._exit(0)


def _alarm(seconds: float) -> None:
    """Ends the process after so many seconds, machine code or not, where the system can do that."""
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_REAL, seconds)


if __name__ == "__main__":
    main()
