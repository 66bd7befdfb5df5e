"""Whole-tensor builtins: types, meanings, errors."""

from __future__ import annotations

import numpy as np
import pytest

from tests.graph.programs import graph, run, whole
from tilec.dtypes import F32, I32, U32
from tilec.errors import TileError
from tilec.evaluate.graph import evaluate
from tilec.graph import Graph, Let, Param, Special, TensorType
from tilec.mathlib.threefry import threefry
from tilec.specials import special_type


def code(params: str, body: str) -> str:
    with pytest.raises(TileError) as caught:
        graph(params, "O", body)
    return caught.value.code


def test_reshape() -> None:
    a = whole(4, 6)
    o = run("A: f32[4, 6]", "O = special reshape(A) {shape = (3, 8)}", A=a)
    np.testing.assert_array_equal(o, a.reshape(3, 8))
    assert code("A: f32[4, 6]", "O = special reshape(A) {shape = (5, 5)}") == "TILE0209"


def test_gather_clamps() -> None:
    a, i = whole(4, 3), np.array([[0, 3], [-5, 9]], np.int32)
    o = run("A: f32[4, 3], I: i32[2, 2]", "O = special gather(A, I)", A=a, I=i)
    np.testing.assert_array_equal(o, a[[[0, 3], [0, 3]]])
    big = np.array([2**64 - 1, 1], np.uint64)
    np.testing.assert_array_equal(run("A: f32[4, 3], I: u64[2]", "O = special gather(A, I)", A=a, I=big), a[[3, 1]])
    assert code("A: f32[4], I: f32[2]", "O = special gather(A, I)") == "TILE0304"
    assert code("A: f32, I: i32[2]", "O = special gather(A, I)") == "TILE0202"


def test_scatter_sums_and_drops() -> None:
    u, i = whole(5, 3), np.array([1, 1, -1, 4, 0], np.int32)
    o = run("U: f32[5, 3], I: i32[5], L: f32[4, 3]", "O = special scatter(U, I, L)", U=u, I=i, L=whole(4, 3))
    np.testing.assert_array_equal(o, [u[4], u[0] + u[1], [0] * 3, [0] * 3])
    assert code("U: f32[5, 2], I: i32[5], L: f32[4, 3]", "O = special scatter(U, I, L)") == "TILE0202"


def test_sort_is_stable_with_nan_last() -> None:
    a = np.array([[3, np.nan, 1, 3, -np.inf], [0.0, -0.0, 2, 2, 1]], np.float32)
    g = graph("A: f32[2, 5]", "V, O", "V, O = special sort(A) {axis = 1}")
    r = evaluate(g, {"A": a})
    assert r["O"].tolist() == [[4, 2, 0, 3, 1], [0, 1, 4, 2, 3]]
    assert r["V"][0, :4].tolist() == [-np.inf, 1, 3, 3] and np.isnan(r["V"][0, 4])
    assert code("A: f32[2]", "O, P = special sort(A) {axis = 1}") == "TILE0212"


def taus88(s1: int, s2: int, s3: int) -> tuple[int, int, int]:
    """One step of one generator in Python integers."""
    mask = 0xFFFFFFFF
    s1 = ((s1 & 0xFFFFFFFE) << 12 & mask) ^ (((s1 << 13 & mask) ^ s1) >> 19)
    s2 = ((s2 & 0xFFFFFFF8) << 4 & mask) ^ (((s2 << 2 & mask) ^ s2) >> 25)
    s3 = ((s3 & 0xFFFFFFF0) << 17 & mask) ^ (((s3 << 3 & mask) ^ s3) >> 11)
    return s1, s2, s3


def test_prng_step() -> None:
    state = np.random.default_rng(0).integers(16, 2**32, (3, 5), dtype=np.uint32)
    g = graph("S: u32[3, 5]", "T, V", "T, V = special prng_step(S) {shape = (3, 4)}")
    r = evaluate(g, {"S": state})
    rows = [tuple(int(x) for x in state[:, n]) for n in range(5)]
    values = []
    for element in range(12):
        rows[element % 5] = taus88(*rows[element % 5])
        a, b, c = rows[element % 5]
        values.append(((a ^ b ^ c) >> 8) / 2**24)
    np.testing.assert_array_equal(r["V"].reshape(-1), np.array(values, np.float32))
    np.testing.assert_array_equal(r["T"], np.array(rows, np.uint32).T)
    assert code("S: i32[3, 5]", "T, O = special prng_step(S) {shape = (3, 4)}") == "TILE0301"


