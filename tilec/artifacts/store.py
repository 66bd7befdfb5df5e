"""Floor 3: compiled programs kept on disk between processes, one file for each key.

An entry is sealed (`artifacts.seal`) with a random key that only this user can read, and holds its full key. Whatever
does not verify is deleted and compiled again. Files are written whole (`files.write_whole`), so that any number of
processes may share a directory and be killed at any time.

The directory must belong to this user and not be writable by others, for its entries are run as machine code. On
Windows, where permissions are lists, the user's profile is private by default; the seal still refuses what was planted
by someone who cannot read the key. Where there is no such directory, nothing is kept, and one warning says why.
"""

from __future__ import annotations

import hashlib
import itertools
import logging
import os
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from platformdirs import user_cache_path

from tilec.artifacts import seal
from tilec.configuration import config
from tilec.files import TEMPORARY, distrust, read_with_status, write_whole

_log = logging.getLogger("tilec")

_SUFFIX = ".entry"
_SECRET = "secret"
_LARGEST = 1 << 32  # bytes; no entry has so many
_STALE = 3600.0  # seconds after which an unfinished file is taken for a dead process's
_LOCKS = 256
_PATIENCE = 30.0  # seconds to wait for another process that compiles the same

DEFAULT_LIMIT = 1 << 30


class CacheWarning(RuntimeWarning):
    """The disk cache cannot be used; everything works without it."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where compiled programs are kept, None for nowhere, and how many bytes they may take together."""

    directory: Path | None
    limit: int = DEFAULT_LIMIT


def place(off: bool = False) -> Place:
    """As the settings `cache`, `cache_dir` and `cache_size` say here and now; raises what `tilec.config` raises.

    `off`: also where the cache is off, for who wants to be rid of what is kept.
    """
    settings = config.loaded().settings
    if not (settings.cache or off):
        return Place(None, settings.cache_size)
    directory = Path(settings.cache_dir) if settings.cache_dir else user_cache_path("tilec")
    return Place(directory, settings.cache_size)


@cache
def open_store(place: Place) -> Store | None:
    """The process's one store at a place."""
    return None if place.directory is None else Store(place.directory, place.limit)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=open_store.cache_clear)  # another thread may hold a store's lock just then


@dataclass(frozen=True, slots=True)
class Entry:
    """A file of the directory: its size in bytes and when it was last used, in seconds since the epoch."""

    path: Path
    size: int
    used: float


class Unusable(Exception):
    """Why a directory cannot serve as a cache."""


