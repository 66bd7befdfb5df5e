"""Floor 5: what has been made for the signatures of a function's calls: once each, bounded, with the reason for each.

A signature is a key, which hashes, and the values of the arguments. Of these only numbers that shaped what was made
count, and which they are is known only after it has been made: a program is found for any value of the others.
"""

from __future__ import annotations

import logging
import os
import threading
import weakref
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeAlias, TypeVar

from tilec.configuration import config

LIMIT = 1024  # keys of one function, and numbers of one key, that are kept; beyond it the oldest are forgotten

T = TypeVar("T")
# A signature in words, by argument and setting, given the places of the values that count.
Describe: TypeAlias = Callable[[Collection[int]], Mapping[str, str]]

_log = logging.getLogger("tilec")


@dataclass(frozen=True, slots=True)
class Member(Generic[T]):
    values: Sequence[Any]
    made: T
    describe: Describe | None


@dataclass(frozen=True, slots=True)
class Known(Generic[T]):
    """What has been made for one key: several where values count, those at the places `fixed`."""

    fixed: tuple[int, ...] = ()
    members: tuple[Member[T], ...] = ()

    def find(self, values: Sequence[Any]) -> T | None:
        """What was made for these values."""
        if not self.fixed:
            return self.members[0].made if self.members else None
        return next((m.made for m in self.members if all(m.values[i] == values[i] for i in self.fixed)), None)

    def plus(self, member: Member[T], places: Collection[int]) -> Known[T]:
        """With one more, for which the values at `places` count; the oldest of too many are forgotten."""
        return Known(tuple(sorted({*self.fixed, *places})), (*self.members, member)[-LIMIT:])

    def words(self) -> list[Mapping[str, str]]:
        return [m.describe(self.fixed) for m in self.members if m.describe is not None]


@dataclass(slots=True)
class Family(Generic[T]):
    """What is known of one key. Calls read `known` once and without a lock, for it is replaced, never changed.

    `gate` is held while something is made for the key.
    """

    known: Known[T] = field(default_factory=Known)
    gate: threading.RLock = field(default_factory=threading.RLock)


class Signatures(Generic[T]):
    """What has been made, by signature. Safe to use from any threads and after a fork; one thread makes a thing."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.families: dict[Hashable, Family[T]] = {}
        self.lock = threading.Lock()
        _all.add(self)

    def find(self, key: Hashable, values: Sequence[Any] = ()) -> T | None:
        """What was made for a signature, looked up without a lock."""
        family = self.families.get(key)
        return None if family is None else family.known.find(values)

    def make(
        self,
        key: Hashable,
        work: Callable[[], tuple[T, Collection[int]]],
        describe: Describe | None = None,
        values: Sequence[Any] = (),
    ) -> T:
        """What is made for a signature, by `work` if need be; it also says at which places values count.

        `describe` is for the log and `in_words`, and `values` are kept. Raises what `work` raises.
        """
        config.loaded()  # shows log records, where that is set
        with self.lock:
            while len(self.families) >= LIMIT and key not in self.families:
                del self.families[next(iter(self.families))]
            family = self.families.setdefault(key, Family())
        with family.gate:
            found = family.known.find(values)
            if found is None:
                if describe is not None and _log.isEnabledFor(logging.DEBUG):
                    self._explain(describe, family.known.fixed)
                found, places = work()
                family.known = family.known.plus(Member(values, found, describe), places)
            return found

    def in_words(self) -> list[str]:
        """The signatures for which something has been made, oldest first."""
        with self.lock:
            return [_text(words) for family in self.families.values() for words in family.known.words()]

    def __len__(self) -> int:
        with self.lock:
            return sum(len(family.known.members) for family in self.families.values())

    def forked(self) -> None:
        """To be called in a child process: no thread is left there that would release what another one holds."""
        self.lock = threading.Lock()
        for family in self.families.values():
            family.gate = threading.RLock()

    def _explain(self, describe: Describe, own: Collection[int]) -> None:
        """Says how a signature differs from the nearest known one, the latest of several.

        `own`: places of values that counted before, for its key.
        """
        with self.lock:
            known = [family.known for family in self.families.values()]
        pairs = [(words, describe({*k.fixed, *own})) for k in known for words in k.words()]
        if not pairs:
            _log.debug("%s: compiling for %s", self.name, _text(describe(())))
        else:
            nearest = min((_changes(old, new) for old, new in reversed(pairs)), key=len)
            _log.debug("%s: compiling again: %s", self.name, "; ".join(nearest))


def _text(words: Mapping[str, str]) -> str:
    return ", ".join(f"{name}: {text}" for name, text in words.items())


def _changes(old: Mapping[str, str], new: Mapping[str, str]) -> list[str]:
    names = dict.fromkeys((*new, *old))
    pairs = [(n, old.get(n, "not set"), new.get(n, "not set")) for n in names]
    return [f"{n}: {a} -> {b}" for n, a, b in pairs if a != b] or ["a number that shapes the code has a new value"]


_all: weakref.WeakSet[Signatures[Any]] = weakref.WeakSet()


def _after_fork() -> None:
    for signatures in list(_all):
        signatures.forked()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
