"""Calls that are refused: the error that they raise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tilec import TileError

WORD: Any = "much"  # where a number is wanted


def refused(code: str, function: Callable[..., Any], *args: Any, **named: Any) -> str:
    """The text of the error of that code that a call raises."""
    with pytest.raises(TileError) as found:
        function(*args, **named)
    assert found.value.code == code, str(found.value)
    return str(found.value)


def code_of(call: Callable[[], Any]) -> str:
    """The code of the error that a call raises."""
    with pytest.raises(TileError) as found:
        call()
    return found.value.code
