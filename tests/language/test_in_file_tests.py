"""In-file tests: data, checks, failures, with the evaluator as the executor."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import pytest

from tilec.errors import TileError
from tilec.evaluate.graph import evaluate
from tilec.frontends.tile.parser import parse
from tilec.frontends.tile.tests_runner import Result, run_tests
from tilec.gradient_check import wrong_gradients
from tilec.graph import Graph

MATMUL = "function matmul(A[M, K], B[K, N]) -> (C) { C[m, n] = +(A[m, k] * B[k, n]); }\n"


def executor(graph: Graph, data: Mapping[str, Any]) -> Mapping[str, Any]:
    return evaluate(graph, data)


def run(text: str, only: str | None = None) -> list[Result]:
    return run_tests(parse(text, "t.tile"), executor, only, differences=wrong_gradients)


def test_a_passing_test() -> None:
    (found,) = run(
        MATMUL
        + """
        test "two by two" {
            A = [[1, 2], [3, 4]];
            assert_close(matmul(A, [[1, 0], [0, 1]]), A);
            assert_equal(matmul(A, A), [[7, 10], [15, 22]]);
            assert_close(matmul(A, A) * 0.1, [[0.7, 1.0], [1.5, 2.2]], 1e-6);
            assert_(matmul(A, A) > 6);
        }"""
    )
    assert (found.name, found.checks, found.passed) == ("two by two", 4, True)


def test_random_data_is_the_same_in_every_run() -> None:
    text = MATMUL + 'test "r" { A = random(3, 4); B = random(4, 3); assert_close(matmul(A, B), A, 0.0); }'
    text = text.replace("random(4, 3)", "random(4, 4)")
    first, second = run(text)[0], run(text)[0]
    assert not first.passed
    assert [d.message for d in first.diagnostics] == [d.message for d in second.diagnostics]
    assert run('test "d" { A = random(5); assert_close(A, A); assert_(A < 1); assert_(A >= -1); }')[0].passed
    assert not run('test "d" { A = random(5); B = random(5); assert_equal(A, B); }')[0].passed


def test_failures_show_values_and_the_first_place() -> None:
    (found,) = run('test "f" { A = [[1, 2], [3, 4]]; assert_equal(A, [[1, 2], [3, 5]]); assert_(A < 4); }')
    assert [d.code for d in found.diagnostics] == ["TILE0705", "TILE0705"]
    assert found.diagnostics[0].render() == (
        "error[TILE0705]: 'assert_equal': found 4, expected 5 at [1, 1]\n"
        " --> t.tile:1:34\n"
        "  |\n"
        '1 | test "f" { A = [[1, 2], [3, 4]]; assert_equal(A, [[1, 2], [3, 5]]); assert_(A < 4); }\n'
        "  |                                  ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^\n"
        "  = note: 1 of 4 elements differ\n"
        "  = note: found: [[1, 2], [3, 4]]\n"
        "  = note: expected: [[1, 2], [3, 5]]"
    )
    assert found.diagnostics[1].message == "'assert_' does not hold at [1, 1]"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("assert_close([1, 2], [1, 2, 3]);", "TILE0705"),
        ("A = [[1, 2], [3]]; assert_(A);", "TILE0016"),
        ("A = [1, [2]]; assert_(A);", "TILE0016"),
        ("A = []; assert_(A);", "TILE0016"),
        ("A = random(1 << 40); assert_(A);", "TILE0416"),
        ("assert_close([1], [1], [2]);", "TILE0510"),
        ("B = matmul([[1, 2]], [[1, 2]]); assert_(B);", "TILE0201"),
        ("check_grad(matmul, [[1, 2]], [[1], [2]]);", "TILE0309"),
        ("check_grad(matmul, [[1.0, 2.0]], [[1.0, 2.0]]);", "TILE0201"),
    ],
)
def test_faulty_tests_fail_with_a_diagnostic(body: str, code: str) -> None:
    (found,) = run(MATMUL + f'test "t" {{ {body} }}')
    assert [d.code for d in found.diagnostics] == [code]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("check_grad();", "TILE0106"),
        ("check_grad(matmul, [[1.0]]);", "TILE0106"),
        ("check_grad(matmull, [[1.0]], [[1.0]]);", "TILE0105"),
        ("check_grad(tanh, [1.0]);", "TILE0119"),
        ("check_grad([1.0], [1.0]);", "TILE0119"),
        ("assert_near([1], [1]);", "TILE0105"),
        ("assert_close([1]);", "TILE0106"),
        ("assert_(Missing);", "TILE0101"),
    ],
)
def test_static_errors_are_raised(body: str, code: str) -> None:
    with pytest.raises(TileError) as caught:
        run(MATMUL + f'test "t" {{ {body} }}')
    assert caught.value.code == code


GRADIENTS = """
function square(X[N], S, K[N]) -> (Y) { Y = S * X * X + K; }
function wrong(X[N]) -> (Y) { Y = X * X; } gradient { X_grad = 3 * X * Y_grad; }
function jump(X[N]) -> (Y) { Y = relu(X); }
test "t" {
    X = random(3) + 2.0;
    check_grad(square, X, 0.5, [1, 2, 3]);
    check_grad(wrong, X);
    check_grad(jump, 0.0 * X);
    check_grad(wrong, 0.0 * X);
}
"""


def test_gradients_are_compared_with_differences() -> None:
    (found,) = run(GRADIENTS)
    assert found.checks == 4
    texts = [d.message for d in found.diagnostics]
    assert [d.code for d in found.diagnostics] == ["TILE0705"] * 2
    assert re.match(r"'check_grad': dY/dX at \[\d\]: the gradient is [\d.]+, differences say", texts[0])
    assert texts[1] == "'check_grad': dY/dX: no element could be compared: differences do not settle at this point"


def test_one_failing_test_does_not_stop_the_others() -> None:
    found = run('test "a" { assert_([0]); } test "b" { assert_([1]); } test "empty" { A = [1]; }')
    assert [(r.name, r.passed) for r in found] == [("a", False), ("b", True), ("empty", True)]
    assert [r.name for r in run('test "a" { assert_([0]); } test "ab" { assert_([1]); }', only="b")] == ["ab"]
