"""Every elementwise builtin against central differences, as an operation of tensors and in a contraction's body."""

from __future__ import annotations

import zlib

import numpy as np
import pytest

from tests.gradients.build import from_tile
from tests.gradients.differences import Array, assert_right, cleaned
from tilec.builtins import BUILTINS
from tilec.derivatives import GRADIENTS
from tilec.dtypes import BF16, BOOL, F16, F32, F64, DType
from tilec.errors import TileError
from tilec.evaluate.graph import evaluate
from tilec.expr import walk
from tilec.graph import Graph
from tilec.passes.differentiate import gradient, jvp
from tilec.text.graph_text import parse_graph, print_graph
from tilec.type_graph import infer_graph

RANGES: dict[str, tuple[float, float]] = {
    "log": (0.2, 3.0),
    "sqrt": (0.2, 3.0),
    "log1p": (-0.7, 3.0),
    "pow": (0.2, 3.0),
    "asin": (-0.9, 0.9),
    "acos": (-0.9, 0.9),
    "atanh": (-0.9, 0.9),
    "acosh": (1.2, 4.0),
    "tan": (-1.2, 1.2),
    "recip": (0.3, 3.0),
    "div": (0.3, 3.0),
    "strong_div": (0.3, 3.0),
    "mod": (0.4, 3.0),
}
INTEGERS_ONLY = {
    n for n, b in BUILTINS.items() if b.rule in ("bits", "shift") or n in ("div_raw", "shl_raw", "shr_raw")
}
WITHOUT = {"bitcast", "rem_raw"}  # floats may pass through, but there is no derivative
WITHOUT |= {"scale2", "rarely"}  # what the expansions of elementary functions are made of, long after differentiation
DECREED = {"stop_gradient", "reverse_grad"}  # derivatives that no difference of values shows
OTHERS = INTEGERS_ONLY | WITHOUT | DECREED | {"cast", "logical_not"}
FLOATS = sorted(set(BUILTINS) - OTHERS - {n for n in BUILTINS if "cmp" in n})


def seed_of(name: str) -> int:
    return zlib.crc32(name.encode())


def operands(op: str, shapes: list[tuple[int, ...]]) -> dict[str, Array]:
    rng = np.random.default_rng(seed_of(op))
    low, high = RANGES.get(op, (-2.0, 2.0))
    return {f"X{k}": rng.uniform(low, high, s) for k, s in enumerate(shapes)}


def test_the_table_is_whole() -> None:
    assert {n for n, b in BUILTINS.items() if b.gradient is None} == INTEGERS_ONLY | WITHOUT
    assert set(GRADIENTS) <= set(BUILTINS)
    for name, gradient_ in GRADIENTS.items():
        assert len(gradient_) == BUILTINS[name].arity
        for template in gradient_:
            assert template is None or all(e.dtype in (F64, BOOL) for e in walk(template))


def applied(op: str, shapes: list[str], types: str = "f64") -> Graph:
    params = ", ".join(f"X{k}: {types}{s}" for k, s in enumerate(shapes))
    args = [f"X{k}" for k in range(len(shapes))]
    first = ""
    if op == "cond":
        first, args[0] = "C = cmp_gt(X0, Z)\n", "C"
        first = "Z: f64 = literal (0.25)\n" + first
    return infer_graph(parse_graph(f"graph f({params}) -> (Y) {{ {first} Y = {op}({', '.join(args)}) }}"))


@pytest.mark.parametrize("op", FLOATS)
def test_elementwise(op: str) -> None:
    arity = BUILTINS[op].arity
    graph = applied(op, ["[2, 3]"] * arity)
    assert_right(graph, operands(op, [(2, 3)] * arity), [p.name for p in graph.params], "Y", seed_of(op))


@pytest.mark.parametrize("op", [o for o in FLOATS if BUILTINS[o].arity > 1])
def test_broadcast(op: str) -> None:
    shapes = [(4, 1), (2, 1, 3), (3,)][: BUILTINS[op].arity]
    graph = applied(op, [str(list(s)) for s in shapes])
    assert_right(graph, operands(op, list(shapes)), [p.name for p in graph.params], "Y", seed_of(op))


