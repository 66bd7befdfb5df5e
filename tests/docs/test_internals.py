"""docs/internals.md has a section for every pass, in the order in which they run."""

from __future__ import annotations

import re

from tests.docs.pages import PAGES
from tilec.backends.llvm.target import named
from tilec.dtypes import F32
from tilec.frontends.tile.elaborate import to_graph
from tilec.frontends.tile.parser import parse
from tilec.graph import TensorType
from tilec.pipeline import lower_graph, optimise


def test_every_pass_has_a_section() -> None:
    passes: dict[str, None] = {}  # an ordered set

    def watch(stage: str, _: object) -> None:
        passes[stage] = None

    graph = to_graph(parse("function f(A[N]) -> (B) { B = A; }"), None, {"A": TensorType(F32, (4,))})
    lower_graph(optimise(graph, watch), named("avx2"), watch=watch)
    sections = re.findall(r"^### (\w+)$", PAGES["docs/internals.md"].read_text(encoding="utf-8"), re.M)
    assert sections == list(passes)
