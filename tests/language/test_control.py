"""Branches and loops over functions of a program, and gradients of one's own, on every kind of target."""

from __future__ import annotations

import numpy as np
import pytest

import tilec
from tilec.api import run
from tilec.dtypes import F32
from tilec.errors import TileError
from tilec.frontends.tile.elaborate import to_graph
from tilec.frontends.tile.names import check
from tilec.frontends.tile.parser import parse
from tilec.frontends.tile.tests_runner import run_tests
from tilec.gradient_check import wrong_gradients
from tilec.graph import TensorType

PROGRAM = """
function step(H[N], C, X[N], W[N, N]) -> (H2, C2, Y) {
    A[i] = +(W[i, j] * H[j]);
    H2 = tanh(A + X);
    C2 = C + 1;
    Y = 2.0 * H2;
}
function rnn(Xs[T, N], H0[N], W[N, N], K) -> (H, C, Ys) { (H, C, Ys) = scan(step, (H0, 0), Xs, W, K); }
function rnn_back(Xs[T, N], H0[N], W[N, N], K) -> (H, C, Ys) { (H, C, Ys) = reverse_scan(step, (H0, 0), Xs, W, K); }
function plus(S, X) -> (R) { R = S + X; }
function row(S, X) -> (R) { R = S + fold(plus, 0, X); }
function total(Xs) -> (S) { S = fold(row, 0, Xs); }
function square(X) -> (Y) { Y = X * X; } gradient { X_grad = 2.0 * X * Y_grad; }
function power(X[N]) -> (Y) { Y = fold(square, X, (), (), 3); }
function widened(S, N) -> (R) { R[i : N] = S[i]; }
function constant(X[N]) -> (Y) { Y = fold(widened, X, (), N, 2); }
function left(A, B) -> (C, D) { C = A * A; D = 0; }
function right(A, B) -> (C, D) { C = B; D = A; }
function choose(P, A[], B[]) -> (C, D) { (C, D) = cond(P, left, right, A, B); }
function small(N, X) -> (Go) { Go = X < 100.0; }
function double(N, X) -> (N2, X2) { N2 = N + 1; X2 = X * 2.0; }
function grow(X[]) -> (N, Y) { (N, Y) = while(small, double, (0, X)); }

test "values" {
    Xs = random(5, 3);
    W = random(3, 3);
    H0 = [0.1, 0.2, 0.3];
    (H, C, Ys) = rnn(Xs, H0, W, 4);
    Last[i : 3] = +(Ys[3, i]);
    Rest[i : 3] = +(Ys[4, i]);
    assert_close(Last, 2.0 * H);
    assert_equal(Rest, [0.0, 0.0, 0.0]);
    assert_equal(C, 4);
    (H2, C2, Ys2) = rnn_back(Xs, H0, W, 9);
    First[i : 3] = +(Ys2[0, i]);
    assert_close(First, 2.0 * H2);
    assert_equal(C2, 5);
    Sum[] = +(Xs[i, j]);
    assert_close(total(Xs), Sum);
    assert_equal(total([[1, 2], [3, 4]]), 10);
    assert_close(power([1.1, 2.0]), [2.143589, 256.0]);
    assert_equal(constant([1, 2, 3]), [1, 2, 3]);
    One[] = +(H0[0 * i]), i < 1;
    (L, Zero) = choose(One > 0.0, 3.0 * One, One);
    assert_close(L, 0.09);
    assert_equal(Zero, 0.0);
    (R, Three) = choose(One < 0.0, 3.0 * One, One);
    assert_close(R, 0.1);
    assert_close(Three, 0.3);
    (N, Y) = grow(One);
    assert_equal(N, 10);
    assert_close(Y, 102.4);
    check_grad(rnn, Xs, H0, W, 4);
    check_grad(rnn_back, Xs, H0, W, 2);
    check_grad(total, Xs);
    check_grad(power, [1.1, 0.5]);
    check_grad(choose, 1, 3.0 * One, One);
}
"""


@pytest.mark.parametrize("target", ["reference", "llvm", "opencl"])
def test_every_form(target: str) -> None:
    try:
        tilec.compile("function (A[N]) -> (B) { B = A; }", A=(2,), target=target)
    except TileError as problem:
        pytest.skip(problem.diagnostics[0].message)
    (found,) = run_tests(
        parse(PROGRAM),
        lambda graph, data: run(graph, data, target=target),
        differences=lambda graph, point: wrong_gradients(graph, point, target="reference"),
    )
    assert [d.render() for d in found.diagnostics] == []
    assert found.checks == 20


def codes(text: str) -> list[str]:
    return [d.code for d in check(parse(text)).diagnostics]


STEP = "function step(H, X) -> (Next) { Next = H + X; }\n"


@pytest.mark.parametrize(
    "statement, code",
    [
        ("B = fold(step, 0);", "TILE0106"),  # no inputs
        ("B = fold(step, 0, ());", "TILE0106"),
        ("B = fold(step, (0, 1), A);", "TILE0106"),  # three values for two inputs
        ("B = fold(step, (), (A, A));", "TILE0113"),  # a result that nothing carries
        ("B = fold(stop, 0, A);", "TILE0105"),
        ("B = fold(exp, 0, A);", "TILE0119"),
        ("B = fold(A, 0, A);", "TILE0119"),
        ("B = fold(step(A, A), 0, A);", "TILE0119"),
        ("B = fold(step, Missing, A);", "TILE0101"),
        ("B = scan(step);", "TILE0106"),
        ("(B, C) = scan(step, 0, A);", "TILE0113"),
        ("B = while(step, step, A);", "TILE0106"),
        ("B = cond(A, step, exp, A, A);", "TILE0119"),
        ("B = cond(A, step, step, A);", "TILE0106"),
        ("B = (A, A);", "TILE0120"),
        ("B = exp(());", "TILE0120"),
        ("B = fold(step, ((A, A), A), A);", "TILE0120"),
        ("B[i] = +(fold(step, 0, A[i]));", "TILE0218"),
        ("B[i : fold(step, 0, A)] = A[i];", "TILE0218"),
        ("B = fold(f, 0, A);", "TILE0107"),  # f calls itself by way of the loop
    ],
)
def test_faults_that_need_no_shapes(statement: str, code: str) -> None:
    assert code in codes(STEP + f"function f(A, X) -> (B) {{ {statement} }}")