@pytest.mark.parametrize("op", [o for o in FLOATS if o != "cond"])
def test_in_a_body(op: str) -> None:
    reads = ["X0[i, j]", "X1[j, i]", "X2[i, i]"][: BUILTINS[op].arity]
    params = ", ".join(f"X{k}: f64[3, 3]" for k in range(len(reads)))
    body = f"mul({op}({', '.join(reads)}), X0[j, j])"
    graph = infer_graph(parse_graph(f"graph f({params}) -> (Y) {{ Y = sum:f64 [i, j] {{ [i : 3] <- {body} }} }}"))
    assert_right(graph, operands(op, [(3, 3)] * len(reads)), [p.name for p in graph.params], "Y", seed_of(op))


@pytest.mark.parametrize("op", FLOATS)
def test_second_derivative(op: str) -> None:
    arity = BUILTINS[op].arity
    graph = applied(op, ["[3]"] * arity)
    names = [p.name for p in graph.params]
    first = cleaned(gradient(graph, names, seed=True))
    values = {**operands(op, [(3,)] * arity), first.params[-1].name: np.array([0.5, 1.5, -1.0])}
    for result in first.results:
        assert_right(first, values, names, result, seed_of(op))


def derivative(op: str, *values: float, wrt: int = 0) -> float:
    graph = applied(op, [""] * len(values))
    derived = gradient(graph, [f"X{wrt}"])
    return float(evaluate(derived, {f"X{k}": v for k, v in enumerate(values)})[derived.results[0]])


@pytest.mark.parametrize("op", ["abs", "relu", "floor", "ceil", "round", "trunc"])
def test_zero_at_corners(op: str) -> None:
    assert derivative(op, 0.0) == 0


def test_decreed_derivatives() -> None:
    assert derivative("stop_gradient", 3.0) == 0
    assert derivative("reverse_grad", 3.0, 0.5) == -0.5
    assert derivative("reverse_grad", 3.0, 0.5, wrt=1) == 0


@pytest.mark.parametrize("op", sorted(DECREED))
def test_decreed_derivatives_in_a_body(op: str) -> None:
    args = "X[i]" if op == "stop_gradient" else "X[i], S[i]"
    text = f"graph f(X: f64[2], S: f64[2]) -> (Y) {{ Y: f64 = sum:f64 [i] {{ [] <- mul({op}({args}), X[i]) }} }}"
    derived = cleaned(gradient(infer_graph(parse_graph(text)), ["X"]))
    x, s = np.array([1.0, 2.0]), np.array([0.5, 3.0])
    expected = x if op == "stop_gradient" else x - s * x
    assert evaluate(derived, {"X": x, "S": s})["X_grad"].tolist() == expected.tolist()


def test_first_wins_on_ties() -> None:
    for op in ("max", "min"):
        assert derivative(op, 2.0, 2.0, wrt=0) == 1
        assert derivative(op, 2.0, 2.0, wrt=1) == 0


@pytest.mark.parametrize(
    "x, y, by_x, by_y",
    [(0.0, 0.0, 0, 0), (0.0, 1.0, 1, 0), (0.0, 2.0, 0, 0), (-3.0, 2.0, -6, None), (2.0, 0.0, 0, np.log(2))],
)
def test_powers(x: float, y: float, by_x: float, by_y: float | None) -> None:
    assert derivative("pow", x, y, wrt=0) == by_x
    found = derivative("pow", x, y, wrt=1)
    assert np.isnan(found) if by_y is None else np.isclose(found, by_y)


@pytest.mark.parametrize("source", [F16, BF16, F32, F64])
@pytest.mark.parametrize("target", [F16, BF16, F32, F64])
def test_casts_keep_the_type(source: DType, target: DType) -> None:
    text = f"graph f(X: {source}[2]) -> (Y) {{ T = cast.{target}(X) Y = mul(T, T) }}"
    derived = cleaned(gradient(infer_graph(parse_graph(text)), ["X"]))
    assert derived.types()["X_grad"].dtype == source
    found = evaluate(derived, {"X": np.array([1.5, -2.0]).astype(source.numpy)})["X_grad"]
    assert found.astype(np.float64).tolist() == [3.0, -4.0]


