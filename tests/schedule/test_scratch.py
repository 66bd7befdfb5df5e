"""Copies of operands take little memory: under 8 MB a thread, whatever the shape of a product or a convolution."""

from __future__ import annotations

from math import prod

import pytest

from tests.generators.kernels import contraction, v, var
from tilec.backends.llvm.target import named
from tilec.dtypes import F32
from tilec.loops import Alloc, Kernel, walk
from tilec.passes.schedule.default import default_schedule, scheduled
from tilec.target import Target
from tilec.text.loops_text import parse_kernel

PRODUCTS = [
    *((n, n, n) for n in (64, 128, 256, 384, 512, 768, 1024, 1536, 2048)),
    *[(1, 1000, 2048), (1, 4096, 4096), (8, 4096, 4096), (32, 1000, 2048), (128, 3072, 768), (128, 768, 3072)],
    *[(512, 768, 768), (3136, 64, 256), (3136, 256, 64), (784, 128, 512), (196, 1024, 512), (196, 256, 1024)],
    *[(49, 2048, 512), (49, 512, 2048), (12544, 64, 147), (8192, 16, 16), (16, 16, 8192), (2048, 32, 2048)],
    *[(32, 2048, 2048), (4096, 10, 512)],
]
# height of the output, channels in, channels out, size of the window, step
CONVOLUTIONS = [
    *[(112, 3, 64, 7, 2), (56, 64, 64, 1, 1), (56, 64, 64, 3, 1), (56, 64, 256, 1, 1), (56, 256, 64, 1, 1)],
    *[(28, 256, 128, 1, 2), (28, 128, 128, 3, 1), (28, 128, 512, 1, 1), (28, 512, 128, 1, 1), (28, 256, 512, 1, 2)],
    *[(14, 512, 256, 1, 2), (14, 256, 256, 3, 1), (14, 256, 1024, 1, 1), (14, 1024, 256, 1, 1), (7, 512, 512, 3, 1)],
    *[(14, 512, 1024, 1, 2), (7, 1024, 512, 1, 2), (7, 512, 2048, 1, 1), (7, 2048, 512, 1, 1), (7, 1024, 2048, 1, 2)],
    *[(224, 64, 64, 3, 1), (112, 128, 128, 3, 1), (28, 512, 512, 3, 1), (56, 144, 24, 1, 1), (112, 16, 96, 1, 1)],
]
MOST = 8 << 20
TARGETS = [Target("llvm", vector_bytes=64, registers=32, threads=t) for t in (1, 2, 8)]


def scratch(kernel: Kernel, target: Target) -> int:
    """Bytes of all copies that the default schedule makes in a call, as if none shared memory with another."""
    made = [s.buffer for s in walk(scheduled(kernel, target).body) if isinstance(s, Alloc)]
    copies = {b.name: b for b in made if b.space != "register" and b.base is None}
    return sum(b.dtype.bytes * prod(int(str(s)) for s in b.shape) for b in copies.values())


@pytest.mark.parametrize("m, n, k", PRODUCTS)
def test_products(m: int, n: int, k: int) -> None:
    for b in (("B", var("k", "n"), (k, n)), ("B", var("n", "k"), (n, k))):
        operands = [("A", var("m", "k"), (m, k)), b]
        kernel = contraction("matmul", "sum", F32, {"m": m, "n": n, "k": k}, var("m", "n"), (m, n), operands)
        for target in TARGETS:
            assert scratch(kernel, target) < MOST


@pytest.mark.parametrize("size, ci, co, window, step", CONVOLUTIONS)
def test_convolutions(size: int, ci: int, co: int, window: int, step: int) -> None:
    height = step * (size - 1) + window
    at = v("y") * step + v("q"), v("x") * step + v("p"), v("c")
    operands = [("A", at, (height, height, ci)), ("B", var("q", "p", "c", "f"), (window, window, ci, co))]
    sizes = {"y": size, "x": size, "f": co, "q": window, "p": window, "c": ci}
    kernel = contraction("conv", "sum", F32, sizes, var("y", "x", "f"), (size, size, co), operands)
    for target in TARGETS:
        assert scratch(kernel, target) < MOST


def test_a_diagonal_is_not_copied_as_a_square() -> None:
    kernel = parse_kernel("""kernel f(in A: f32[5, 4096, 4096], out C: f32[5]) {
      for i in 5 { C[i] = 0.0 }
      for j in 5 { for k in 4096 { C[j] sum= A[j, k, k] } }
    }""")
    schedule = default_schedule(kernel, named("avx512", 2))
    assert not [d for d in schedule if d.name in ("pack", "stage") and d.args[0] == "A"]
