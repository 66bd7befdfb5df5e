"""Maxima without NaN: the scanned inputs choose a version, and no choice changes a bit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.backends.llvm_support import Array, run, serial_host
from tilec.backends.llvm.screen import screen
from tilec.backends.llvm.target import named
from tilec.evaluate.loops import evaluate_kernel
from tilec.loops import Kernel
from tilec.passes.schedule import apply
from tilec.schedule import parse_schedule
from tilec.text.loops_text import parse_kernel

SIZE = 67
SCHEDULE = "tile(m, 4, m.0, m.1) reorder(m.0, k, m.1, n) unroll(m.1) vectorize(n) stage(C, m.0, c, register, init)"


def product(monoid: str, first: str, element: str, dtype: str = "f32", size: int = SIZE) -> Kernel:
    return parse_kernel(f"""kernel p(in A: {dtype}[{size}, {size}], in B: {dtype}[{size}, {size}],
      out C: {dtype}[{size}, {size}]) {{
      for i in {size} {{ for j in {size} {{ C[i, j] = {first} }} }}
      for m in {size} {{ for n in {size} {{ for k in {size} {{ C[m, n] {monoid}= {element}(A[m, k], B[k, n]) }} }} }}
    }}""")


def _inputs(kind: str, dtype: str) -> tuple[Array, Array]:
    r = np.random.default_rng(5)
    a, b = (r.standard_normal((SIZE, SIZE)).astype(dtype) for _ in range(2))
    match kind:
        case "NaN first":
            a[0, 0] = np.nan
        case "NaN last":
            b[-1, -1] = -np.nan
        case "NaN in the middle":
            a[SIZE // 2, 3] = np.nan
        case "both infinities":
            a[3, 4], b[4, 5] = np.inf, -np.inf
        case "one infinity":
            a[:, ::2] = -np.inf
        case "infinity and zero":
            a[7, 7], b[7, 9] = np.inf, 0.0
        case "zeros":
            a[...] = r.choice([0.0, -0.0], a.shape)
            b[...] = r.choice([0.0, -0.0], b.shape)
    return a, b


KINDS = ["plain", "NaN first", "NaN last", "NaN in the middle", "both infinities", "one infinity", "zeros"]


@pytest.mark.parametrize("kind", [*KINDS, "infinity and zero"])
@pytest.mark.parametrize(
    ("monoid", "first", "element"), [("max", "-inf", "add"), ("min", "inf", "sub"), ("max", "-inf", "mul")]
)
@pytest.mark.parametrize("dtype", ["f32", "f64"])
def test_no_input_changes_the_meaning(kind: str, monoid: str, first: str, element: str, dtype: str) -> None:
    kernel = apply(product(monoid, first, element, dtype), parse_schedule(SCHEDULE))
    a, b = _inputs(kind, {"f32": "float32", "f64": "float64"}[dtype])
    start = {"A": a, "B": b, "C": np.zeros_like(a)}
    expected = {n: x.copy() for n, x in start.items()}
    evaluate_kernel(kernel, expected)
    for threads in (1, 2):
        found = run(kernel, start, replace(serial_host(), threads=threads))["C"]
        np.testing.assert_array_equal(found, expected["C"])
        numbers = ~np.isnan(found)
        assert (np.signbit(found) == np.signbit(expected["C"]))[numbers].all()


def test_which_kernels_are_screened() -> None:
    target = named("avx512")
    found = screen(product("max", "-inf", "add"), target)
    assert found is not None
    assert (found.inputs, found.finite) == ((0, 1), False)
    times = screen(product("max", "-inf", "mul"), target)
    assert times is not None
    assert times.finite
    assert screen(product("max", "-inf", "add"), named("avx2")) is None
    assert screen(product("sum", "0.0", "mul"), target) is None
    assert screen(product("max", "nan", "add"), target) is None
    assert screen(product("max", "-inf", "div"), target) is None
    assert screen(product("max", "-inf", "add", size=8), target) is None


INFINITE = """
kernel k(in A: f32[2, 64], out O: f32[16, 64], out T: f32[64]) {
  alloc t: heap f32[64] base T offset 0
  for j in 64 vector { t[j] = -inf }
  for i in 16 { for j in 64 vector { O[i, j] = -inf } }
  for r in 2 { for i in 16 { for j in 64 vector { O[i, j] max= A[r, j] } } }
  for i in 16 { for j in 64 vector { O[i, j] max= sub(T[j], t[j]) } }
}"""


def test_what_was_aggregated_is_no_input() -> None:
    """It is infinite where nothing was aggregated, and the difference of two infinities is a NaN."""
    kernel = parse_kernel(INFINITE)
    start = {"A": np.ones((2, 64), "f"), "O": np.zeros((16, 64), "f"), "T": np.zeros(64, "f")}
    assert np.isnan(run(kernel, start)["O"]).all()


def test_packed_copies_are_inputs() -> None:
    kernel = apply(product("max", "-inf", "add"), parse_schedule(SCHEDULE + " stage(B, k, b)"))
    assert screen(kernel, named("avx512")) is not None
