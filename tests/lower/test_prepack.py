"""Constant operands are packed once, before the first call: no call packs them, and results keep every bit."""

from __future__ import annotations

import gc
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tilec
import tilec.numpy as tnp
from tests.aot.test_objects import Loaded, ahead
from tilec.backends.llvm.built import BuiltProgram
from tilec.evaluate.loops import evaluate_program
from tilec.loops import Alloc, Kernel, Launch, Program, accesses, all_steps, walk
from tilec.options import Options
from tilec.verify.program import verify_program

RNG = np.random.default_rng(0)
DENSE = "function dense(X[M, K], W[K, N], B[N]) -> (Y) { S[m, n : M, N] = +(X[m, k] * W[k, n]); Y = relu(S + B); }"
CONV = """function conv(X[H, W, C], F[3, 3, C, O]) -> (Y) {
  Y[y, x, o : H - 2, W - 2, O] = +(X[y + i, x + j, c] * F[i, j, c, o]);
}"""
BATCH = "function batch(X[B, M, K], W[B, K, N]) -> (Y) { Y[b, m, n : B, M, N] = +(X[b, m, k] * W[b, k, n]); }"


def normal(*shape: int) -> Any:
    return RNG.standard_normal(shape).astype(np.float32)


def whole(*shape: int) -> Any:
    """Whole numbers whose sums of products are exact in any order: schedules with and without packing differ in it."""
    return RNG.integers(-8, 9, shape).astype(np.float32)


W = normal(20, 700)
B = normal(700)


def packs(program: Program | None) -> list[str]:
    """Memory that kernels of a call fill with copies, as the schedule of a product names it."""
    assert program is not None
    called = {s.kernel for s in all_steps(program.steps) if isinstance(s, Launch)}
    found = [s.buffer for k in program.kernels if k.name in called for s in walk(k.body) if isinstance(s, Alloc)]
    return [b.name for b in found if b.space != "register" and b.base is None]


def kernels_of(program: Program | None, init: bool) -> list[Kernel]:
    assert program is not None
    steps = program.init if init else program.steps
    return [program.kernel(s.kernel) for s in all_steps(steps) if isinstance(s, Launch)]


@pytest.mark.parametrize(
    "code, inputs, constants",
    [
        (DENSE, {"X": normal(40, 20)}, {"W": W, "B": B}),
        (DENSE, {"X": normal(25, 400)}, {"W": normal(400, 513), "B": normal(513)}),
        (CONV, {"X": normal(8, 7, 4)}, {"F": normal(3, 3, 4, 520)}),
        (BATCH, {"X": normal(2, 24, 6)}, {"W": normal(2, 6, 520)}),
    ],
)
def test_no_call_packs_a_constant(code: str, inputs: dict[str, Any], constants: dict[str, Any]) -> None:
    plain = tilec.compile(code, "llvm", **inputs, **constants)
    once = tilec.compile(code, "llvm", constants=constants, **inputs)
    assert not packs(once.program)
    assert kernels_of(once.program, init=True) and not kernels_of(plain.program, init=True)
    read = {a.tensor for k in kernels_of(once.program, init=False) for s in walk(k.body) for a in accesses(s)}
    assert read.isdisjoint(constants.keys() - {"B"})
    want = plain(**inputs, **constants)
    for _ in range(2):
        np.testing.assert_array_equal(once(**inputs), want)
    assert once.program is not None
    verify_program(once.program, scheduled=True)
    np.testing.assert_allclose(evaluate_program(once.program, {**inputs, **constants})["Y"], want, rtol=1e-4, atol=1e-4)


ROW = "function f(X[K], W[K, N]) -> (Y) { Y[n : N] = +(X[k] * W[k, n]); }"
ROW_T = "function f(X[K], W[N, K]) -> (Y) { Y[n : N] = +(X[k] * W[n, k]); }"
FEW = "function f(X[M, K], W[K, N]) -> (Y) { Y[m, n : M, N] = +(X[m, k] * W[k, n]); }"
FEW_T = "function f(X[M, K], W[N, K]) -> (Y) { Y[m, n : M, N] = +(X[m, k] * W[n, k]); }"


