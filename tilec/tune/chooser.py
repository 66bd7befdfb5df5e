"""Floor 5: schedules of kernels from records, applied."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from tilec.kernel_key import kernel_digest, kernel_names
from tilec.loops import Kernel
from tilec.target import Target
from tilec.tune.choice import Choices, open_records, wanted
from tilec.tune.fits import fitting, here, tunable
from tilec.tune.record import Record
from tilec.tune.records import Records


@dataclass(slots=True)
class Chooser:
    """Chooses for the kernels of one program, and notes what it chose."""

    records: Records
    target: Target
    made: dict[str, str] = field(default_factory=dict)

    def __call__(self, kernel: Kernel, constant: frozenset[str]) -> Kernel | None:
        """The kernel under the schedule of its record; None where the rules of the default schedule choose."""
        if not tunable(kernel, self.target):
            return None
        digest = kernel_digest(kernel, constant)
        record = self.records.get(digest, self.target)
        self.made[digest] = "" if record is None else record.choice
        return None if record is None or record.default else _applied(kernel, record)

    @property
    def choices(self) -> Choices:
        return tuple(self.made.items())


def _applied(kernel: Kernel, record: Record) -> Kernel | None:
    schedule = record.schedule_for(kernel_names(kernel))
    return None if schedule is None else fitting(kernel, schedule)


def chooser(target: Target, tune: float | str | None = None) -> Chooser | None:
    """What chooses from the records; None where these are not wanted, or cannot be of use.

    The device of code made ahead of time is a triple; where all else is as on this machine, so are its records.
    """
    target = replace(target, device="host") if target.backend == "llvm" else target
    records = open_records() if wanted(tune) and here(target) else None
    return None if records is None else Chooser(records, target)