@pytest.mark.parametrize(
    "text", ["T = cast.i32(X) Y = cast.f64(T)", "T = cmp_lt(X, X) Y = cast.f64(T)", "Y = floor(X)"]
)
def test_nothing_flows_through_integers(text: str) -> None:
    derived = cleaned(gradient(infer_graph(parse_graph(f"graph f(X: f64[2]) -> (Y) {{ {text} }}")), ["X"]))
    assert evaluate(derived, {"X": np.array([1.5, 2.5])})["X_grad"].tolist() == [0.0, 0.0]


@pytest.mark.parametrize("text", ["T = bitcast.i64(X) Y = cast.f64(T)", "Y = rem_raw(X, X)"])
def test_no_derivative_is_an_error(text: str) -> None:
    graph = infer_graph(parse_graph(f"graph f(X: f64[2]) -> (Y) {{ {text} }}"))
    with pytest.raises(TileError) as caught:
        gradient(graph, ["X"])
    assert caught.value.code == "TILE0310"


MASKED = [
    "1 / X",
    "recip(X)",
    "atanh(1 + X)",
    "acos(1 + X)",
    "sqrt(X)",
    "log(X)",
    "log1p(X - 1)",
    "pow(X, 0.5)",
    "asin(1 + X)",
    "acosh(1 + X)",
    "X % (X + 2)",
    "exp(-9999 * X)",
]


@pytest.mark.parametrize("function", MASKED)
def test_what_is_not_chosen_contributes_nothing(function: str) -> None:
    """At 0 and below, where the function has no derivative; in both modes, and for gradients of gradients."""
    graph = from_tile(f"(X) -> (Y) {{ Y = X > 0 ? {function} : 3 * X; }}", {"X": (4,)})
    x = np.array([0.0, -1.0, 0.25, -2.0])
    first = gradient(graph, ["X"])
    second = gradient(first, ["X"])
    plain = from_tile(f"(X) -> (Y) {{ Y = {function}; }}", {"X": (4,)})
    slope, bend = gradient(plain, ["X"]), gradient(gradient(plain, ["X"]), ["X"])
    with np.errstate(all="ignore"):
        wanted = np.where(x > 0, evaluate(slope, {"X": x})[slope.results[0]], 3.0)
        wanted_bend = np.where(x > 0, evaluate(bend, {"X": x})[bend.results[0]], 0.0)
    np.testing.assert_allclose(evaluate(cleaned(first), {"X": x})[first.results[0]], wanted)
    np.testing.assert_allclose(evaluate(cleaned(second), {"X": x})[second.results[0]], wanted_bend)
    moved = evaluate(cleaned(jvp(graph, ["X"])), {"X": x, "X_dot": np.ones(4)})
    np.testing.assert_allclose(moved["Y_dot"], wanted)


def test_cells_that_are_not_reached_do_not_move() -> None:
    """Their roots have the slope infinity; a tangent of zero stays zero."""
    graph = from_tile("(X) -> (Y) { T[2*i : 5] = +(X[i]); Y = sqrt(T); }", {"X": (3,)})
    moved = evaluate(jvp(graph, ["X"]), {"X": np.ones(3), "X_dot": np.full(3, 2.0)})["Y_dot"]
    assert moved.tolist() == [1, 0, 1, 0, 1]
    assert evaluate(gradient(graph, ["X"]), {"X": np.ones(3)})["X_grad"].tolist() == [0.5, 0.5, 0.5]


