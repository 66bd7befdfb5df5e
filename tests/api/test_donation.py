"""Donated arguments: a call overwrites them with results; what would go wrong is refused."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tilec
from tilec.donation import shared
from tilec.errors import TileError
from tilec.executable import Executable
from tilec.passes import infer
from tilec.text.graph_text import parse_graph

STEP = """function step(W[M, N], G[M, N], Rate) -> (W_new, S) {
  W_new = W - Rate * G;
  S[] = +(W[i, j] * W[i, j]);
}"""
TARGETS = ("reference", "llvm", "opencl")


def step(target: str = "llvm", **more: Any) -> Executable:
    try:
        return tilec.compile(STEP, target, donate={"W": "W_new"}, W=(8, 6), G=(8, 6), Rate=0.5, **more)
    except TileError as reason:
        if reason.code in ("TILE0508", "TILE0509"):
            pytest.skip(f"there is no {target} device")
        raise


def data(seed: int = 0) -> tuple[Any, Any]:
    rng = np.random.default_rng(seed)
    return rng.standard_normal((8, 6), np.float32), rng.standard_normal((8, 6), np.float32)


def refused(call: Any, code: str) -> str:
    with pytest.raises(TileError) as caught:
        call()
    assert caught.value.code == code
    return str(caught.value)


@pytest.mark.parametrize("target", TARGETS)
def test_the_array_itself_comes_back(target: str) -> None:
    run, (w, g) = step(target), data()
    old, address = w.copy(), w.ctypes.data
    for _ in range(3):
        new, s = run(w, g, 0.5)
        assert new is w and w.ctypes.data == address
        np.testing.assert_allclose(s, (old * old).sum(), rtol=1e-5)
        np.testing.assert_array_equal(w, old - np.float32(0.5) * g)
        old = w.copy()
    assert run.donated == {"W": "W_new"}


def test_nothing_is_copied_or_allocated_for_it() -> None:
    program = step().program
    assert program is not None and program.arena == 0
    assert [type(s).__name__ for s in program.steps] == ["Launch", "Launch"]
    assert program.results[0] == "W"


class Foreign:
    """An array of another library, in the memory of NumPy's."""

    def __init__(self, array: Any) -> None:
        self.array = array

    def __dlpack__(self, **how: Any) -> Any:
        return self.array.__dlpack__(**how)

    def __dlpack_device__(self) -> Any:
        return self.array.__dlpack_device__()


def test_an_argument_that_shares_memory_with_a_donated_one_is_refused() -> None:
    both: Any = np.zeros((12, 6), np.float32)
    run = step()
    both[:] = np.random.default_rng(1).standard_normal((12, 6))
    before = both.copy()
    w = both[:8]
    frozen = w.view()
    frozen.flags.writeable = False
    turned: Any = np.lib.stride_tricks.as_strided(w, (8, 6), (4, 32))  # another layout of the same memory
    others = [w, w.view(), frozen, both[4:], w[::-1], w[:, ::-1], turned, memoryview(w), Foreign(w[::-1])]
    for other in others:
        assert "shares memory with 'G'" in refused(lambda other=other: run(w, other, 0.5), "TILE0512")
    assert "'W'" in refused(lambda: run(frozen, w, 0.5), "TILE0512")
    np.testing.assert_array_equal(both, before)  # nothing ran
    run(w.copy(), w, 0.5)


def test_neighbours_share_no_memory() -> None:
    run, wide = step(), np.zeros((8, 12), np.float32)
    wide[:] = np.random.default_rng(2).standard_normal((8, 12))
    before = wide.copy()
    run(wide[:, ::2], wide[:, 1::2], 0.5)
    np.testing.assert_array_equal(wide[:, ::2], before[:, ::2] - np.float32(0.5) * before[:, 1::2])
    np.testing.assert_array_equal(wide[:, 1::2], before[:, 1::2])


def testshared_memory_is_found_as_by_comparing_all_pairs() -> None:
    """Views of one buffer, some of them backwards, with gaps or empty, at random."""
    rng = np.random.default_rng(4)
    buffer = np.zeros(60, np.float32)
    some = 0
    for _ in range(300):
        parts = [
            slice(a, a + n, int(rng.choice([1, 2, 3]))) for a, n in zip(rng.integers(0, 55, 4), rng.integers(0, 9, 4))
        ]
        memories = [buffer[part][:: int(rng.choice([1, -1]))] for part in parts]
        owners = {int(p): memories[p] for p in rng.permutation(4)[: rng.integers(1, 4)]}
        pairs = [(k, p) for k in range(4) for p in owners if k != p and np.shares_memory(memories[k], memories[p])]
        assert shared(owners, memories) == (pairs[0] if pairs else None)
        some += bool(pairs)
    assert 50 < some < 250


