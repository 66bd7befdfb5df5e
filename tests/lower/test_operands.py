"""What products take again and again is one tensor, that can be cut into blocks and copied; all else stays inlined."""

from __future__ import annotations

import numpy as np
import pytest

from tilec.evaluate.graph import evaluate
from tilec.evaluate.loops import evaluate_program
from tilec.graph import Graph
from tilec.partition import Partition
from tilec.passes import fuse, lower
from tilec.text.graph_text import parse_graph
from tilec.verify.loops import verify_program

PRODUCT = "R: f32[8, 40] = sum:f32 [m < 8, n < 40, k < 6] { [m, n] <- mul(S[m, k], B[k, n]) }"


def graph(term: str, product: str = PRODUCT, cells: str = "40") -> Graph:
    return parse_graph(f"""graph f(A: f32[8, 6], a: f32[6], c: f32, B: f32[6, {cells}]) -> (R) {{
      S: f32[8, 6] = {term}
      {product}
    }}""")


def check(graph: Graph) -> Partition:
    partition = fuse.run(graph)
    rng = np.random.default_rng(0)
    given = {
        p.name: np.array(rng.standard_normal([int(str(n)) for n in p.type.shape]), np.float32) for p in graph.params
    }
    program = lower.run(graph, partition)
    verify_program(program)
    np.testing.assert_array_equal(evaluate_program(program, given)["R"], evaluate(graph, given)["R"])
    return partition


def test_an_operand_of_several_tensors_is_computed_once() -> None:
    partition = check(graph("add(A, a)"))
    assert partition.inlined == () and partition.groups == (("S",), ("R",))


@pytest.mark.parametrize("term", ["mul(A, c)", "neg(A)"])
def test_one_tensor_is_cut_and_copied_as_it_is(term: str) -> None:
    assert check(graph(term)).inlined == ("S",)


def test_few_columns_repeat_little() -> None:
    product = PRODUCT.replace("40", "4")
    assert check(graph("add(A, a)", product, "4")).inlined == ("S",)


def test_what_is_only_moved_is_no_product() -> None:
    wide = "R: f32[8, 6, 40] = assign:f32 [m < 8, k < 6, n < 40] { [m, k, n] <- mul(S[m, k], B[k, n]) }"
    assert check(graph("add(A, a)", wide)).inlined == ("S",)


def test_sums_of_nothing() -> None:
    text = """graph f(A: f32[0, 6], a: f32[6], B: f32[6, 40]) -> (R) {
      S: f32[0, 6] = add(A, a)
      R: f32[0, 40] = sum:f32 [m < 0, n < 40, k < 6] { [m, n] <- mul(S[m, k], B[k, n]) }
    }"""
    check(parse_graph(text))
