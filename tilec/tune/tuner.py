"""Floor 5: tunes the kernels of a program: one search after the other, within a time, into the records."""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from tilec.affine import Size
from tilec.errors import TileError
from tilec.kernel_key import kernel_digest, kernel_names
from tilec.loops import For, Kernel, Launch, Program, all_steps, walk
from tilec.pipeline import Prepare, with_constants
from tilec.schedule import Schedule
from tilec.target import Target
from tilec.tune import choice
from tilec.tune.child import Child
from tilec.tune.chooser import Chooser
from tilec.tune.fits import applied, here, points, tunable
from tilec.tune.record import Record
from tilec.tune.records import Records, TuningWarning
from tilec.tune.search import PATIENCE, Job, Progress, Search, Tell, Untunable

_WRITTEN = "its schedule is written down"
_log = logging.getLogger("tilec")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a kernel: its record, or the reason why there is none. `kept`: it had a complete one already."""

    kernel: Kernel
    record: Record | None
    problem: str | None = None
    kept: bool = False

    @property
    def schedule(self) -> Schedule:
        """The fastest schedule that is known, in the names of this kernel."""
        record = self.record
        return () if record is None else record.schedule_for(kernel_names(self.kernel)) or record.schedule


def preparation(choose: Chooser | None, seconds: float | str | None = None) -> Prepare:
    """What a compilation does before it schedules kernels: it tunes those without a record, where that is wanted.

    However often it schedules, that takes no longer than what is wanted.
    """
    left = choice.seconds(seconds)

    def prepare(program: Program, done: frozenset[str]) -> None:
        nonlocal left
        if choose is None or left <= 0:
            return
        started = time.monotonic()
        for outcome in tune(program, choose.target, choose.records, left, done=done, again=False):
            if outcome.problem is not None:
                _log.info("kernel %s is not tuned: %s", outcome.kernel.name, outcome.problem)
        left -= time.monotonic() - started

    return prepare


def ignore(progress: Progress) -> None:
    """Shows nothing."""


def tune(
    program: Program,
    target: Target,
    records: Records,
    limit: float,
    *,
    resume: bool = True,
    again: bool = True,
    tell: Tell = ignore,
    done: frozenset[str] = frozenset(),
    patience: float = PATIENCE,
    start: Callable[[], Child] = Child,
) -> Iterator[Outcome]:
    """Tunes the kernels of an unscheduled program for about `limit` seconds, and says what became of each.

    Those with most work come first; each gets its share of the time that is left. With `resume`, those with a complete
    record keep it, and a search that was ended early goes on; not `again`, it keeps its record, too. An interruption
    leaves the best schedules so far in the records. Records that cannot be written are told once. `done` kernels have
    their schedules already. A candidate may take `patience` seconds to be compiled.
    """
    session = _Session(target, records, resume, again, tell, patience)
    jobs = [Job(k, constant, target) for k, constant in launched(program) if k.name not in done]
    jobs.sort(key=lambda job: -points(job.kernel.body))
    until = time.monotonic() + limit
    yield from (Outcome(k, None, _WRITTEN) for k, _ in launched(program) if k.name in done)
    with start() as child:
        for position, job in enumerate(jobs):
            left = until - time.monotonic()
            yield session.one(job, child, left / (len(jobs) - position))


def known(program: Program, target: Target, records: Records, done: frozenset[str] = frozenset()) -> Iterator[Outcome]:
    """What records say of the kernels of an unscheduled program; a schedule that no longer applies is told.

    `done` kernels have their schedules already.
    """
    for kernel, constant in launched(program):
        if kernel.name in done:
            yield Outcome(kernel, None, _WRITTEN)
            continue
        if not tunable(kernel, target):
            yield Outcome(kernel, None, _why_not(kernel, target))
            continue
        record = records.get(kernel_digest(kernel, constant), target)
        yield Outcome(kernel, record, _trouble(kernel, record), kept=record is not None)


def _trouble(kernel: Kernel, record: Record | None) -> str | None:
    if record is None:
        return "nobody has looked"
    if record.default:
        return None
    schedule = record.schedule_for(kernel_names(kernel))
    try:
        applied(kernel, schedule or record.schedule)
    except TileError as refused:
        return f"its schedule no longer applies: {refused.diagnostics[0].message}"
    return None


def launched(program: Program) -> list[tuple[Kernel, frozenset[str]]]:
    """Kernels that calls launch, and their constant parameters; what is launched once, before them, does not matter."""
    used = {s.kernel for s in all_steps(program.steps) if isinstance(s, Launch)}
    return [(kernel, constant) for kernel, constant in with_constants(program) if kernel.name in used]


@dataclass(slots=True)
class _Session:
    target: Target
    records: Records
    resume: bool
    again: bool
    tell: Tell
    patience: float
    silent: bool = field(default=False)

    def one(self, job: Job, child: Child, limit: float) -> Outcome:
        """Tunes a kernel for so many seconds."""
        if not tunable(job.kernel, self.target):
            return Outcome(job.kernel, None, _why_not(job.kernel, self.target))
        earlier = self.records.get(job.digest, self.target)
        if self.resume and earlier is not None and (earlier.state == "complete" or not self.again):
            return Outcome(job.kernel, earlier, kept=True)
        if limit <= 0:
            return Outcome(job.kernel, earlier, "no time was left")
        search = Search(job, child, time.monotonic() + limit, self.tell, self.keep, earlier, self.patience)
        if self.resume and earlier is not None:
            search.tried = dict.fromkeys(earlier.tried)
        try:
            record = search.run()
        except Untunable as reason:
            return Outcome(job.kernel, None, str(reason))
        except OSError as reason:
            return Outcome(job.kernel, None, f"no process can be started: {reason.strerror or reason}")
        except BaseException:
            if search.good or (earlier is None and search.default):
                self.keep(search.record("partial"))
            raise
        self.keep(record)
        return Outcome(job.kernel, record)

    def keep(self, record: Record) -> None:
        try:
            self.records.put(record, self.target)
        except OSError as reason:
            if not self.silent:
                where = str(self.records.directory)
                text = f"the tuning records in {where!r} cannot be written: {reason.strerror or reason}"
                warnings.warn(text, TuningWarning, stacklevel=2)
            self.silent = True


def _why_not(kernel: Kernel, target: Target) -> str:
    if not here(target):
        return f"{target} is no device of this machine that is tuned"
    sizes: list[Size] = [s for p in kernel.params for s in p.buffer.shape]
    sizes += [s.extent for s in walk(kernel.body) if isinstance(s, For)]
    if not all(isinstance(s, int) for s in sizes):
        return "its sizes are open"
    return "it has little to do" if all(p.buffer.strides is None for p in kernel.params) else "it works on slices"
