"""Floor 5: what has been compiled, by signature: made once, bounded, with the reason where it is made again."""

from __future__ import annotations

import logging
import os
import threading
import weakref
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from tilec.configuration import config
from tilec.operation import changes, in_words

LIMIT = 1024  # signatures kept by one function; beyond it the oldest are forgotten

T = TypeVar("T")
_log = logging.getLogger("tilec")


@dataclass(slots=True)
class _Place(Generic[T]):
    """Where one signature's value is, or will be when `gate` opens. `words` describe the signature."""

    gate: threading.RLock = field(default_factory=threading.RLock)
    made: list[T] = field(default_factory=list)
    words: Mapping[str, str] = field(default_factory=dict)


class Signatures(Generic[T]):
    """Values by signature. Safe to use from any threads and after a fork; a value is made by one thread only."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._places: dict[Hashable, _Place[T]] = {}
        self._lock = threading.Lock()
        _all.add(self)

    def find(self, key: Hashable) -> T | None:
        """The value, without a lock."""
        place = self._places.get(key)
        return place.made[0] if place is not None and place.made else None

    def make(self, key: Hashable, words: Callable[[], Mapping[str, str]], make: Callable[[], T]) -> T:
        """The value, made if need be; `words` describe the signature for the log."""
        config.loaded()  # shows log records, where that is set
        with self._lock:
            while len(self._places) >= LIMIT and key not in self._places:
                del self._places[next(iter(self._places))]
            place = self._places.setdefault(key, _Place())
        with place.gate:
            if not place.made:
                if _log.isEnabledFor(logging.DEBUG):
                    self._explain(place, words())
                place.made.append(make())
            return place.made[0]

    def __len__(self) -> int:
        with self._lock:
            return sum(1 for place in self._places.values() if place.made)

    def forked(self) -> None:
        """To be called in a child process: no thread is left there that would release what another one holds."""
        self._lock = threading.Lock()
        for place in self._places.values():
            place.gate = threading.RLock()

    def _explain(self, place: _Place[T], words: Mapping[str, str]) -> None:
        """Says how the signature differs from the nearest one that was compiled, the latest of several."""
        place.words = words
        with self._lock:
            known = [p.words for p in self._places.values() if p.made and p.words]
        if not known:
            _log.debug("%s: compiling for %s", self.name, in_words(words))
        else:
            nearest = min((changes(old, words) for old in reversed(known)), key=len)
            _log.debug("%s: compiling again: %s", self.name, "; ".join(nearest))


_all: weakref.WeakSet[Signatures[Any]] = weakref.WeakSet()


def _after_fork() -> None:
    for signatures in list(_all):
        signatures.forked()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
