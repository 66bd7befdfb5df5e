"""Floor 5: what a process that `tilec.measure.machine` asks prints: a line of JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from tilec.errors import TileError


def answered(compute: Callable[[], Mapping[str, Any]]) -> int:
    """Prints what is computed, or the error that kept it from that; returns the exit code."""
    try:
        print(json.dumps(compute()))
    except TileError as problem:
        print(json.dumps({"error": str(problem)}))
    return 0
