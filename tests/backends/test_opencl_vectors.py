"""Vector loops as C vectors: values against NumPy, and the text of each construct.

Loops of 31 iterations are vectors of 16, 8, 4 and 2 lanes and a scalar.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from tests.backends import conformance_builtins
from tests.backends.conformance import Array, Case, check, program_of
from tilec.affine import Affine
from tilec.backends.opencl import devices, trials
from tilec.backends.opencl.backend import OpenCLBackend
from tilec.dtypes import F32
from tilec.target import Target
from tilec.text.loops_text import parse_kernel

RNG = np.random.default_rng(8)
X = RNG.integers(-9, 10, (12, 62)).astype(np.float32)
WHERE = RNG.integers(0, 62, 31).astype(np.int32)
STREAMS = """kernel k(in X: f32[12, 62], out Y: f32[31], out Z: bool[31]) { for l in 31 vector {
  Y[l] stream= neg(X[0, l + 1]) Z[l] stream= cmp_lt(X[1, l], 0.0) } }"""


def text_of(kernel: str) -> str:
    """The C of a kernel, without what stands before it, each line stripped."""
    text = OpenCLBackend().emit(program_of(parse_kernel(kernel)), Target("opencl", "0"))
    return "\n".join(line.strip() for line in text[text.index("__kernel") :].splitlines())


def test_builtins_in_sixteen_lanes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conformance_builtins, "LANES", 16)
    monkeypatch.setattr(conformance_builtins, "_PLACE", (Affine.of({"i": 16, "l": 1}),))
    found = [*conformance_builtins.builtin_cases(), *conformance_builtins.conversion_cases()]
    check("opencl", [c for c in found if c.name in ("f32 builtins", "from i32")])


def device() -> Any:
    """Skips without one."""
    found = [f for f in devices.find() if f.usable] if OpenCLBackend().targets() else []
    if not found:
        pytest.skip("no OpenCL device: pip install pyopencl pocl-binary-distribution")
    return found[0].handle


def test_a_fused_product_is_called_for_where_none_is_proved(monkeypatch: pytest.MonkeyPatch) -> None:
    device()
    monkeypatch.setattr(trials, "fuses", lambda device: False)
    check("opencl", list(conformance_builtins.fused_cases()))


def test_the_trial_sees_a_product_that_is_rounded(monkeypatch: pytest.MonkeyPatch) -> None:
    text = trials._text((F32,))
    assert text.count("FP_CONTRACT ON") == 5
    monkeypatch.setattr(trials, "_text", lambda dtypes: text.replace("FP_CONTRACT ON", "FP_CONTRACT OFF"))
    assert not trials.fuses.__wrapped__(device())


def case(name: str, text: str, **expected: Array) -> Case:
    inputs = {"X": X, "W": WHERE}
    program = program_of(parse_kernel(text))
    return Case(name, program, {n: inputs[n] for n in program.params}, expected)


def cases() -> list[Case]:
    """What vector loops can hold beside plain stores, and what keeps lanes from running at once."""
    guarded = np.where(np.arange(31) >= 5, X[0, :31], np.float32(7))
    return [
        case(
            "strided and reversed",
            """kernel k(in X: f32[12, 62], out Y: f32[62]) { for l in 31 vector {
              Y[2*l] = X[0, 61 - 2*l]  Y[2*l + 1] = X[1, l] } }""",
            Y=np.stack([X[0, 61::-2], X[1, :31]], 1).reshape(-1),
        ),
        case(
            "a row of a matrix each",
            "kernel k(in X: f32[12, 62], out Y: f32[12]) { for l in 12 vector { Y[l] = X[l, 3] } }",
            Y=X[:, 3].copy(),
        ),
        case(
            "gathered",
            "kernel k(in X: f32[12, 62], in W: i32[31], out Y: f32[31]) { for l in 31 vector { Y[l] = X[2, @W[l]] } }",
            Y=X[2, WHERE],
        ),
        case(
            "the same in all lanes",
            """kernel k(in X: f32[12, 62], out Y: f32[31]) { for l in 31 vector {
              let u: f32 = mul(X[0, 0], X[1, 1]) Y[l] = add(u, X[2, l]) } }""",
            Y=X[0, 0] * X[1, 1] + X[2, :31],
        ),
        case(
            "a guard in the middle of a vector",
            """kernel k(in X: f32[12, 62], out Y: f32[31]) { for l in 31 vector {
              Y[l] = 7.0 let u: f32 = X[0, l] if l - 5 >= 0 { Y[l] = u } } }""",
            Y=guarded,
        ),
        case(
            "a guard on all lanes",
            """kernel k(in X: f32[12, 62], out Y: f32[31]) { for i in 2 { for l in 31 vector {
              if i - 1 >= 0 { Y[l] = X[i, l] } } } }""",
            Y=X[1, :31],
        ),
        case(
            "an accumulator that all lanes share",
            """kernel k(in X: f32[12, 62], out Y: f32[1]) { for g in 1 parallel { alloc s: register f32[1]
              s[0] = 0.0 for l in 31 vector { s[0] sum= X[0, l] } Y[0] = s[0] } }""",
            Y=X[0, :31].sum(keepdims=True),
        ),
        case(
            "maxima and minima of a tile of registers, read in halves",
            """kernel k(in X: f32[12, 62], out Y: f32[2, 16]) { for g in 1 parallel { alloc m: register f32[2, 16]
              for l in 16 vector { m[0, l] = X[0, l] m[1, l] = X[0, l] }
              for i in 12 { for l in 16 vector { m[0, l] max= X[i, l] m[1, l] min= X[i, l] } }
              for r in 2 unroll { for u in 2 unroll { for l in 8 vector { Y[r, 8*u + l] = m[r, 8*u + l] } } } } }""",
            Y=np.stack([X[:, :16].max(0), X[:, :16].min(0)]),
        ),
        case(
            "bools in memory and in registers",
            """kernel k(in X: f32[12, 62], out Y: bool[31], out Z: f32[31]) { for g in 1 parallel {
              alloc b: register bool[31]
              for l in 31 vector { b[l] = cmp_lt(X[0, l], 0.0) }
              for l in 31 vector { Y[l] = bit_xor(b[l], cmp_lt(X[1, l], 0.0)) Z[l] = cond(b[l], 1.0, X[2, l]) } } }""",
            Y=(X[0, :31] < 0) ^ (X[1, :31] < 0),
            Z=np.where(X[0, :31] < 0, np.float32(1), X[2, :31]),
        ),
        case(
            "the number of the lane",
            "kernel k(out Y: i64[31], out Z: f32[31]) { for l in 31 vector { Y[l] = $(3*l + 1) Z[l] = $(30 - l) } }",
            Y=3 * np.arange(31) + 1,
            Z=np.arange(30, -1, -1).astype(np.float32),
        ),
        case(
            "longer than what is written out",
            "kernel k(in X: f32[12, 62], out Y: f32[744]) { alloc F: f32[744] base X for l in 744 vector "
            "{ Y[l] = neg(F[l]) } }",
            Y=-X.reshape(-1),
        ),
        case("past the caches", STREAMS, Y=-X[0, 1:32], Z=X[1, :31] < 0),
    ]


def test_what_vector_loops_hold() -> None:
    check("reference", cases())
    check("opencl", cases())


def test_vectors_are_stored_past_the_caches() -> None:
    assert re.findall(r"TILEC_STREAM\(\*\(__global tilec_(\w+)", text_of(STREAMS)) == [
        f"{kind}{lanes}" for lanes in (16, 8, 4, 2) for kind in ("float", "uchar")
    ]


def test_sums_of_products_are_kept_in_vectors() -> None:
    text = text_of(
        """kernel k(in A: f32[4, 9], in B: f32[9, 16], out C: f32[4, 16]) { for g in 1 parallel {
          alloc r: register f32[4, 16]
          for m in 4 unroll { for l in 16 vector { r[m, l] = 0.0 } }
          for k in 9 { for m in 4 unroll { for l in 16 vector { r[m, l] sum= mul(A[m, k], B[k, l]) } } }
          for m in 4 unroll { for l in 16 vector { C[m, l] = r[m, l] } } } }"""
    )
    assert re.search(r"float16 r_\d+_0, r_\d+_1, r_\d+_2, r_\d+_3;", text)
    assert text.count("tilec_sum_float16(") == 4
    assert text.count("*(__global tilec_float16 *)(p2 + o2") == 4
    assert "[" not in text.replace("p0[", "")  # no arrays; A is read by element


def test_an_array_where_indices_are_not_known() -> None:
    text = text_of(
        """kernel k(out C: f32[4, 8]) { for g in 1 parallel { alloc r: thread f32[4, 8]
          for m in 4 { for l in 8 vector { r[m, l] = 1.0 } }
          for m in 4 { for l in 8 vector { C[m, l] = r[m, l] } } } }"""
    )
    assert re.search(r"float r_\d+\[32\];", text)
    assert re.search(r"\*\(tilec_float8 \*\)\(r_\d+ \+ 8L \* m_\d+\) = ", text)


def test_no_library_function_takes_a_vector() -> None:
    text = text_of("kernel k(in X: f32[16], out Y: f32[16]) { for l in 16 vector { Y[l] = sqrt(X[l]) } }")
    assert len(re.findall(r"= sqrt\(t\d+_v\d+\.s[0-9a-f]\);", text)) == 16


def test_addresses_are_folded() -> None:
    text = text_of(
        """kernel k(in X: f32[8, 64], out Y: f32[8, 64]) { for i in 8 {
          for u in 2 unroll { for l in 8 vector { Y[i, 8*u + l + 16] = X[i, 8*u + l] } } } }"""
    )
    assert re.search(r"\(p0 \+ o0 \+ 64L \* i_\d+ \+ 8L\)", text)
    assert re.search(r"\(p1 \+ o1 \+ 64L \* i_\d+ \+ 24L\)", text)
