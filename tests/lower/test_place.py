"""Pass `place`: no two buffers that live together overlap, and memory is reused."""

from __future__ import annotations

import random
import time

import numpy as np
import pytest

from tilec.arena import Life, assign, largest_live_set
from tilec.dtypes import F32
from tilec.errors import TileError
from tilec.evaluate.graph import evaluate
from tilec.evaluate.loops import evaluate_program
from tilec.loops import Alloc, Buffer, Copy, Program, walk
from tilec.passes import bounds, fuse, infer, lower, place
from tilec.text.graph_text import parse_graph
from tilec.text.loops_text import parse_program


def test_random_lives() -> None:
    rng = random.Random(1)
    perfect = 0
    for _ in range(200):
        lives: list[Life] = []
        for n in range(rng.randint(1, 30)):
            first = rng.randint(0, 20)
            lives.append(Life(f"b{n}", rng.choice([0, 1, 64, 100, 1000]), first, first + rng.randint(0, 6)))
        places, arena = assign(lives, 64)
        for a in lives:
            assert places[a.name] % 64 == 0
            assert places[a.name] + a.size <= arena
            for b in lives:
                together = a.first <= b.last and b.first <= a.last
                if a is not b and together and a.size and b.size:
                    low, high = sorted(((places[a.name], a.size), (places[b.name], b.size)))
                    assert low[0] + low[1] <= high[0]
        peak = max(sum(-(-b.size // 64) * 64 for b in lives if b.first <= t <= b.last) for t in range(30))
        assert largest_live_set(lives, 64)[0] == peak
        assert arena <= 1.25 * peak
        perfect += -(-arena // 64) * 64 == peak
    assert perfect > 180


def test_a_long_chain_needs_two_buffers() -> None:
    lines = "".join(f"T{k + 1} = neg(T{k})\n" for k in range(50))
    graph = bounds.run(infer.run(parse_graph(f"graph f(T0: f32[100]) -> (T50) {{ {lines} }}")))
    program = place.run(lower.run(graph, fuse.trivial(graph)))
    assert program.arena <= 2 * 448
    x = np.arange(100, dtype=np.float32)
    np.testing.assert_array_equal(evaluate_program(program, {"T0": x})["T50"], x)


def test_memory_of_kernels_becomes_program_memory() -> None:
    text = """graph f(A: f16[6]) -> (R) {
      S: f16[3] = sum:f32 [i] { [i] <- cast.f32(A[2*i]) }
      R = neg(S)
    }"""
    graph = bounds.run(infer.run(parse_graph(text)))
    lowered = lower.run(graph, fuse.run(graph))
    assert any(isinstance(s, Alloc) for k in lowered.kernels for s in walk(k.body))
    program = place.run(lowered)
    assert not any(isinstance(s, Alloc) for k in program.kernels for s in walk(k.body))
    assert place.run(program) is program
    got = evaluate_program(program, {"A": np.arange(6, dtype=np.float16)})
    np.testing.assert_array_equal(got["R"], -np.array([0, 2, 4], np.float16))


def test_what_init_writes_is_kept() -> None:
    text = """graph f(A: f32[4]) -> (R) {
      L = literal f32[4] (1.0, 2.0, 3.0, 4.0)
      B = exp(A)  C = exp(B)  D = exp(C)  R = mul(D, L)
    }"""
    graph = bounds.run(infer.run(parse_graph(text)))
    program = place.run(lower.run(graph, fuse.trivial(graph)))
    at = dict(program.places)
    assert "L" not in at and {"B", "C", "D"} <= at.keys()
    x = np.linspace(0, 1, 4, dtype=np.float32) / 4
    np.testing.assert_array_equal(evaluate_program(program, {"A": x})["R"], evaluate(graph, {"A": x})["R"])


def test_views_keep_their_base_alive() -> None:
    text = """graph f(A: f32[4]) -> (R) {
      B = exp(A)  V = special reshape(B) {shape = (2, 2)}  C = exp(A)  D = exp(C)  E = exp(D)
      F = special reshape(E) {shape = (2, 2)}  R = mul(V, F)
    }"""
    graph = bounds.run(infer.run(parse_graph(text)))
    x = np.ones(4, np.float32) / 4
    program = place.run(lower.run(graph, fuse.trivial(graph)))
    want = evaluate_program(lower.run(graph, fuse.trivial(graph)), {"A": x})["R"]
    np.testing.assert_array_equal(evaluate_program(program, {"A": x})["R"], want)


def test_too_much_memory() -> None:
    huge = Buffer("H", F32, (1 << 62,))
    program = Program("p", ("A",), ("A",), (Buffer("A", F32, (1 << 62,), "param"), huge), (), (Copy("A", "H"),))
    with pytest.raises(TileError) as caught:
        place.run(program)
    assert caught.value.code == "TILE0414"


def test_views_of_views_keep_their_base_alive() -> None:
    text = """program p(A) -> (R) {
      buffer A: param f32[4]  buffer R: param f32[4]
      buffer B: heap f32[4]   buffer V: heap f32[2, 2] base B   buffer W: heap f32[4] base V
      buffer C: heap f32[4]
      run { copy A -> B  copy A -> C  copy C -> R  copy W -> R }
    }"""
    places = dict(place.run(parse_program(text)).places)
    assert places["B"] != places["C"]


def test_many_live_buffers() -> None:
    lives = [Life(f"b{n}", 64 * (n % 7 + 1), 0, 9) for n in range(3000)]
    start = time.perf_counter()
    _, arena = assign(lives, 64)
    assert time.perf_counter() - start < 2  # 0.15 s on an idle machine
    assert arena == sum(b.size for b in lives)
