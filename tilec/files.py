"""Floor 0: files written whole or not at all, and who may have written a file."""

from __future__ import annotations

import os
import secrets
import stat
from contextlib import suppress
from pathlib import Path

TEMPORARY = ".tilec-tmp-"  # how the names of unfinished files begin


def write_whole(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Puts `data` at `path` so that a reader, also after a crash, finds the old file or the new one, never a part.

    A temporary file in the same directory is written, flushed to the disk and renamed. The user's umask takes from
    `mode`. Raises OSError.
    """
    temporary = path.parent / f"{TEMPORARY}{secrets.token_hex(8)}"
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), mode)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Makes a rename survive a loss of power, where the system lets one flush a directory."""
    if os.name != "posix":
        return
    with suppress(OSError):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def read_with_status(path: str | Path, limit: int) -> tuple[bytes, os.stat_result]:
    """Content and status of a regular file, of one and the same file even where names change meanwhile.

    Raises OSError, also for anything that is no regular file or has more than `limit` bytes.
    """
    flags = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)  # a FIFO must not make us wait
    handle = os.open(path, flags)
    with os.fdopen(handle, "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise OSError(None, "it is not a regular file")
        if status.st_size > limit:
            raise OSError(None, f"it has {status.st_size} bytes, more than {limit}")
        return file.read(status.st_size), status


def distrust(status: os.stat_result) -> str | None:
    """Why others than this user may have put the content there; None where they cannot, by owner and permissions."""
    if not hasattr(os, "geteuid"):
        return "this system does not tell who may write it"
    if status.st_uid != os.geteuid():
        return "it belongs to another user"
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return "others may write to it"
    return None
