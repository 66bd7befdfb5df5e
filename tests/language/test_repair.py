"""Typos whose consequences show elsewhere: the caret stands where the text was mistyped, and nothing else is said."""

from __future__ import annotations

import pytest

from tests.language.typos import diagnostics
from tilec.errors import Diagnostic

F = "function f(A[N], B[N]) -> (C) { C = A + B; }\n"


def caret(text: str) -> tuple[int, Diagnostic]:
    """Where `text` without its mark `@` has its one error."""
    (found,) = diagnostics(text.replace("@", ""))
    assert found.span is not None
    return found.span.start, found


SYNTAX = {
    "a ')' missing in the middle": "function (A, B) -> (C) { C = (A + B@ * 2; }",
    "a '(' twice, around all": "function (A[N]) -> (S) { S[] = +(@(exp(A[i]) * 2); }",
    "a '[' twice, in data": F + 'test "t" { assert_close(f([@[1, 2], [3, 4]), [4, 6]); }',
    "a ']' missing in data": F + 'test "t" { assert_close(exp([[1, 2@, [3, 4]]), [[1, 2], [3, 4]]); }',
    "a name run together": "function f(@AN, N]) -> (D) { D[i : N] = +(A[i, i]); }",
    "a '(' missing behind a name": F + 'test "t" { assert_close(@f[1, 2], [3, 4]), [4, 6]); }',
    "a name missing": F + 'test "t" { @(f([1, 2], [3, 4]), [4, 6]); }',
    "a ',' that is a bracket": "function (X[M, N]) -> (T) { T[m : M] = >(X[m@[ n]); }",
}


@pytest.mark.parametrize("text", SYNTAX.values(), ids=SYNTAX)
def test_syntax(text: str) -> None:
    start, found = caret(text)
    assert abs(start - text.index("@")) <= 2
    if found.help is not None and "the program is valid" in found.help:
        assert found.notes and "it shows at" in found.notes[0]


NAMES = {
    "an input": "function (@AA[N], B[N]) -> (C) { C = A * A + B; }",
    "a size": "function (A[@M], B) -> (C) { C[i : N] = +(A[i]), i < N; }",
    "a target": "function (A) -> (C) { @Tpo = exp(A); C = Top + Top; }",
    "an output": "function (A) -> (Cost) { @Cist = exp(A); }  // the cost of A",
    "a function": "function @duoble(A) -> (C) { C = A + A; }\n"
    'test "double" { assert_close(double([1]), [2]); assert_close(double([2]), [4]); }',
    "a size left out": "function (A@[], B) -> (C) { C[i : N] = +(A[i] * B), i < N; }",
    "a function's name left out": '@function (A) -> (C) { C = A + A; }\ntest "t" { assert_close(twice([1]), [2]); }',
    "a use": "function (Left, Right) -> (C) { C = Left + exp(@Lefft) + Right; }",
}


@pytest.mark.parametrize("text", NAMES.values(), ids=NAMES)
def test_names(text: str) -> None:
    start, found = caret(text)
    assert start == text.index("@")
    assert found.help is not None and found.help.startswith("did you mean")


def test_other_errors_are_kept() -> None:
    found = diagnostics("function (AA, B) -> (C) { D = A + A; C = D + exp(B, B); }")
    assert [d.code for d in found] == ["TILE0101", "TILE0106"]
    assert found[0].message == "'A' is not defined; 'AA' is bound here"


def test_a_conditional_without_else_is_not_explained_away() -> None:
    (found,) = diagnostics("function (A) -> (B) { B = A > 0 ? A; }")
    assert found.code == "TILE0011"


def test_two_faults_are_both_reported() -> None:
    found = diagnostics("function (A, B) -> (C) { C = (A + B * 2; }\nfunction g(A) -> (B) { B = A + ; }")
    assert [d.code for d in found] == ["TILE0019", "TILE0002"]


@pytest.mark.parametrize("fault", [") ;", "(;", "]);", "Undefined;"])
def test_long_programs_are_not_searched(fault: str) -> None:
    lines = "".join(f"X{i} = exp(A) + {i};\n" for i in range(3000))
    (found,) = diagnostics(f"function (A) -> (B) {{ {lines} B = A + {fault} }}")
    assert found.code in ("TILE0002", "TILE0019", "TILE0101")


def test_a_gradient_belongs_to_its_function() -> None:
    start, found = caret("function f(X) -> (Y) { Y = exp(X); } gradient { @Yy = Y + Y; X_grad = Y_grad * Ym * Ym; }")
    assert (start, found.code) == (48, "TILE0101")
    assert found.message == "'Ym' is not defined; 'Yy' is bound here"