KNOWN = [  # the published answers of Random123 for threefry2x32_20: key, counter, block; low words first
    ((0, 0), (0, 0), (0x6B200159, 0x99BA4EFE)),
    ((0xFFFFFFFF, 0xFFFFFFFF), (0xFFFFFFFF, 0xFFFFFFFF), (0x1CB996FC, 0xBB002BE7)),
    ((0x13198A2E, 0x03707344), (0x243F6A88, 0x85A308D3), (0xC4923A9C, 0x483DF7A0)),
]


@pytest.mark.parametrize("key, counter, block", KNOWN)
def test_threefry_known_answers(key: tuple[int, int], counter: tuple[int, int], block: tuple[int, int]) -> None:
    k, c, wanted = (low | high << 32 for low, high in (key, counter, block))
    assert int(threefry(np.array(k, np.uint64), np.array(c, np.uint64))) == wanted
    words = np.array(key, np.uint32)
    for op, dtype in (("random_bits", np.uint32), ("random_bits64", np.uint64)):
        o = run("K: u32[2], o: u64", f"O = special {op}(K, o) {{shape = (1)}}", K=words, o=np.uint64(c))
        np.testing.assert_array_equal(o, np.array([wanted]).astype(dtype), strict=True)


def test_a_stream_of_random_bits_can_be_cut_anywhere() -> None:
    key = np.array([7, 9], np.uint32)
    whole = run("K: u32[2], o: i32", "O = special random_bits(K, o) {shape = (40)}", K=key, o=np.int32(-5))
    part = run("K: u32[2], o: u8", "O = special random_bits(K, o) {shape = (3, 5)}", K=key, o=np.uint8(11))
    np.testing.assert_array_equal(part.reshape(-1), whole[16:31])
    assert len(set(whole.tolist())) == 40


def test_assert() -> None:
    check = Let((), Special("assert", ("C",), (("message", "C holds"),)))
    g = Graph("f", (Param("C", TensorType(I32, (2,))),), (check,), ())
    assert evaluate(g, {"C": np.array([1, 2], np.int32)}) == {}
    with pytest.raises(TileError, match="C holds") as caught:
        evaluate(g, {"C": np.array([1, 0], np.int32)})
    assert caught.value.code == "TILE0405"


def test_host_call() -> None:
    call = 'O = special host_call(A) {{function = "{}", types = ((f32, {}),)}}'
    a = np.array([[3, 4], [0, 0]], np.float32)
    found = evaluate(graph("A: f32[2, 2]", "O", call.format("singular_values", 2)), {"A": a})["O"]
    np.testing.assert_allclose(found, [5, 0], atol=1e-6)
    for function, size, code in (("twice", 2, "TILE0105"), ("singular_values", 3, "TILE0602")):
        with pytest.raises(TileError) as caught:
            evaluate(graph("A: f32[2, 2]", "O", call.format(function, size)), {"A": a})
        assert caught.value.code == code
    with pytest.raises(TileError) as caught:
        evaluate(graph("A: f32[N, 2]", "O", call.format("singular_values", 2)), {"A": a})
    assert caught.value.code == "TILE0210"


def test_a_host_function_that_fails_is_an_error_of_the_program() -> None:
    g = graph("A: f64[2, 2]", "O", 'O = special host_call(A) {function = "inv", types = ((f64, 2, 2),)}')
    with pytest.raises(TileError, match="singular matrix") as caught:
        evaluate(g, {"A": np.ones((2, 2))})
    assert caught.value.code == "TILE0420"


def test_wrong_attributes_and_arity() -> None:
    x = TensorType(F32, (2,))
    for node, types, wanted in [
        (Special("nonsense", ()), [], "TILE0105"),
        (Special("reshape", ("A", "B"), (("shape", (2,)),)), [x, x], "TILE0106"),
        (Special("reshape", ("A",)), [x], "TILE0602"),
        (Special("reshape", ("A",), (("shape", (-2,)),)), [x], "TILE0211"),
        (Special("random_bits", ("A", "B"), (("shape", (2,)),)), [TensorType(U32, (3,)), TensorType(I32)], "TILE0301"),
        (Special("random_bits", ("A", "B"), (("shape", (2,)),)), [TensorType(U32, (2,)), x], "TILE0301"),
        (Special("random_bits", ("A", "B"), (("shape", (2,)),)), [TensorType(U32, (2,)), TensorType(F32)], "TILE0301"),
    ]:
        with pytest.raises(TileError) as caught:
            special_type(node, types)
        assert caught.value.code == wanted
