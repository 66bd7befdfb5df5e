"""Floor 1: bytes sealed with a secret key, so that what others planted or a disk damaged is told from what we wrote.

A sealed entry is magic, schema, lengths, a seal (HMAC-SHA256 over everything else), a key and a payload. The seal is a
checksum as well: nobody without the secret can make one, by chance or on purpose.
"""

from __future__ import annotations

import hmac
import os
import struct
import threading
import time
from contextlib import suppress
from pathlib import Path

from tilec.files import TEMPORARY, distrust, read_with_status, write_whole

SCHEMA = 1
_MAGIC = b"tilec\x00c\n"
_HEAD = struct.Struct("<8sIIQ")  # magic, schema, bytes of the key, bytes of the payload
_SEAL = 32
_START = _HEAD.size + _SEAL


def sealed(key: bytes, payload: bytes, secret: bytes) -> bytes:
    """An entry's bytes."""
    head = _HEAD.pack(_MAGIC, SCHEMA, len(key), len(payload))
    return head + hmac.digest(secret, head + key + payload, "sha256") + key + payload


def key_of(data: bytes) -> bytes | None:
    """The key that an entry claims to be of; None where it has not the form of an entry."""
    if len(data) < _START:
        return None
    magic, schema, key_bytes, payload_bytes = _HEAD.unpack_from(data)
    if (magic, schema, len(data)) != (_MAGIC, SCHEMA, _START + key_bytes + payload_bytes):
        return None
    return data[_START : _START + key_bytes]


def unsealed(data: bytes, key: bytes, secret: bytes) -> bytes | None:
    """The payload of an entry, if it is whole, ours, and of this very key."""
    if key_of(data) != key:
        return None
    found = data[_HEAD.size : _START]
    expected = hmac.digest(secret, data[: _HEAD.size] + data[_START:], "sha256")
    return data[_START + len(key) :] if hmac.compare_digest(found, expected) else None


def secret(path: Path) -> bytes:
    """The 32 random bytes of a file that only this user can read; made where there are none fit. Raises OSError."""
    for _ in range(3):
        try:
            data, status = read_with_status(path, 4096)
            if len(data) == 32 and not (os.name == "posix" and (distrust(status) or status.st_mode & 0o077)):
                return data
            path.unlink()
        except FileNotFoundError:
            pass
        _make_secret(path)
    raise OSError(None, "its key file cannot be made")


def _make_secret(path: Path) -> None:
    """Processes that start together must agree on one key: the first one to link its own file wins."""
    temporary = path.with_name(f"{TEMPORARY}{os.getpid()}-{threading.get_ident()}-{time.monotonic_ns()}")
    write_whole(temporary, os.urandom(32))
    try:
        os.link(temporary, path)
    except FileExistsError:
        pass
    except OSError:  # a file system without links
        os.replace(temporary, path)
    with suppress(OSError):
        temporary.unlink()
