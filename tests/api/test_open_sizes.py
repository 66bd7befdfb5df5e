"""Sizes that stay open: one compiled program for every batch; what calls check; where a size must be fixed."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tilec
from tests.generators.texts import ATTENTION
from tilec import build, pipeline
from tilec.errors import TileError
from tilec.options import Options

DENSE = """function dense(X[N, I], W[I, J], B[J]) -> (O, L) {
  H[n, j : N, J] = +(X[n, i] * W[i, j]);
  O = relu(H + B);
  T[] = +(O[n, j]);
  L = T / (N * J);
}"""
LOSS = """function loss(X[N, I], Y[N, J], W[I, K], B[K], V[K, J]) -> (L) {
  H[n, k : N, K] = +(X[n, i] * W[i, k]);
  A = relu(H + B);
  Z[n, j : N, J] = +(A[n, k] * V[k, j]);
  M[n, 0 : N, 1] = >(Z[n, j]);
  E = exp(Z - M);
  S[n, 0 : N, 1] = +(E[n, j]);
  P = Z - M - log(S);
  T[] = +(P[n, j] * Y[n, j]);
  L = -T / N;
}"""
BATCHES = (0, 1, 2, 7, 63, 64, 65, 130)

Array = np.ndarray[Any, np.dtype[Any]]


def target_of(backend: str) -> str:
    if backend == "opencl" and not pipeline.backend("opencl").targets():
        pytest.skip("no OpenCL device: pip install pyopencl pocl-binary-distribution")
    return backend


def dense(target: str = "llvm") -> tilec.Executable:
    return tilec.compile(DENSE, target, X="f32[N, 20]", W=(20, 10), B=(10,))


def check(executable: tilec.Executable, batch: int) -> None:
    rng = np.random.default_rng(batch)
    x, w, b = (rng.uniform(-1, 1, s).astype(np.float32) for s in ((batch, 20), (20, 10), (10,)))
    wanted = np.maximum(x @ w + b, 0)
    found, mean = executable(x, w, b)
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)
    if batch:
        np.testing.assert_allclose(mean, wanted.mean(), rtol=1e-4)
    else:
        assert np.isnan(mean)


@pytest.mark.parametrize("backend", ["llvm", "opencl", "reference"])
def test_one_program_for_every_batch(backend: str) -> None:
    executable = dense(target_of(backend))
    assert executable.sizes == ("N",)
    assert "X: f32[N, 20]" in repr(executable)
    for batch in BATCHES:
        check(executable, batch)


def test_it_is_compiled_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    real = build.compile_graph

    def counted(*args: Any, **kwargs: Any) -> tilec.Executable:
        calls.append(args)
        return real(*args, **kwargs)

    monkeypatch.setattr(build, "compile_graph", counted)
    executable = dense()
    for batch in BATCHES:
        check(executable, batch)
    assert len(calls) == 1


@pytest.mark.parametrize("backend", ["llvm", "opencl"])
def test_gradients(backend: str) -> None:
    graph = tilec.value_and_grad(LOSS, ("W", "B", "V")).graph(
        X="f64[N, 20]", Y="f64[N, 4]", W="f64[20, 10]", B="f64[10]", V="f64[10, 4]"
    )
    executable = tilec.compile(graph, target_of(backend))
    rng = np.random.default_rng(1)
    w, b, v = rng.uniform(-1, 1, (20, 10)), rng.uniform(-1, 1, 10), rng.uniform(-1, 1, (10, 4))
    for batch in (1, 5, 64, 100):
        x, y = rng.uniform(-1, 1, (batch, 20)), np.eye(4)[rng.integers(0, 4, batch)]

        def loss(w: Array) -> float:
            z = np.maximum(x @ w + b, 0) @ v  # noqa: B023  # used at once
            z = z - z.max(1, keepdims=True)
            return -float(((z - np.log(np.exp(z).sum(1, keepdims=True))) * y).sum()) / len(x)  # noqa: B023

        found = executable(x, y, w, b, v)
        direction, step = rng.uniform(-1, 1, w.shape), 1e-6
        slope = (loss(w + step * direction) - loss(w - step * direction)) / (2 * step)
        np.testing.assert_allclose(found[0], loss(w), rtol=1e-9)
        np.testing.assert_allclose((found[1] * direction).sum(), slope, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("monoid, empty", [("+", 0), ("*", 0), (">", 0), ("<", 0)])
def test_an_aggregation_over_nothing(monoid: str, empty: float) -> None:
    """Cells that no point reaches hold 0, as with a size that is a number."""
    executable = tilec.compile(f"function (X[N, M]) -> (O) {{ O[m : M] = {monoid}(X[n, m]); }}", "llvm", X=("N", "M"))
    for shape in ((0, 3), (3, 0), (2, 3), (65, 66)):
        x = np.random.default_rng(0).uniform(0.9, 1.1, shape).astype(np.float32)
        reduce: Any = {"+": np.sum, "*": np.prod, ">": np.max, "<": np.min}[monoid]
        wanted = reduce(x, axis=0) if shape[0] else np.full(shape[1], empty, np.float32)
        np.testing.assert_allclose(executable(x), wanted, rtol=1e-4)


def test_several_open_sizes() -> None:
    shape = ("N", "T", 4)
    executable = tilec.compile(ATTENTION, "llvm", Q=shape, K=shape, V=shape)
    assert executable.sizes == ("N", "T")
    rng = np.random.default_rng(0)
    for n, t in ((1, 1), (2, 5), (3, 40), (0, 3), (3, 0)):
        q, k, v = (rng.uniform(-1, 1, (n, t, 4)).astype(np.float32) for _ in range(3))
        s = np.exp(np.einsum("nid,njd->nij", q, k))
        wanted = np.einsum("nij,njd->nid", s / s.sum(2, keepdims=True), v)
        np.testing.assert_allclose(executable(q, k, v), wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("backend", ["llvm", "opencl"])
def test_many_rows_of_nothing_take_no_time(backend: str) -> None:
    """A nest runs only where all of its extents are above 0: 2**58 rows would otherwise be counted."""
    code = """function f(X[N, M], Y[N, M, K]) -> (Z, S, T) {
      Z = X * 2.0;
      S[m : M] = +(X[n, m]);
      T[k, m : K, M] = >(Y[n, m, k]);
    }"""
    executable = tilec.compile(code, target_of(backend), X=("N", "M"), Y=("N", "M", "K"))
    rows = 1 << 58
    z, s, t = executable(np.zeros((rows, 0), np.float32), np.zeros((rows, 0, 5), np.float32))
    assert (z.shape, s.shape, t.shape) == ((rows, 0), (0,), (5, 0))
    z, s, t = executable(np.ones((3, 2), np.float32), np.ones((3, 2, 5), np.float32))
    assert (z.sum(), s.tolist(), t.sum()) == (12, [3, 3], 10)


def test_index_values_transpositions_and_reshapes() -> None:
    code = """function f(X[N, H, K]) -> (A, B, C, R) {
      A[k, h, n : K, H, N] = =(X[n, h, k] + n);
      B = reshape(X, N, H * K);
      C = index(X, 0) * 2 + N;
      R = N * H;
    }"""
    executable = tilec.compile(code, "llvm", X="f32[N, 3, 4]")
    for n in (0, 1, 9, 70):
        x = np.random.default_rng(n).uniform(-1, 1, (n, 3, 4)).astype(np.float32)
        a, b, c, r = executable(x)
        np.testing.assert_array_equal(a, (x + np.arange(n, dtype=np.float32)[:, None, None]).transpose(2, 1, 0))
        np.testing.assert_array_equal(b, x.reshape(n, 12))
        np.testing.assert_array_equal(c, np.broadcast_to(np.arange(n)[:, None, None] * 2 + n, x.shape))
        assert r == 3 * n


def test_saved_loaded_and_kept(tmp_path: Path) -> None:
    executable = dense()
    executable.save(tmp_path / "dense.tilec")
    for machine_code in (True, False):
        loaded = tilec.load(tmp_path / "dense.tilec", machine_code=machine_code)
        assert loaded.sizes == ("N",)
        for batch in BATCHES:
            check(loaded, batch)


def test_out_and_layouts() -> None:
    executable = tilec.compile("function (X[N, M]) -> (Y) { Y = X * 2.0; }", "llvm", X=("N", 3))
    out = np.empty((5, 3), np.float32)
    x = np.arange(15, dtype=np.float32).reshape(5, 3)
    assert executable(x, out=out) is out
    np.testing.assert_array_equal(out, 2 * x)
    np.testing.assert_array_equal(executable(x[::-1]), 2 * x[::-1])
    with pytest.raises(TileError, match=r"f32\[4, 3\], the result is f32\[5, 3\]"):
        executable(x, out=np.empty((4, 3), np.float32))


def test_from_several_threads() -> None:
    executable = dense()
    failures: list[BaseException] = []

    def work() -> None:
        try:
            for batch in range(0, 90, 3):
                check(executable, batch)
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


@pytest.mark.parametrize(
    "shapes, message",
    [
        (((3, 20), (4, 20)), "the size N is 3 in 'X' and 4 in 'Y'"),
        (((3, 21), (3, 20)), r"argument 'X' has shape \[3, 21\], expected f32\[N, 20\]"),
        (((3,), (3, 20)), r"argument 'X' has shape \[3\], expected f32\[N, 20\]"),
    ],
)
def test_arguments_that_disagree(shapes: tuple[tuple[int, ...], ...], message: str) -> None:
    executable = tilec.compile("function (X, Y) -> (O) { O = X + Y; }", "llvm", X=("N", 20), Y=("N", 20))
    with pytest.raises(TileError, match=message) as refused:
        executable(*(np.zeros(s, np.float32) for s in shapes))
    assert refused.value.code == "TILE0504"


@pytest.mark.parametrize(
    "statement, why",
    [
        ("O[i : N] = +(X[i + 1]);", "the index 'i \\+ 1' of an axis of that size is not one variable alone"),
        ("O[] = +(X[0]);", "the index '0' of an axis of that size is not one variable alone"),
        ("O[i : N / 2] = +(X[i]);", "a size holds it in an operation other than"),
        ("O[i : 10] = =(X[i]);", "'i', which runs over it, is also held to 0 <= i < 10"),
        ("O[j : 10] = =(X[j / N]);", "an index is divided by it"),
        ("S = reshape(X, N, 1); O = shape(S);", "it is an element of a constant vector"),
    ],
)
def test_where_a_size_must_be_fixed(statement: str, why: str) -> None:
    with pytest.raises(TileError, match=why) as refused:
        tilec.compile(f"function (X[N]) -> (O) {{ {statement} }}", "llvm", X="f32[N]")
    assert refused.value.code == "TILE0210"


def test_every_second_point_of_an_open_axis_is_none() -> None:
    code = "function (X[N], Y[K]) -> (O) { O[n : N] = =(X[n] + Y[clamp(n / 2)]); }"
    with pytest.raises(TileError, match="'n', which runs over it, counts only where") as refused:
        tilec.compile(code, "llvm", X="f32[N]", Y="f32[5]")
    assert refused.value.code == "TILE0210"


@pytest.mark.parametrize("backend", ["llvm", "opencl", "reference"])
def test_rows_of_an_open_axis_are_gathered_and_scattered(backend: str) -> None:
    """Rows that there are not: gather clamps the index, and finds 0 in an empty tensor; scatter drops the update."""
    code = "function f(X[N, K], I[M], U[M, K]) -> (G, S) { G = gather(X, I); S = scatter(U, I, X); }"
    executable = tilec.compile(code, target_of(backend), X="f32[N, 5]", I="i32[M]", U="f32[M, 5]")
    rng = np.random.default_rng(0)
    for n, m in ((1, 3), (7, 4), (70, 100), (0, 0), (0, 3), (5, 0)):
        x, u = (rng.integers(-9, 9, (rows, 5)).astype(np.float32) for rows in (n, m))
        index = rng.integers(-2, n + 2, m).astype(np.int32)
        taken, summed = executable(x, index, u)
        np.testing.assert_array_equal(taken, x[np.clip(index, 0, n - 1)] if n else np.zeros((m, 5), np.float32))
        wanted = np.zeros((n, 5), np.float32)
        inside = (index >= 0) & (index < n)
        np.add.at(wanted, index[inside], u[inside])
        np.testing.assert_array_equal(summed, wanted)


def test_sizes_that_do_not_fit() -> None:
    executable = tilec.compile("function (X[N], Y[M]) -> (O) { O[n, m : N, M] = =(X[n] * Y[m]); }", X=("N",), Y=("M",))
    huge = np.broadcast_to(np.zeros(1, np.int8), 1 << 40)
    with pytest.raises(TileError):
        executable(huge, huge)
    code = "function (X[N]) -> (O) { A[i : N - 5] = =(1.0); P[] = +(X[i]); O = A + P; }"
    executable = tilec.compile(code, "llvm", X=("N",))
    assert executable(np.ones(7, np.float32)).tolist() == [8.0, 8.0]
    with pytest.raises(TileError, match="is -2 where N = 3"):
        executable(np.ones(3, np.float32))


def test_functions_made_by_op() -> None:
    mean = tilec.op("function mean(X[N, K]) -> (O) { S[k : K] = +(X[n, k]); O = S / N; }")
    executable = mean.compile(X="f32[N, 3]")
    assert executable.sizes == ("N",)
    assert mean.compile(X="f32[N, 3]") is executable
    for n in (1, 5, 70):
        np.testing.assert_array_equal(executable(np.ones((n, 3), np.float32)), np.ones(3, np.float32))


def test_values_are_computed_again_for_known_sizes_only() -> None:
    with pytest.raises(TileError, match="the size N must be fixed: values are computed again") as refused:
        options = Options(remat="auto", memory_limit=100)
        tilec.compile("function (X[N]) -> (Y) { Y = X; }", "llvm", options=options, X=("N",))
    assert refused.value.code == "TILE0210"


ROWS = "function rows(X[N, K]) -> (Y) { M[n : N] = >(X[n, k]); Y[n, k : N, K] = =(X[n, k] - M[n]); }"


@pytest.mark.parametrize("backend", ["llvm", "opencl"])
def test_each_call_is_held_to_the_limit_of_memory(backend: str, tmp_path: Path) -> None:
    """The temporary tensor M has 4*N bytes."""
    limited = tilec.compile(ROWS, target_of(backend), options=Options(memory_limit=400), X=("N", 3))
    limited.save(tmp_path / "rows.tilec")
    for executable in (limited, tilec.load(tmp_path / "rows.tilec", target=target_of(backend))):
        for size in (0, 1, 99, 100, 101, 1000, 100):
            x, out = np.ones((size, 3), np.float32), np.full((size, 3), 7, np.float32)
            if size <= 100:
                np.testing.assert_array_equal(executable(x), 0 * x)
                continue
            with pytest.raises(TileError) as refused:
                executable(x, out=out)
            (said,) = refused.value.diagnostics
            assert said.code == "TILE0419" and (out == 7).all()
            assert said.message == f"the temporary tensors of 'rows' need {4 * size:,} bytes where N = {size}"
            assert said.notes == (f"memory_limit is 400 bytes, {4 * size - 400:,} less",)


def test_a_limit_of_memory_of_traced_functions() -> None:
    @tilec.jit(open_sizes={"x": "N"}, options=Options(memory_limit=500))
    def centred(x: Any) -> Any:
        return x - (x - x.sum(0)).max(1)[:, None]

    x = np.ones((100, 3), np.float32)
    assert centred(x).shape == (100, 3)
    with pytest.raises(TileError, match="TILE0419"):
        centred(np.ones((1000, 3), np.float32))
    assert centred.signatures() == 1
