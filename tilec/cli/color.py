"""Floor 6: whether a command shows colour."""

from __future__ import annotations

from typing import TextIO


def colored(stream: TextIO) -> bool:
    """As the setting `color` says; by itself on a terminal only. A wrong setting is another command's news."""
    from tilec.configuration import config
    from tilec.errors import TileError

    try:
        wanted = config.color
    except TileError:
        wanted = "auto"
    return wanted == "always" or (wanted == "auto" and stream.isatty())
