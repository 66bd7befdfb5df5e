"""What moves out of loops, and that no bit of a result changes: on random Graphs with loops, before and after."""

from __future__ import annotations

import numpy as np
import pytest

import tilec
from tests.generators.control import arguments, control_graph
from tests.passes.test_pass_values import same_bits
from tilec import Options
from tilec.evaluate.graph import evaluate
from tilec.graph import Graph, Scan, TensorType, While
from tilec.passes import dce, hoist, infer
from tilec.text.graph_text import parse_graph, print_graph
from tilec.verify.graph import verify

EAGER = hoist.Options(terms=1, steps=1)  # the random Graphs are small


def checked(graph: Graph, seed: int, options: hoist.Options) -> Graph:
    """The Graph after the pass, which has kept every bit of its results and finds nothing more to do."""
    verify(graph)
    found = hoist.run(graph, options)
    verify(found)
    assert hoist.run(found, options) is found, f"seed {seed}: a second run changes something"
    inputs = arguments(graph, seed)
    wanted, values = evaluate(graph, inputs), evaluate(found, inputs)
    for name, value in wanted.items():
        assert same_bits(value, values[name]), f"seed {seed}, {name}\n{print_graph(graph)}{print_graph(found)}"
    return found


@pytest.mark.parametrize("options", [hoist.Options(), EAGER], ids=["default", "eager"])
def test_random_loops_keep_their_values(options: hoist.Options) -> None:
    changed = 0
    for seed in range(400):
        graph = infer.run(control_graph(seed))
        changed += checked(graph, seed, options) is not graph
    assert changed > 40, "the generator gives the pass too little to do"


def test_random_loops_compiled() -> None:
    """The whole pipeline, with more moved than by default, against the evaluator."""
    for seed in range(1000, 1040):
        graph = infer.run(control_graph(seed))
        if len(set(graph.results)) < len(graph.results):
            continue  # functions name their results once
        inputs = arguments(graph, seed)
        wanted = evaluate(graph, inputs)
        moved = dce.run(hoist.run(graph, EAGER))
        found = tilec.compile(moved, target="llvm").run((), inputs)
        for name, value in zip(graph.results, found, strict=True):
            assert same_bits(wanted[name], value), f"seed {seed}, {name}\n{print_graph(graph)}"


def product(rows: int = 1, length: str = "9", terms: int = 32, more: str = "") -> Graph:
    """A loop that adds products of slices and weights."""
    count = "count N" if more else ""
    return parse_graph(f"""
    graph f(X: f32[9, {rows}, {terms}], W: f32[{terms}, 64], H: f32[{rows}, 64], N: i64) -> (R) {{
      R: f32[{rows}, 64] = scan (H) in (X) const (W) length {length} {count}
        do graph step(H: f32[{rows}, 64], X: f32[{rows}, {terms}], W: f32[{terms}, 64]) -> (Q) {{
          P: f32[{rows}, 64] = sum:f32 [m, n, k] {{ [m, n] <- mul(X[m, k], W[k, n]) }}
          Q: f32[{rows}, 64] = add(H, P)
        }}
    }}""")


DEFAULT = hoist.Options()


def moves(graph: Graph, options: hoist.Options = DEFAULT) -> bool:
    return hoist.run(graph, options) is not graph


def test_products_of_slices_move_where_that_is_cheaper() -> None:
    assert moves(product())
    assert not moves(product(rows=3)), "a step reads the weights for enough rows"
    assert not moves(product(terms=31)), "memory for few terms"
    assert not moves(product(more="count")), "the loop may end early"
    assert moves(product(), hoist.Options(stack=9 * (64 + 32) * 4))
    assert not moves(product(), hoist.Options(stack=9 * (64 + 32) * 4 - 1)), "too much memory"


