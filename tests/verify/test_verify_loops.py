"""What the verifiers of kernels and programs accept and refuse; bounds are compared with the evaluator's."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest

from tests.generators.kernels import arrays, generate
from tilec.affine import Affine
from tilec.errors import TileError
from tilec.evaluate.loops import evaluate_kernel
from tilec.expr import Expr, Read, transform
from tilec.loops import For, Kernel, Stmt, Store, map_exprs, rewrite
from tilec.passes.schedule import apply
from tilec.passes.schedule.default import default_schedule
from tilec.target import Target
from tilec.text.loops_text import parse_kernel, parse_program, print_kernel
from tilec.verify.loops import verify_kernel, verify_program

KERNEL = """
kernel mm(in A: f32[64, 32], in B: f32[32, 16], out C: f32[64, 16]) {
  for m.0 in 11 parallel {
    for m.1 in 6 unroll {
      alloc acc: register f32[16]
      if 63 - 6*m.0 - m.1 >= 0 {
        for n in 16 vector {
          acc[n] = 0.0
          for k in 32 {
            acc[n] sum= mul(A[6*m.0 + m.1, k], B[k, n])
          }
          let x: f32 = acc[n]
          C[6*m.0 + m.1, n] = x
        }
      }
    }
  }
}
"""

FAULTS = [  # what is replaced, by what, the message
    ("if 63", "if 64", "outside of 0 .. 63"),
    ("for k in 32", "for k in 33", "axis 1 of 'A': index k is outside of 0 .. 31"),
    ("B[k, n]", "B[n, k]", "axis 1 of 'B'"),
    ("A[6*m.0 + m.1, k]", "A[6*m.0 + m.1 - 1, k]", "outside of 0 .. 63 at m.0 = 0, m.1 = 0"),
    ("A[6*m.0 + m.1, k]", "A[1/2*m.0, k]", "integer coefficients"),
    ("A[6*m.0 + m.1, k]", "A[k]", "'A' has rank 2 and 1 indices"),
    ("A[6*m.0 + m.1, k]", "A[i, k]", "index 'i' of 'i' is not in scope"),
    ("A[6*m.0 + m.1, k]", "A[6*m.0 + m.1, k; clamp]", "has boundary 'clamp'"),
    ("C[6*m.0 + m.1, n]", "C[6*m.0, n]", None),
    ("C[6*m.0 + m.1, n]", "C[m.1, n]", "iterations m.0 = 0 and 1 of the parallel loop 'm.0' meet in a cell of 'C'"),
    ("C[6*m.0 + m.1, n]", "C[5*m.0 + m.1, n]", "meet in a cell of 'C'"),
    ("out C", "in C", "'C' is only read"),
    ("let x: f32 = acc[n]", "let x: f32 = acc[n] let x: f32 = 1.0", "scalar 'x' is bound twice"),
    ("= x", "= y:f32", "scalar 'y' is not defined"),
    ("= x", "= 1.0:f64", "f64 is stored to 'C', which is f32"),
    ("= x", "= add(x, cast.f64(x))", "'add' of (f32, f64)"),
    ("sum= mul", "sum:f64= mul", "is aggregated in (f64,)"),
    ("for k in 32", "for n in 32", "loop index 'n' is bound twice on a path"),
    ("alloc acc: register f32[16]", "alloc acc: register f32[16] alloc B: register f32[16]", "'B' is declared twice"),
    ("alloc acc: register f32[16]", "alloc acc: param f32[16]", "allocated in space param"),
    ("acc[n] = 0.0", "other[n] = 0.0:f32", "buffer 'other' is not in scope"),
    ("for m.1 in 6 unroll", "for m.1 in N unroll", "unroll loop 'm.1' has the extent"),
    ("acc[n] = 0.0", "acc[n - 16*m.1 + 16*m.1] = 0.0", None),
]


@pytest.mark.parametrize(("old", "new", "message"), FAULTS)
def test_faults_of_kernels(old: str, new: str, message: str | None) -> None:
    assert old in KERNEL
    kernel = parse_kernel(KERNEL.replace(old, new))
    if message is None:
        verify_kernel(kernel)
        return
    with pytest.raises(TileError, match="TILE0602") as caught:
        verify_kernel(kernel)
    assert message in caught.value.diagnostics[0].message


def test_registers_once_scheduled() -> None:
    verify_kernel(parse_kernel(KERNEL), scheduled=True)
    kernel = parse_kernel(KERNEL.replace("acc[n] = 0.0", "for q in 2 { acc[q] = 0.0 }"))
    verify_kernel(kernel)
    with pytest.raises(TileError, match="register buffer 'acc' is indexed by 1\\*q of a serial loop"):
        verify_kernel(kernel, scheduled=True)


def test_guards_that_intervals_cannot_use() -> None:
    """i + j < 10 and i - j >= 0 together bound j by 4: only exact reasoning sees it."""
    text = "kernel k(out A: f32[5]) { for i in 10 { for j in 10 { if 9 - i - j >= 0, i - j >= 0 { A[j] = 0.0 } } } }"
    verify_kernel(parse_kernel(text))
    with pytest.raises(TileError, match=r"outside of 0 \.\. 3"):
        verify_kernel(parse_kernel(text.replace("f32[5]", "f32[4]")))


def test_races_that_ranges_cannot_refute() -> None:
    """Even and odd cells are disjoint, though their ranges overlap; a read of a neighbour's cell is a race."""
    text = "kernel k(out A: f32[40]) { for i in 2 parallel { for j in 10 { A[i + 2*j] = 0.0 } } }"
    verify_kernel(parse_kernel(text))
    with pytest.raises(TileError, match="meet in a cell"):
        verify_kernel(parse_kernel(text.replace("2*j", "j")))
    text = "kernel k(inout A: f32[40]) { for i in 20 parallel { A[i] = neg(A[i + 20]) } }"
    verify_kernel(parse_kernel(text))
    with pytest.raises(TileError, match="meet in a cell"):
        verify_kernel(parse_kernel(text.replace("i + 20", "i + 19")))