@pytest.mark.parametrize("shape", [(600,), (1, 600), (2, 600), (5, 600), (9, 600)])
@pytest.mark.parametrize("transposed", [False, True])
def test_few_rows_are_reason_enough(shape: tuple[int, ...], transposed: bool) -> None:
    """A product with a vector reads each weight once, so that packing in each call would not pay."""
    w = whole(530, 600) if transposed else whole(600, 530)
    code = (ROW_T if transposed else ROW) if len(shape) == 1 else (FEW_T if transposed else FEW)
    x = whole(*shape)
    plain, once = tilec.compile(code, "llvm", X=x, W=w), tilec.compile(code, "llvm", X=x, constants={"W": w})
    assert not packs(once.program) and kernels_of(once.program, init=True) and not kernels_of(plain.program, init=True)
    read = {a.tensor for k in kernels_of(once.program, init=False) for s in walk(k.body) for a in accesses(s)}
    assert "W" not in read
    np.testing.assert_array_equal(once(x), plain(x, w))
    assert once.program is not None
    verify_program(once.program, scheduled=True)


def test_layers_share_the_kernel_whatever_is_constant() -> None:
    """Three equal products, two of them with constants: each has the right weights, one is packed in each call."""
    code = """function three(X[M, N], U[N, N], V[N, N], W[N, N]) -> (Y) {
      A[m, n : M, N] = +(X[m, k] * U[k, n]);
      B[m, n : M, N] = +(A[m, k] * V[k, n]);
      Y[m, n : M, N] = +(B[m, k] * W[k, n]);
    }"""
    x, u, v, w = normal(256, 1024), normal(1024, 1024), normal(1024, 1024), normal(1024, 1024)
    plain = tilec.compile(code, "llvm", X=x, U=u, V=v, W=w)
    some = tilec.compile(code, "llvm", X=x, V=v, constants={"U": u, "W": w})
    assert plain.program is not None and len(plain.program.kernels) == 1
    assert len({k.name for k in kernels_of(some.program, init=False)}) == 2
    assert some.program is not None
    assert len({s.args[-1] for s in some.program.init if isinstance(s, Launch)}) == len(some.program.init)
    np.testing.assert_array_equal(some(x, v), plain(x, u, v, w))


def test_weights_made_of_constants_are_packed_too() -> None:
    code = "function f(X[M, K], V[K, N]) -> (Y) { W = tanh(V); Y[m, n : M, N] = +(X[m, k] * W[k, n]); }"
    x = normal(40, 20)
    once = tilec.compile(code, "llvm", X=x, constants={"V": W})
    assert not packs(once.program)
    np.testing.assert_array_equal(once(x), tilec.compile(code, "llvm", X=x, V=W)(x, W))


def test_tied_weights_are_packed_once() -> None:
    code = """function f(X[M, N], W[N, N]) -> (Y) {
      A[m, n : M, N] = +(X[m, k] * W[k, n]);
      Y[m, n : M, N] = +(A[m, k] * W[k, n]);
    }"""
    x, w = normal(32, 520), normal(520, 520)
    once = tilec.compile(code, "llvm", X=x, constants={"W": w})
    assert once.program is not None
    fillers = [s.kernel for s in once.program.init if isinstance(s, Launch)]
    assert fillers and len(fillers) == len(set(fillers))
    np.testing.assert_array_equal(once(x), tilec.compile(code, "llvm", X=x, W=w)(x, w))


def test_steps_of_a_loop() -> None:
    def f(x: Any, w: Any) -> Any:
        return tilec.fori_loop(0, 3, lambda i, h: tnp.tanh(tnp.matmul(h, w)), x)

    x, w = normal(32, 520), normal(520, 520) / 8
    captured = tilec.jit(lambda x: f(x, w))
    np.testing.assert_array_equal(np.asarray(captured(x)), np.asarray(tilec.jit(f)(x, w)))