@pytest.mark.parametrize(
    "block, code",
    [
        ("gradient { }", "TILE0121"),
        ("gradient { Other = Y_grad; }", "TILE0121"),
        ("gradient { X_grad = T; }", "TILE0101"),  # the body's own values are not seen
        ("gradient { X_grad = own(X); }", "TILE0107"),
        ("gradient { X_grad = Y_grad; X_grad = Y_grad; }", "TILE0102"),
        ("gradient { X_grad = [1.0]; }", "TILE0013"),
        ("gradient { x = Y_grad; X_grad = Y_grad; }", "TILE0112"),
    ],
)
def test_faults_of_gradients(block: str, code: str) -> None:
    text = f"function own(X) -> (Y) {{ T = X; Y = T; }} {block}"
    try:
        assert code in codes(text)
    except TileError as problem:
        assert problem.code == code


@pytest.mark.parametrize(
    "names", ["gradient", "scan", "fold", "while", "cond", "checkpoint", "reverse_scan", "check_grad"]
)
def test_new_words_stay_names(names: str) -> None:
    text = f"function {names}(A[N]) -> (B) {{ B[{names}] = A[{names}]; }}"
    x = np.arange(3.0)
    assert tilec.run(text, {"A": x})["B"].tolist() == x.tolist()
    called = text + f" function main(A) -> (B) {{ B = {names}(A); }}"
    assert tilec.run(called, {"A": x}, function="main")["B"].tolist() == x.tolist()


def test_forward_mode_of_a_gradient_of_its_own_is_refused() -> None:
    text = "function f(X) -> (Y) { Y = X; } gradient { X_grad = Y_grad; }"
    with pytest.raises(TileError) as caught:
        tilec.jvp(text, "X")(X=np.ones(2), X_dot=np.ones(2))
    assert caught.value.code == "TILE0310"


def test_a_gradient_of_a_gradient_goes_through_the_block() -> None:
    text = "function f(X[N]) -> (Y) { Y = X; } gradient { X_grad = X * X * Y_grad; }"
    text += " function slope(X[N]) -> (S) { Y = f(X); S[] = +(Y[i] * Y[i]); }"
    first = tilec.grad(text, "X", function="slope").graph(X=np.ones(1))  # 2 Y X^2, where Y is f(X)
    second = tilec.grad(first, "X")
    x = np.array([1.5])
    assert np.allclose(tilec.grad(text, "X", function="slope")(X=x), 2 * x**3)
    assert second(X=x).shape == (1,)


def nested(depth: int, opening: str) -> str:
    """Functions each of which loops over the one before."""
    lines = ["function f0(S, X) -> (R) { R = S + 1.0; }"]
    lines += [f"function f{k}(S, X) -> (R) {{ R = {opening.format(k - 1)}; }}" for k in range(1, depth + 1)]
    return "\n".join(lines) + f"\nfunction main(A[N]) -> (B) {{ B = fold(f{depth}, 0.0, A); }}"


@pytest.mark.parametrize("opening", ["fold(f{}, S, (), X, 2)", "cond(S > 0.0, f{0}, f{0}, S, X)"])
def test_deep_nesting(opening: str) -> None:
    x = np.ones(2, np.float32)
    expected = tilec.run(nested(4, opening), {"A": x}, function="main", target="reference")["B"]
    assert expected == (32 if "fold" in opening else 2)
    with pytest.raises(TileError) as caught:
        tilec.compile(nested(300, opening), A=(2,), function="main", target="reference")
    assert caught.value.code == "TILE0411"


@pytest.mark.parametrize("text", ["cond(S > {1}, f{0}, one, S, X)", "S + fold(f{0}, 0, (), X, 1)"])
def test_nesting_takes_linear_work(text: str) -> None:
    """A weak result or start is elaborated again with its type; what it nests is not, level by level."""
    depth = 24
    lines = ["function one(S, X) -> (R) { R = 1; } function f0(S, X) -> (R) { R = S + X; }"]
    lines += [f"function f{k}(S, X) -> (R) {{ R = {text.format(k - 1, k)}; }}" for k in range(1, depth + 1)]
    program = "\n".join(lines)
    graph = to_graph(parse(program), f"f{depth}", {"S": TensorType(F32), "X": TensorType(F32)})
    assert graph.results == ("R",)


def test_a_literal_takes_the_type_that_weak_steps_give() -> None:
    text = "function half(X) -> (Y) { Y = 0.5 * X + 1.0; } function f(N) -> (Y) { Y = fold(half, 0, (), (), 3); }"
    assert tilec.run(text, {"N": 1}, function="f")["Y"] == 1.75


def test_a_check_of_what_has_no_gradient_is_located() -> None:
    text = 'function f(A[N]) -> (B) { B = as_int(A, 32); } test "t" { check_grad(f, [1.0]); }'
    (found,) = run_tests(
        parse(text),
        lambda graph, data: run(graph, data),
        differences=lambda graph, point: wrong_gradients(graph, point),
    )
    (wrong,) = found.diagnostics
    assert wrong.code == "TILE0309" and wrong.span is not None
    assert text[wrong.span.start : wrong.span.end].startswith("check_grad(f, [1.0])")
