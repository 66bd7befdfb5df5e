"""What is said where a device has not enough memory: what is needed, what there is, what to do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tilec.backends.opencl.pool import is_short
from tilec.backends.opencl.sessions import Session
from tilec.errors import TileError, error

HELP = (
    "pass smaller batches, take another device (tilec devices), or compile with "
    "budget=BYTES, which computes values again instead of keeping them"
)


@dataclass(frozen=True, slots=True)
class Needs:
    """Bytes that a program needs on a device. fixed: constants, and what is computed of them before the first call.
    overwritten: arguments that may hold something between their old values and their new ones."""

    temporary: int = 0
    arguments: int = 0
    results: int = 0
    fixed: int = 0
    overwritten: tuple[str, ...] = ()

    def __str__(self) -> str:
        total = self.temporary + self.arguments + self.results + self.fixed
        parts = (
            f"temporary tensors {readable(self.temporary)}",
            f"arguments {readable(self.arguments)}",
            f"results {readable(self.results)}",
            f"constants {readable(self.fixed)}",
        )
        return f"{exactly(total)}: {', '.join(parts)}"


@contextmanager
def explained(action: str, session: Session, needs: Callable[[], Needs]) -> Iterator[None]:
    """Turns an error of a driver that is short of memory into TileError TILE0416; other ones pass."""
    try:
        yield
    except TileError:
        raise
    except Exception as reason:
        if not is_short(reason):
            raise
        raise shortage(action, session, needs(), reason) from reason


def shortage(action: str, session: Session, needs: Needs, reason: Exception) -> TileError:
    name = str(session.device.name).strip()
    lines = str(reason).strip().splitlines()
    notes = [f"it needs {needs}", there(session), *(f"reason: {line}" for line in lines[:3])]
    if needs.overwritten:
        names = ", ".join(map(repr, needs.overwritten))
        notes.append(f"it failed amid its work: make the donated {names} again, for nobody knows what is in there")
    return error("TILE0416", f"the OpenCL device {name!r} has not enough memory to {action}", notes=notes, help=HELP)


def too_large(what: str, size: int, session: Session) -> TileError:
    """TILE0416 for a tensor that is above the largest block of memory that a device allocates."""
    name = str(session.device.name).strip()
    text = f"{what} takes {exactly(size)}, more than the OpenCL device {name!r} allocates in one block"
    help = "make it smaller (a smaller batch, a smaller type), or take another device: tilec devices"
    return error("TILE0416", text, notes=[there(session)], help=help)


def there(session: Session) -> str:
    """What the device has, and what of it is taken."""
    used = readable(session.pool.used())
    has = f"the device has {exactly(session.memory)}, at most {exactly(session.largest)} in one block"
    return f"{has}; this process holds {used} at the moment, this call included"


def exactly(size: int) -> str:
    return f"{size:,} bytes" + (f" ({readable(size)})" if size >= 1 << 10 else "")


def readable(size: int) -> str:
    """`1.5 GiB`."""
    for unit, shift in (("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)):
        if size >= 1 << shift:
            return f"{size / (1 << shift):.1f} {unit}"
    return f"{size} bytes"
