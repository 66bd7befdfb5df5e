"""Kernels that are easy to compile wrongly: no access where no lane is on, no stale load, no lane in a wrong place."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.backends.guarded import guarded
from tests.backends.llvm_support import build, program_of, run, serial_host
from tests.generators.kernels import arrays
from tilec.backends.llvm.backend import LLVMBackend
from tilec.backends.opencl.backend import OpenCLBackend
from tilec.errors import TileError
from tilec.evaluate.loops import evaluate_kernel
from tilec.text.loops_text import parse_kernel
from tilec.verify.loops import verify_kernel

KERNELS = {
    "a view declared in a loop changes what was loaded before it": """
kernel k(in A: f32[12], out C: f32[12], out D: f32[4]) {
  alloc t: heap f32[12]
  for x in 12 { t[x] = A[x] }
  D[0] = t[0]
  for i in 3 {
    D[i + 1] = t[0]
    alloc row: heap f32[4] base t offset 0
    row[0] = add(A[i], 100.0)
  }
  for x in 12 { C[x] = t[x] }
}""",
    "a single lane in the middle of a register": """
kernel k(in A: f32[16], out C: f32[16]) {
  alloc r: register f32[16]
  for i in 16 vector { r[i] = A[i] }
  for i in 1 vector { r[i + 3] = 5.0 }
  for i in 16 vector { C[i] = r[i] }
}""",
    "a parallel loop in a vector loop": """
kernel k(in A: f32[16], out C: f32[4, 16]) {
  for i in 16 vector { let x: f32 = mul(A[i], 2.0)  for m in 4 parallel { C[m, i] = add(x, A[i]) } }
}""",
    "index values wider than their type": """
kernel k(out C: i32[16], out D: i8[16], out E: u32[16], out F: i64[16]) {
  for i in 16 vector {
    C[i] = $(5000000000*i + 1):i32
    D[i] = $(5000000000*i - 7000000000):i8
    E[i] = $(3000000000*i):u32
    F[i] = $(4611686018427387904*i + 4611686018427387904):i64
  }
}""",
    "a while loop that no lane takes part in": """
kernel k(in B: i32[4], in A: i32[16], out C: i32[4, 16]) {
  for m in 4 { for i in 16 { C[m, i] = 0 } }
  for m in 4 { for i in 16 vector { if i + 4*m - 16 >= 0 {
    alloc n: heap i32
    n[] = 0
    while cmp_lt(n[], B[m]) { n[] = add(n[], 1)  C[m, i] sum= A[i] }
  } } }
}""",
    "a register read before every lane is written": """
kernel k(in A: i32[16], out C: i32[16]) {
  alloc r: register i32[16]
  for t in 3 {
    for i in 11 vector { r[i] = add(A[i], $(t):i32) }
  }
  for i in 11 vector { C[i] = div_raw(A[i], max(r[i], 1)) }
  for i in 5 vector { C[i + 11] = 0 }
}""",
}


@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize("threads", [1, 3])
def test_kernel(name: str, threads: int) -> None:
    kernel = parse_kernel(KERNELS[name])
    start = arrays(kernel, 1)
    expected = {n: a.copy() for n, a in start.items()}
    evaluate_kernel(kernel, expected)
    found = run(kernel, start, replace(serial_host(), threads=threads))
    for n, value in expected.items():
        np.testing.assert_array_equal(found[n], value, err_msg=n)


UNIFORM = """
kernel k(in A: f32[16], in B: f32[11], in I: i64[11], in V: f32[3], out C: f32[1100, 16], out D: f32[16]) {
  for i in 1100 { for l in 16 vector { C[i, l] = 0.0 } }
  for i in 1100 { for l in 16 vector { if 10 - i - l >= 0 { C[i, l] = mul(B[-i + 10], A[l]) } } }
  for l in 16 vector { D[l] = 0.0 }
  for i in 1100 { for l in 16 vector { if 10 - i - l >= 0 { D[l] sum= V[@I[-i + 10]] } } }
}"""


@pytest.mark.parametrize("at_end", [False, True])
def test_no_lane_no_access(at_end: bool) -> None:
    """An element that all lanes share is read only where some lane is on: `B[10 - i]` ends at i = 10."""
    kernel = parse_kernel(UNIFORM)
    verify_kernel(kernel)
    start = arrays(kernel, 2)
    start["I"] = np.arange(11) % 3
    expected = {n: a.copy() for n, a in start.items()}
    evaluate_kernel(kernel, expected)
    memory = {n: guarded(a, at_end) for n, a in start.items()}
    build(kernel)([memory[n] for n in "ABIV"], [memory["C"], memory["D"]])
    np.testing.assert_array_equal(memory["C"], expected["C"])
    np.testing.assert_array_equal(memory["D"], expected["D"])


@pytest.mark.parametrize("backend", [LLVMBackend(), OpenCLBackend()], ids=lambda b: b.name)
def test_only_views_run_backwards(backend: LLVMBackend | OpenCLBackend) -> None:
    """Memory of a buffer begins at its first element: with a negative stride it would reach into other memory."""
    text = "alloc t: heap f32[8] strides [-1] for i in 8 { t[i] = 1.0 C[i] = t[i] }"
    kernel = parse_kernel(f"kernel k(out C: f32[8]) {{ {text} }}")
    with pytest.raises(TileError, match="negative stride") as caught:
        backend.emit(program_of(kernel), serial_host())
    assert caught.value.code == "TILE0602"
