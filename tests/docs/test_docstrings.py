"""Examples in docstrings do what they show."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = {"tilec": "tilec", "tilec.passes": "passes", "tilec.backends": "backends", "tilec.grammar": "grammar"}
_LINKS = ("passes", "backends", "grammar")  # in the package, to the folders above


def modules() -> list[str]:
    """Modules with examples, each by the one door that it is imported through."""
    found = []
    for package, folder in FOLDERS.items():
        for file in (ROOT / folder).rglob("*.py"):
            parts = file.relative_to(ROOT / folder).with_suffix("").parts
            if parts[0] not in _LINKS and ">>> " in file.read_text(encoding="utf-8"):
                found.append(".".join([package, *parts]).removesuffix(".__init__"))
    return sorted(found)


@pytest.mark.parametrize("name", modules())
def test_examples(name: str) -> None:
    failed, tried = doctest.testmod(importlib.import_module(name))
    assert tried and not failed
