"""The passes change no bit of any result: random Graphs under the typed evaluator, before and after."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from tests.generators.graphs import Array, arguments, random_graph
from tests.passes.harness import PASSES, pass_named
from tilec.evaluate.graph import evaluate
from tilec.passes import dce
from tilec.text.graph_text import parse_graph, print_graph
from tilec.verify.graph import verify

GRAPHS = 150


def same_bits(a: Array, b: Array) -> bool:
    """Equal bits, any NaN for any NaN."""
    if a.dtype != b.dtype or a.shape != b.shape:
        return False
    if a.dtype.kind not in "biu":
        nan = np.isnan(a) & np.isnan(b)
        a, b = np.where(nan, 0, a), np.where(nan, 0, b)
    return a.tobytes() == b.tobytes()


def check(names: Sequence[str], seed: int) -> bool:
    """Whether the passes changed the Graph; fails where they changed a value."""
    graph = random_graph(seed)
    verify(graph)
    inputs = arguments(graph, seed)
    wanted, changed = evaluate(graph, inputs), graph
    for name in names:
        changed = pass_named(name)(changed)
        verify(changed)
    found = evaluate(changed, inputs)
    for name, value in wanted.items():
        assert same_bits(value, found[name]), (
            f"seed {seed}, {name}\n{print_graph(graph)}{print_graph(changed)}{inputs}\n{value}\n{found[name]}"
        )
    return changed is not graph


@pytest.mark.parametrize("name", PASSES)
def test_pass_keeps_values(name: str) -> None:
    changes = sum(check([name], seed) for seed in range(GRAPHS))
    assert changes > GRAPHS // 3, "the generator gives the pass too little to do"


def test_pipeline_keeps_values() -> None:
    for seed in range(GRAPHS):
        check(["simplify", "fold", "simplify", "cse", "dce"], 10_000 + seed)


@pytest.mark.parametrize("name", PASSES)
def test_same_object_where_nothing_changes(name: str) -> None:
    run = pass_named(name)
    for seed in range(40):
        once = run(random_graph(seed))
        assert run(once) is once, seed


def test_a_carried_value_that_nothing_reads_is_no_reason_to_build_a_loop_anew() -> None:
    graph = parse_graph("""graph f(A: i32) -> (N, M) {
      N: i32, M: i32 = while (A, A) test graph c(n: i32, m: i32) -> (p) { three: i32 = literal (3)
        p: bool = cmp_lt(n, three) } do graph d(n: i32, m: i32) -> (k, k) { one: i32 = literal (1)
        k: i32 = add(n, one) }
    }""")
    assert dce.run(graph) is graph
