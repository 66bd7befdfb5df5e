"""Floor 2: what may be chosen per compilation, and who watches it. Loaded without any pass."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from tilec.schedule import Pinned

Watcher: TypeAlias = Callable[[str, Any], None]


@dataclass(frozen=True, slots=True)
class Options:
    """What may be chosen per compilation. `fuse` and `schedule` off give the plainest code, for finding faults.

    memory_limit: bytes that the temporary tensors of a call should take at most; with `remat` "auto" values are
    computed again where they are needed late, until they do. Where they do not, a warning says by how much (TILE0419).
    With open sizes each call is held to the limit, and one that needs more is refused before it runs; `remat` then has
    to be "none". The target `reference` plans no memory, so that nothing is held to a limit there.
    tune: as the setting of that name, which counts where this is None. schedules: those of kernels that someone wrote.
    """

    fuse: bool = True
    schedule: bool = True
    remat: str = "none"
    memory_limit: int | None = None
    tune: float | None = None
    schedules: tuple[Pinned, ...] = ()


def ignore(stage: str, ir: Any) -> None:
    """The watcher that does nothing."""
