"""The fuzzer finds compiler bugs: each planted bug is caught within 5,000 programs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from tests.fuzz.bugs import BUGS, Array, Bug, Unaffected, execute
from tests.fuzz.generate import generate
from tests.fuzz.run import check
from tilec.errors import TileError
from tilec.graph import Graph

PROGRAMS = 5000


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name.replace(" ", "-"))
def test_bug_is_found(bug: Bug) -> None:
    def run(graph: Graph, inputs: Mapping[str, Any]) -> dict[str, Array]:
        return execute(bug, graph, inputs)

    for seed in range(PROGRAMS):
        try:
            if check(generate(seed), run).reason is not None:
                return
        except Unaffected:
            continue
        except TileError as refusal:
            if refusal.code == "TILE0602":  # the Loops evaluator met an access out of bounds: found, too
                return
    pytest.fail(f"{bug.name}: not found in {PROGRAMS} programs")
