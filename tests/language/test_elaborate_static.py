"""What `check` says without shapes: codes, places, several per run."""

from __future__ import annotations

import pytest

from tilec.frontends.tile.elaborate import check
from tilec.frontends.tile.parser import parse


def found(text: str) -> list[str]:
    """Code and the text under the caret of each diagnostic."""
    report = check(parse(text))
    marked = []
    for d in report.diagnostics:
        assert d.span is not None
        marked.append(f"{d.code} {text[d.span.start : d.span.end]}")
    return marked


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        ("O = A + i;", ["TILE0112 i"]),
        ("O = A + Q[];", ["TILE0101 Q"]),
        ("O[i : n] = +(A[i]);", ["TILE0112 n"]),
        ("O[i : N] = +(A[i] * B);", ["TILE0101 B"]),
        ("O[i : N] = +(A[i + Q]);", ["TILE0112 Q"]),
        ("O[i : N] = +(A[i]) default Q;", ["TILE0101 Q"]),
        ("O[i : N] = +(A[i*j + k*i]);", ["TILE0205 i*j", "TILE0205 k*i"]),
        ("O[i : N] = +(A[i / j]);", ["TILE0205 i / j"]),
        ("O[i : N] = +(A[i % 2]);", ["TILE0205 i % 2"]),
        ("O[A[i] : N] = +(A[i]);", ["TILE0219 A[i]"]),
        ("O[i : N] = +(A[i]), A[i] < N;", ["TILE0219 A[i]"]),
        ("O[i : N] = +(A[2 * clamp(i)]);", ["TILE0226 clamp"]),
        ("O[clamp(i) : N] = +(A[i]);", ["TILE0226 clamp"]),
        ("O[i : N] = +(A[wrap(i, 2)]);", ["TILE0106 wrap(i, 2)"]),
        ("O[i : N] = +(A[pad(i, Q)]);", ["TILE0101 Q"]),
        ("O[i : N] = +(A[wrap(i*j)]);", ["TILE0205 i*j"]),
        ("O[i : N] = +(A[i]), j < i;", ["TILE0220 i"]),
        ("O[i, j : N] = +(A[i]);", ["TILE0204 N"]),
        ("O[i : N] = +(exp(A[i], 1));", ["TILE0106 exp(A[i], 1)"]),
        ("O[i : N] = +(reshape(A[i], 1));", ["TILE0218 reshape"]),
        ("O = max(A);", ["TILE0106 max(A)"]),
        ("O = maxx(A, 1);", ["TILE0105 maxx"]),
        ("O = random(3);", ["TILE0105 random"]),
        ("O = A; O = A;", ["TILE0102 O"]),
        ("A = N; O = A;", ["TILE0102 A"]),
        ("P = A;", ["TILE0103 O"]),
        ("O = P; P = A;", ["TILE0116 P"]),
        ("O = grad(A, A);", ["TILE0114 grad"]),
        ("O[i]: f12 = A[i];", ["TILE0303 f12"]),
        ("O[i] = +:f12(A[i]);", ["TILE0303 f12"]),
        ("T = tuple(A, A); O = element(T, 0);", []),
        ("O = as_bool(A);", []),
    ],
)
def test_statements(body: str, wanted: list[str]) -> None:
    text = f"function (A[N]) -> (O) {{ {body} }}"
    assert sorted(found(text)) == sorted(wanted)


def test_functions() -> None:
    assert found("function f(A) -> (B) { B = f(A); }") == ["TILE0107 f"]
    text = "function f(A) -> (B) { B = g(A); } function g(A) -> (B) { B = h(A); } function h(A) -> (B) { B = f(A); }"
    assert found(text) == ["TILE0107 f"]
    assert found("function f(A) -> (B) { B = A; } function f(C) -> (B) { B = C; }") == ["TILE0108 f"]
    assert found("function exp(A) -> (B) { B = A; }") == ["TILE0109 exp"]
    assert found("function (A, A) -> (B) { B = A; }") == ["TILE0115 A"]
    assert found("function (A[N], N) -> (B) { B = A; }") == ["TILE0118 N"]
    assert found("function (A) -> (B, B) { B = A; }") == ["TILE0115 B"]
    assert found("function <T: flaot>(A: T) -> (B: U) { B = A; }") == ["TILE0308 flaot", "TILE0303 U"]
    text = "function f(A) -> (B, C) { B = A; C = A; } function g(A) -> (B) { (B, C, D) = f(A); }"
    assert found(text)[0].startswith("TILE0113")


def test_a_shared_helper_is_no_circle() -> None:
    text = "function h(A) -> (B) { B = A; } function f(A) -> (B) { B = h(A) + h(A); }"
    assert found(text + " function g(A) -> (B) { B = f(A) + h(A); }") == []


def test_tests_are_checked() -> None:
    text = 'function f(A) -> (B) { B = A; } test "t" { A = [1]; assert_equal(f(A, A), X); }'
    assert found(text) == ["TILE0106 f(A, A)", "TILE0101 X"]
