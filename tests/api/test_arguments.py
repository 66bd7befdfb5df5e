"""What an executable takes and what it refuses."""

from __future__ import annotations

import sys
import threading
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import tilec
from tilec.errors import TileError
from tilec.runtime import as_array

ADD = "function (A[N], B[N]) -> (C) { C = A + B; }"
TWO = "function (A[N], S) -> (Sum, Scaled) { Sum[] = +(A[n]); Scaled = S * A; }"
MATMUL = "function (A[M, K], B[K, N]) -> (C) { C[m, n : M, N] = +(A[m, k] * B[k, n]); }"
Array = np.ndarray[Any, np.dtype[Any]]


@pytest.fixture(scope="module")
def add() -> tilec.Executable:
    return tilec.compile(ADD, A=(6,), B=(6,))


def ramp(n: int = 6) -> Array:
    return np.arange(n, dtype=np.float32)


def code(call: Any) -> str:
    """Code of the TileError that a call raises."""
    with pytest.raises(tilec.TileError) as caught:
        call()
    return caught.value.code


def test_position_and_name(add: tilec.Executable) -> None:
    a, b = ramp(), ramp() * 10
    for result in (add(a, b), add(a, B=b), add(B=b, A=a)):
        np.testing.assert_array_equal(result, a + b)


@pytest.mark.parametrize(
    "view",
    [
        lambda a: np.repeat(a, 2)[::2],
        lambda a: a[::-1].copy()[::-1],
        lambda a: np.frombuffer(b"x" + a.tobytes(), np.uint8)[1:].view(np.float32),
        lambda a: np.broadcast_to(a, (2, 6))[1],
        lambda a: memoryview(a),
    ],
    ids=["strided", "negative", "unaligned", "read-only", "buffer"],
)
def test_views(add: tilec.Executable, view: Any) -> None:
    a = ramp()
    np.testing.assert_array_equal(add(view(a), a), a + a)


def test_dlpack(add: tilec.Executable) -> None:
    class Foreign:
        def __init__(self, array: Array) -> None:
            self.array = array

        def __dlpack__(self, **options: Any) -> Any:
            return self.array.__dlpack__(**options)

        def __dlpack_device__(self) -> Any:
            return self.array.__dlpack_device__()

    np.testing.assert_array_equal(add(Foreign(ramp()), ramp()), ramp() * 2)


def test_refused_arguments(add: tilec.Executable) -> None:
    a = ramp()
    assert code(lambda: add(a)) == "TILE0501"
    assert code(lambda: add(a, a, a)) == "TILE0502"
    assert code(lambda: add(a, a, Q=a)) == "TILE0502"
    assert code(lambda: add(a, a, A=a)) == "TILE0502"
    assert code(lambda: add(a, a.astype(np.float64))) == "TILE0503"
    assert code(lambda: add(a, a.astype(">f4"))) == "TILE0503"
    assert code(lambda: add(a, a.astype(object))) == "TILE0503"
    assert code(lambda: add(a, a.astype(complex))) == "TILE0503"
    assert code(lambda: add(a, ramp(7))) == "TILE0504"
    assert code(lambda: add(a, a.reshape(2, 3))) == "TILE0504"
    assert code(lambda: add(a, [1, 2, 3])) == "TILE0505"
    assert code(lambda: add(a, None)) == "TILE0505"
    with pytest.raises(tilec.TileError, match="'B'"):
        add(a, ramp(7))


def test_out(add: tilec.Executable) -> None:
    a = ramp()
    out = np.empty(6, np.float32)
    assert add(a, a, out=out) is out
    np.testing.assert_array_equal(out, a + a)
    strided = np.zeros(12, np.float32)
    add(a, a, out=strided[::2])
    np.testing.assert_array_equal(strided[::2], a + a)
    np.testing.assert_array_equal(strided[1::2], 0)
    add(a, a, out={"C": out})


def test_out_that_overlaps_an_input_is_right() -> None:
    matmul = tilec.compile(MATMUL, A=(8, 8), B=(8, 8))
    a, b = (np.random.default_rng(s).random((8, 8), np.float32) for s in (1, 2))
    expected = matmul(a, b)
    matmul(a, b, out=a)
    np.testing.assert_array_equal(a, expected)


def test_refused_out(add: tilec.Executable) -> None:
    a = ramp()
    assert code(lambda: add(a, a, out=np.empty(7, np.float32))) == "TILE0506"
    assert code(lambda: add(a, a, out=np.empty(6, np.float64))) == "TILE0506"
    assert code(lambda: add(a, a, out=(np.empty(6, np.float32),) * 2)) == "TILE0506"
    assert code(lambda: add(a, a, out={"D": a})) == "TILE0506"
    assert code(lambda: add(a, a, out="x")) == "TILE0506"
    frozen = np.empty(6, np.float32)
    frozen.flags.writeable = False
    assert code(lambda: add(a, a, out=frozen)) == "TILE0507"
    two = tilec.compile(TWO, A=(6,), S=2.0)
    both = np.empty(6, np.float32)
    assert code(lambda: two(a, 2.0, out=(both[:1].reshape(()), both))) == "TILE0507"


def test_a_scalar_is_a_run_time_argument() -> None:
    two = tilec.compile(TWO, A=(6,), S=2.0)
    total, scaled = two(ramp(), 3.0)
    assert total == 15
    np.testing.assert_array_equal(scaled, ramp() * 3)
    assert two(ramp(), 5)[1][1] == 5


