"""Large kernels and programs: compile time grows with the size, and what is too large is refused."""

from __future__ import annotations

import time

import pytest

from tests.backends.llvm_support import program_of, serial_host
from tilec.backends.llvm import blocks
from tilec.backends.llvm.backend import LLVMBackend
from tilec.errors import TileError
from tilec.text.loops_text import parse_kernel, parse_program


def chain(statements: int) -> str:
    """Statements that load and store in turns, so that no load survives for long."""
    lines = [
        f"b{(5 * s + 2) % 8}[{s % 32}] = add(b{s % 8}[{s % 32}], b{(3 * s + 1) % 8}[3])" for s in range(statements)
    ]
    parameters = ", ".join(f"inout b{i}: f32[32]" for i in range(8))
    return f"kernel k({parameters}) {{ {' '.join(lines)} }}"


def seconds(statements: int) -> float:
    program = program_of(parse_kernel(chain(statements)))
    start = time.process_time()
    LLVMBackend().emit(program, serial_host())
    return time.process_time() - start


def test_time_grows_with_the_number_of_statements() -> None:
    small, large = min(seconds(400) for _ in range(3)), seconds(6400)
    assert large < 16 * 3 * small


def test_a_program_of_500_kernels() -> None:
    kernels = "".join(
        f"kernel k{i}(inout X: f32[8]) {{ for i in 8 vector {{ X[i] sum= {i}.0 }} }}\n" for i in range(500)
    )
    launches = "".join(f"launch k{i}(Y)\n" for i in range(500))
    program = parse_program(f"program p() -> (Y) {{ buffer Y: param f32[8]\n{kernels} run {{ {launches} }} }}")
    start = time.process_time()
    built = LLVMBackend().build(program, serial_host(), {})
    assert time.process_time() - start < 20
    assert sum(map(len, built.code.objects)) < 1 << 20


def test_a_kernel_too_large_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "MOST_LINES", 5000)
    text = "kernel k(inout O: f32) { for j in 100 unroll { for i in 100 unroll { O[] sum= 1.0 } } }"
    with pytest.raises(TileError) as caught:
        LLVMBackend().emit(program_of(parse_kernel(text)), serial_host())
    assert caught.value.code == "TILE0417"


def test_a_long_vector_loop_with_private_memory_is_a_loop() -> None:
    text = (
        "kernel k(in A: f32[99999], out O: f32[99999]) { for i in 99999 vector { alloc t: thread f32[1] O[i] = A[i] } }"
    )
    assert LLVMBackend().emit(program_of(parse_kernel(text)), serial_host()).count("\n") < 200
