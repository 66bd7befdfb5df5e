"""Pass `slices`: what it makes of loops over open sizes; programs before and after it compute the same."""

from __future__ import annotations

import re
from textwrap import dedent

import numpy as np
import pytest

from tilec.affine import resolve
from tilec.evaluate.loops import evaluate_program
from tilec.loops import Alloc, Program
from tilec.passes import slices
from tilec.text.loops_text import parse_program, print_kernel, print_program
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
    "body",
    [
        "for j in 4 { for n in N { C[j, n] = A[3 - j, n] } }",
        "for j in 4 { for n in N { C[j, n] = 0:i64 } }"
        " for j in 4 { for m in N { if j - 1 >= 0 { C[j, m] = A[j - 1, m] } } }",
        "for j in 4 { for n in N { C[j, n] = A[@bit_and.i64(A[j, n], 3), n] } }",
    ],
)
def test_axes_before_an_open_one_are_in_the_kernel(body: str) -> None:
    """Their strides are open sizes; a form, a condition or an element of data may be the index of such an axis."""
    kernel = f"kernel k(in A: i64[4, N], out C: i64[4, N]) {{ {body} }}"
    before = program(kernel, "A: param i64[4, N]; C: param i64[4, N]")
    after = sliced(before)
    assert all(p.buffer.strides is not None for k in after.kernels for p in k.params if p.buffer.shape)
    assert all("for j in 4" in print_kernel(k) for k in after.kernels)
    for n in (0, 1, 5, 8, 13, 20):
        same(before, after, {"N": n})


@pytest.mark.parametrize("n", [0, 1, 3, 4, 7, 15, 16, 17, 30, 63, 64, 65, 100, 127, 129])
def test_blocks_that_end_with_the_loop(n: int) -> None:
    """Of a heavy kernel there are slices of 64, 16, 4 rows and 1; the last ones compute rows of those before again."""
    text = "kernel k(in A: i64[N, 2], out C: i64[N, 2]) { for i in N { for j in 2 { C[i, j] = add(A[i, j], $(i)) } } }"
    before = program(text, "A: param i64[N, 2]; C: param i64[N, 2]")
    same(before, sliced(before, slices.Options(work=1, least=64, most=64)), {"N": n})


def test_rows_are_not_computed_twice_where_that_shows() -> None:
    kernel = "kernel k(inout A: f32[N]) { for i in N { A[i] = add(A[i], 1.0) } }"
    before = parse_program(f"program f[N](A) -> (A) {{ buffer A: param f32[N] {kernel} run {{ launch k(A) }} }}")
    for n in (5, 13):
        same(before, sliced(before), {"N": n})


def test_of_an_axis_at_which_data_are_indices_a_kernel_gets_all() -> None:
    body = "for n in N { for j in 4 { C[j, n] = A[j, @max.i64(min.i64(A[j, n], $((-1 + N))), 0)] } }"
    before = program(
        f"kernel k(in A: i64[4, N], out C: i64[4, N]) {{ {body} }}", "A: param i64[4, N]; C: param i64[4, N]"
    )
    after = sliced(before)
    assert all(": i64[4, N]" in print_kernel(k) for k in after.kernels)
    for n in (0, 1, 3, 8, 13):
        same(before, after, {"N": n})


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


@pytest.mark.parametrize("rows", ["[N, 0]", "[0, N]", "[N, 3, 0]"])
def test_rows_of_no_elements_make_no_steps(rows: str) -> None:
    """Such an array takes no memory whatever N is: nothing may count to it."""
    declared = f"buffer A: param f32{rows} buffer C: param f32{rows}"
    copied = parse_program(f"program f[N](A) -> (C) {{ {declared} run {{ copy A -> C }} }}")
    assert sliced(copied).steps == ()
    nest = "for i in N { for j in 3 { if 1 - j >= 0 { for l in 0 { let s = A[0, l]  C[0, l] = s } } } }"
    kernel = f"kernel k(in A: f32[N, 0], inout C: f32[N, 0]) {{ {nest} }}"
    two = program(kernel, "A: param f32[N, 0]; C: param f32[N, 0]")
    assert sliced(two).steps == ()


@pytest.mark.parametrize(("scratch", "block"), [(1 << 20, 256), (4 * 40 * 100, 64), (4 * 40 * 16, 16), (1, 16)])
def test_blocks_are_small_where_they_keep_much_to_themselves(scratch: int, block: int) -> None:
    """A call has memory for the values of a whole block, however few rows it is for."""
    first = "for i in N { for j in 40 { B[i, j] = exp(A[i, j]) } }"
    second = "for i in N { for j in 40 { C[i, j] = add(B[i, j], A[i, j]) } }"
    kernel = f"kernel k(in A: f32[N, 40], out C: f32[N, 40]) {{ alloc B: heap f32[N, 40] {first} {second} }}"
    before = program(kernel, "A: param f32[N, 40]; C: param f32[N, 40]")
    after = sliced(before, slices.Options(work=40 * 256, least=64, scratch=scratch))
    own = [s.buffer.shape for k in after.kernels for s in k.body if isinstance(s, Alloc)]
    assert max(own) == (block, 40)
    for n in (0, 1, 15, 70, 300):
        same(before, after, {"N": n})