def test_a_default_of_another_value_in_each_step() -> None:
    """One that is a number for the whole result has no place in a result for all steps; others have."""

    def graph(shape: str) -> Graph:
        return parse_graph(f"""
        graph f(X: f32[9, 32], D: f32[9{shape and ', ' + shape}], W: f32[32, 8], H: f32[12]) -> (R) {{
          R: f32[12] = scan (H) in (X, D) const (W) length 9
            do graph step(H: f32[12], X: f32[32], D: f32{shape and f"[{shape}]"}, W: f32[32, 8]) -> (Q) {{
              P: f32[12] = sum:f32 [n, k] {{ [n] <- mul(X[k], W[k, n]) }} default D
              Q: f32[12] = add(H, P)
            }}
        }}""")

    assert not moves(graph(""))
    whole = graph("12")
    found = checked(whole, 0, DEFAULT)
    assert found is not whole


def test_large_weights_pay_for_more_rows() -> None:
    assert moves(product(rows=4, terms=4096))
    assert not moves(product(rows=5, terms=4096))
    assert moves(product(rows=64, terms=16384), hoist.Options(stack=1 << 30))
    assert not moves(product(rows=65, terms=16384), hoist.Options(stack=1 << 30))


def test_a_limit_of_memory_keeps_products_in_the_loop() -> None:
    def shape(options: Options) -> TensorType:
        graph = tilec.compile(product(), options=options).graph
        (scan,) = [let.node for let in graph.lets if isinstance(let.node, Scan)]
        (type,) = [p.type for p in scan.body.params if p.name == "X" or p.name == "P"]
        return type

    assert shape(Options()).shape == (1, 64)  # the slice of what was computed ahead
    assert shape(Options(memory_limit=1 << 20)).shape == (1, 32)


WHILE = """graph f(A: f32[3], N: i32) -> (R) {
  M: i32, R: f32[3] = while (N, A) const (A)
    test graph t(N: i32, B: f32[3], A: f32[3]) -> (P) {
      E: f32[3] = exp(A) S: f32 = sum:f32 [i] { [] <- E[i] } T: f32 = sum:f32 [i] { [] <- B[i] }
      Q: bool = cmp_lt(T, S) Z: i32 = literal (0) G: bool = cmp_gt(N, Z) P: bool = bit_and(Q, G)
    }
    do graph b(N: i32, B: f32[3], A: f32[3]) -> (K, C) {
      EFFECT
      one: i32 = literal (1) K: i32 = sub(N, one) E: f32[3] = exp(A) C: f32[3] = add(B, E)
    }
}"""


def test_test_and_body_of_a_while() -> None:
    graph = parse_graph(WHILE.replace("EFFECT", ""))
    found = hoist.run(graph)
    verify(found)
    loop = found.lets[-1].node
    assert isinstance(loop, While) and len(found.lets) == 4  # the sum in the test, and both exponentials
    for rounds in (0, 1, 5):
        inputs = {"A": np.array([0.5, -1, 2], np.float32), "N": np.array(rounds, np.int32)}
        assert same_bits(evaluate(graph, inputs)["R"], evaluate(found, inputs)["R"])


@pytest.mark.parametrize(
    "effect",
    [
        '() = special assert(A) {message = "zero"}',
        """Y: f32[3] = while (A) test graph t(A: f32[3]) -> (P) { P: bool = literal (1) }
        do graph b(A: f32[3]) -> (A) { }""",
        "[[again]] Y: f32[3] = exp(A)",
    ],
)
def test_what_stays(effect: str) -> None:
    """What could fail, what need not end, and what is computed again on purpose."""
    found = hoist.run(parse_graph(WHILE.replace("EFFECT", effect)))
    verify(found)
    loop = found.lets[-1].node
    assert isinstance(loop, While)
    assert print_graph(loop.body).count("Y: f32[3]") + print_graph(loop.body).count("assert") == 1


def test_assertions_of_a_loop_without_rounds_do_not_fail() -> None:
    graph = parse_graph(WHILE.replace("EFFECT", '() = special assert(A) {message = "zero"}'))
    (result,) = tilec.compile(graph).run((), {"A": np.zeros(3, np.float32), "N": np.array(0, np.int32)})
    assert result.tolist() == [0, 0, 0]
