"""What tests of the tensor library have in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tilec import TileError

WORD: Any = "much"  # where a number is wanted


def code_of(call: Callable[[], Any]) -> str:
    """The code of the error that a call raises."""
    with pytest.raises(TileError) as found:
        call()
    return found.value.code
