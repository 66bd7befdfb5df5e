"""Products of bytes of one sign: what moving one by 128 adds is summed up apart, and the sums stay what they were."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import tilec
from tests.backends import llvm_support
from tests.backends.test_llvm_instructions import CONVOLUTION, PROGRAMS, filled, program
from tilec.backends.llvm.offsets import without_offsets
from tilec.evaluate.loops import evaluate_kernel
from tilec.instructions import PARTS
from tilec.loops import For, Instr, Kernel, walk
from tilec.text.loops_text import parse_kernel
from tilec.verify.loops import verify_kernel

TARGET = replace(llvm_support.serial_host(), features=("+avx512vnni", "+avx512vl"))
SHAPES: dict[str, list[tuple[tuple[int, ...], tuple[int, ...]]]] = {
    "product": [((17, 9), (9, 33)), ((28, 4), (4, 16))],
    "transposed": [((16, 8), (16, 8))],
    "batched": [((2, 16, 7), (2, 7, 16))],
}


def same(kernel: Kernel, seed: int) -> Kernel:
    """The kernel without offsets, which stores what the kernel stores, as the evaluator says."""
    changed = without_offsets(kernel, TARGET)
    verify_kernel(changed)
    given = filled(kernel, seed)
    results = [{n: a.copy() for n, a in given.items()} for _ in range(2)]
    for each, result in zip((kernel, changed), results):
        evaluate_kernel(each, result)
    for name, array in results[0].items():
        np.testing.assert_array_equal(results[1][name], array)
    return changed


def kernels(text: str, threads: int, **inputs: Any) -> list[Kernel]:
    """Scheduled kernels with instructions whose factors have one sign."""
    programs: dict[str, Any] = {}
    tilec.compile(text, target=replace(TARGET, threads=threads), watch=programs.__setitem__, **inputs)
    kernels = programs["schedule"].kernels
    return [k for k in kernels if any(isinstance(s, Instr) and s.name in PARTS for s in walk(k.body))]


@pytest.mark.parametrize("dtype", ["int8", "uint8"])
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("form", PROGRAMS)
def test_scheduled_products(form: str, threads: int, dtype: str) -> None:
    for seed, (a, b) in enumerate(SHAPES[form]):
        (kernel,) = kernels(program(form), threads, A=np.zeros(a, dtype), B=np.zeros(b, dtype))
        names = {s.name.partition(":")[2] for s in walk(same(kernel, seed).body) if isinstance(s, Instr)}
        assert {"moved", "added"} <= names


@pytest.mark.parametrize("dtype", ["int8", "uint8"])
def test_scheduled_convolutions(dtype: str) -> None:
    """Kernels with conditions inside: padding."""
    image, filters = np.zeros((1, 4, 4, 4), dtype), np.zeros((3, 3, 4, 16), dtype)
    for kernel in kernels(CONVOLUTION, 1, I=image, F=filters):
        same(kernel, 1)


NESTS = [
    # the same columns for all rows; sums in place of an Alloc further out
    """for r in 3 {
         alloc c: register i32[2, 16]
         for i in 2 unroll { for l in 16 vector { c[i, l] = C[2*r + i, l] } }
         for k in 2 {
           for i in 2 unroll { instr vpdpbusd.i8.i8(c[i, 0 : 16], A[2*r + i, 4*k : 4], P[k, 0 : 16, 0 : 4]) }
         }
         for i in 2 unroll { for l in 16 vector { C[2*r + i, l] = c[i, l] } }
       }""",
    # a factor that changes with the rows
    """for r in 3 {
         alloc p: i8[2, 16, 4]
         for a in 2 { for l in 16 { for j in 4 { p[a, l, j] = P[a, l, j] } } }
         alloc c: register i32[2, 16]
         for i in 2 unroll { for l in 16 vector { c[i, l] = 7 } }
         for k in 2 {
           for i in 2 unroll { instr vpdpbusd.i8.i8(c[i, 0 : 16], A[2*r + i, 4*k : 4], p[k, 0 : 16, 0 : 4]) }
         }
         for i in 2 unroll { for l in 16 vector { C[2*r + i, l] = c[i, l] } }
       }""",
    # a factor that is stored to between two nests
    """for r in 3 {
         alloc p: i8[1, 16, 4]
         alloc c: register i32[16]
         for l in 16 vector { c[l] = 0 }
         for l in 16 { for j in 4 { p[0, l, j] = P[0, l, j] } }
         for k in 1 { instr vpdpbusd.i8.i8(c[0 : 16], A[r, 0 : 4], p[k, 0 : 16, 0 : 4]) }
         for l in 16 { for j in 4 { p[0, l, j] = P[1, l, j] } }
         for k in 1 { instr vpdpbusd.i8.i8(c[0 : 16], A[r, 4 : 4], p[k, 0 : 16, 0 : 4]) }
         for l in 16 vector { C[r, l] = c[l] }
       }""",
    # several instructions for one sum, a condition, a parallel loop
    """for r in 6 parallel {
         alloc c: register i32[16]
         for l in 16 vector { c[l] = 1 }
         if 4 - r >= 0 {
           for k in 2 { for t in 2 unroll { instr vpdpbusd.i8.i8(c[0 : 16], A[r, 4*k : 4], P[t, 0 : 16, 0 : 4]) } }
         }
         for l in 16 vector { C[r, l] = c[l] }
       }""",
    # sums in memory, where a subtraction would cost a pass
    "for r in 6 { for k in 2 { instr vpdpbusd.i8.i8(C[r, 0 : 16], A[r, 4*k : 4], P[k, 0 : 16, 0 : 4]) } }",
]


@pytest.mark.parametrize("number", range(len(NESTS)))
def test_nests(number: int) -> None:
    text = f"kernel f(in A: i8[6, 8], in P: i8[2, 16, 4], inout C: i32[6, 16]) {{ {NESTS[number]} }}"
    kernel = parse_kernel(text)
    verify_kernel(kernel)
    changed = same(kernel, number)
    assert (changed == kernel) == (number == 4)
    outer = isinstance(changed.body[-1], For) and len(changed.body) > 1
    assert outer == (number == 0)