def test_a_scalar_that_shapes_the_code_is_fixed() -> None:
    first = tilec.compile("function (A[M], N) -> (B) { B[i : N] = =(A[i]); }", A=(6,), N=3)
    np.testing.assert_array_equal(first(ramp(), 3), ramp(3))
    assert code(lambda: first(ramp(), 4)) == "TILE0510"
    assert code(lambda: first(ramp(), ramp())) == "TILE0510"
    with pytest.raises(tilec.TileError, match=r"help: pass the 3 .* constants="):
        first(ramp())
    absent = tilec.compile("function (A[M], N) -> (B) { B[i : N] = =(A[i]); }", A=(6,), constants={"N": 3})
    np.testing.assert_array_equal(absent(ramp()), ramp(3))


def test_warnings_are_kept() -> None:
    empty = tilec.compile("function (A[N]) -> (B) { B[i : N] = +(A[i + 10]); }", A=(5,))
    assert [w.code for w in empty.warnings] == ["TILE0403"]
    np.testing.assert_array_equal(empty(ramp(5)), 0)


def test_constants_are_compiled_in() -> None:
    b = np.random.default_rng(0).random((5, 4), np.float32)
    matmul = tilec.compile(MATMUL, constants={"B": b}, A=(3, 5))
    assert list(matmul.params) == ["A"]
    a = np.ones((3, 5), np.float32)
    np.testing.assert_allclose(matmul(a), a @ b, rtol=1e-6)


def test_threads_share_an_executable() -> None:
    matmul = tilec.compile(MATMUL, A=(64, 64), B=(64, 64))
    inputs = [np.random.default_rng(s).random((64, 64), np.float32) for s in range(8)]
    expected = [matmul(a, a) for a in inputs]
    wrong: list[int] = []

    def work(i: int) -> None:
        wrong.extend(i for _ in range(50) if not np.array_equal(matmul(inputs[i], inputs[i]), expected[i]))

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not wrong and not any(t.is_alive() for t in threads)


def test_zero_extents() -> None:
    matmul = tilec.compile(MATMUL, A=(3, 0), B=(0, 2))
    np.testing.assert_array_equal(matmul(np.ones((3, 0), np.float32), np.ones((0, 2), np.float32)), np.zeros((3, 2)))
    assert tilec.run(ADD, {"A": ramp(0), "B": ramp(0)})["C"].shape == (0,)


def test_targets() -> None:
    a = ramp()
    assert code(lambda: tilec.run(ADD, {"A": a, "B": a}, target="cuda")) == "TILE0508"
    assert code(lambda: tilec.run(ADD, {"A": a, "B": a}, target="llvm:7")) == "TILE0509"
    np.testing.assert_array_equal(tilec.run(ADD, {"A": a, "B": a}, target="reference")["C"], a + a)


def test_descriptions_of_inputs_that_describe_nothing() -> None:
    take = "function (A[N], R) -> (Q) { Q[i : R] = +(A[i]); }"
    assert tilec.compile(take, A=(5,), constants={"R": np.int64(2)})(ramp(5)).shape == (2,)
    assert code(lambda: tilec.compile(take, A=(5,), R=3, constants={"R": 2})) == "TILE0502"
    assert code(lambda: tilec.compile(ADD, A=(2, 2.5), B=(2,))) == "TILE0505"
    assert code(lambda: tilec.compile(ADD, A="misspelt", B=(2,))) == "TILE0303"
    with pytest.raises(tilec.TileError, match="begins with 'function'"):
        tilec.run("C[i] = A[i];", {})


def test_a_number_beside_float64_keeps_its_digits() -> None:
    scale = "function (X[N], F) -> (Y) { Y = X * F; }"
    double, single = np.ones(2), np.ones(2, np.float32)
    assert tilec.run(scale, {"X": double, "F": 0.1})["Y"].tolist() == [0.1, 0.1]
    assert tilec.run(scale, {"X": single, "F": 0.1})["Y"].dtype == np.float32
    assert tilec.compile(scale, X=double, F=0.1)(double, 1 / 3)[0] == 1 / 3


def test_a_number_does_not_stand_for_a_tensor() -> None:
    from tilec.text.graph_text import parse_graph

    graph = parse_graph("graph f(X: weak f32[4], Z: f32[4]) -> (Y) { Y: f32[4] = add(X, Z) }")
    executable = tilec.compile(graph, "llvm")
    for _ in range(4):  # in Python first, then by a direct call
        assert code(lambda: executable(2.0, np.ones(4, np.float32))) == "TILE0503"
        assert executable(*[np.ones(4, np.float32)] * 2).tolist() == [2.0] * 4


def test_bfloat16_tensors_of_torch_are_read_without_a_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in for the library, which the tests do not depend on: NumPy cannot read its DLPack export of the type."""
    words = np.array([[0x3F80, 0x4000], [0xC040, 0x0000]], np.uint16).view(np.int16)

    class Tensor:
        dtype, requires_grad = "bfloat16", False

        def __dlpack__(self, **_: object) -> object:
            raise BufferError("Unsupported dtype in DLTensor.")

        def view(self, dtype: object) -> Array:
            assert dtype == "int16"
            return words

    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(Tensor=Tensor, bfloat16="bfloat16", int16="int16"))
    found = as_array("X", Tensor())
    assert found.astype(np.float32).tolist() == [[1, 2], [-3, 0]] and np.shares_memory(found, words)
    Tensor.requires_grad = True
    with pytest.raises(TileError, match="TILE0505"):
        as_array("X", Tensor())