def test_compiled_python_functions_refuse_it_too() -> None:
    @tilec.jit(donate_argnames="state")
    def step(state: Any, x: Any) -> Any:
        return [s + x for s in state]

    a, b = np.ones(3), np.ones(3)
    new = step([a, b], np.full(3, 2.0))
    assert new[0] is a and new[1] is b and a.tolist() == [3.0] * 3  # what was passed holds the new value
    for state, x in (([a, a], b), ([a, b], a), ([a, b], b[::-1])):
        text = refused(lambda state=state, x=x: step(state, x), "TILE0512")
        assert "shares memory" in text and "'state_" in text
    assert a.tolist() == b.tolist() == [3.0] * 3


@pytest.mark.parametrize("layout", ["fortran", "strided", "reversed", "unaligned", "subclass"])
def test_layouts(layout: str) -> None:
    run, (w, g) = step(), data()
    old = w.copy()
    if layout == "unaligned":
        given = np.frombuffer(bytearray(w.nbytes + 1), np.uint8)[1:].view(np.float32).reshape(w.shape)
        given[:] = w
    else:
        wide = np.zeros((16, 12), np.float32)
        given = {
            "fortran": np.asfortranarray(w), "strided": wide[::2, ::2], "reversed": w.copy()[::-1, ::-1],
            "subclass": w.copy().view(np.matrix),
        }[layout]  # fmt: skip
        given[...] = w
    new, _ = run(given, g, 0.5)
    assert new is given
    np.testing.assert_array_equal(np.asarray(given), old - np.float32(0.5) * g)


def test_what_cannot_be_overwritten_is_refused_and_left_alone() -> None:
    run, (w, g) = step(), data()
    frozen = w.copy()
    frozen.flags.writeable = False
    assert "read-only" in refused(lambda: run(frozen, g, 0.5), "TILE0512")
    same = np.broadcast_to(np.float32(1), (8, 6))
    refused(lambda: run(same, g, 0.5), "TILE0512")
    loop = np.lib.stride_tricks.as_strided(np.zeros(20, np.float32), (8, 6), (4, 4))
    assert "overlaps itself" in refused(lambda: run(loop, g, 0.5), "TILE0512")
    buffer = memoryview(bytes(8 * 6 * 4)).cast("f", (8, 6))
    assert "memoryview" in refused(lambda: run(buffer, g, 0.5), "TILE0512")
    old = w.copy()
    refused(lambda: run(w, g[:3], 0.5), "TILE0504")
    refused(lambda: run(w, g, "x"), "TILE0505")
    np.testing.assert_array_equal(w, old)


def test_two_donated_arrays_must_not_share_memory() -> None:
    swap = tilec.compile(
        "function (A[N], B[N]) -> (C, D) { C = B; D = A; }", "llvm", donate={"A": "C", "B": "D"}, A=(4,), B=(4,)
    )
    x, y = np.arange(4, dtype=np.float32), np.arange(4, dtype=np.float32) + 10
    c, d = swap(x, y)
    assert c is x and d is y and x.tolist() == [10, 11, 12, 13] and y.tolist() == [0, 1, 2, 3]
    assert "'A'" in refused(lambda: swap(x, x), "TILE0512")
    both = np.zeros(6, np.float32)
    refused(lambda: swap(both[:4], both[2:]), "TILE0512")


def test_out() -> None:
    run, (w, g) = step(), data()
    s = np.zeros((), np.float32)
    new, sum_ = run(w, g, 0.5, out={"S": s})
    assert new is w and sum_ is s
    new, sum_ = run(w, g, 0.5, out=[w, s])
    assert new is w and sum_ is s
    refused(lambda: run(w, g, 0.5, out=[np.zeros((8, 6), np.float32), s]), "TILE0506")
    refused(lambda: run(w, g, 0.5, out=[s]), "TILE0506")
    refused(lambda: run(w, g, 0.5, out={"T": s}), "TILE0506")
    assert "'W'" in refused(lambda: run(w, g, 0.5, out={"S": w[0, 0:1].reshape(())}), "TILE0507")


def test_numbers_are_donated_too() -> None:
    count = tilec.compile("function (T) -> (U) { U = T + 1; }", "llvm", donate={"T": "U"}, T=3)
    assert count(4) == 5 and count(5) == 6


