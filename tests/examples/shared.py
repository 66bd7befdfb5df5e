"""Examples as modules."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType

EXAMPLES = Path(__file__).parents[2] / "examples"


def example(folder: str, name: str) -> ModuleType:
    """The module of one example, which is a script beside no package."""
    place = str(EXAMPLES / folder)
    sys.path.insert(0, place)
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(place)
