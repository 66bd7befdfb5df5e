"""Floor 1: which devices have passed their tests and which have not, by device and driver: one file of the user's own.

A device that computes wrongly is refused, for nobody would notice. A damaged file says nothing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from tilec.errors import error
from tilec.files import read_with_status, write_whole

_LIMIT = 1 << 20  # bytes of the file: thousands of devices
_PATIENCE = 10.0  # seconds to wait for another process that marks a device


@dataclass(frozen=True, slots=True)
class Mark:
    """Whether a device passed its tests, and what was wrong where it did not."""

    right: bool
    why: str = ""


def state_file() -> Path:
    """Where the marks are kept, whether there are any or not."""
    from platformdirs import user_state_path

    return Path(user_state_path("tilec")) / "devices.json"


def marks() -> dict[str, Mark]:
    """The mark of each device that has one, by `platform, device, driver`."""
    try:
        data, _ = read_with_status(state_file(), _LIMIT)
        found = json.loads(data)
        if found["checksum"] != _checksum(found["devices"]):
            return {}
        return {key: Mark(bool(m["right"]), str(m["why"])) for key, m in found["devices"].items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return {}


def mark(device: str, found: Mark) -> None:
    """Keeps what the tests of a device have found; raises TileError TILE0702 where that cannot be written."""
    from filelock import FileLock

    path = state_file()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_suffix(".lock"), timeout=_PATIENCE):
            devices = {key: asdict(m) for key, m in {**marks(), device: found}.items()}
            text = json.dumps({"checksum": _checksum(devices), "devices": devices}, indent=1)
            write_whole(path, text.encode())
    except OSError as reason:  # filelock's Timeout is one, too
        problem = reason.strerror or str(reason)
        raise error("TILE0702", f"cannot write {str(path)!r}: {problem}") from None


def require(name: str, device: str) -> None:
    """Raises TileError TILE0514 for a device that did not pass its tests; `name` is what users call it."""
    found = marks().get(device)
    if found is not None and not found.right:
        notes = [f"{device}: {found.why}"]
        help = f"`tilec doctor --target {name}` tests it again; {name}! uses it all the same"
        raise error("TILE0514", f"the device {name} did not pass its tests", notes=notes, help=help)


def _checksum(devices: Mapping[str, object]) -> str:
    return hashlib.sha256(json.dumps(devices, sort_keys=True).encode()).hexdigest()
