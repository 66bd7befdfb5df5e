"""Kernels compiled and run against the evaluator: random ones, plain, scheduled and threaded."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.backends.guarded import guarded
from tests.backends.llvm_support import build, compute, operands, program_of, run, serial_host
from tests.generators.kernels import arrays, generate
from tilec.backends.llvm.backend import LLVMBackend
from tilec.backends.llvm.module import emit_module
from tilec.dtypes import F32
from tilec.evaluate.loops import evaluate_kernel
from tilec.expr import Call, Const, Expr
from tilec.loops import Kernel
from tilec.passes.schedule import apply
from tilec.passes.schedule.default import default_schedule
from tilec.target import Target
from tilec.text.loops_text import parse_kernel


def check(kernel: Kernel, target: Target, seed: int) -> None:
    """The compiled kernel computes what the evaluator does; float sums may be contracted to fused steps."""
    start = arrays(kernel, seed)
    expected = {n: a.copy() for n, a in start.items()}
    evaluate_kernel(kernel, expected)
    actual = run(kernel, start, target)
    for name, value in expected.items():
        if value.dtype.kind in "biu":
            np.testing.assert_array_equal(actual[name], value, err_msg=name)
        else:
            scale = max(1.0, float(np.max(np.abs(np.nan_to_num(value.astype(np.float64))), initial=0.0)))
            bound = {2: 1e-2, 4: 1e-5, 8: 1e-12}[value.dtype.itemsize] * scale
            found, wanted = actual[name].astype(np.float64), value.astype(np.float64)
            np.testing.assert_allclose(found, wanted, rtol=bound, atol=bound, err_msg=name)


@pytest.mark.parametrize("seed", range(60))
def test_random_kernel_as_it_is(seed: int) -> None:
    check(generate(seed), serial_host(), seed)


@pytest.mark.parametrize("seed", range(100))
def test_random_kernel_with_the_default_schedule(seed: int) -> None:
    kernel = generate(seed)
    target = replace(serial_host(), threads=1 + seed % 3)
    check(apply(kernel, default_schedule(kernel, target)), target, seed)


@pytest.mark.parametrize("seed", range(12))
def test_thread_count_never_changes_a_bit(seed: int) -> None:
    kernel = generate(seed)
    wide = replace(serial_host(), threads=3)
    scheduled = apply(kernel, default_schedule(kernel, wide))
    start = arrays(scheduled, seed)
    one, two, three = (run(scheduled, start, replace(wide, threads=t)) for t in (1, 2, 3))
    for name, value in one.items():
        assert value.tobytes() == two[name].tobytes() == three[name].tobytes()


KERNELS = {
    "masked lanes and odd extents": """
kernel k(in A: f32[19, 37], in B: i32[37], out C: f32[19, 37]) {
  for m in 19 {
    for n in 37 vector {
      if n + m - 20 >= 0, 30 - n >= 0 { C[m, n] = add(A[m, n], cast.f32(B[n])) }
      if 19 - n - m >= 0 { C[m, n] = 1.0 }
      if n - 31 >= 0, 19 - m >= 0 { C[m, n] = $(3*n - m):f32 }
    }
  }
}""",
    "strides along the lanes": """
kernel k(in A: f32[40, 3], in B: f32[80], out C: f32[2, 20], out D: f32[60]) {
  for n in 20 vector {
    C[0, n] = sub(A[2*n, 1], B[4*n + 2])
    C[1, n] = add(A[3, 2], B[79 - 2*n])
    D[3*n + 1] = B[n]
    if n - 7 >= 0 { D[3*n] = A[n + 20, 0]  D[59 - 3*n] = B[2*n + 1] }
  }
}""",
    "lanes aggregating into one cell": """
kernel k(in A: i32[5, 21], out S: i32[5], out M: i32[5], out L: i32[5]) {
  for m in 5 {
    S[m] = 0
    M[m] = -1000
    for n in 21 vector {
      S[m] sum= A[m, n]
      if n - m - 1 >= 0 { M[m] max= A[m, n] }
      L[m] = A[m, n]
    }
  }
}""",
    "register accumulators across nested loops": """
kernel k(in A: f32[6, 24], in B: f32[24, 50], out C: f32[6, 50]) {
  for t in 1 {
    alloc acc: register f32[6, 50]
    for m in 6 unroll { for n in 50 vector { acc[m, n] = 0.5 } }
    for k in 4 {
      for j in 6 {
        if 18 - j - 4*k >= 0 {
          for m in 6 unroll { for n in 50 vector { acc[m, n] sum= mul(A[m, 6*k + j], B[6*k + j, n]) } }
        }
      }
    }
    for m in 6 unroll { for n in 50 vector { C[m, n] = acc[m, n] } }
  }
}""",
    "a register buffer that cannot be one": """
kernel k(in A: f32[8], out C: f32[8]) {
  alloc r: register f32[8]
  for i in 8 { r[i] = A[i] }
  for i in 8 { C[i] = r[7 - i] }
}""",
    "register scalars, element and lane access": """
kernel k(in A: f32[32], out C: f32[32], out S: f32) {
  alloc r: register f32[32]
  alloc s: register f32
  for i in 32 vector { r[i] = A[i] }
  s[] = r[3]
  for i in 31 unroll { s[] sum= r[i + 1] }
  r[5] = 2.0
  for i in 32 vector { C[i] = r[i] }
  S[] = s[]
}""",
    "while, let, scratch memory and views": """
