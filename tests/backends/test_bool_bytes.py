"""A bool of NumPy may be made of any byte (`view(bool)`): all but 0 are true, and results hold 0 and 1 only."""

from __future__ import annotations

import numpy as np
import pytest

import tilec
from tests.backends.llvm_support import serial_host
from tilec.backends.llvm.backend import LLVMBackend
from tilec.backends.opencl.backend import OpenCLBackend
from tilec.text.loops_text import parse_program

BYTES = np.tile(np.array([0, 1, 2, 0x80, 0xFF], np.uint8), 9)
TRUE = BYTES != 0
COPY = """program p(X) -> (Y) { buffer X: param bool[45] buffer Y: param bool[45] run { copy X -> Y } }"""


def targets() -> list[str]:
    return ["llvm", "reference", *(["opencl"] if OpenCLBackend().targets() else [])]


@pytest.mark.parametrize("target", targets())
def test_any_byte_but_zero_is_true(target: str) -> None:
    code = """function f(A[N], X[N], W) -> (S, C, Q, M, O) {
        S[] = +(A[i]); C[i : N] = =(A[N - 1 - i]); Q = select(A, X, 0); M = A == 1; O = select(W, X, -1); }"""
    x = np.arange(45, dtype=np.int32)
    inputs = {"A": BYTES.view(bool), "X": x, "W": np.array(2, np.uint8).view(bool)}
    found = tilec.run(code, inputs, target=target)
    assert found["S"] == TRUE.sum()
    np.testing.assert_array_equal(found["Q"], np.where(TRUE, x, 0))
    np.testing.assert_array_equal(found["M"], TRUE)
    np.testing.assert_array_equal(found["O"], x)
    for name, wanted in {"C": TRUE[::-1], "M": TRUE}.items():
        bytes_ = found[name].view(np.uint8) if target != "reference" else found[name] != 0  # NumPy copies bytes
        np.testing.assert_array_equal(bytes_, wanted.astype(bytes_.dtype), err_msg=name)


@pytest.mark.parametrize("backend", [LLVMBackend(), OpenCLBackend()], ids=lambda b: b.name)
def test_a_copy_makes_ones(backend: LLVMBackend | OpenCLBackend) -> None:
    target = serial_host() if backend.name == "llvm" else next(iter(backend.targets()), None)
    if target is None:
        pytest.skip("no OpenCL device: pip install pyopencl pocl-binary-distribution")
    result = np.zeros(45, bool)
    backend.build(parse_program(COPY), target, {})([BYTES.view(bool)], [result])
    np.testing.assert_array_equal(result.view(np.uint8), TRUE.astype(np.uint8))
