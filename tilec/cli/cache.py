"""Floor 6: `tilec cache`: what is kept on disk, and how to be rid of it."""

from __future__ import annotations

import json
from typing import Any

import typer

app = typer.Typer(no_args_is_help=True, help="Look at, check or empty the cache of compiled programs.")


def info(as_json: bool = typer.Option(False, "--json", metavar="", help="Report as JSON.")) -> int:
    """Show where the cache is and what is in it."""
    found = state()
    if as_json:
        print(json.dumps(found))
        return 0
    print(f"directory: {found['directory'] or 'none: the cache is off'}")
    if found["directory"]:
        usable = "yes" if found["problem"] is None else f"no: {found['problem']}"
        print(f"usable: {usable}\nentries: {found['entries']}\nbytes: {found['bytes']} of at most {found['limit']}")
    return 0


def clear(as_json: bool = typer.Option(False, "--json", metavar="", help="Report as JSON.")) -> int:
    """Delete everything that is kept, also where the cache is off now."""
    from tilec.artifacts.store import open_store, place

    store = open_store(place(off=True))
    count = 0 if store is None else store.clear()
    print(json.dumps({"deleted": count}) if as_json else f"{count} files deleted")
    return 0


def verify(as_json: bool = typer.Option(False, "--json", metavar="", help="Report as JSON.")) -> int:
    """Read everything that is kept and delete what is damaged or not ours; exit code 1 where there was any."""
    from tilec.artifacts.store import Unusable, open_store, place
    from tilec.errors import error

    store = open_store(place())
    try:
        good, bad = (0, 0) if store is None else store.verify()
    except (Unusable, OSError) as reason:
        text = getattr(reason, "strerror", None) or str(reason)
        raise error("TILE0701", f"the cache cannot be used: {text}") from None
    print(json.dumps({"good": good, "deleted": bad}) if as_json else f"{good} entries are good, {bad} were deleted")
    return 1 if bad else 0


def state() -> dict[str, Any]:
    """The cache as a JSON value; `problem` says why it cannot be used."""
    from tilec.artifacts.store import Unusable, open_store, place

    given = place()
    store = open_store(given)
    if store is None:
        return {"directory": None, "limit": given.limit, "entries": 0, "bytes": 0, "problem": None}
    problem = None
    try:
        store.check()
    except (Unusable, OSError) as reason:
        problem = str(getattr(reason, "strerror", None) or reason)
    entries = store.entries()
    size = sum(e.size for e in entries)
    return {
        "directory": str(store.directory),
        "limit": store.limit,
        "entries": len(entries),
        "bytes": size,
        "problem": problem,
    }
