"""Floor 5: the search for the fastest schedule of one kernel.

Proposed schedules are tried in the order of their estimates, soon by turns with small changes of the best so far, until
all are tried or time is over. Each is built, checked and timed beside the default schedule in a child process, which
may be lost at any moment. The best three are compared once more, by turns, in another process; the winner replaces the
default schedule only if it is clearly faster.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from itertools import count
from typing import Any

from tilec.kernel_key import kernel_digest, kernel_names
from tilec.loops import Kernel
from tilec.schedule import Schedule, parse_schedule, print_schedule
from tilec.target import Target
from tilec.text.loops_text import print_program
from tilec.tune.alone import alone
from tilec.tune.child import Child, Gone
from tilec.tune.fits import fitting
from tilec.tune.record import Record, traits
from tilec.tune.space import changes, proposed
from tilec.version import VERSION

CLEARLY = 0.98  # times the default schedule's time: what is slower than that does not replace it
_FINALISTS = 3
_FIRST, _FINAL = 0.1, 0.5  # seconds for the comparison of a candidate that seems the best, and for the last one
_ROUNDS = 5, 51
_UNCHANGED = 8  # proposals before the first change of the best of them
_LOADING = 60.0  # seconds for a child to start, build the default schedule, and run it
PATIENCE = 10.0  # for a candidate, and what twenty runs take
_LOSSES = 8  # children lost in a row end the search


class Untunable(Exception):
    """Why a kernel cannot be tuned."""


@dataclass(frozen=True, slots=True)
class Job:
    """A kernel to tune."""

    kernel: Kernel
    constant: frozenset[str]
    target: Target

    @property
    def digest(self) -> str:
        return kernel_digest(self.kernel, self.constant)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the search has come: candidates tried, those lost, the best one's speedup."""

    kernel: str
    tried: int
    lost: int
    speedup: float
    stage: str  # `proposals`, `changes`, `final` or `done`


Tell = Callable[[Progress], None]


