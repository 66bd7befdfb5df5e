"""Floor 2: what may be chosen per compilation, and who watches it. Loaded without any pass."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from tilec.errors import error
from tilec.schedule import Pinned

Watcher: TypeAlias = Callable[[str, Any], None]


@dataclass(frozen=True, slots=True)
class Options:
    """What may be chosen per compilation. `fuse` and `schedule` off give the plainest code, for finding faults.

    memory_limit: bytes that the temporary tensors of a call should take at most; with `remat` "auto" values are
    computed again where they are needed late, until they do. Where they do not, a warning says by how much (TILE0419).
    With open sizes each call is held to the limit, and one that needs more is refused before it runs; `remat` then has
    to be "none". The target `reference` plans no memory, so that nothing is held to a limit there.
    budget: bytes that a call may take altogether: arguments, results, constants and temporary tensors. Values are
    computed again to keep to it; a program that cannot, or that is to take more than the device has, is refused
    (TILE0416). It stands in place of `memory_limit` and `remat`, and sizes have to be known.
    tune: as the setting of that name ("records", or seconds), which counts where this is None. schedules: those of
    kernels that someone wrote; a mapping from names to their text is taken, too. Raises TILE0511 for other ones.
    """

    fuse: bool = True
    schedule: bool = True
    remat: str = "none"
    memory_limit: int | None = None
    tune: float | str | None = None
    schedules: tuple[Pinned, ...] = ()
    budget: int | None = None

    def __post_init__(self) -> None:
        given: Any = self.schedules
        if not isinstance(given, tuple) or not all(isinstance(p, Pinned) for p in given):
            object.__setattr__(self, "schedules", schedules_of(given))


def schedules_of(texts: Any) -> tuple[Pinned, ...]:
    """Schedules from a mapping of names to their text; raises TILE0511 for anything else."""
    if isinstance(texts, Mapping) and all(isinstance(t, str) for pair in texts.items() for t in pair):
        return tuple(Pinned(n, f"schedules[{n!r}]", text, 0, len(text)) for n, text in texts.items())
    help = "schedules={'C': 'tile(m, 8, m.0, m.1)'}; tilec.compile takes a file, too: schedules='FILE'"
    raise error("TILE0511", "schedules are a mapping from names to text, or a file", help=help)


def ignore(stage: str, ir: Any) -> None:
    """The watcher that does nothing."""
