"""Graphs written in Tile: they parse, elaborate and have the same values, to the last bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tilec
from tests.fuzz.generate import generate
from tests.fuzz.run import elaborate
from tests.gradients.build import from_tile, random_arrays
from tests.gradients.programs import CONTRACTIONS
from tests.gradients.random_programs import built, floats
from tests.gradients.test_control import COND, SCAN, WHILE
from tests.language.test_conformance import ROWS, make_input
from tests.unparse.roundtrip import assert_same
from tilec import api, pipeline
from tilec.cli.declared import named_types
from tilec.derivative import simplest, written_out
from tilec.errors import TileError
from tilec.evaluate.graph import evaluate
from tilec.frontends.tile.elaborate import to_graph
from tilec.frontends.tile.parser import parse
from tilec.frontends.tile.syntax import Function, Ident
from tilec.frontends.tile.unparse import to_tile
from tilec.graph import Graph
from tilec.passes import inline
from tilec.passes.differentiate import gradient, jvp
from tilec.text.graph_text import parse_graph
from tilec.type_graph import infer_graph

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.tile"))
CHUNK = 10
WITH_INPUTS = [row for row in ROWS if row["inputs"] is not None]  # the others are text only


def floats_of(graph: Graph) -> tuple[list[str], list[str]]:
    """The parameters and the results that are floats."""
    types = graph.types()
    results = [r for r in graph.results if types[r].dtype.is_float]
    return [p.name for p in graph.params if p.type.dtype.is_float], results


def test_a_gradient_reads_like_a_program() -> None:
    text = "(A[M, K], B[K]) -> (L) { C[m] += A[m, k] * B[k]; D = exp(C) * C; L[] += D[m]; }"
    graph = from_tile(f"loss{text}", {"A": (3, 2), "B": (2,)})
    assert to_tile(simplest(gradient(graph, ["B"])), "dL/dB") == (
        "/// dL/dB\n"
        "function loss_grad(A[3, 2]: f64, B[2]: f64) -> (B_grad) {\n"
        "  C[m] += A[m, k] * B[k];\n"
        "  T_1 = exp(C);\n"
        "  C_bar_3 = T_1 + strong_mul(C, T_1);\n"
        "  B_grad[k] += C_bar_3[m] * A[m, k];\n"
        "}\n"
    )


@pytest.mark.parametrize("first", range(0, 100, CHUNK))
def test_random_programs(first: int) -> None:
    """As written and after all passes."""
    for seed in range(first, first + CHUNK):
        case = generate(seed)
        try:
            graph = elaborate(case)
            evaluate(graph, case.inputs)
        except TileError:
            continue  # the program has no meaning
        assert_same(graph, case.inputs)
        assert_same(pipeline.optimise(graph), case.inputs)


@pytest.mark.parametrize("first", range(100, 160, CHUNK))
def test_derivatives_of_random_programs(first: int) -> None:
    for seed in range(first, first + CHUNK):
        case = generate(seed)
        inputs = floats(case)
        graph = built(case, inputs)
        wrt, results = floats_of(graph) if graph is not None else ([], [])
        if graph is None or not (wrt and results):
            continue
        assert_same(gradient(graph, wrt, results[-1]), inputs)
        assert_same(simplest(gradient(graph, wrt, results[-1])), inputs)
        directions = {f"{n}_dot": np.ones_like(inputs[n]) for n in wrt}
        assert_same(simplest(jvp(graph, wrt)), {**inputs, **directions})


@pytest.mark.parametrize("name", CONTRACTIONS)
def test_contractions(name: str) -> None:
    text, shapes = CONTRACTIONS[name]
    inputs = random_arrays(name, shapes)
    graph = from_tile(text, inputs)
    first = simplest(gradient(graph, list(shapes), graph.results[0]))
    for one in (graph, first, simplest(gradient(first, list(shapes), first.results[0]))):
        assert_same(one, inputs)


@pytest.mark.skipif(not ROWS, reason="needs ../shared/conformance, which is not part of the project")
@pytest.mark.parametrize("row", WITH_INPUTS, ids=[r["id"] for r in WITH_INPUTS])
def test_conformance(row: dict[str, Any]) -> None:
    arrays = {spec["name"]: make_input(spec) for spec in row["inputs"]}
    inputs = {**arrays, **row["consts"]}
    try:
        graph = to_graph(parse(row["code"]), None, {n: api.signature_entry(n, v) for n, v in inputs.items()})
        evaluate(graph, inputs)
    except TileError:
        pytest.skip("the program is in error")
    assert_same(graph, inputs)
    wrt, results = floats_of(graph)
    if wrt and results:
        assert_same(written_out(gradient(graph, wrt, results[0])), inputs)


@pytest.mark.parametrize("path", EXAMPLES, ids=[p.stem for p in EXAMPLES])
def test_examples(path: Path) -> None:
    program = api.parse_file(path)
    for function in program.functions:
        assert function.name is not None
        inputs = made_up(function)
        signature = {n: api.signature_entry(n, v) for n, v in inputs.items()}
        graph = to_graph(program, function.name.text, signature)
        assert_same(inline.run(graph), inputs)  # functions with gradients of their own are functions
        assert_same(pipeline.optimise(graph), inputs)
        wrt, results = floats_of(graph)
        if wrt:
            assert_same(simplest(gradient(graph, wrt, results[0])), inputs)


@pytest.mark.parametrize("name", ["softmax", "matmul"])
def test_sizes_stay_open(name: str) -> None:
    """A gradient for all sizes, run at some."""
    program = api.parse_file(Path(__file__).parents[2] / "examples" / f"{name}.tile")
    function = program.functions[-1]
    assert function.name is not None
    graph = to_graph(program, function.name.text, named_types(function, {}))
    text = to_tile(simplest(gradient(graph, [p.name for p in graph.params])))
    assert not any(c.isdigit() for c in text[text.index("(") : text.index("->")])
    inputs = made_up(function)
    found = tilec.run(text, inputs, target="reference")
    for value, wanted in zip(found.values(), tilec.grad(program, function=function.name.text)(**inputs), strict=True):
        np.testing.assert_allclose(value, wanted, 1e-5, 1e-6)


VECTORS = {"H": (2,), "X": (5, 2), "W": (2, 2)}


@pytest.mark.parametrize("text", [SCAN, SCAN.replace("length 5 do", "length 5 reverse do")])
def test_loops_and_their_derivatives(text: str) -> None:
    inputs: dict[str, Any] = {**random_arrays("scan", VECTORS), "K": np.array(3, np.int32)}
    graph = infer_graph(parse_graph(text))
    assert_same(graph, inputs)
    first = simplest(gradient(graph, ["W", "H", "X"]))
    assert "scan(step, " in assert_same(first, inputs)
    assert_same(simplest(gradient(first, ["W"], first.results[0])), inputs)
    assert_same(simplest(jvp(graph, ["W"])), {**inputs, "W_dot": np.ones((2, 2))})


@pytest.mark.parametrize("predicate", [True, False])
def test_branches_and_their_derivatives(predicate: bool) -> None:
    inputs: dict[str, Any] = {**random_arrays("cond", {"A": (3,), "B": (3,)}), "P": np.array(predicate)}
    inputs["N"] = np.arange(3, dtype=np.int32)
    graph = infer_graph(parse_graph(COND))
    assert "= cond(P, t, e, A, B, N);" in assert_same(graph, inputs)
    assert_same(simplest(gradient(graph, ["A", "B"])), inputs)


def test_loops_without_a_length() -> None:
    inputs = {"A": np.array(0.7), "B": np.array(1.3)}
    graph = infer_graph(parse_graph(WHILE))
    assert "= while(c, d, (A, Z), B);" in assert_same(graph, inputs)
    assert_same(simplest(jvp(graph, ["A"])), {**inputs, "A_dot": np.array(1.0)})


@pytest.mark.parametrize("length", [0, 4])
def test_loops_over_nothing_and_counted_ones(length: int) -> None:
    body = "graph g(A: f32[2]) -> (R) { R = add(A, A) }"
    graph = infer_graph(parse_graph(f"graph f(A: f32[2]) -> (Y) {{ Y = scan (A) in () length {length} do {body} }}"))
    assert "fold(" in assert_same(graph, {"A": np.ones(2, "f4")})


def test_random_numbers() -> None:
    text = "function f(K: u32, S[3, 2]: u32) -> (Y) { B = random_bits(K, 5, 4, 2); Y = B + 1; }"
    text = text.replace("K: u32", "K[2]: u32").replace("Y = B + 1;", "T = prng_step(S, 4, 2); Y = B + prng_value(T);")
    inputs = {"K": np.array([1, 2], np.uint32), "S": np.full((3, 2), 99, np.uint32)}
    graph = to_graph(parse(text), None, {n: api.signature_entry(n, v) for n, v in inputs.items()})
    assert "random_bits(K, " in assert_same(graph, inputs)


def made_up(function: Function, longer: int = 0) -> dict[str, Any]:
    """Inputs of any sizes that fit one another: an axis called like another is as long."""
    rng = np.random.default_rng(3)
    inputs: dict[str, Any] = {}
    for item in function.inputs:
        shape = [3 + longer + len(d.text) if isinstance(d, Ident) else int(d.value) for d in item.dims or ()]
        labels = item.name.text in ("TrainY", "TestY", "Board")
        array = rng.integers(0, 3, shape) if labels else rng.standard_normal(shape).astype(np.float32)
        inputs[item.name.text] = 0.5 if item.dims is None else array
    return inputs


@pytest.mark.parametrize(
    "node, message",
    [
        ("O: i32[4] = bitcast.i32(X) Y: f32[4] = bitcast.f32(O)", "'bitcast'"),
        ("Y: f32[99] = literal (" + ", ".join(map(str, range(99))) + ")", "64"),
        ("Y = remat(X) do graph g(A: f32[4]) -> (B) { B = mul(A, A) }", "remat"),
    ],
)
def test_what_cannot_be_written_says_so(node: str, message: str) -> None:
    with pytest.raises(TileError) as caught:
        to_tile(infer_graph(parse_graph(f"graph f(X: f32[4]) -> (Y) {{ {node} }}")))
    assert caught.value.code == "TILE0606"
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "graph f(x: f32[2], y.1: f32[2]) -> (z) { z = add(x, y.1) }",
        "graph exp(X: f32[2]) -> (Y) { Y = exp(X) }",
        "graph f(X: f64[2]) -> (Y) { L: f64 = literal (0.1)  Y = mul(X, L) }",
        "graph f(X: f16[3]) -> (Y) { Y: f16 = sum:f16 [i] { [] <- X[i] } }",
        "graph f(X: f16[3]) -> (Y) { Y: f32 = max:f64 [i] { [] <- cast.f64(X[i]) } }",
        "graph f(X: bool[3]) -> (Y, Z) {"
        "  Y: bool = sum:bool [i] { [] <- X[i] }  Z: bool = prod:bool [i] { [] <- X[i] } }",
        "graph f(X: f64[3]) -> (Y) { Y: f64[3] = max:f64 [i] { [i] <- 0.1 } where 0 <= i < 2 default X }",
        "graph f(X: i64[3]) -> (Y) { Y: i64[3] = assign:i64 [i] { [i] <- add(mul($(i), 3), X[i]) } }",
        "graph f(X: i64[3]) -> (Y) { Y: i64[3] = assign:i64 [i] { [i] <- div(add(mul($(i), 3), 1), 2) } }",
        "graph f(X: u64[1]) -> (Y) { L: u64 = literal (18446744073709551615)  Y = add(X, L) }",
        "graph f(X: i64[1]) -> (Y) { L: i64 = literal (-9223372036854775808)  Y = add(X, L) }",
        "graph f(X: f32[1]) -> (Y) { L: f32 = literal (-inf) N: f32 = literal (nan) T = add(X, L) Y = add(T, N) }",
        "graph f(X: f32[2, 2]) -> (Y) { L: f32[2, 2] = literal (1.0, 2.0, 3.0, 4.0)  Y = mul(X, L) }",
        "graph f(X: f32[2]) -> (Y) { L: f32[3, 2] = literal (0.0)  Y = add(X, L) }",
        "graph f(X: bool[2]) -> (Y) { T: bool = literal (1)  Y = bit_xor(X, T) }",
        "graph f(X: f32[0]) -> (Y) { Y: f32[0] = literal () }",
        "graph f(X: i32[2]) -> (Y) { M = sub(X, X) N = sub(X, M) O = sub(M, N) Y = neg(O) }",
        "graph f(A: f32[3], X: f32[2]) -> (Y) { Y: f32[4] = sum:f32 [a, _1] { [a : 4] <- mul(A[a], X[_1]) } }",
    ],
)
def test_corners(text: str) -> None:
    graph = infer_graph(parse_graph(text))
    rng = np.random.default_rng(0)
    inputs = {
        p.name: np.asarray(rng.integers(0, 3, [int(str(s)) for s in p.type.shape])).astype(p.type.dtype.numpy)
        for p in graph.params
    }
    if all(n.isupper() for n in (*inputs, *graph.results)):
        assert_same(graph, inputs)
    else:
        assert "function f(#x[2], Y_1[2]) -> (#z)" in to_tile(graph)
