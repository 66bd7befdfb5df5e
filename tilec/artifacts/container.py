"""Floor 3: named pieces of bytes in one zip file, each with its checksum; hostile files are refused with a TileError.

Members are stored, not compressed, so that a file cannot hold more than its own size. The manifest, a JSON object, is
the first member; it lists the SHA-256 of all others. Nothing in a container is a pickle.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np

from tilec.backend import Array
from tilec.dtypes import BF16, DType
from tilec.errors import TileError, error

_MANIFEST = "manifest.json"
_MOST_MEMBERS = 10_000
_EPOCH = (1980, 1, 1, 0, 0, 0)  # equal content gives equal bytes


def pack(manifest: Mapping[str, Any], members: Mapping[str, bytes]) -> bytes:
    """The bytes of a container."""
    sums = {name: hashlib.sha256(data).hexdigest() for name, data in members.items()}
    text = json.dumps({**manifest, "checksums": sums}, sort_keys=True).encode()
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for name, data in ((_MANIFEST, text), *members.items()):
            archive.writestr(zipfile.ZipInfo(name, _EPOCH), data)
    return target.getvalue()


def unpack(data: bytes, name: str) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Manifest and members of a container; raises TileError TILE0707 for anything that `pack` does not make."""
    try:
        members = _members(data)
        manifest = json.loads(members.pop(_MANIFEST))
        sums = manifest.pop("checksums")
        found = {member: hashlib.sha256(content).hexdigest() for member, content in members.items()}
        if sums != found:
            raise ValueError("a checksum is wrong")
    except TileError:
        raise
    except Exception as reason:  # zipfile and json raise a dozen kinds of exceptions for hostile bytes
        raise malformed(name, reason) from None
    return manifest, members


def _members(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        listed = archive.infolist()
        if any(item.compress_type != zipfile.ZIP_STORED for item in listed):
            raise ValueError("a member is compressed")
        if len(listed) > _MOST_MEMBERS or sum(item.file_size for item in listed) > len(data):
            raise ValueError("its members are larger than the file")
        if len({item.filename for item in listed}) < len(listed):
            raise ValueError("two members have one name")
        return {item.filename: archive.read(item) for item in listed}


def malformed(name: str, reason: Exception | str) -> TileError:
    """TILE0707 with the first line of what went wrong."""
    detail = str(reason).splitlines()[0] if str(reason) else type(reason).__name__
    return error(
        "TILE0707",
        f"{name!r} does not hold a saved executable: {detail}",
        help="files are written by Executable.save; make this one again",
    )


def array_bytes(array: Array) -> bytes:
    """An array as .npy; bfloat16, for which there is no such format, as its bits."""
    target = io.BytesIO()
    plain = array.view(np.uint16) if array.dtype == BF16.numpy else array
    np.lib.format.write_array(target, np.ascontiguousarray(plain).reshape(array.shape), allow_pickle=False)
    return target.getvalue()


def array_from(data: bytes, dtype: DType, shape: tuple[int, ...]) -> Array:
    """The array of exactly this type that `array_bytes` wrote, in memory of its own; raises ValueError."""
    stored = np.dtype(np.uint16) if dtype == BF16 else dtype.numpy
    source = io.BytesIO(data)
    if np.lib.format.read_magic(source) != (1, 0):
        raise ValueError("an array of another format version")
    if np.lib.format.read_array_header_1_0(source) != (shape, False, stored):
        raise ValueError("an array is not of the type that the manifest says")
    content = data[source.tell() :]
    if len(content) != stored.itemsize * int(np.prod(shape, dtype=object)):
        raise ValueError("an array is not whole")
    return np.frombuffer(bytearray(content), stored).reshape(shape).view(dtype.numpy)
