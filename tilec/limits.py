"""Floor 2: devices with lower limits than they have, so that what a small one does can be seen on a large one."""

from __future__ import annotations

from dataclasses import replace

from tilec.settings import device_limits
from tilec.target import Target


def limited(target: Target, text: str) -> Target:
    """The target with the limits of the setting `device_limits` where they are lower than its own.

    What is not known of it, which is 0, is taken from them; without local memory it stays.
    """
    limits = device_limits(text)
    return replace(
        target,
        group=_least(target.group, limits.get("wg")),
        local=min(target.local, limits.get("local", target.local)),
        largest=_least(target.largest, limits.get("max_alloc")),
        memory=_least(target.memory, limits.get("memory")),
    )


def _least(own: int, limit: int | None) -> int:
    if limit is None:
        return own
    return min(own, limit) if own else limit
