"""When memory is needed: in loops, in branches, and by kernels that store all of a buffer before they read it."""

from __future__ import annotations

import pytest

from tilec.overwritten import modes_of
from tilec.text.loops_text import parse_kernel, parse_program
from tilec.verify.lifetimes import lifetimes

PROGRAM = """program p(X, N, P) -> (Y) {{
  buffer X: param f32[4]  buffer N: param i64  buffer P: param bool  buffer Y: param f32[4]
  buffer A: heap f32[4]  buffer B: heap f32[4]  buffer C: heap f32[4]  buffer V: heap f32[2, 2] base A
  buffer H: heap f32[2] base A  buffer Q: heap bool
  kernel set(in x: f32[4], out y: f32[4]) {{ for i in 4 {{ y[i] = x[i] }} }}
  kernel add(in x: f32[4], inout y: f32[4]) {{ for i in 4 {{ y[i] sum= x[i] }} }}
  kernel flat(out v: f32[2, 2]) {{ for i in 2 {{ for j in 2 {{ v[i, j] = 1.0 }} }} }}
  kernel half(out h: f32[2]) {{ for i in 2 {{ h[i] = 1.0 }} }}
  kernel ask(in x: f32[4], out q: bool) {{ q[] = cmp_gt(x[0], 0.0) }}
  run {{ {steps} }}
}}"""
LIVES = {
    "straight": ("launch set(X, A) launch set(A, B) launch set(B, Y)", {"A": (1, 2), "B": (2, 3)}),
    "of one round": ("iterate t in 3 do { launch set(X, A) launch set(A, B) launch set(B, Y) }", {"A": (2, 3)}),
    "goes round": ("iterate t in 3 do { launch set(A, Y) launch set(X, A) }", {"A": (1, 3)}),
    "added up": ("launch set(X, A) iterate t in 3 do { launch add(X, A) } launch set(A, Y)", {"A": (1, 4)}),
    "needed after": ("iterate t in 3 do { launch set(X, Y) launch set(X, A) } launch set(A, Y)", {"A": (3, 4)}),
    "perhaps no round": ("iterate t in 3 count N do { launch set(X, A) } launch set(A, Y)", {"A": (2, 3)}),
    "perhaps no round, in a loop": (
        "iterate s in 2 do { launch set(X, B) iterate t in 3 count N do { launch set(B, A) } launch set(A, Y) }",
        {"A": (1, 5), "B": (2, 4)},
    ),
    "perhaps stored": ("iterate t in 3 do { branch P then { launch set(X, A) } launch set(A, Y) }", {"A": (1, 4)}),
    "stored on either side": (
        "iterate t in 3 do { branch P then { launch set(X, A) } else { copy X -> A } launch set(A, Y) }",
        {"A": (3, 5)},
    ),
    "of two sides": (
        "branch P then { launch set(X, A) launch set(A, Y) } else { launch set(X, B) launch set(B, Y) }",
        {"A": (2, 3), "B": (4, 5)},
    ),
    "a whole view": ("iterate t in 3 do { launch flat(V) launch set(A, Y) }", {"A": (2, 3)}),
    "a part": ("iterate t in 3 do { launch half(H) launch set(A, Y) }", {"A": (1, 3)}),
    "a condition": (
        "repeat Q test { launch ask(X, Q) } do { launch set(X, A) launch set(A, Y) }",
        {"Q": (1, 4), "A": (3, 4)},
    ),
    "from round to test": ("copy X -> A repeat Q test { launch ask(A, Q) } do { launch set(X, A) }", {"A": (1, 4)}),
}


@pytest.mark.parametrize("name", LIVES)
def test_moments(name: str) -> None:
    steps, wanted = LIVES[name]
    found = lifetimes(parse_program(PROGRAM.format(steps=steps)))
    assert {n: found[n] for n in wanted} == wanted


BODIES = {
    "for i in 4 { A[i] = 1.0 }": True,
    "for i in 4 { A[i] = 1.0 for k in 3 { A[i] sum= X[i] } }": True,
    "for i in 4 { A[i] = 1.0 } for i in 4 { A[-i + 3] sum= X[i] }": True,
    "for k in 2 { for i in 4 { A[i] = 1.0 } for i in 4 { B[i] = A[i] } }": True,
    "for i in 3 { A[i] = 1.0 }": False,
    "for i in 2 { A[2*i] = 1.0 } for i in 2 { A[2*i + 1] = 1.0 }": False,
    "for i in 4 { A[i] = A[i] }": False,
    "for i in 4 { A[i] sum= X[i] }": False,
    "for i in 4 { B[i] = A[i] A[i] = 1.0 }": False,
    "for i in 4 { A[i] = 1.0 B[i] = A[-i + 3] }": False,
    "for i in 4 { if 2 - i >= 0 { A[i] = 1.0 } }": False,
    "for k in 0 { for i in 4 { A[i] = 1.0 } }": False,
}


@pytest.mark.parametrize("body", BODIES)
def test_what_a_kernel_overwrites(body: str) -> None:
    kernel = parse_kernel(f"kernel k(in X: f32[4], inout A: f32[4], inout B: f32[4]) {{ {body} }}")
    assert (modes_of(kernel.body, [kernel.params[1].buffer]) == ["out"]) == BODIES[body]