def test_generated_kernels_verify() -> None:
    target = Target("llvm", vector_bytes=32, threads=2)
    for seed in range(60):
        kernel = generate(seed)
        verify_kernel(kernel)
        scheduled = apply(kernel, default_schedule(kernel, target))
        verify_kernel(scheduled, scheduled=True)
        assert parse_kernel(print_kernel(scheduled)) == scheduled


def _shifted(kernel: Kernel, random: Random) -> Kernel:
    """A few indices and extents changed by one."""

    def hit() -> bool:
        return random.random() < 0.2

    def moved(indices: tuple[Affine | Expr, ...]) -> tuple[Affine | Expr, ...]:
        return tuple(i + random.choice((1, -1)) if isinstance(i, Affine) and hit() else i for i in indices)

    def leaf(e: Expr) -> Expr:
        return Read(replace(e.access, indices=moved(e.access.indices)), e.dtype) if isinstance(e, Read) else e

    def change(stmt: Stmt) -> tuple[Stmt, ...]:
        match stmt:
            case For() if isinstance(stmt.extent, int) and hit():
                return (replace(stmt, extent=max(0, stmt.extent + random.choice((1, -1, -1, -2)))),)
            case Store():
                return (replace(stmt, indices=moved(stmt.indices)),)
            case _:
                return (stmt,)

    return replace(kernel, body=map_exprs(rewrite(kernel.body, change), lambda e: transform(e, leaf)))


def test_bounds_agree_with_the_evaluator() -> None:
    """The verifier refuses exactly the changed kernels at which the evaluator meets an index out of bounds."""
    refused = accepted = 0
    for seed in range(400):
        random = Random(seed)
        kernel = generate(seed)
        changed = _shifted(kernel, random)
        if changed == kernel:
            continue
        try:
            verify_kernel(changed)
            fine = True
        except TileError as e:
            assert "outside of" in e.diagnostics[0].message
            fine = False
        try:
            evaluate_kernel(changed, arrays(kernel, seed))
            ran = True
        except TileError:
            ran = False
        assert fine == ran, f"seed {seed}\n{print_kernel(changed)}"
        refused, accepted = refused + (not fine), accepted + fine
    assert min(refused, accepted) > 20, (refused, accepted)


