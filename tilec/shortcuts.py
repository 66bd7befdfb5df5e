"""Floor 5: the programs that a function has been called with of late, tried before a call is taken apart.

A direct call (`tilec.backend.Direct`) looks at the types and shapes of its arguments, and refuses what is not exactly
what the program takes. That is all a signature of arrays and plain numbers says, so that instead of looking one up, a
few programs are asked.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tilec.configuration import config
from tilec.executable import Executable, never

_KEPT = 4  # to ask one that refuses takes a tenth of a microsecond
_KINDS = {"f32": float, "f64": float, "i32": int}


@dataclass(frozen=True, slots=True)
class Shortcut:
    """direct: of a tuple of arguments, and `out`. numbers: positions and types of plain numbers, for which an array
    would be another signature. finish: makes the function's result of a list of arrays; None: it is the array.
    """

    direct: Callable[[Any, Any], Any]
    numbers: tuple[tuple[int, type], ...]
    finish: Callable[[Any], Any] | None


def shortcut(executable: Executable, finish: Callable[[Any], Any] | None = None) -> Shortcut | None:
    """None where the program has no direct calls, or takes numbers whose values tell their types."""
    numbers = [(k, _KINDS.get(t.dtype.name)) for k, t in enumerate(executable.params.values()) if t.weak]
    known = tuple((k, kind) for k, kind in numbers if kind is not None)
    if executable.direct is never or len(known) < len(numbers):
        return None
    return Shortcut(executable.direct, known, finish)


class Shortcuts:
    """The latest few of a function, for the settings in force. For all threads: what is read is never changed."""

    def __init__(self) -> None:
        self._latest: tuple[Any, tuple[Shortcut, ...]] = (None, ())

    def call(self, args: tuple[Any, ...], out: Any = None) -> Any:
        """What the function returns; NotImplemented where none of the programs takes these arguments."""
        settings, latest = self._latest
        if not latest or config.decisive() != settings:
            return NotImplemented
        for tried in latest:
            if tried.numbers and not _are_numbers(args, tried.numbers):
                continue
            found = tried.direct(args, out)
            if found is not NotImplemented:
                if tried.finish is None:
                    return found
                return tried.finish(found if type(found) is tuple else (found,))
        return NotImplemented

    def add(self, tried: Shortcut | None) -> None:
        """To be asked first from now on."""
        if tried is None:
            return
        settings, latest = self._latest
        if config.decisive() != settings:
            latest = ()
        if latest[:1] != (tried,):
            self._latest = config.decisive(), (tried, *(t for t in latest if t != tried))[:_KEPT]


def _are_numbers(args: tuple[Any, ...], numbers: tuple[tuple[int, type], ...]) -> bool:
    return all([k < len(args) and type(args[k]) is kind for k, kind in numbers])
