"""The Before and After texts of the passes between Graph and Program."""

from __future__ import annotations

import re
from textwrap import dedent

from tilec.passes import fuse, in_place, lower, place, prepack, share
from tilec.text.graph_text import parse_graph
from tilec.text.loops_text import parse_program, print_program


def example(doc: str | None) -> tuple[str, str]:
    found = re.search(r"Before:\n(.*?)\nAfter:\n(.*)\Z", doc or "", re.S)
    assert found is not None
    return found[1], found[2]


def test_lower() -> None:
    before, after = example(lower.__doc__)
    graph = parse_graph(before)
    assert print_program(lower.run(graph, fuse.run(graph))) == print_program(parse_program(after))


def test_fuse() -> None:
    before, after = example(fuse.__doc__)
    assert str(fuse.run(parse_graph(before))) == dedent(after)


def test_place() -> None:
    before, after = example(place.__doc__)
    assert print_program(place.run(parse_program(before))) == print_program(parse_program(after))


def test_share() -> None:
    before, after = example(share.__doc__)
    assert print_program(share.run(parse_program(before))) == print_program(parse_program(after))


def test_in_place() -> None:
    before, after = example(in_place.__doc__)
    assert print_program(in_place.run(parse_program(before))) == print_program(parse_program(after))


def test_prepack() -> None:
    before, after = example(prepack.__doc__)
    assert print_program(prepack.run(parse_program(before))) == print_program(parse_program(after))
