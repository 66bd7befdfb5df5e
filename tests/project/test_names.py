"""Every public name can be the first that a process asks for."""

from __future__ import annotations

import subprocess
import sys

import tilec

FIRST = """
import sys, importlib
for name in sys.argv[1:]:
    for module in [m for m in sys.modules if m == "tilec" or m.startswith("tilec.")]:
        del sys.modules[module]
    getattr(importlib.import_module("tilec"), name)
print("done")
"""


def test_every_name_may_come_first() -> None:
    """One for each module that they are in."""
    names = {home: name for name, home in tilec._HOMES.items()}.values()
    command = [sys.executable, "-c", FIRST, *names, *tilec._MODULES]
    found = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert found.stdout == "done\n", found.stderr
