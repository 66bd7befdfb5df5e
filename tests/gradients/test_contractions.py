"""Every kind of contraction: against differences, differentiated twice, and where it is not smooth."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.gradients.build import from_tile, random_arrays
from tests.gradients.differences import Array, assert_right, cleaned
from tests.gradients.programs import CONTRACTIONS
from tilec.dtypes import BF16, F16, F32, DType
from tilec.errors import TileError
from tilec.evaluate.graph import evaluate
from tilec.frontends.tile.elaborate import to_graph
from tilec.frontends.tile.parser import parse
from tilec.graph import Contraction, Graph, TensorType
from tilec.monoid import STANDARD
from tilec.passes import bounds
from tilec.passes.differentiate import gradient, jvp
from tilec.text.graph_text import parse_graph
from tilec.type_graph import infer_graph

every_program = pytest.mark.parametrize("name", CONTRACTIONS)


def of_program(name: str) -> tuple[Graph, dict[str, Array]]:
    text, shapes = CONTRACTIONS[name]
    return from_tile(text, shapes), random_arrays(name, shapes)


@every_program
def test_after_bounds(name: str) -> None:
    """A contraction with integer forms and a box has the same derivative."""
    graph, inputs = of_program(name)
    one, other = (cleaned(gradient(g, list(inputs), graph.results[0])) for g in (graph, bounds.run(graph)))
    for wanted, found in zip(evaluate(one, inputs).values(), evaluate(other, inputs).values(), strict=True):
        np.testing.assert_allclose(found, wanted, 1e-12, 1e-12)


def derivative(text: str, wrt: str, **values: Any) -> Any:
    inputs = {n: np.array(v, np.float64) for n, v in values.items()}
    derived = cleaned(gradient(from_tile(text, inputs), [wrt]))
    return evaluate(derived, inputs)[derived.results[0]].tolist()


@every_program
def test_first_derivative(name: str) -> None:
    graph, inputs = of_program(name)
    for wrt in ([p] for p in inputs):
        assert_right(graph, inputs, wrt, graph.results[0])
    assert_right(graph, inputs, list(inputs), graph.results[0])


@every_program
def test_second_derivative(name: str) -> None:
    graph, inputs = of_program(name)
    derived = gradient(graph, list(inputs))
    for result in derived.results:
        assert_right(derived, inputs, list(inputs), result)


@every_program
def test_hessian_is_symmetric(name: str) -> None:
    """u H v = v H u, the Hessian-vector product being the forward derivative of the gradient."""
    graph, inputs = of_program(name)
    wrt = list(inputs)
    product = cleaned(jvp(gradient(graph, wrt), wrt))
    rng = np.random.default_rng(0)
    u, v = ({n: np.asarray(rng.uniform(-1, 1, a.shape)) for n, a in inputs.items()} for _ in range(2))

    def times(direction: dict[str, Array], other: dict[str, Array]) -> float:
        given = dict(zip((p.name for p in product.params[len(wrt) :]), direction.values(), strict=True))
        found = evaluate(product, {**inputs, **given})
        moved = product.results[-len(wrt) :]
        return float(sum(np.sum(found[r] * other[n]) for n, r in zip(wrt, moved, strict=True)))

    assert times(u, v) == pytest.approx(times(v, u), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("sign, values", [(">", [1.0, 3.0, 3.0, 2.0, 3.0]), ("<", [4.0, 3.0, 5.0, 3.0, 3.0])])
def test_first_wins_on_ties(sign: str, values: list[float]) -> None:
    wanted = [1.0 if k == values.index(3.0) else 0.0 for k in range(5)]
    assert derivative(f"(A) -> (O) {{ O[] = {sign}(A[i]); }}", "A", A=values) == wanted


def test_first_means_lexicographic_order_of_the_indices() -> None:
    """The indices of a contraction are ordered by their first use, those of the output before those of the body."""
    ones = np.ones((2, 3)).tolist()
    first = derivative("(A) -> (O) { O[] = >(A[i, j]); }", "A", A=ones)
    assert first == [[1, 0, 0], [0, 0, 0]]
    assert derivative("(A) -> (O) { O[] = >(A[1 - i, j]); }", "A", A=ones) == [[0, 0, 0], [1, 0, 0]]
    pooled = derivative("(A) -> (O) { O[x: 2] = >(A[x + i - 1]), i < 3; }", "A", A=[1, 1, 1])
    assert pooled == [2, 0, 0]


def test_tie_over_negative_indices() -> None:
    assert derivative("(A) -> (O) { O[] = >(A[i + 2]), i + 2 < 4; }", "A", A=[0, 5, 5, 1]) == [0, 1, 0, 0]


def test_maximum_of_nan_goes_to_the_first_nan() -> None:
    found = derivative("(A) -> (O) { O[i: 2] = >(A[i, j]); }", "A", A=[[1, np.nan, 7, np.nan], [1, 2, 2, 0]])
    assert found == [[0, 1, 0, 0], [0, 1, 0, 0]]


@pytest.mark.parametrize(
    "values, wanted",
    [
        ([2.0, 3.0, 4.0], [12, 8, 6]),
        ([2.0, 0.0, 4.0], [0, 8, 0]),
        ([0.0, 3.0, 0.0], [0, 0, 0]),
        ([0.0, 0.0, 0.0], [0, 0, 0]),
        ([-0.0, 3.0, 4.0], [12, 0, 0]),
        ([1e300, 0.0, 1e300], [0, np.inf, 0]),
    ],
)
def test_products_with_zeros(values: list[float], wanted: list[float]) -> None:
    assert derivative("(A) -> (O) { O[] = *(A[i]); }", "A", A=values) == wanted


@pytest.mark.parametrize("values", [[2.0, 3.0, 4.0], [2.0, 0.0, 4.0], [0.0, 3.0, 0.0], [0.0, 0.0, 0.0]])
def test_second_derivatives_of_products_with_zeros(values: list[float]) -> None:
    """Of a b c: the third factor, in the row and column of two others."""
    graph = from_tile("(A) -> (O) { O[] = *(A[i]); }", {"A": (3,)})
    product = cleaned(jvp(gradient(graph, ["A"]), ["A"]))
    a, b, c = values
    wanted = [[0, c, b], [c, 0, a], [b, a, 0]]
    for row, unit in zip(wanted, np.eye(3)):
        found = evaluate(product, {"A": np.array(values), "A_dot": unit})
        assert found[product.results[-1]].tolist() == row


def test_gradient_of_a_sum_is_one_contraction() -> None:
    graph = from_tile("(A, B) -> (O) { O[m, n: 3, 5] = +(A[m, k] * B[k, n]); }", {"A": (3, 4), "B": (4, 5)})
    derived = cleaned(gradient(graph, ["A"], seed=True))
    (let,) = derived.lets
    assert isinstance(let.node, Contraction)
    assert (let.node.constraints, let.names, derived.results) == ((), ("A_grad",), ("A_grad",))


def test_types_of_gradients_and_accumulators() -> None:
    """What is added up is added up in f32; where a cell has one term, there is nothing to add."""
    text = """graph f(A: f16[4], B: f16[4, 3]) -> (L) {
      L: f16 = sum:f32 [i, j] { [] <- cast.f32(mul.f16(A[i], B[i, j])) }
    }"""
    graph = infer_graph(parse_graph(text))
    for name, monoid, accumulator in (("A", "sum", "f32"), ("B", "assign", "f16")):
        derived = cleaned(gradient(graph, [name]))
        assert str(derived.types()[f"{name}_grad"].dtype) == "f16"
        node = derived.lets[-1].node
        assert isinstance(node, Contraction)
        assert (node.monoid.name, str(node.accumulator[0])) == (monoid, accumulator)


@pytest.mark.parametrize(
    "text, wrt, of, code",
    [
        ("graph f(A: i32[2]) -> (L) { L: i32 = sum:i32 [i] { [] <- A[i] } }", "A", None, "TILE0309"),
        ("graph f(A: f32[2]) -> (L) { L: bool[2] = cmp_lt(A, A) }", "A", None, "TILE0309"),
        ("graph f(A: f32[2]) -> (L, K) { L: f32[2] = neg(A) K: f32[2] = exp(A) }", "A", None, "TILE0309"),
        ("graph f(A: f32[2]) -> (L) { L: f32[2] = neg(A) }", "B", None, "TILE0101"),
        ("graph f(A: f32[2]) -> (L) { L: f32[2] = neg(A) }", "A", "K", "TILE0101"),
    ],
)
def test_what_has_no_gradient(text: str, wrt: str, of: str | None, code: str) -> None:
    with pytest.raises(TileError) as caught:
        gradient(infer_graph(parse_graph(text)), [wrt], of)
    assert caught.value.code == code


@pytest.mark.parametrize("dtype", [F16, BF16, F32])
@every_program
def test_narrow_types(name: str, dtype: DType) -> None:
    """Typed evaluation of a gradient of narrow inputs, against the same in float64."""
    text, shapes = CONTRACTIONS[name]
    graph = to_graph(parse(f"function {text}"), None, {n: TensorType(dtype, s) for n, s in shapes.items()})
    inputs = {n: a.astype(dtype.numpy) for n, a in random_arrays(name, shapes).items()}
    derived = cleaned(gradient(graph, list(inputs), graph.results[0]))
    exact, typed = evaluate(derived, inputs, "float64"), evaluate(derived, inputs)
    rounding = {F16: 2e-2, BF16: 2e-1, F32: 1e-5}[dtype]
    for result in derived.results:
        assert derived.types()[result].dtype == dtype
        scale = float(np.max(np.abs(exact[result]), initial=1.0))
        np.testing.assert_allclose(typed[result].astype(np.float64), exact[result], rounding, rounding * scale)


def test_named_sizes() -> None:
    text = """graph f[N](A: f64[N, 3], B: f64[3]) -> (L) {
      C: f64[N] = sum:f64 [i, j] { [i] <- mul(A[i, j], B[j]) }
      D: f64[N, 3] = add(A, B)
      E: f64[N, 3] = mul(D, D)
      L: f64 = sum:f64 [i, j] { [] <- mul(E[i, j], C[i]) }
    }"""
    derived = cleaned(gradient(parse_graph(text), ["A", "B"]))
    for n in (1, 4):
        a, b = np.arange(3.0 * n).reshape(n, 3), np.array([1.0, -2.0, 0.5])
        found = evaluate(derived, {"A": a, "B": b})
        c, d = a @ b, a + b
        assert np.allclose(found["A_grad"], 2 * d * c[:, None] + np.sum(d * d, 1)[:, None] * b)
        assert np.allclose(found["B_grad"], np.sum(2 * d * c[:, None], 0) + np.sum(d * d, 1) @ a)


def test_assertions_stay() -> None:
    text = """graph f(A: f64[2]) -> (Y) { P = cmp_gt(A, B) Y = mul(A, A) () = special assert(P) {message = "A"} }"""
    graph = infer_graph(parse_graph(text.replace("{ P", "{ B: f64 = literal (0.0) P")))
    for derived in (gradient(graph, ["A"]), jvp(graph, ["A"])):
        given = {p.name: np.array([1.0, 2.0]) for p in derived.params}
        evaluate(cleaned(derived), given)
        with pytest.raises(TileError) as caught:
            evaluate(cleaned(derived), {**given, "A": np.array([1.0, -2.0])})
        assert caught.value.code == "TILE0405"


def test_names_that_are_taken() -> None:
    """A result that is a parameter, a gradient that is another's, names that look like ours."""
    text = "graph f(A: f64[2], A_grad: f64[2], B: f64[2]) -> (O) { O: f64[2] = add(A, B) }"
    derived = cleaned(gradient(parse_graph(text), ["A", "B", "A_grad"], seed=True))
    inputs = {n: np.array([1.0, 2.0]) for n in ("A", "B", "A_grad")}
    found = evaluate(derived, {**inputs, "O_seed": np.array([3.0, 4.0])})
    assert [found[r].tolist() for r in derived.results] == [[3, 4], [3, 4], [0, 0]]
    same = cleaned(gradient(parse_graph("graph f(A: f64[2]) -> (A) {}"), ["A"]))
    assert evaluate(same, {"A": np.zeros(2)})[same.results[0]].tolist() == [1, 1]


def test_every_aggregation_of_the_language_is_among_the_programs() -> None:
    graphs = [from_tile(text, shapes) for text, shapes in CONTRACTIONS.values()]
    nodes = [let.node for graph in graphs for let in graph.lets if isinstance(let.node, Contraction)]
    assert {n.monoid.name for n in nodes} == set(STANDARD)
    assert {n.monoid.name for n in nodes if n.defaults != (None,)} == set(STANDARD)
    assert {n.monoid.name for n in nodes if n.constraints} >= {"sum", "prod", "max"}