def test_saved_and_ahead_of_time(tmp_path: Path) -> None:
    x, constants = normal(40, 20), {"W": W, "B": B}
    once = tilec.compile(DENSE, "llvm", X=x, constants=constants)
    want = once(x)
    once.save(tmp_path / "dense")
    np.testing.assert_array_equal(tilec.load(tmp_path / "dense")(x), want)
    (found,) = Loaded(ahead(DENSE, {"X": x}, constants)).run({"X": x})
    np.testing.assert_array_equal(found, want)


def test_what_is_kept_is_told() -> None:
    once = tilec.compile(DENSE, "llvm", X=(40, 20), constants={"W": W, "B": B})
    assert once.memory.kept >= W.nbytes and once.memory.constants == W.nbytes + B.nbytes


def test_open_sizes() -> None:
    once = tilec.compile(DENSE, "llvm", X="f32[M, 20]", constants={"W": W, "B": B})
    for rows in (1, 40, 131):
        x = normal(rows, 20)
        np.testing.assert_allclose(once(x), np.maximum(x @ W + B, 0), rtol=1e-4, atol=1e-4)


def test_without_a_schedule_nothing_is_packed() -> None:
    plain = tilec.compile(DENSE, "llvm", X=(40, 20), constants={"W": W, "B": B}, options=Options(schedule=False))
    assert plain.program is not None and not plain.program.init


def arrays_of(size: int) -> int:
    """How many arrays of that many bytes programs hold for their calls."""
    gc.collect()
    found = [o for o in gc.get_objects() if isinstance(o, BuiltProgram)]
    return sum(a.nbytes == size for b in found for a in b._constants.values())


def test_what_is_packed_is_held_once() -> None:
    x, w = normal(4, 333), normal(333, 777)
    once = tilec.compile("function f(X[M, K], W[K, N]) -> (Y) { Y[m, n : M, N] = +(X[m, k] * W[k, n]); }",
                         "llvm", X=x, constants={"W": w})  # fmt: skip
    kept = weakref.ref(once.constants["W"])
    want = once(x)
    gc.collect()
    assert kept() is not None and "W" not in once.built._constants  # type: ignore[attr-defined]
    once.release_constants()
    gc.collect()
    assert kept() is None
    np.testing.assert_array_equal(once(x), want)
    with pytest.raises(tilec.TileError, match="TILE0511"):
        once.save("nowhere")


def test_compiled_python_functions_keep_no_constants_but_those_that_calls_read() -> None:
    x, w, b = normal(4, 331), normal(331, 779), normal(779)
    f = tilec.jit(lambda x: tnp.matmul(x, w) + b)
    want = f(x)
    assert arrays_of(w.nbytes) == 0 and arrays_of(b.nbytes) == 1
    np.testing.assert_array_equal(f(x), want)


def test_what_calls_run_reads_no_constant_that_is_folded_and_packed() -> None:
    x, v = normal(40, 20), normal(20, 700)
    code = "function f(X[M, K], V[K, N]) -> (Y) { W = tanh(V) * 2.0; Y[m, n : M, N] = +(X[m, k] * W[k, n]); }"
    once = tilec.compile(code, "llvm", X=x, constants={"V": v})
    program = once.program
    assert program is not None
    called = {s.kernel for s in all_steps(program.steps) if isinstance(s, Launch)}
    first = {s.kernel for s in all_steps(program.init) if isinstance(s, Launch)}
    assert called.isdisjoint(first)
    read = {a for s in all_steps(program.steps) if isinstance(s, Launch) for a in s.args}
    assert "V" not in read
    want = np.matmul(x, np.tanh(v) * np.float32(2))
    for _ in range(3):
        np.testing.assert_allclose(once(x), want, rtol=1e-4, atol=1e-4)
