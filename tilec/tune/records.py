"""Floor 3: records of the tuner on disk, one file for each kernel and kind of machine.

Files are written whole (`files.write_whole`), so that any number of processes may share the directory and be killed at
any time, and the records of two machines are merged by copying files. A damaged one is deleted, and a warning tells it
once. Like compiled programs, records count only where nobody but this user can write them.
"""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tilec.files import TEMPORARY, distrust, read_with_status, write_whole
from tilec.target import Target
from tilec.tune.record import MOST_BYTES, Foreign, Record, decode, encode, traits, traits_digest

_log = logging.getLogger("tilec")
_SUFFIX = ".json"
_DAMAGED = "it is damaged"


class TuningWarning(RuntimeWarning):
    """A record of the tuner cannot be used; the default schedule is."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A file of the directory; `problem` says why it does not count."""

    path: Path
    record: Record | None
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Records:
    """The records in a directory, which need not exist. Reading never raises."""

    directory: Path

    def get(self, kernel: str, target: Target) -> Record | None:
        """The record of a kernel, by digest, on a target."""
        path = self.path(kernel, target)
        found = _read(path)
        if found.record is not None and path.name != _name(found.record.kernel, path.stem[-16:]):
            found = Entry(path, None, f"{_DAMAGED}: it is of another kernel")
        if found.record is not None and found.record.target != traits(target):
            found = Entry(path, None, "it is of another kind of machine")
        if found.problem is not None:
            _tell(found)
        return found.record

    def put(self, record: Record, target: Target) -> None:
        """Keeps a record in the place of the one that is there; raises OSError."""
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_whole(self.path(record.kernel, target), encode(record))

    def check(self) -> None:
        """Makes the directory, and tries to write there; raises OSError."""
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_whole(self.directory / f"{TEMPORARY}check", b"")
        _remove(self.directory / f"{TEMPORARY}check")

    def path(self, kernel: str, target: Target) -> Path:
        return self.directory / _name(kernel, traits_digest(target))

    def entries(self) -> Iterator[Entry]:
        """Every record, those that do not count included, in the order of their names."""
        return map(_read, self._files(_SUFFIX))

    def clear(self) -> int:
        """Deletes all records and unfinished files; returns how many."""
        return sum(map(_remove, [*self._files(_SUFFIX), *self._files("", TEMPORARY)]))

    def _files(self, suffix: str, prefix: str = "") -> list[Path]:
        try:
            names = sorted(os.listdir(self.directory))
        except OSError:
            return []
        return [self.directory / n for n in names if n.endswith(suffix) and n.startswith(prefix)]


def _name(kernel: str, traits: str) -> str:
    return f"{kernel[:40]}-{traits}{_SUFFIX}"


def _read(path: Path) -> Entry:
    try:
        data, status = read_with_status(path, MOST_BYTES)
        if os.name == "posix" and (reason := distrust(status)):
            return Entry(path, None, reason)
        return Entry(path, decode(data))
    except (FileNotFoundError, NotADirectoryError):
        return Entry(path, None)
    except Foreign:
        return Entry(path, None, "it is of another version of tilec")
    except OSError as reason:
        return Entry(path, None, f"{_DAMAGED if reason.errno is None else 'it cannot be read'}: {reason.strerror}")
    except ValueError as reason:
        return Entry(path, None, f"{_DAMAGED}: {reason}")


def _tell(entry: Entry) -> None:
    """Once: what is damaged is deleted, so that the next process does not meet it."""
    text = f"the tuning record {str(entry.path)!r} is not used: {entry.problem}"
    _log.info("%s", text)
    if entry.problem is not None and entry.problem.startswith(_DAMAGED):
        _remove(entry.path)
        warnings.warn(text, TuningWarning, stacklevel=2)


def _remove(path: Path) -> int:
    try:
        path.unlink()
    except OSError:
        return 0
    return 1
