"""Memory of calls with open sizes: a plan for each vector of sizes, made once and kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tilec.affine import Size, resolve
from tilec.arena import Life, assign
from tilec.backend import Array
from tilec.backends.llvm.layout import Open
from tilec.errors import error
from tilec.text.affine_text import AffineParser

_KEPT = 64
_ALIGN = 64


@dataclass(frozen=True, slots=True)
class Plan:
    """For one vector of sizes: words of the table, places of buffers (table entry, offset), bytes of the arena."""

    words: tuple[tuple[int, int], ...] = ()
    places: tuple[tuple[int, int], ...] = ()
    bytes: int = 0

    def fill(self, table: Any, arena: int) -> None:
        """Completes the table of a call whose arena starts at an address."""
        for at, value in self.words:
            table[at] = value
        for at, offset in self.places:
            table[at] = arena + offset


class NoPlans:
    """The plan of a program without open sizes."""

    def __init__(self) -> None:
        self._plan = Plan()

    def of(self, arrays: Sequence[Array]) -> Plan:
        return self._plan

    def at(self, sizes: Mapping[str, int]) -> Plan:
        return self._plan


class Plans:
    """Plans by what the arguments' shapes say. Safe to use from several threads: at worst one is made twice."""

    def __init__(self, open: Open) -> None:
        self._open = open
        self._derived = [(name, _size(text), divisor) for name, text, divisor in open.derived]
        self._lives = [(at, _size(text), first, last) for at, text, first, last in open.lives]
        self._axes = [(text, _size(text)) for text in open.axes]
        self._kept: dict[tuple[int, ...], Plan] = {}

    def of(self, arrays: Sequence[Array]) -> Plan:
        """The plan for a call on these arrays; raises what `at` raises."""
        return self.at({name: arrays[argument].shape[axis] for name, argument, axis in self._open.sizes})

    def at(self, sizes: Mapping[str, int]) -> Plan:
        """Raises TileError TILE0211 for a size that becomes negative, TILE0414 for more memory than can be counted."""
        vector = tuple(sizes[name] for name, _, _ in self._open.sizes)
        plan = self._kept.get(vector)
        if plan is None:
            if len(self._kept) >= _KEPT:
                self._kept.clear()
            plan = self._kept[vector] = self._made(vector)
        return plan

    def _made(self, vector: tuple[int, ...]) -> Plan:
        known = {name: value for (name, _, _), value in zip(self._open.sizes, vector)}
        given = ", ".join(f"{n} = {v}" for n, v in known.items())
        for text, axis in self._axes:
            if resolve(axis, known) < 0:
                raise error("TILE0211", f"the size {text} is {resolve(axis, known)} where {given}")
        for name, size, divisor in self._derived:
            known[name] = int(resolve(size, known)) // divisor
        lives = [Life(str(at), int(resolve(size, known)), first, last) for at, size, first, last in self._lives]
        places, total = assign(lives, _ALIGN, tries=1)  # a call waits for it
        words = tuple((at, known[name]) for name, at in self._open.slots)
        return Plan(words, tuple((int(at), offset) for at, offset in places.items()), total)


def _size(text: str) -> Size:
    parser = AffineParser(text, "<size>")
    size = parser.size()
    parser.end()
    return size