def test_declarations_that_do_not_fit() -> None:
    def compile(**donate: str) -> Any:
        return lambda: tilec.compile(STEP, "llvm", donate=donate, W=(8, 6), G=(8, 6), Rate=0.5)

    assert "no argument 'X'" in refused(compile(X="W_new"), "TILE0512")
    assert "no result 'X'" in refused(compile(W="X"), "TILE0512")
    assert "types differ" in refused(compile(W="S"), "TILE0512")
    assert "two arguments" in refused(compile(W="W_new", G="W_new"), "TILE0512")
    refused(lambda: step(constants={"W": data()[0]}), "TILE0502")
    with pytest.raises(TileError) as caught:
        tilec.compile(STEP, donate=["W"], W=(8, 6), G=(8, 6), Rate=0.5)  # type: ignore[arg-type]
    assert caught.value.code == "TILE0511"


def test_a_saved_executable_and_a_kept_one_donate_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    step().save(tmp_path / "step.tilex")
    w, g = data()
    old = w.copy()
    loaded = tilec.load(tmp_path / "step.tilex")
    assert loaded.donated == {"W": "W_new"} and loaded(w, g, 0.5)[0] is w
    np.testing.assert_array_equal(w, old - np.float32(0.5) * g)
    monkeypatch.setenv("TILEC_CACHE", "1")
    monkeypatch.setenv("TILEC_CACHE_DIR", str(tmp_path / "cache"))
    plain = tilec.compile(STEP, "llvm", W=(8, 6), G=(8, 6), Rate=0.5)
    assert plain.donated == {} and plain(w, g, 0.5)[0] is not w
    for _ in range(2):
        assert step()(w, g, 0.5)[0] is w


def test_threads_with_arrays_of_their_own() -> None:
    run, wrong = step(), []

    def work(seed: int) -> None:
        w, g = data(seed)
        want = w.copy()
        for _ in range(200):
            want = want - np.float32(0.5) * g
            run(w, g, 0.5)
        if not np.array_equal(w, want):
            wrong.append(seed)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@pytest.mark.parametrize("target", ["llvm", "reference"])
@pytest.mark.parametrize("tested", ["V", "G", "W"])
def test_a_failed_assertion_leaves_the_state_as_it_was(target: str, tested: str) -> None:
    graph = parse_graph(f"""graph f(W: f64[3], G: f64[3]) -> (V) aliases (W = V) {{
      V: f64[3] = sub(W, G)
      limit: f64 = literal (5.0)
      p: bool[3] = cmp_lt({tested}, limit)
      () = special assert(p) {{message = "too large"}}
    }}""")
    step = tilec.compile(graph, target)
    for failing in ({"V": -8.0, "G": 6.0, "W": 5.0}[tested], 0.0):
        w = np.array([1.0, failing if tested == "W" else 1.0, 1.0])
        g = np.array([0.0, 0.0 if tested == "W" else failing, 0.0])
        before = w.copy()
        if failing:
            with pytest.raises(tilec.TileError, match="TILE0405"):
                step(w, g)
            assert w.tolist() == before.tolist()
        else:
            assert step(w, g) is w and w.tolist() == (before - g).tolist()


def test_donations_of_a_graph_stay_beside_those_that_are_asked_for() -> None:
    text = "graph f(A: f32[3], B: f32[3]) -> (C, D) aliases (A = C) { C = add(A, B) D = sub(A, B) }"
    graph = infer.run(parse_graph(text))
    assert tilec.compile(graph, "llvm").donated == {"A": "C"}
    run = tilec.compile(graph, "llvm", donate={"B": "D"})
    assert run.donated == {"A": "C", "B": "D"}
    a, b = np.full(3, 5, np.float32), np.full(3, 2, np.float32)
    run(a, b)
    assert (a.tolist(), b.tolist()) == ([7] * 3, [3] * 3)
    assert tilec.compile(graph, "llvm", donate={"A": "D"}).donated == {"A": "D"}
    refused(lambda: tilec.compile(graph, "llvm", donate={"B": "C"}), "TILE0512")
    said = refused(lambda: tilec.compile(graph, "llvm", constants={"A": a}), "TILE0512")
    assert "'A' cannot be donated to 'C': its value is compiled in" in said


@pytest.mark.parametrize("target", TARGETS)
def test_a_result_that_is_named_twice(target: str) -> None:
    graph = infer.run(parse_graph("graph f(A: f32[3], B: f32[3]) -> (C, C, A) { C = add(A, B) }"))
    assert "the result 'C' twice" in refused(lambda: tilec.compile(graph, target), "TILE0602")
