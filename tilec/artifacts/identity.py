"""Floor 5: which compiler this is: what kept machine code must agree with."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

from tilec.backends.llvm.layout import INTERFACE
from tilec.version import VERSION


@cache
def versions() -> Mapping[str, str]:
    """Versions of all that decides how machine code looks and is called."""
    import llvmlite
    import llvmlite.binding as llvm

    return {
        "tilec": VERSION,
        "interface": str(INTERFACE),
        "llvmlite": str(llvmlite.__version__),
        "llvm": ".".join(map(str, llvm.llvm_version_info)),
        "triple": str(llvm.get_process_triple()),
    }


@cache
def fingerprint() -> str:
    """Changes with every change of the compiler's own files: their paths, sizes and times of change.

    The version alone would serve a released package; where tilec is being worked on, it stays the same for weeks.
    """
    found = hashlib.sha256()
    for path, status in _files(Path(__file__).parent):
        found.update(f"{path}:{status.st_size}:{status.st_mtime_ns}\n".encode())
    return found.hexdigest()


def _files(directory: Path, prefix: str = "") -> Iterator[tuple[str, os.stat_result]]:
    """The package's modules and grammars by their paths, in a fixed order; follows the links of a source tree."""
    try:
        listed = sorted(os.scandir(directory), key=lambda item: item.name)
    except OSError:  # not a directory: imported from an archive, which has one version
        return
    for item in listed:
        if item.is_dir():
            if item.name not in ("__pycache__", "pages"):
                yield from _files(Path(item.path), f"{prefix}{item.name}/")
        elif item.name.endswith((".py", ".lark")):
            yield f"{prefix}{item.name}", item.stat()