@dataclass(slots=True)
class Search:
    """The state of a search; `best` is up to date at every moment, so that it can be interrupted at any."""

    job: Job
    child: Child
    until: float  # time.monotonic() at which to come to an end
    tell: Tell
    keep: Callable[[Record], None]  # called when something better was found
    earlier: Record | None = None  # what is known from another time
    patience: float = PATIENCE
    tried: dict[str, None] = field(default_factory=dict)  # by digest; not to be tried again
    lost: int = 0
    losses: int = 0  # in a row
    loaded: bool = False
    milliseconds: float = 0.0
    default: Schedule = ()
    verified: tuple[str, ...] = ()
    good: list[tuple[float, str, Schedule]] = field(default_factory=list)  # ratio, name, schedule; the best first
    resident: set[str] = field(default_factory=set)  # what the child has built and kept

    def run(self) -> Record:
        """The record of the kernel; raises Untunable, OSError where no process can be started."""
        self._load()
        self.tried = dict.fromkeys([_short(self.default), *self.tried])
        if self.earlier is not None:
            self._again(self.earlier)
        ended = self._explore()
        self._final()
        return self.record("complete" if ended else "partial")

    def record(self, state: str) -> Record:
        """What is known so far."""
        ratio, _, schedule = self.good[0] if self.good else (1.0, "", self.default)
        wins = ratio <= CLEARLY
        return Record(
            kernel=self.job.digest,
            target=traits(self.job.target),
            name=self.job.kernel.name,
            names=kernel_names(self.job.kernel),
            schedule=schedule if wins else self.default,
            default=not wins,
            default_milliseconds=_digits(self.milliseconds),
            best_milliseconds=_digits(self.milliseconds * (ratio if wins else 1.0)),
            verified=self.verified,
            state=state,
            tried=() if state == "complete" else tuple(self.tried),
            tilec=VERSION,
            date=datetime.now(UTC).strftime("%Y-%m-%d"),
        )

    # steps

    def _load(self) -> None:
        """Gives the kernel to a new child; raises Untunable."""
        text = print_program(alone(self.job.kernel, self.job.constant))
        target = {**asdict(self.job.target), "features": list(self.job.target.features)}
        seed = int(self.job.digest[:8], 16)
        try:
            found = self.child.ask({"job": "load", "program": text, "target": target, "seed": seed}, _LOADING)
        except Gone as reason:
            raise Untunable(f"its default schedule could not be run: {reason}") from None
        if "lost" in found:
            raise Untunable(f"its default schedule could not be run: {found['lost']}")
        self.resident = set()
        self.loaded = True
        self.milliseconds = found["milliseconds"]
        self.default = parse_schedule("\n".join(found["schedule"]))
        self.verified = tuple(found["verified"])

    def _again(self, earlier: Record) -> None:
        """What an earlier search found is tried first: machines change."""
        schedule = earlier.schedule_for(kernel_names(self.job.kernel))
        if not earlier.default and schedule is not None:
            self._attempt("earlier", schedule)

    def _explore(self) -> bool:
        """Tries proposals, from some on by turns with changes of the best so far; False where time ran out."""
        proposals = proposed(self.job.kernel, self.job.target, self.job.constant)
        for number in count():
            proposal = next(proposals, None)
            change = self._change() if proposal is None or number >= _UNCHANGED else None
            if proposal is None and change is None:
                return True
            for name, schedule in filter(None, (proposal, change)):
                if time.monotonic() > self.until or self.losses >= _LOSSES:
                    return False
                if _short(schedule) not in self.tried:
                    self._attempt(name, schedule)
                self._tell("proposals" if proposal else "changes")
        return True

    def _change(self) -> tuple[str, Schedule] | None:
        """A change of the best schedule that applies and is new; None where all have been tried."""
        best = self.good[0][2] if self.good and self.good[0][0] < 1 else self.default
        for schedule in changes(best):
            if (short := _short(schedule)) not in self.tried:
                if fitting(self.job.kernel, schedule) is not None:
                    return f"m{len(self.tried)}", schedule
                self.tried[short] = None
        return None

    def _attempt(self, name: str, schedule: Schedule) -> None:
        """Tries a schedule; one that seems to be the best so far is timed again, for chance favours some of many."""
        self.tried[_short(schedule)] = None
        ratio = self._built(name, schedule)
        better = ratio is not None and ratio < min(self.good[0][0] if self.good else 1.0, CLEARLY)
        if better:
            ratio = self._compared([name], _FIRST).get(name)
        if ratio is None:
            self.lost += 1
            return
        self.good = sorted([*self.good, (ratio, name, schedule)], key=lambda g: g[0])[: 2 * _FINALISTS]
        if gone := sorted(self.resident - {n for _, n, _ in self.good}):
            self.resident -= set(gone)
            self._ask({"job": "drop", "names": gone}, self.patience)
        if better and self.good[0][1] == name and ratio <= CLEARLY:
            self.keep(self.record("partial"))

    def _built(self, name: str, schedule: Schedule) -> float | None:
        """Has the child build and check a schedule; its time over that of the default one, None where it is lost."""
        limit = self.patience + self._seconds(20)
        found = self._ask({"job": "try", "name": name, "schedule": _lines(schedule)}, limit)
        if found is None or "lost" in found:
            return None
        self.resident.add(name)
        ratio: float = found["ratio"]
        return ratio

    def _compared(self, names: list[str], seconds: float) -> dict[str, float]:
        """Ratios of the times of what the child has built to that of the default schedule, of as many rounds as take so
        long; none where it is lost."""
        least, most = _ROUNDS
        rounds = max(least, min(most, int(seconds / self._seconds(len(names) + 1))))
        limit = self.patience + self._seconds(20 * rounds * (len(names) + 1))
        found = self._ask({"job": "compare", "names": names, "rounds": rounds}, limit)
        if found is None or "ratios" not in found:
            return {}
        self.milliseconds = found["milliseconds"]  # the first runs of a process are often slow
        ratios: dict[str, float] = found["ratios"]
        return ratios

    def _final(self) -> None:
        """The best ones once more, by turns with the default schedule, in a new process: where code and arrays lie is
        chance, which favoured the best of many. What a child loses is built again, once."""
        self._tell("final")
        best = [g for g in self.good if g[0] <= CLEARLY][:_FINALISTS]
        ratios: dict[str, float] = {}
        if best:
            self.child.end()
            self.loaded, self.resident = False, set()
        for _ in range(2 if best else 0):
            names = [n for _, n, s in best if n in self.resident or self._built(n, s) is not None]
            if ratios := self._compared(names, _FINAL):
                break
        self.good = sorted(((ratios[n], n, s) for _, n, s in best if n in ratios), key=lambda g: g[0])

    def _ask(self, job: Mapping[str, Any], limit: float) -> dict[str, Any] | None:
        """An answer; None where the child was lost, or cannot be loaded again."""
        try:
            if not self.loaded:
                self._load()
            found = self.child.ask(job, limit)
            self.losses = 0
            return found
        except (Gone, Untunable):
            self.loaded, self.resident, self.losses = False, set(), self.losses + 1
            return None

    def _seconds(self, runs: int) -> float:
        return runs * self.milliseconds / 1e3

    def _tell(self, stage: str) -> None:
        speedup = max(1.0, 1 / self.good[0][0]) if self.good else 1.0
        self.tell(Progress(self.job.kernel.name, len(self.tried), self.lost, speedup, stage))


def _digits(value: float) -> float:
    return float(f"{value:.6g}")


def _short(schedule: Schedule) -> str:
    return hashlib.sha256(print_schedule(schedule).encode()).hexdigest()[:12]


def _lines(schedule: Schedule) -> list[str]:
    return [str(d) for d in schedule]
