"""Memory of one tensor that stays on a device: what a `tilec.Buffer` holds there."""

from __future__ import annotations

from contextlib import suppress
from functools import cache

from tilec.backend import Array
from tilec.backends.opencl.devices import translated
from tilec.backends.opencl.pool import Block
from tilec.backends.opencl.sessions import Session, as_bytes, is_forked, refuse_forked
from tilec.backends.opencl.shortage import Needs, explained, too_large
from tilec.target import Target


class Resident:
    """See `tilec.backend.DeviceMemory`. Calls hold one while they run, so that it outlives a release."""

    __slots__ = ("_session", "block", "lost", "nbytes")

    def __init__(self, session: Session, nbytes: int) -> None:
        """Raises TileError TILE0416."""
        if nbytes > session.largest:
            raise too_large("a Buffer", nbytes, session)
        self._session, self.nbytes = session, nbytes
        self.lost = False
        with translated("allocate a Buffer"), explained("hold a Buffer", session, lambda: Needs(results=nbytes)):
            self.block: Block = session.take(nbytes)

    @property
    def foreign(self) -> bool:
        return is_forked()

    def read(self, into: Array) -> None:
        if self.nbytes:
            with translated("read a Buffer"), explained("read a Buffer", self._session, Needs):
                self._session.read(self.block.memory, 0, as_bytes(into))
                self._session.finish()

    def write(self, data: Array) -> None:
        if self.nbytes:
            with translated("write a Buffer"), explained("write a Buffer", self._session, Needs):
                self._session.write(self.block.memory, 0, as_bytes(data))
                self._session.finish()
        self.lost = False

    def __del__(self) -> None:
        if (block := getattr(self, "block", None)) is not None:
            with suppress(Exception):  # the interpreter may be on its way out
                self._session.pool.give([block], wait=False)


def resident(target: Target, nbytes: int) -> Resident:
    """Fresh memory on a device; raises TileError TILE0416, TILE0509."""
    refuse_forked()
    return Resident(_session(target), nbytes)


@cache
def _session(target: Target) -> Session:
    """One queue for all Buffers of a device."""
    return Session.on(target)
