"""Floor 0: names that nothing else has, each found at once: a counter per stem, not a search from the start."""

from __future__ import annotations

from collections.abc import Collection


class FreshNames:
    """Gives out names, each once and none of `taken`.

    `numbered` always adds a number (`x.1`, `x.2` ...); `like` gives the stem itself while it is free (`x`, `x.2` ...).
    `separator` stands between stem and number.
    """

    def __init__(self, taken: Collection[str] = (), separator: str = ".") -> None:
        self._taken = taken
        self._given: set[str] = set()
        self._last: dict[str, int] = {}
        self._separator = separator

    def numbered(self, stem: str) -> str:
        return self._next(stem, 0)

    def like(self, stem: str) -> str:
        return self._next(stem, 1) if self._is_taken(stem) else self._give(stem)

    def _next(self, stem: str, last: int) -> str:
        number = self._last.get(stem, last)
        while True:
            number += 1
            name = f"{stem}{self._separator}{number}"
            if not self._is_taken(name):
                self._last[stem] = number
                return self._give(name)

    def _is_taken(self, name: str) -> bool:
        return name in self._given or name in self._taken

    def _give(self, name: str) -> str:
        self._given.add(name)
        return name
