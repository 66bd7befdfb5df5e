"""Floor 0: files written whole or not at all, files that users name, and who may have written a file."""

from __future__ import annotations

import io
import os
import secrets
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

from tilec.errors import error

TEMPORARY = ".tilec-tmp-"  # how the names of unfinished files begin

Content: TypeAlias = bytes | Callable[[BinaryIO], Any]  # or what writes it to an open file
_MOST_TEXT = 64 << 20  # bytes; no program, printed IR or schedule has so many


def path_name(path: object) -> str:
    """A path that a caller gives, as text; raises TileError TILE0511 for anything else."""
    try:
        return os.fsdecode(path)  # type: ignore[arg-type]  # what it may be is the question
    except TypeError:
        text = f"a path is a string or a Path, not an object of type {type(path).__name__}"
        raise error("TILE0511", text) from None


def read_file(path: str | os.PathLike[str], help: str | None = None) -> bytes:
    """All of a file, device or pipe that holds text, if it ends in good time; raises TileError TILE0701."""
    name = path_name(path)
    try:
        with open(name, "rb") as file:
            return read_stream(file, name)
    except (OSError, ValueError) as reason:
        raise error("TILE0701", f"cannot read {name!r}: {_text(reason)}", help=help) from None


def read_stream(file: BinaryIO, name: str) -> bytes:
    """As `read_file`; /dev/zero and `yes` never end."""
    data = file.read(_MOST_TEXT + 1)
    if len(data) > _MOST_TEXT:
        raise error("TILE0701", f"cannot read {name!r}: it has more than {_MOST_TEXT >> 20} MiB")
    return data


def write_file(path: str | os.PathLike[str], content: Content, mode: int = 0o666) -> None:
    """Writes a file where the user wants it: whole or not at all; raises TileError TILE0702.

    Devices and pipes are written to. A file is replaced at the end of its links by one with the same permissions,
    unless it is read-only; a new one gets `mode`, less what the umask takes.
    """
    name = path_name(path)
    try:
        _write(name, content, mode)
    except (OSError, ValueError) as reason:
        raise error("TILE0702", f"cannot write {name!r}: {_text(reason)}") from None


def _write(name: str, content: Content, mode: int) -> None:
    try:
        present = os.stat(name).st_mode
    except FileNotFoundError:
        write_whole(Path(os.path.realpath(name)), content, mode)
        return
    if not stat.S_ISREG(present):
        with open(name, "wb") as device:
            device.write(_in_memory(content))  # content that writes itself may want to seek
    elif not os.access(name, os.W_OK):
        raise PermissionError(None, "it is read-only")
    else:
        path = Path(os.path.realpath(name))
        write_whole(path, content, stat.S_IMODE(present) & 0o777)
        path.chmod(stat.S_IMODE(present))  # what the umask took from it


def _in_memory(content: Content) -> bytes | memoryview:
    if isinstance(content, bytes):
        return content
    file = io.BytesIO()
    content(file)
    return file.getbuffer()


def _text(reason: Exception) -> str:
    return str(getattr(reason, "strerror", None) or reason)


def write_whole(path: Path, content: Content, mode: int = 0o600) -> None:
    """Puts `content` at `path` so that a reader, also after a crash, finds the old file or the new one, never a part.

    A temporary file in the same directory is written, flushed to the disk and renamed. The user's umask takes from
    `mode`. Raises OSError.
    """
    temporary = path.parent / f"{TEMPORARY}{secrets.token_hex(8)}"
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), mode)
    try:
        with os.fdopen(handle, "wb") as file:
            if isinstance(content, bytes):
                file.write(content)
            else:
                content(file)
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