class Store:
    """A directory of entries. Methods never raise, except `check`; safe to use from any threads and processes."""

    def __init__(self, directory: Path, limit: int = DEFAULT_LIMIT) -> None:
        self.directory, self.limit = directory, limit
        self._lock = threading.Lock()
        self._bytes: int | None = None  # what entries take, as far as this process knows
        self._warned = False

    def get(self, key: bytes) -> bytes | None:
        """The payload kept for `key`, or None. An entry that does not verify is deleted."""
        path = self._path(key)
        try:
            secret = self.check()
            data, status = read_with_status(path, _LARGEST)
        except FileNotFoundError:
            return None
        except (Unusable, OSError) as reason:
            self._warn("nothing is read from", reason)
            return None
        payload = None if distrust(status) and os.name == "posix" else seal.unsealed(data, key, secret)
        if payload is None:
            self.discard(key)
        else:
            with suppress(OSError):
                os.utime(path)  # the least recently used go first
        return payload

    def put(self, key: bytes, payload: bytes) -> None:
        """Keeps a payload; does nothing where that is not possible, or where it is too large to be worth it."""
        try:
            data = seal.sealed(key, payload, self.check())
            if len(data) > self.limit // 4:
                return
            write_whole(self._path(key), data)
        except (Unusable, OSError) as reason:
            if not (os.name == "nt" and isinstance(reason, PermissionError)):  # another process is reading the old one
                self._warn("nothing is written to", reason)
            return
        self._account(len(data))

    def discard(self, key: bytes) -> None:
        """Deletes the entry of a key."""
        with suppress(OSError):
            self._path(key).unlink()

    @contextmanager
    def compiling(self, key: bytes) -> Iterator[None]:
        """Holds back other processes that want to compile the same; waits for them, but not for ever."""
        from filelock import FileLock, Timeout

        number = int.from_bytes(hashlib.sha256(key).digest()[:2]) % _LOCKS
        lock = FileLock(self.directory / f"lock-{number:03}", timeout=_PATIENCE, thread_local=False)
        try:
            self.check()
            lock.acquire()
        except (Unusable, OSError, Timeout, NotImplementedError):  # it only saves work
            yield
            return
        try:
            yield
        finally:
            lock.release()

    # looking after the directory

    def check(self) -> bytes:
        """The seal's key, after the directory has been made and examined; raises Unusable or OSError."""
        if not self.directory.is_absolute():
            raise Unusable("there is no home directory")
        try:
            status = self.directory.stat()
        except FileNotFoundError:
            _make(self.directory)
            status = self.directory.stat()
        if os.name == "posix" and (reason := distrust(status)):
            raise Unusable(reason)
        return seal.secret(self.directory / _SECRET)

    def entries(self) -> list[Entry]:
        """All entries, the least recently used first; none where the directory cannot be listed."""
        return sorted(self._listed(_is_entry), key=lambda e: e.used)

    def evict(self, limit: int) -> int:
        """Deletes least recently used entries until the others take at most `limit` bytes; returns what they take."""
        for entry in self._listed(lambda name: name.startswith(TEMPORARY)):
            if time.time() - entry.used > _STALE:
                _remove(entry)
        entries = self.entries()
        total = sum(e.size for e in entries)
        for entry in entries:
            if total <= limit:
                break
            total -= entry.size
            _remove(entry)
        return total

    def clear(self) -> int:
        """Deletes all entries and unfinished files; returns how many."""
        return sum(map(_remove, self._listed(lambda name: _is_entry(name) or name.startswith(TEMPORARY))))

    def verify(self) -> tuple[int, int]:
        """Reads every entry and deletes those that do not verify: (good, deleted). Raises Unusable or OSError."""
        secret = self.check()
        good = bad = 0
        for entry in self.entries():
            if _is_good(entry.path, secret):
                good += 1
            else:
                bad += _remove(entry)
        return good, bad

    def _path(self, key: bytes) -> Path:
        return self.directory / _name(key)

    def _account(self, size: int) -> None:
        """Looks after the size at a process's first write, and whenever it is too large as far as the process knows."""
        with self._lock:
            if self._bytes is None:
                self._bytes = self.evict(self.limit)
            else:
                self._bytes += size
            if self._bytes > self.limit:
                self._bytes = self.evict(self.limit * 9 // 10)  # with some room, so that not every write comes here

    def _warn(self, what: str, reason: Exception) -> None:
        """Says it once: a cache is a convenience, and its absence no news after the first time."""
        name = str(self.directory)
        shown = repr(name if len(name) < 300 else f"{name[:100]}...{name[-100:]}")
        text = f"{what} the cache {shown}: {_text(reason)}"
        with self._lock:
            first, self._warned = not self._warned, True
        _log.info("%s", text)
        if first:
            warnings.warn(f"{text}; programs are compiled anew each time", CacheWarning, stacklevel=2)

    def _listed(self, wanted: Callable[[str], bool]) -> list[Entry]:
        found = []
        with suppress(OSError), os.scandir(self.directory) as listing:
            for item in listing:
                if wanted(item.name):
                    with suppress(OSError):  # another process has just deleted it
                        status = item.stat(follow_symlinks=False)
                        found.append(Entry(Path(item.path), status.st_size, status.st_mtime))
        return found


def _make(directory: Path) -> None:
    """Makes a private directory and those above it, however many: `Path.mkdir` goes up by recursion. Raises OSError."""
    above = itertools.takewhile(lambda parent: not parent.exists(), directory.parents)
    for parent in reversed(list(above)):
        parent.mkdir(exist_ok=True)
    with suppress(FileExistsError):
        directory.mkdir(mode=0o700)


def _name(key: bytes) -> str:
    return hashlib.sha256(b"%d:" % seal.SCHEMA + key).hexdigest() + _SUFFIX


def _is_entry(name: str) -> bool:
    return name.endswith(_SUFFIX) and len(name) == 64 + len(_SUFFIX)


def _remove(entry: Entry) -> int:
    try:
        entry.path.unlink()
    except OSError:
        return 0
    return 1


def _is_good(path: Path, secret: bytes) -> bool:
    """Whether an entry verifies with the key that it holds, and has that key's name."""
    try:
        data, status = read_with_status(path, _LARGEST)
    except OSError:
        return False
    key = seal.key_of(data)
    if key is None or (os.name == "posix" and distrust(status)):
        return False
    return path.name == _name(key) and seal.unsealed(data, key, secret) is not None


def _text(reason: Exception) -> str:
    return str(getattr(reason, "strerror", None) or reason)
