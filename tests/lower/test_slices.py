"""Pass `slices`: what it makes of loops over open sizes; programs before and after it compute the same."""

from __future__ import annotations

import re
from textwrap import dedent

import numpy as np
import pytest

from tilec.affine import resolve
from tilec.errors import TileError
from tilec.evaluate.loops import evaluate_program
from tilec.loops import Program
from tilec.passes import slices
from tilec.text.loops_text import parse_program, print_program
from tilec.verify.program import verify_program

SMALL = slices.Options(work=1, least=8, most=8)


def program(kernel: str, buffers: str, params: str = "A", results: str = "C", sizes: str = "N") -> Program:
    declared = "".join(f"buffer {b}\n" for b in buffers.split("; "))
    body = f"{declared} {kernel} run {{ launch k({params}, {results}) }}"
    found = parse_program(f"program f[{sizes}]({params}) -> ({results}) {{ {body} }}")
    verify_program(found)
    return found


def sliced(before: Program, options: slices.Options = SMALL) -> Program:
    after = slices.run(before, options)
    verify_program(after)
    assert parse_program(print_program(after)) == after
    assert slices.run(after, options) is after
    return after


def same(before: Program, after: Program, sizes: dict[str, int]) -> None:
    rng = np.random.default_rng(0)
    shapes = {p: [int(resolve(s, sizes)) for s in before.buffer(p).shape] for p in before.params}
    inputs = {p: rng.integers(-4, 5, s).astype(before.buffer(p).dtype.numpy) for p, s in shapes.items()}
    wanted, found = (evaluate_program(p, inputs, sizes=sizes) for p in (before, after))
    for name in before.results:
        np.testing.assert_array_equal(found[name], wanted[name])


def test_the_example() -> None:
    found = re.search(r"Before:\n(.*?)\nAfter[^\n]*:\n(.*)\Z", slices.__doc__ or "", re.S)
    assert found is not None
    before, after = (parse_program(dedent(text)) for text in found.groups())
    assert sliced(before) == after
    for n in (0, 1, 7, 8, 19):
        same(before, after, {"N": n})


def test_a_program_without_open_sizes_stays() -> None:
    text = "program f(A) -> (C) { buffer A: param f32[3] buffer C: param f32[3] run { copy A -> C } }"
    given = parse_program(text)
    assert slices.run(given) is given


def test_copies() -> None:
    text = "program f[N](A) -> (C) { buffer A: param f32[2, N] buffer C: param f32[2, N] run { copy A -> C } }"
    before = parse_program(text)
    for n in (0, 5, 17):
        same(before, sliced(before), {"N": n})


def test_a_reduction_keeps_the_order_of_its_terms() -> None:
    """j before n: a float sum over n outside of one over j would add in another order, so j is moved with it."""
    kernel = """kernel k(in A: f32[3, N], inout C: f32[2]) {
      for c in 2 { C[c] = 0.0 }
      for c in 2 { for j in 3 { for n in N { C[c] sum= A[j, n] } } }
    }"""
    after = sliced(program(kernel, "A: param f32[3, N]; C: param f32[2]"))
    text = print_program(after)
    assert re.search(r"iterate j in 3 do \{\s+iterate n in \"N/8\" do", text)
    for n in (0, 3, 20):
        same(program(kernel, "A: param f32[3, N]; C: param f32[2]"), after, {"N": n})


def test_rows_of_several_nests_share_a_kernel() -> None:
    kernel = """kernel k(in A: f32[N, 3], out C: f32[N]) {
      alloc t: f32[N]
      for i in N { t[i] = 0.0 }
      for i2 in N { for j in 3 { t[i2] sum= A[i2, j] } }
      for i3 in N { C[i3] = neg(t[i3]) }
    }"""
    before = program(kernel, "A: param f32[N, 3]; C: param f32[N]")
    after = sliced(before)
    assert [k.name for k in after.kernels] == ["k.8", "k.1"]
    same(before, after, {"N": 21})


def test_a_value_of_another_row_needs_kernels_of_its_own() -> None:
    kernel = """kernel k(in A: f32[N], out C: f32[N, N]) {
      alloc t: f32[N]
      for i in N { t[i] = neg(A[i]) }
      for a in N { for b in N { C[a, b] = mul(t[a], t[b]) } }
    }"""
    before = program(kernel, "A: param f32[N]; C: param f32[N, N]")
    after = sliced(before)
    assert any(b.name == "t" for b in after.buffers)
    for n in (0, 1, 13):
        same(before, after, {"N": n})


def test_values_of_indices_and_sizes() -> None:
    kernel = """kernel k(in A: i64[M, N], out C: i64[M, N]) {
      for m in M { for n in N { C[m, n] = add(A[m, n], $(2*m + (N)*n + (M))) } }
    }"""
    before = program(kernel, "A: param i64[M, N]; C: param i64[M, N]", sizes="N, M")
    same(before, sliced(before), {"N": 11, "M": 10})


def test_conditions_on_sizes() -> None:
    kernel = """kernel k(in A: f32[N], inout C: f32[2]) {
      for c in 2 { C[c] = 7.0 }
      if (N - 1) >= 0 { for c2 in 2 { C[c2] = 0.0 } }
      for c3 in 2 { for n in N { C[c3] sum= A[n] } }
    }"""
    before = program(kernel, "A: param f32[N]; C: param f32[2]")
    for n in (0, 1, 9):
        same(before, sliced(before), {"N": n})


@pytest.mark.parametrize(
    "body, why",
    [
        ("for j in 4 { for n in N { if j - 1 >= 0 { C[j, n] = A[j, n] } } }", "under the condition"),
        ("for j in 4 { for n in N { C[@A[j, n]:i64, n] = A[j, n] } }", "depends on data"),
    ],
)
def test_what_needs_a_fixed_size(body: str, why: str) -> None:
    kernel = f"kernel k(in A: i64[4, N], out C: i64[4, N]) {{ {body} }}"
    with pytest.raises(TileError, match=why) as refused:
        slices.run(program(kernel, "A: param i64[4, N]; C: param i64[4, N]"))
    assert refused.value.code == "TILE0210"


def test_scalars_reach_past_loops() -> None:
    """What is read before a loop and used in it, and behind it, is kept between the kernels."""
    before = parse_program("""program f[N](A, B) -> (C) {
      buffer A: param f32[N]
      buffer B: param f32
      buffer C: param f32
      kernel k(in A: f32[N], inout C: f32) {
        let s: f32 = C[]
        let t: f32 = add(s, s)
        C[] = 0.0
        for i in N { C[] sum= mul(A[i], s) }
        C[] = add(C[], mul(s, t))
      }
      run { copy B -> C  launch k(A, C) }
    }""")
    verify_program(before)
    after = sliced(before)
    for n in (0, 1, 7, 8, 19):
        same(before, after, {"N": n})
