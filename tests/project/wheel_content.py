"""Compares a wheel's files with the tree: every module, grammar and page is in it, nothing else is."""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOORS = {"passes": "tilec/passes", "backends": "tilec/backends", "grammar": "tilec/grammar", "tilec": "tilec"}


def expected() -> set[str]:
    """Paths inside the wheel of all package files of the tree."""
    found = set()
    for folder, inside in DOORS.items():
        for path in (ROOT / folder).rglob("*"):
            relative = path.relative_to(ROOT / folder)
            through_link = folder == "tilec" and relative.parts[0] in ("passes", "backends", "grammar")
            packaged = path.suffix in (".py", ".lark", ".md", ".tile") or path.name == "py.typed"
            if packaged and not through_link:
                found.add(f"{inside}/{relative.as_posix()}")
    return found


def content(wheel: str) -> set[str]:
    """Paths of the files in the wheel, without its metadata."""
    with zipfile.ZipFile(wheel) as archive:
        return {n for n in archive.namelist() if not n.split("/")[0].endswith(".dist-info")}


def main() -> int:
    found, wanted = content(sys.argv[1]), expected()
    for name in sorted(wanted - found):
        print(f"missing in the wheel: {name}")
    for name in sorted(found - wanted):
        print(f"only in the wheel: {name}")
    print(f"wheel: {len(found)} files")
    return int(found != wanted)


if __name__ == "__main__":
    sys.exit(main())