PROGRAM = """
program p(A) -> (C) {
  buffer A: param f32[8]
  buffer t: heap f32[8]
  buffer u: heap f32[8]
  buffer v: heap f32[4] base u offset 4
  buffer C: param f32[8]
  arena 96
  place t 0
  place u 64
  kernel neg(in x: f32[8], out y: f32[8]) {
    for i in 8 { y[i] = neg(x[i]) }
  }
  run {
    launch neg(A, t)
    launch neg(t, u)
    launch neg(u, C)
  }
}
"""

PROGRAM_FAULTS = [
    ("launch neg(A, t)", "launch neg(A)", "takes 2 buffers, 1 given"),
    ("launch neg(A, t)", "launch pos(A, t)", "'pos', which is not a kernel"),
    ("launch neg(A, t)", "launch neg(A, w)", "'w' of a step is not a buffer"),
    ("launch neg(A, t)", "launch neg(A, v)", "'v' differs in type from parameter 'y'"),
    ("launch neg(A, t)", "launch neg(t, A)", "a step writes to the input 'A'"),
    ("launch neg(t, u)", "launch neg(u, u)", "parameters 'x' and 'y' share memory"),
    ("launch neg(t, u)", "copy v -> t", "differ in type"),
    ("place u 64", "place u 16", "'t' and 'u' share memory"),
    ("place u 64", "place u 72", "misplaced"),
    ("place u 64", "place u 62", "misplaced"),
    ("place u 64", "", "'u' has no place"),
    ("offset 4", "offset 5", "reaches outside of 'u'"),
    ("base u", "base v", "view of itself"),
    ("buffer C: param", "buffer C: heap", "of space heap"),
    ("buffer u: heap", "buffer t: heap", "declared twice"),
    ("launch neg(u, C)", "branch t then { }", "not a bool of rank 0"),
]


def test_program() -> None:
    verify_program(parse_program(PROGRAM))


@pytest.mark.parametrize(("old", "new", "message"), PROGRAM_FAULTS)
def test_faults_of_programs(old: str, new: str, message: str) -> None:
    assert old in PROGRAM
    with pytest.raises(TileError, match="TILE0602") as caught:
        verify_program(parse_program(PROGRAM.replace(old, new)))
    assert message in caught.value.diagnostics[0].message


def test_memory_is_shared_by_values_that_do_not_meet() -> None:
    text = PROGRAM.replace("launch neg(u, C)", "launch neg(u, w)\n launch neg(w, C)")
    text = text.replace("buffer C", "buffer w: heap f32[8]\n buffer C")
    verify_program(parse_program(text.replace("place u 64", "place u 64\n place w 0")))
    with pytest.raises(TileError, match="'u' and 'w' share memory"):
        verify_program(parse_program(text.replace("place u 64", "place u 64\n place w 64")))


@pytest.mark.parametrize(
    "body",
    [
        "for i in 4 parallel { for z in 0 { A[0] = 1.0 } A[0] = 2.0 }",  # that the first store never runs hides nothing
        "for i in 4 vector { A[i + 1] = A[i] }",
        "for i in 4 vector { A[0] sum= B[i] }",
    ],
)
def test_iterations_that_meet(body: str) -> None:
    with pytest.raises(TileError, match="meet in a cell of 'A'"):
        verify_kernel(parse_kernel(f"kernel f(inout A: f32[5], in B: f32[4]) {{ {body} }}"))


def test_iterations_that_do_not_meet() -> None:
    body = "for i in 4 vector { alloc t: register f32[1]  t[0] = B[i]  A[i] sum= t[0] }"
    verify_kernel(parse_kernel(f"kernel f(inout A: f32[5], in B: f32[4]) {{ {body} }}"))
