"""Printed = parsed: random IR of every kind, texts written by hand, and texts that no parser may choke on."""

from __future__ import annotations

from random import Random

import pytest

from tests.generators.ir import Generator
from tilec.errors import TileError
from tilec.text.affine_text import parse_affine, print_affine
from tilec.text.expr_text import parse_expr, print_expr
from tilec.text.graph_text import parse_graph, print_graph
from tilec.text.loops_text import parse_kernel, parse_program, print_kernel, print_program

BATCHES = range(10)
BATCH = 100


def seeds(batch: int) -> range:
    return range(batch * BATCH, (batch + 1) * BATCH)


@pytest.mark.parametrize("batch", BATCHES)
def test_graphs(batch: int) -> None:
    for seed in seeds(batch):
        graph = Generator(seed).graph()
        text = print_graph(graph)
        parsed = parse_graph(text)
        assert parsed == graph, seed
        assert repr(parsed) == repr(graph), seed  # tells -0.0 from 0.0 and 1 from 1.0


@pytest.mark.parametrize("batch", BATCHES)
def test_kernels(batch: int) -> None:
    for seed in seeds(batch):
        kernel = Generator(seed).kernel()
        parsed = parse_kernel(print_kernel(kernel))
        assert parsed == kernel, seed
        assert repr(parsed) == repr(kernel), seed


@pytest.mark.parametrize("batch", BATCHES)
def test_programs(batch: int) -> None:
    for seed in seeds(batch)[: BATCH // 2]:
        program = Generator(seed).program()
        assert repr(parse_program(print_program(program))) == repr(program), seed


def test_exprs_and_affine_forms() -> None:
    for seed in range(1000):
        generator = Generator(seed)
        expr, form = generator.expr(), generator.affine()
        assert repr(parse_expr(print_expr(expr))) == repr(expr), seed
        assert parse_affine(print_affine(form)) == form, seed


GRAPH = """\
graph layer[N](X: f32[N, 32], W: f32[32, 16] const "a1", n: weak i32) -> (Y, S) aliases (X = S) {
  [[trace("first layer")]]
  Y: f32[N, 16] = sum:f32 [m, n, k] { [m, n] <- mul(X[m, k], W[k, n]) } where 0 <= k + 1/2*m - 3 < 2*N default Z
  V, I = monoid argmax(-inf:f32, 0:i32) (max(a0, b0), cond(cmp_gt(a0, b0), a1, b1)) [m < N] { [m : N] <- Y[m, 0]; \
[m : N] <- $(m) } default (_, V)
  P: f32[8] = sum:f32 [i] { [i] <- X[2*i - 1; clamp] }
  G = max:f32 [i, j] { [i : 8] <- X[@Idx[i, j]:i64, j; value 0.0] }
  F: f16[N] = cast.f16(P)
  T: i32[2, 3] = special sort(F, G) {axis = 0, kinds = (f32, "x"), none = ()}
  L: f32[2] = literal (1.0, -inf)
  () = special assert(L)
  C: f32 = if P (L, F) then graph "then"(L: f32) -> (L) {
  } else graph "else"(L: f32) -> (L) {
  }
  S: f32 = scan (C) in (X) const (W) length N reverse do graph body(c: f32, x: f32[32], w: f32[32, 16]) -> (c, d) {
    d: f32[32] = add(c, x)
  }
}
"""

KERNEL = """\
kernel pack(in A: f32[64, 32], inout C: f64[64, 16], out D: local f32) {
  for m.0 in 11 parallel {
    alloc acc: register f64[6, 16] strides [16, 1] base A offset 4
    for k in 32 pipelined depth 2 {
      if -6*m.0 + 63 >= 0, k - 1 >= 0 {
        let x: f32 = add(A[m.0, k], 1.0)
        acc[0, k] sum= mul(cast.f64(x), 2.0)
        acc[0, k] max:f32= x
        instr tile(A[m.0 : 16, k], D[])
      }
      barrier local
    }
    while cmp_lt(D[], 0.5) {
      D[] = $(2*m.0)
    }
  }
}
"""


def test_graph_text() -> None:
    assert print_graph(parse_graph(GRAPH)) == GRAPH


def test_kernel_text() -> None:
    assert print_kernel(parse_kernel(KERNEL)) == KERNEL


def test_comments_and_free_form() -> None:
    text = "graph f(A : f32 [ 3 ] , ) -> ( B ) { // a comment\n B: f32[3]=neg(A) }"
    assert print_graph(parse_graph(text)) == "graph f(A: f32[3]) -> (B) {\n  B: f32[3] = neg(A)\n}\n"


@pytest.mark.parametrize(
    ("text", "message", "position"),
    [
        ("graph f(", "expected a name", "1:9"),
        ("graph f() -> () { x = add(1) }", "expected a name", "1:27"),
        ("graph f() -> () { x = sum:f32 [i] { [i] <- A[i] } }", "expected ':'", "1:39"),
        ("graph f() -> () { x: f99 = add() }", "expected an element type", "1:22"),
        ("graph f(A: f32) -> () { x = sum:f32 [i, j] { [i*j : 3] <- A[i] } }", "not affine", "1:49"),
        ("graph f() -> () { x = sum:f32 [i] { [i/0 : 3] <- 1.0 } }", "division by zero", "1:40"),
        ("graph f() -> () { ? }", "unexpected character", "1:19"),
        ("graph f() -> () { x: u8 = sum:u8 [] { [] <- 256 } }", "not a value of u8", "1:45"),
        ("graph f() -> () { x: f32 = sum:f32 [] { [] <- 1e999 } }", "too large", "1:47"),
        ("graph f() -> () { x: f32[" + "9" * 401 + "] = add() }", "digits", "1:26"),
    ],
)
def test_errors_are_located(text: str, message: str, position: str) -> None:
    with pytest.raises(TileError) as caught:
        parse_graph(text)
    (found,) = caught.value.diagnostics
    assert (found.code, str(found.span)) == ("TILE0601", f"<graph>:{position}")
    assert message in found.message


@pytest.mark.parametrize("deep", ["neg(" * 5000, "A[@" * 5000, "A[" + "(" * 5000, "-" * 5000])
def test_deep_expressions_do_not_crash(deep: str) -> None:
    with pytest.raises(TileError) as caught:
        parse_expr(deep, expected=None)
    assert caught.value.code in ("TILE0411", "TILE0601")


def test_deep_blocks_and_graphs_do_not_crash() -> None:
    with pytest.raises(TileError, match="TILE0411"):
        parse_kernel("kernel k() " + "{ if 0 >= 0 " * 5000)
    with pytest.raises(TileError, match="TILE0411"):
        parse_graph("graph f() -> () { x = remat () do " * 5000)


def test_the_deepest_texts_that_are_allowed() -> None:
    expr = "neg.f32(" * 199 + "1.0" + ")" * 199
    assert print_expr(parse_expr(expr)).count("neg") == 199
    kernel = "kernel k() " + "{ for i in 2 " * 198 + "{ }" + "}" * 198
    assert print_kernel(parse_kernel(kernel)).count("for") == 198


def test_mutated_texts_give_ir_or_a_diagnostic() -> None:
    random = Random(7)
    for text, parse in [(GRAPH, parse_graph), (KERNEL, parse_kernel)]:
        for _ in range(1500):
            start = random.randrange(len(text))
            piece = random.choice(["", "(", "}", '"', "0", "f32", ":", "@", "graph", "\x00", text[start : start + 9]])
            mutated = text[:start] + piece + text[start + random.randrange(3) :]
            try:
                parse(mutated)
            except TileError as e:
                assert e.code in ("TILE0601", "TILE0411")
