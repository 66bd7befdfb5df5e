"""Floor 6: `--shape NAME=...`, `--size N=...`: what the command line says of inputs that it has no values for."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from tilec.api import parse_type, signature_entry
from tilec.cli.inputs import option_value, split_option
from tilec.errors import error

_SIZE = "(?:[0-9]{1,19}|[A-Za-z_][A-Za-z_0-9]*)"
_SIZES = re.compile(rf"{_SIZE}(,{_SIZE})*,?\Z")
FORM = "--shape NAME=f32[64,64], NAME=64,64 (float32), NAME=N,64 (N stays open) or NAME=NUMBER"


def signature(shapes: Iterable[str]) -> dict[str, Any]:
    """Types and numbers by input; raises TileError TILE0303, TILE0704."""
    found: dict[str, Any] = {}
    for text in shapes:
        name, value = split_option(text, "=", FORM)
        if name in found:
            raise error("TILE0704", f"{name!r} is given twice")
        found[name] = _entry(name, value)
    return found


def numbers(sizes: Iterable[str]) -> dict[str, int]:
    """Open sizes by name, as `--size NAME=NUMBER` gives them; raises TileError TILE0704."""
    found: dict[str, int] = {}
    for text in sizes:
        name, value = split_option(text, "=", "--size N=64")
        if name in found or not re.fullmatch("[0-9]{1,19}", value):
            why = f"{name!r} is given twice" if name in found else f"{value!r} is no size"
            raise error("TILE0704", why, help="write it like --size N=64")
        found[name] = int(value)
    return found


def _entry(name: str, value: str) -> Any:
    """`64,64` and `64,` are shapes, `64` is a number."""
    if "[" in value:
        return parse_type(name, value)
    if "," in value and _SIZES.match(value.replace(" ", "")):
        return parse_type(name, f"f32[{value.replace(' ', '').removesuffix(',')}]")
    number = option_value(value) if value[:1] in "+-.0123456789" and "," not in value else None
    if not isinstance(number, int | float):
        raise error("TILE0704", f"cannot read {f'{name}={value}'!r}", help=f"write it like {FORM}")
    return signature_entry(name, number)
