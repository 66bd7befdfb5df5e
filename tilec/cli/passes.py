"""Floor 6: `tilec passes`."""

from __future__ import annotations

import inspect
import json
import re
import sys
import textwrap
from typing import Any

import typer


def names(start: str) -> list[str]:
    """The passes that begin so, for the shell."""
    return [stage["name"] for stage in stages() if stage["name"].startswith(start)]


def command(
    name: str | None = typer.Argument(None, help="A pass, to be told of at length.", autocompletion=names),
    as_json: bool = typer.Option(False, "--json", metavar="", help="Report as JSON."),
) -> int:
    """List the compiler's passes in their order; with a name, show its documentation and example."""
    from tilec.errors import error

    found = stages()
    if name is not None:
        chosen = [s for s in found if s["name"] == name]
        if not chosen:
            known = ", ".join(s["name"] for s in found)
            raise error("TILE0605", f"unknown pass {name!r}", help=f"known: {known}")
        found = chosen
    if as_json:
        print(json.dumps(found))
    elif name is not None:
        print(found[0]["doc"])
    else:
        width = max(len(s["name"]) for s in found)
        for stage in found:
            print(f"{stage['name']:{width}}  {stage['from']:>7} -> {stage['to']:<9}  {stage['summary']}")
    return 0


def stages() -> list[dict[str, Any]]:
    """Every pass once, in the order in which it first runs."""
    from tilec import pipeline
    from tilec.passes import bounds, forward, fuse, lower, place, prepack, share
    from tilec.passes.schedule import default

    graph = [(name, run, "Graph", "Graph") for name, run in dict(pipeline.GRAPH_PASSES).items()]
    rest = [
        ("bounds", bounds, "Graph", "Graph"),
        ("forward", forward, "Graph", "Graph"),
        ("fuse", fuse, "Graph", "Partition"),
        ("lower", lower, "Graph", "Program"),
        ("share", share, "Program", "Program"),
        ("schedule", default, "Program", "Program"),
        ("prepack", prepack, "Program", "Program"),
        ("place", place, "Program", "Program"),
    ]
    return [
        {"name": name, "from": source, "to": target, "summary": summary(doc), "doc": doc}
        for name, home, source, target in (*graph, *rest)
        for doc in (_doc(home),)
    ]


def _doc(home: Any) -> str:
    module = home if inspect.ismodule(home) else sys.modules[home.__module__]
    return inspect.getdoc(module) or ""


def summary(doc: str) -> str:
    """The first sentence, without `Pass `name`:`."""
    paragraph = " ".join(doc.split("\n\n")[0].split())
    text = re.sub(r"^(Floor \d: |Package: |Pass )?(`\w+`): ", "", paragraph)
    text = text[:1].upper() + text[1:]
    sentence = re.split(r"(?<=[a-z`)])[.:;](?= |$)", text)[0]
    return textwrap.shorten(sentence, 90, placeholder=" ...")