kernel k(in N: i32, in A: f32[12], out C: f32[12], out Steps: i32) {
  alloc t: heap f32[3, 4]
  alloc row: heap f32[4] base t offset 4
  alloc i: register i32
  i[] = 0
  for x in 12 { Steps[] = 0  C[x] = 0.0 }
  for a in 3 { for b in 4 { t[a, b] = A[4*a + b] } }
  while cmp_lt(i[], N[]) {
    let step: i32 = add(i[], 2)
    i[] = step
    Steps[] sum= 1
    for b in 4 vector { row[b] = add(row[b], 1.0) }
  }
  for a in 3 { for b in 4 vector { C[4*a + b] = t[a, b] } }
}""",
    "gather and scatter by data": """
kernel k(in I: i64[21], in A: f32[30], out C: f32[21], inout H: i32[30]) {
  for n in 21 vector {
    let j: i64 = max(I[n], 0:i64)
    C[n] = A[@j]
    H[@max(I[n], 0:i64)] sum= 1
    if n - 5 >= 0 { H[@29 ] = 7 }
  }
}""",
    "parallel with private scratch and captures": """
kernel k(in A: f32[4, 9, 33], out C: f32[4, 9, 33]) {
  for b in 4 {
    let half: f32 = mul(A[b, 0, 0], 0.5)
    for m in 9 parallel {
      alloc t: thread f32[33]
      for n in 33 vector { t[n] = add(A[b, m, n], half) }
      for n in 33 { C[b, m, n] = t[32 - n] }
    }
  }
}""",
    "unrolled, pipelined, group and item loops": """
kernel k(in A: i16[4, 6], out C: i16[4, 6]) {
  for g in 2 group { for i in 2 item { for p in 3 pipelined depth 2 { for u in 2 unroll {
    C[2*g + i, 2*p + u] = mul(A[2*g + i, 2*p + u], $(p - 7*u):i16)
  } } } }
}""",
}


@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize("threads", [1, 3])
def test_kernel(name: str, threads: int) -> None:
    check(parse_kernel(KERNELS[name]), replace(serial_host(), threads=threads), 3)


@pytest.mark.parametrize("seed", range(1000, 1030))
@pytest.mark.parametrize("at_end", [False, True])
def test_nothing_beside_the_arrays_is_touched(seed: int, at_end: bool) -> None:
    """Random kernels on arrays that pages which must not be touched enclose."""
    kernel = generate(seed)
    for version in (kernel, apply(kernel, default_schedule(kernel, serial_host()))):
        program = program_of(version)
        memory = {n: guarded(a, at_end) for n, a in arrays(version, seed).items()}
        build(version)([memory[n] for n in program.params], [memory[n] for n in program.results])


def test_a_deep_expression() -> None:
    value: Expr = operands([F32])[0]
    for _ in range(3000):
        value = Call("add", (value, Const(1.0, F32)), F32)
    found = compute({"out": value}, [np.zeros(20, np.float32)], [F32])
    assert (found["out.vector"] == 3000).all()
    assert (found["out.serial"] == 3000).all()


LONG = """
kernel k(in A: f32[1003], in I: i64[1003], inout H: i32[1003], out C: f32[1003], out S: i32) {
  S[] = 0
  for n in 1003 vector {
    C[n] = add(A[1002 - n], $(2*n + 1):f32)
    if n - 500 >= 0 { C[n] = A[n] }
    H[@max(I[n], 0:i64)] sum= 1
    if 900 - n >= 0 { S[] sum= mul($(n):i32, cast.i32(I[n])) }
  }
}"""


def test_a_long_vector_loop_is_a_loop_over_vectors() -> None:
    kernel = parse_kernel(LONG)
    check(kernel, serial_host(), 4)
    assert LLVMBackend().emit(program_of(kernel), serial_host()).count("br i1") < 200


@pytest.mark.parametrize("last, selects", [("23 - j - 16*v", 0), ("25 - j - 16*v", 2)])
def test_lanes_that_are_never_read_keep_no_old_value(last: str, selects: int) -> None:
    kernel = parse_kernel(f"""
kernel k(in A: f32[2, 30], in B: f32[30, 24], inout C: f32[2, 32]) {{
  alloc r: register f32[2, 2, 16]
  for i in 2 unroll {{ for v in 2 unroll {{ for j in 16 vector {{ r[i, v, j] = 1.0 }} }} }}
  for k in 30 {{
    for i in 2 unroll {{ for v in 2 unroll {{ for j in 16 vector {{
      if 23 - j - 16*v >= 0 {{ r[i, v, j] sum= mul(A[i, k], B[k, 16*v + j]) }}
    }} }} }}
  }}
  for i in 2 unroll {{ for v in 2 unroll {{ for j in 16 vector {{
    if {last} >= 0 {{ C[i, 16*v + j] = r[i, v, j] }}
  }} }} }}
}}""")
    target = serial_host()
    check(kernel, target, 5)
    if target.vector_bytes == 64:
        code = str(emit_module(program_of(kernel), target))
        assert code.count("= select <16 x i1>") == selects, code
