"""Objects compiled ahead of time, called as C would call them, and compared with the evaluator."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import Any

import numpy as np
import pytest

import tilec
from tests.backends.llvm_support import undefined_symbols
from tilec import api, dtypes
from tilec.affine import resolve
from tilec.ahead import PROCESSORS, Ahead, compile_ahead, target_named
from tilec.backends.llvm import jit
from tilec.backends.llvm.c_checks import OK, OVERLAP
from tilec.c_header import header
from tilec.dtypes import DType
from tilec.errors import TileError
from tilec.frontends.tile.elaborate import elaborate
from tilec.options import Options

MATMUL = "function matmul(A[M, K], B[K, N]) -> (C) { C[m, n : M, N] = +(A[m, k] * B[k, n]); }"
SOFTMAX = """
function softmax(X[M, N]) -> (Y) {
  Top[m : M] = >(X[m, n]);
  E[m, n : M, N] = =(exp(X[m, n] - Top[m]));
  S[m : M] = +(E[m, n]);
  Y[m, n : M, N] = =(E[m, n] / S[m]);
}
"""
C_SCALARS = {"bool": ctypes.c_int, "i32": ctypes.c_int32, "i64": ctypes.c_int64, "f32": ctypes.c_float}
RNG = np.random.default_rng(0)


def ahead(
    code: str, inputs: Mapping[str, Any], constants: Mapping[str, Any] | None = None, target: str = "host"
) -> Ahead:
    """The function of `code` made for C, at the types of `inputs` and `constants`."""
    fixed = dict(constants or {})
    signature = {n: api.signature_entry(n, v) for n, v in {**inputs, **fixed}.items()}
    found = elaborate(tilec.parse(code), None, signature)
    scalars: Any = {n: signature[n] for n in found.constants if n not in fixed}
    return compile_ahead(api.mark_constants(found.graph, fixed), target_named(target), fixed, scalars)


class Loaded:
    """An object in this process. `size`: bytes of workspace, where they do not depend on open sizes."""

    def __init__(self, made: Ahead) -> None:
        self.made = made
        self._library = jit.load([made.object_file()], [made.symbol, f"{made.symbol}_workspace"])
        sizes: list[Any] = [ctypes.c_int64] * len(made.sizes)
        kinds: list[Any] = [C_SCALARS[a.dtype.name] if a.by_value else ctypes.c_void_p for a in made.arguments]
        form = ctypes.CFUNCTYPE(ctypes.c_int, *sizes, *kinds, ctypes.c_void_p)
        self.call: Callable[..., int] = form(self._library.addresses[made.symbol])
        asked = ctypes.CFUNCTYPE(ctypes.c_size_t, *sizes)
        self.workspace: Callable[..., int] = asked(self._library.addresses[f"{made.symbol}_workspace"])
        self.size = 0 if sizes else self.workspace()

    def run(self, inputs: Mapping[str, Any], sizes: Sequence[int] = (), status: int = OK) -> list[Any]:
        """The results, after checking that nothing was written outside them and the workspace."""
        arrays, dense, results, guards = [], [], [], []
        known = dict(zip(self.made.program.sizes, sizes, strict=True))
        for argument in self.made.arguments:
            if argument.output:
                shape = [int(resolve(s, known)) for s in argument.shape]
                room = np.full(prod(shape) * argument.dtype.bytes + 128, 0xA5, np.uint8)
                guards.append(room)
                results.append(room[64:-64].view(argument.dtype.numpy).reshape(shape))
                arrays.append(results[-1].ctypes.data)
            elif argument.by_value:
                arrays.append(inputs[argument.buffer])
            else:
                dense.append(np.require(inputs[argument.buffer], None, ["C", "A"]))
                arrays.append(dense[-1].ctypes.data)
        room = np.full(self.workspace(*sizes) + 131, 0xA5, np.uint8)  # at an address that suits nothing in particular
        guards.append(room)
        assert self.call(*sizes, *arrays, room.ctypes.data + 65) == status
        assert all((g[:64] == 0xA5).all() and (g[len(g) - 64 :] == 0xA5).all() for g in guards)
        return results


def compare(code: str, inputs: Mapping[str, Any], constants: Mapping[str, Any] | None = None) -> Loaded:
    loaded = Loaded(ahead(code, inputs, constants))
    executable = tilec.compile(code, "reference", constants, **inputs)
    for found, expected in zip(loaded.run(inputs), executable.run((), inputs), strict=True):
        assert found.shape == expected.shape
        if found.dtype.kind in "biu":
            np.testing.assert_array_equal(found, expected)
        else:
            np.testing.assert_allclose(found.astype("f8"), expected.astype("f8"), rtol=1e-5, atol=1e-6)
    return loaded


def normal(*shape: int) -> Any:
    return RNG.standard_normal(shape).astype(np.float32)


def test_matmul() -> None:
    compare(MATMUL, {"A": normal(33, 17), "B": normal(17, 9)})


def test_temporary_tensors_live_in_the_workspace() -> None:
    loaded = compare(SOFTMAX, {"X": normal(7, 300) * 20})
    assert loaded.size >= 7 * 300 * 4 or loaded.size == loaded.made.module.workspace


def test_parts_are_computed_in_the_memory_of_a_result() -> None:
    """And in that of a temporary tensor, beside a part that the caller gives."""
    code = """function f(A[M, K], B[K, N]) -> (R, S) {
      P[m, n : M, N] = +(A[m, k] * B[k, n]);
      First[m, n : M, N + K] = =(P[m, n]);
      R[m, n + N : M, N + K] = =(A[m, n]) default First;
      Q[m, n : M, N] = +(R[m, k] * B[k, n]);
      T[m, n : M + M, N] = =(Q[m, n]);
      U[m + M, n : M + M, N] = =(B[m, n]) default T;
      S[m, k : M + M, K] = +(U[m, n] * B[k, n]);
    }"""
    loaded = compare(code, {"A": normal(5, 7), "B": normal(7, 9)})
    assert {b.base for b in loaded.made.program.buffers} == {None, "R", "U"}


def test_constants_are_data_of_the_object() -> None:
    b = normal(17, 9)
    loaded = compare(MATMUL, {"A": normal(5, 17)}, {"B": b})
    assert [a.buffer for a in loaded.made.arguments] == ["A", "C"]
    assert b.tobytes() in loaded.made.object_file()


def test_what_depends_on_constants_only() -> None:
    code = "function f(A[N], B[N]) -> (C) { S[] = +(B[n] * B[n]); C = A * S; }"
    compare(code, {"A": normal(6)}, {"B": normal(6)})


@pytest.mark.parametrize("dtype", dtypes.ALL, ids=str)
def test_every_element_type(dtype: DType) -> None:
    code = "function f(A[N], T[N, M]) -> (B, D) { B[n, m : N, M] = >(A[n] * T[n, m]); D = T; }"
    table = np.array([0, 1, 1, 0, 1, 0]).astype(dtype.numpy).reshape(2, 3)
    compare(code, {"A": np.array([1, 0]).astype(dtype.numpy)}, {"T": table})


@pytest.mark.parametrize("number", [2, 1 << 40, 0.5, True, False, -3])
def test_numbers_are_passed_by_value(number: Any) -> None:
    code = "function f(A[N], F) -> (B) { B = A * F; }"
    a = np.arange(5, dtype=np.int64) if isinstance(number, int) else normal(5)
    loaded = compare(code, {"A": a, "F": number})
    assert "*F" not in header(loaded.made)


def test_numbers_that_shape_the_code_are_no_arguments() -> None:
    code = "function f(A[N], W) -> (B) { B[n : N] = +(A[n + w]), w < W; }"
    loaded = compare(code, {"A": normal(9), "W": 3})
    assert [a.buffer for a in loaded.made.arguments] == ["A", "B"]
    assert "W = 3 is compiled in" in header(loaded.made)


def test_arrays_without_elements_may_be_null() -> None:
    loaded = Loaded(ahead(MATMUL, {"A": np.zeros((0, 4), np.float32), "B": np.zeros((4, 3), np.float32)}))
    b = np.zeros((4, 3), np.float32)
    assert loaded.call(None, b.ctypes.data, None, None) == 0


def test_donated_inputs_are_overwritten() -> None:
    code = "function step(W[N], G[N], T) -> (V, S, U) { V = W - 0.5 * G; S[] = +(W[i]); U = T + 1; }"
    inputs: dict[str, Any] = {"W": normal(40), "G": normal(40), "T": 3}
    found = elaborate(tilec.parse(code), None, {n: api.signature_entry(n, v) for n, v in inputs.items()})
    graph = api.mark_donated(found.graph, {"W": "V", "T": "U"})
    loaded = Loaded(compile_ahead(graph, target_named("host"), {}, {}))
    w, t = inputs["W"].copy(), np.array(3, np.int32)
    (s,) = loaded.run({"W": w, "G": inputs["G"], "T": t})
    np.testing.assert_array_equal(w, inputs["W"] - np.float32(0.5) * inputs["G"])
    np.testing.assert_allclose(s, inputs["W"].sum(), rtol=1e-5)
    assert t == 4
    text = header(loaded.made)
    assert "(float *W, const float *G, int32_t *T, float *S, void *workspace)" in text
    assert "W: input, float32 [40], strides [1], 160 bytes; the result V takes its place" in text
    assert loaded.call(w.ctypes.data, w.ctypes.data, t.ctypes.data, s.ctypes.data, None) == OVERLAP


DEEP = """function deep(X[N, N], W[N, N]) -> (Y) {
  A = tanh(X);
  B[i, j : N, N] = +(A[i, k] * W[k, j]);
  C[i, j : N, N] = +(B[i, k] * W[k, j]);
  Y[i, j : N, N] = +(C[i, k] * A[k, j]);
}"""


def test_a_budget_of_memory() -> None:
    inputs = {"X": normal(64, 64), "W": normal(64, 64)}
    found = elaborate(tilec.parse(DEEP), None, {n: api.signature_entry(n, v) for n, v in inputs.items()})
    free, warned, met = (
        Loaded(compile_ahead(found.graph, target_named("host"), {}, {}, options=options))
        for options in (Options(), Options(memory_limit=32768), Options(remat="auto", memory_limit=32768))
    )
    assert [w.code for w in warned.made.warnings] == ["TILE0419"] and not met.made.warnings
    assert met.size <= warned.size - 16384 == free.size - 16384
    (wanted,) = tilec.compile(DEEP, "reference", **inputs).run((), inputs)
    for loaded in (free, met):
        np.testing.assert_allclose(loaded.run(inputs)[0], wanted, rtol=1e-5, atol=1e-5 * abs(wanted).max())


def test_wrong_calls_are_refused() -> None:
    loaded = Loaded(ahead(MATMUL, {"A": (4, 4), "B": (4, 4)}))
    a, b, c = (np.ones((4, 4), np.float32) for _ in range(3))
    workspace = np.zeros(loaded.size + 1, np.uint8)
    room = workspace.ctypes.data
    x, y, z = (array.ctypes.data for array in (a, b, c))
    assert loaded.call(x, y, z, room) == 0
    assert [loaded.call(*p, room) for p in ((None, y, z), (x, None, z), (x, y, None))] == [1, 1, 1]
    assert [loaded.call(*p, room) for p in ((x + 2, y, z), (x, y + 1, z), (x, y, z + 3))] == [2, 2, 2]
    assert [loaded.call(x, y, p, room) for p in (x, y, x + 60, x - 60, y - 60, y + 60)] == [3] * 6
    memory = np.ones(32, np.float32)
    both = memory.ctypes.data
    assert loaded.call(both, y, both + 64, room) == 0  # side by side is no overlap
    assert loaded.call(x, x, z, room) == 0  # inputs may


def test_a_workspace_that_is_needed_must_be_there() -> None:
    loaded = Loaded(ahead(SOFTMAX, {"X": (4, 4000)}))
    x, y = np.ones((4, 4000), np.float32), np.ones((4, 4000), np.float32)
    assert loaded.call(x.ctypes.data, y.ctypes.data, None) == (1 if loaded.size else 0)


@pytest.mark.parametrize("target", PROCESSORS)
def test_objects_for_other_processors_import_nothing(target: str) -> None:
    allowed: set[str] = set()  # the literal list of what an object may import
    for code, inputs in ((MATMUL, {"A": (33, 17), "B": (17, 9)}), (SOFTMAX, {"X": (7, 300)})):
        made = ahead(code, inputs, target=target)
        assert undefined_symbols(made.object_file()) <= allowed
        assert made.assembly()
        assert made.object_file() == ahead(code, inputs, target=target).object_file()


def test_names_that_c_does_not_have() -> None:
    code = "function f(A'[N], A_[N], Int[N]) -> (B') { B' = A' + A_ + Int; }"
    made = ahead(code, {"A'": (3,), "A_": (3,), "Int": (3,)})
    assert len(set(made.names)) == 4
    assert all(n.isidentifier() for n in made.names)


def test_names_that_c_has_already() -> None:
    taken = ["NULL", "EOF", "INT8_MAX", "SIZE_MAX", "TILEC_OK", "INT64_C", "#size_t", "#and", "#nullptr", "#char"]
    inputs = {name.lstrip("#"): (3,) for name in taken}
    made = ahead(f"function f({', '.join(f'{n}[N]' for n in taken)}) -> (B) {{ B = {' + '.join(taken)}; }}", inputs)
    assert made.names == (*(f"{name}_" for name in inputs), "B")
    with pytest.raises(TileError, match="TILE0704"):
        compile_ahead(made.graph, made.target, {}, {}, "nullptr")


def test_targets_that_are_none() -> None:
    for name in ("opencl", "reference", "x86-64-v9", ""):
        with pytest.raises(TileError, match="TILE0508"):
            target_named(name)
