"""Whole programs on the LLVM backend: steps, memory, constants, init, errors."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.backends.llvm_support import Array, serial_host
from tilec import dtypes
from tilec.backends.llvm.backend import LLVMBackend
from tilec.backends.llvm.target import named
from tilec.errors import TileError
from tilec.loops import Program
from tilec.text.loops_text import parse_program

STEPS = """
program steps(A, N) -> (Out, Half) {
  buffer A: param f32[3, 7]
  buffer N: param i32
  buffer Out: param f32[3, 7]
  buffer Half: param f32[2, 7]
  buffer T: heap f32[3, 7]
  buffer U: heap f32[2, 7] base T offset 7
  buffer Go: heap bool
  buffer I: heap i32
  kernel start(in A: f32[3, 7], out T: f32[3, 7], out I: i32) {
    for m in 3 { for n in 7 vector { T[m, n] = A[m, n] } }
    I[] = 0
  }
  kernel check(in I: i32, in N: i32, out Go: bool) { Go[] = cmp_lt(I[], N[]) }
  kernel step(inout T: f32[3, 7], inout I: i32) {
    for m in 3 parallel { for n in 7 vector { T[m, n] = add(T[m, n], $(m):f32) } }
    I[] sum= 1
  }
  kernel clear(out T: f32[3, 7]) { for m in 3 { for n in 7 vector { T[m, n] = -1.0 } } }
  run {
    launch start(A, T, I)
    repeat Go test { launch check(I, N, Go) } do { launch step(T, I) }
    copy T -> Out
    copy U -> Half
    launch check(I, N, Go)
    branch Go then { } else { launch step(Out, I) }
    branch Go then { launch clear(Out) }
  }
}
"""

CONSTANT = """
program scaled(X) -> (Y) {
  buffer X: param f32[9]
  buffer W: param f32[9]
  buffer Y: param f32[9]
  buffer Square: heap f32[9]
  constant W "digest"
  kernel square(in W: f32[9], out Square: f32[9]) { for i in 9 vector { Square[i] = mul(W[i], W[i]) } }
  kernel scale(in X: f32[9], in Square: f32[9], out Y: f32[9]) { for i in 9 { Y[i] = mul(X[i], Square[i]) } }
  init { launch square(W, Square) }
  run { launch scale(X, Square, Y) }
}
"""


def call(program: Program, params: list[Array], threads: int = 1, **constants: Array) -> list[Array]:
    target = replace(serial_host(), threads=threads)
    built = LLVMBackend().build(program, target, constants)
    results = [np.empty(_shape(program, r), program.buffer(r).dtype.numpy) for r in program.results]
    for _ in range(2):  # the second call finds the first one's arena
        built(params, results)
    return results


def _shape(program: Program, name: str) -> tuple[int, ...]:
    return tuple(int(str(s)) for s in program.buffer(name).shape)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("rounds", [0, 1, 5])
def test_steps(rounds: int, threads: int) -> None:
    a = np.arange(21, dtype=np.float32).reshape(3, 7)
    out, half = call(parse_program(STEPS), [a, np.array(rounds, np.int32)], threads)
    row = np.arange(3, dtype=np.float32)[:, None]
    np.testing.assert_array_equal(half, (a + rounds * row)[1:])
    np.testing.assert_array_equal(out, a + (rounds + 1) * row)


def test_constants_and_init() -> None:
    program = parse_program(CONSTANT)
    w, x = np.arange(9, dtype=np.float32), np.full(9, 2, np.float32)
    (y,) = call(program, [x], W=w)
    np.testing.assert_array_equal(y, 2 * w * w)


def test_copies_keep_every_bit() -> None:
    for dtype in dtypes.ALL:
        text = f"""program p(X) -> (Y) {{
          buffer X: param {dtype} [5, 13]
          buffer Y: param {dtype} [5, 13]
          buffer T: heap {dtype} [5, 13] strides [1, 5]
          run {{ copy X -> T copy T -> Y }}
        }}"""
        high = 2 if dtype == dtypes.BOOL else 256
        x = np.random.default_rng(0).integers(0, high, 65 * dtype.bytes).astype(np.uint8)
        (y,) = call(parse_program(text), [x.view(dtype.numpy).reshape(5, 13)])
        assert y.tobytes() == x.tobytes()


def test_text_is_deterministic_and_serial_code_has_no_pool() -> None:
    program, backend = parse_program(STEPS), LLVMBackend()
    assert backend.emit(program, serial_host()) == backend.emit(program, serial_host())
    assert "start0" not in backend.emit(program, serial_host())
    assert "start0" in backend.emit(program, named("avx2", threads=2))


def test_refusals() -> None:
    barrier = """program p(X) -> (X) { buffer X: param f32[3]
      kernel k(inout X: f32[3]) { for i in 3 item { X[i] = 1.0 barrier local } }
      run { launch k(X) } }"""
    with pytest.raises(TileError) as caught:
        LLVMBackend().emit(parse_program(barrier), serial_host())
    assert caught.value.code == "TILE0602"


@pytest.mark.parametrize("dtype", dtypes.ALL, ids=str)
def test_arrays_of_every_type_find_their_place(dtype: dtypes.DType) -> None:
    """bfloat16 arrays export no buffer; read-only and empty ones do."""
    text = f"""program p(X, E) -> (Y) {{
      buffer X: param {dtype} [5]
      buffer E: param f32[0]
      buffer Y: param {dtype} [5]
      kernel k(in X: {dtype} [5], in E: f32[0], out Y: {dtype} [5]) {{ for i in 5 {{ Y[i] = X[i] }} }}
      run {{ launch k(X, E, Y) }}
    }}"""
    x = np.array([0, 1, 1, 0, 1]).astype(dtype.numpy)
    x.flags.writeable = False
    (y,) = call(parse_program(text), [x, np.empty(0, np.float32)])
    assert y.tobytes() == x.tobytes()


def test_a_wrong_number_of_arrays_is_refused() -> None:
    built = LLVMBackend().build(parse_program(STEPS), serial_host(), {})
    with pytest.raises(ValueError, match="1 arrays for 4 places"):
        built([np.zeros((3, 7), np.float32)], [])