@pytest.mark.parametrize("op", ["strong_mul", "strong_div"])
def test_strong_operations_beside_constants(op: str) -> None:
    """They become plain where that is the same, and only there."""
    for constant, first, plain in [(2.5, 1, True), (-2.5, 1, False), (0.0, 1, False), (-2.5, 0, True), (0.0, 0, False)]:
        args = "(X, L)" if first else "(L, X)"
        text = f"graph f(X: f64[6]) -> (Y) {{ L: f64 = literal ({constant}) Y = {op}{args} }}"
        graph = infer_graph(parse_graph(text))
        simple = cleaned(graph)
        assert (op not in print_graph(simple)) == plain
        x = {"X": np.array([0.0, -0.0, 3.0, np.inf, np.nan, -1.0])}
        found, wanted = evaluate(simple, x)["Y"], evaluate(graph, x)["Y"]
        assert np.array_equal(found, wanted, equal_nan=True) and np.array_equal(np.signbit(found), np.signbit(wanted))


STOPPED = [
    "sigmoid(Q)",
    "tanh(Q)",
    "erf(Q)",
    "atan(Q)",
    "exp(-Q)",
    "expm1(-Q)",
    "recip(Q)",
    "3 / Q",
    "pow(Q, -2.0)",
    "pow(0.5, Q)",
    "3 % Q",
    "recip(sqrt(Q))",
    "recip(log(Q))",
    "recip(log1p(Q))",
    "recip(asinh(Q))",
    "recip(acosh(Q))",
    "sigmoid(Q / 2)",
    "sigmoid(sinh(Q))",
]


@pytest.mark.parametrize("function", STOPPED)
def test_a_slope_of_zero_stops_an_infinite_tangent(function: str) -> None:
    """At X / 0, where all of these are level: as operations and in a body, in both modes."""
    for text in (f"Q = X / Z; Y = {function};", f"Y[i: 3] = +({function.replace('Q', '(X[i] / Z[i])')});"):
        graph = from_tile(f"(X, Z) -> (Y) {{ {text} }}", {"X": (3,), "Z": (3,)})
        x = {"X": np.array([0.5, 1.5, 2.0]), "Z": np.zeros(3)}
        moved = {"X_dot": np.array([1.0, -2.0, 0.0]), "Z_dot": np.array([0.5, 0.0, 1.0])}
        assert evaluate(gradient(graph, ["X"]), x)["X_grad"].tolist() == [0, 0, 0]
        assert evaluate(cleaned(gradient(graph, ["X", "Z"])), x)["Z_grad"].tolist() == [0, 0, 0]
        assert evaluate(cleaned(jvp(graph, ["X", "Z"])), {**x, **moved})["Y_dot"].tolist() == [0, 0, 0]


@pytest.mark.parametrize("dtype", [F16, F32, F64], ids=str)
def test_slopes_where_squares_overflow(dtype: DType) -> None:
    """The slopes of asinh and atan are representable where the square of the argument is not."""
    largest = {F16: 6e4, F32: 3e38, F64: 1e308}[dtype]
    x = np.array([0.0, 1.0, -1.0, 300.0, -300.0, largest**0.75, -largest, np.inf], dtype.numpy)
    exact = x.astype("f8" if dtype != F64 else np.longdouble)
    for op, wanted in (("asinh", 1 / np.hypot(1, exact)), ("atan", (1 / np.hypot(1, exact)) ** 2)):
        found = evaluate(gradient(applied(op, ["[8]"], dtype.name), ["X0"], "Y"), {"X0": x})
        (slope,) = found if isinstance(found, tuple) else found.values()
        tiny = float(np.finfo(dtype.numpy).smallest_subnormal)
        np.testing.assert_allclose(slope.astype(exact.dtype), wanted, rtol=4 * np.finfo(dtype.numpy).eps, atol=tiny)


@pytest.mark.parametrize("op", ["asinh", "atan"])
def test_higher_derivatives_where_slopes_change_their_form(op: str) -> None:
    graph = applied(op, ["[5]"])
    x = {"X0": np.array([0.0, 1.0, -1.0, 0.5, 40.0])}
    once = gradient(graph, ["X0"], "Y")
    assert_right(once, x, ["X0"], once.results[0], seed_of(op))
