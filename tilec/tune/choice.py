"""Floor 5: what the settings say of records, and whether compiled code still rests on what these say. Loads no pass."""

from __future__ import annotations

from collections.abc import Iterable

from tilec.artifacts.store import place
from tilec.configuration import config
from tilec.target import Target
from tilec.tune.records import Records

Choices = tuple[tuple[str, str], ...]  # kernels by digest, and what was chosen for each: `Record.choice`


def open_records() -> Records | None:
    """The records of this user, as the settings say here and now; None where there is no place for them."""
    directory = place(off=True).directory
    return None if directory is None or not directory.is_absolute() else Records(directory / "tuned")


def wanted(tune: float | str | None = None) -> bool:
    """Whether records are looked at: the option `tune`, or where it is None the setting, is not 0."""
    return (config.loaded().settings.tune if tune is None else tune) != 0


def seconds(tune: float | str | None = None) -> float:
    """How long a compilation may look for schedules."""
    found = config.loaded().settings.tune if tune is None else tune
    return 0.0 if isinstance(found, str) else float(found)


def out_of_date(choices: Iterable[tuple[str, str]], target: Target, tune: float | str | None = None) -> bool:
    """Whether other schedules would be chosen now, or some would have to be looked for."""
    records, search = open_records(), seconds(tune) > 0
    for digest, choice in choices:
        record = None if records is None else records.get(digest, target)
        if (record is None and search) or choice != ("" if record is None else record.choice):
            return True
    return False
