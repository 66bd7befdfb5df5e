"""What products take again and again is one tensor, that can be cut into blocks and copied; all else stays inlined."""

from __future__ import annotations

import numpy as np
import pytest

import tilec
from tilec.graph import Graph
from tilec.passes import fuse, lower
from tilec.text.graph_text import parse_graph, print_graph
from tilec.verify.loops import verify_program

PRODUCT = "R: f32[1000, 40] = sum:f32 [m < 1000, n < 40, k < 100] { [m, n] <- mul(S[m, k], B[k, n]) }"


def graph(term: str, product: str = PRODUCT, columns: int = 40) -> Graph:
    return parse_graph(f"""graph f(A: f32[1000, 100], a: f32[100], c: f32, B: f32[100, {columns}]) -> (R) {{
      S: f32[1000, 100] = {term}
      {product}
    }}""")


def inlined(graph: Graph) -> tuple[str, ...]:
    partition = fuse.run(graph)
    verify_program(lower.run(graph, partition))
    return partition.inlined


def test_an_operand_of_several_tensors_is_computed_once() -> None:
    assert inlined(graph("add(A, a)")) == ()


@pytest.mark.parametrize("term", ["mul(A, c)", "neg(A)"])
def test_one_tensor_is_cut_and_copied_as_it_is(term: str) -> None:
    assert inlined(graph(term)) == ("S",)


def test_few_columns_repeat_little() -> None:
    assert inlined(graph("add(A, a)", PRODUCT.replace("40", "4"), 4)) == ("S",)


def test_what_is_only_moved_is_no_product() -> None:
    wide = "R: f32[1000, 100, 40] = assign:f32 [m < 1000, k < 100, n < 40] { [m, k, n] <- mul(S[m, k], B[k, n]) }"
    assert inlined(graph("add(A, a)", wide)) == ("S",)


def test_small_operands_stay_in_the_cache() -> None:
    text = print_graph(graph("add(A, a)")).replace("1000", "500")
    assert inlined(parse_graph(text)) == ("S",)


def test_sums_of_nothing() -> None:
    assert inlined(parse_graph(print_graph(graph("add(A, a)")).replace("1000", "0"))) == ("S",)


def test_values() -> None:
    rng = np.random.default_rng(0)
    a, b, c = (rng.integers(-3, 4, shape).astype(np.float32) for shape in ((1000, 100), (100,), (100, 40)))
    np.testing.assert_array_equal(tilec.jit(lambda a, b, c: (a + b) @ c)(a, b, c), (a + b) @ c)
