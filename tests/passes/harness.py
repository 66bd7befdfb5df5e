"""Golden files of passes: `PASS/*.txt` holds input IR, a line `----` and the expected IR."""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from textwrap import dedent

from tilec.graph import Graph
from tilec.text.graph_text import parse_graph, print_graph
from tilec.verify.graph import verify

FOLDER = Path(__file__).parent
SEPARATOR = "----\n"
PASSES = ("simplify", "fold", "cse", "dce")  # they change no bit of a result, and find something in most Graphs
GOLDEN = (*PASSES, "hoist", "forward")  # passes with golden files here
DOCUMENTED = ("infer", *GOLDEN, "inline", "recompute", "bounds")  # passes on Graphs whose docstring is tested


def pass_named(name: str) -> Callable[[Graph], Graph]:
    run: Callable[[Graph], Graph] = import_module(f"tilec.passes.{name}").run
    return run


def golden_files() -> list[Path]:
    return [path for name in GOLDEN for path in sorted((FOLDER / name).glob("*.txt"))]


def split(text: str) -> tuple[str, str]:
    before, _, after = text.partition(SEPARATOR)
    return before, after


def documented(name: str) -> tuple[str, str]:
    """The Before and After texts of a pass's docstring."""
    doc = import_module(f"tilec.passes.{name}").__doc__ or ""
    found = re.search(r"^Before:\n((?:\n|    .*\n)+)After:\n((?:\n|    .*(?:\n|\Z))+)", doc, re.MULTILINE)
    assert found, f"passes/{name}.py has no Before and After"
    return dedent(found[1]).strip() + "\n", dedent(found[2]).strip() + "\n"


def transformed(name: str, before: str) -> str:
    """The text after a pass: its input and output verify, and the pass has nothing more to do on its output."""
    graph = parse_graph(before, f"<{name}>")
    verify(graph)
    run = pass_named(name)
    result = run(graph)
    verify(result)
    assert run(result) is result, "a second run changes something"
    return print_graph(result)
