"""Floor 1: settings written to the user's own `config.toml`; all else that stands in it stays as it is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tilec import configuration
from tilec.configuration import checked, config
from tilec.errors import error
from tilec.files import write_file


def save(**values: Any) -> Path:
    """Sets values in the user's file, which is written whole or not at all, and returns where that is.

    Raises TileError TILE0711 for what is no setting and for a file that is not TOML, TILE0701 and TILE0702 for one that
    cannot be read or written.
    """
    path = configuration.user_file()
    present = _present(path)
    text = changed(present, checked(values, f"{str(path)!r}"), str(path))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as reason:
        problem = reason.strerror or str(reason)
        raise error("TILE0702", f"cannot make the directory {str(path.parent)!r}: {problem}") from None
    write_file(path, text.encode())
    config.reset_files()
    return path


def _present(path: Path) -> str:
    """What the file holds, with its line ends; empty where there is none."""
    try:
        return path.read_bytes().decode()
    except (FileNotFoundError, NotADirectoryError):  # making the directory says what is wrong
        return ""
    except (OSError, ValueError) as reason:
        text = getattr(reason, "strerror", None) or reason
        raise error("TILE0701", f"cannot read {str(path)!r}: {text}", help="nothing was changed in it") from None


def changed(text: str, values: Mapping[str, Any], name: str) -> str:
    """TOML text with these values at its top level; comments and all other lines are kept. Raises TILE0711."""
    import tomllib

    import tomlkit

    try:
        before = tomllib.loads(text)
        document = tomlkit.parse(text)
        for key, value in values.items():
            document[key] = value
        after = tomlkit.dumps(document)
        if tomllib.loads(after) != {**before, **values}:
            raise ValueError("its lines cannot be kept")
    except (ValueError, RecursionError) as reason:  # both libraries' errors are ValueErrors
        help = "nothing was changed in it: mend it, or move it away"
        raise error("TILE0711", f"{name!r} is not a TOML file: {reason}", help=help) from None
    return after
