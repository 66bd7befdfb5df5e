"""The arena is at most 1.1 times the largest live set: of the examples, and of gradients of networks."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import tilec
from tests.generators.texts import ATTENTION
from tilec import api
from tilec.cli.main import call
from tilec.errors import TileError
from tilec.frontends.tile.elaborate import elaborate
from tilec.graph import Graph
from tilec.loops import Program
from tilec.measure.memory import Memory, memory
from tilec.options import Options
from tilec.passes import differentiate
from tilec.pipeline import lower_graph, optimise
from tilec.target import Target
from tilec.text.loops_text import parse_program
from tilec.type_graph import infer_graph

EXAMPLES = Path(__file__).parents[2] / "examples"
CPU = Target("llvm", "host", vector_bytes=32, threads=2)

CALLS: dict[tuple[str, str], dict[str, object]] = {
    ("blur", "blur"): {"Image": (64, 64, 3), "Weights": (5,)},
    ("conv2d", "conv2d"): {"I": (2, 16, 16, 8), "K": (3, 3, 8, 16)},
    ("conv2d", "conv2d_stride2"): {"I": (2, 16, 16, 8), "K": (3, 3, 8, 16)},
    ("conv2d", "depthwise"): {"I": (2, 16, 16, 8), "K": (3, 3, 8)},
    ("digits_knn", "digits_knn"): {"TrainX": (200, 64), "TrainY": "i32[200]", "TestX": (50, 64), "TestY": "i32[50]"},
    ("heat", "heat"): {"U": (64, 64), "R": 0.1},
    ("kmeans", "kmeans"): {"X": (200, 8), "Centre": (5, 8)},
    ("life", "life"): {"Board": "i32[32, 32]"},
    ("matmul", "matmul"): {"A": (64, 32), "B": (32, 48)},
    ("matmul", "dense"): {"X": (64, 32), "W": (32, 48), "B": (48,)},
    ("maxpool", "maxpool"): {"I": (2, 16, 16, 8)},
    ("softmax", "softmax"): {"X": (100, 50)},
}

MLP = """function loss(X[B, D], T[B, K], W1[D, H], B1[H], W2[H, H], B2[H], W3[H, K], B3[K]) -> (L) {
  Z1[b, h : B, H] = +(X[b, d] * W1[d, h]);   A1 = tanh(Z1 + B1);
  Z2[b, h : B, H] = +(A1[b, g] * W2[g, h]);  A2 = tanh(Z2 + B2);
  Z3[b, k : B, K] = +(A2[b, h] * W3[h, k]);  S = Z3 + B3;
  M[b : B] = >(S[b, k]);
  E[b : B] = +(exp(S[b, k] - M[b]));
  L[] = +((log(E[b]) + M[b] - S[b, k]) * T[b, k]);
}"""
CONVNET = """function loss(I[N, H, W, C], K1[3, 3, C, D], K2[3, 3, D, F], V[P, R], T[N, R]) -> (L) {
  C1[n, y, x, d : N, H, W, D] = +(I[n, y + j - 1, x + i - 1, c] * K1[j, i, c, d]);   A1 = relu(C1);
  P1[n, y, x, d : N, H / 2, W / 2, D] = >(A1[n, 2*y + j, 2*x + i, d]), j < 2, i < 2;
  C2[n, y, x, d : N, H / 2, W / 2, F] = +(P1[n, y + j - 1, x + i - 1, c] * K2[j, i, c, d]);  A2 = relu(C2);
  Q[n, d : N, F] = +(A2[n, y, x, d]);
  S[n, r : N, R] = +(Q[n, p] * V[p, r]);
  G = S - T;  L[] = +(G[n, r] * G[n, r]);
}"""
NETWORKS = {
    "mlp": (MLP, {"X": (128, 64), "T": (128, 10), "W1": (64, 256), "B1": (256,), "W2": (256, 256), "B2": (256,),
                  "W3": (256, 10), "B3": (10,)}, ["W1", "B1", "W2", "B2", "W3", "B3"]),
    "convnet": (CONVNET, {"I": (16, 16, 16, 3), "K1": (3, 3, 3, 8), "K2": (3, 3, 8, 16), "V": (16, 10), "T": (16, 10)},
                ["K1", "K2", "V"]),
}  # fmt: skip


def graph_of(text: str, shapes: Mapping[str, object], function: str | None = None) -> Graph:
    signature = {n: api.signature_entry(n, s) for n, s in shapes.items()}
    return infer_graph(elaborate(tilec.parse(text), function, signature).graph)


def gradient_of(name: str) -> Graph:
    """The value and gradients of a network's loss; the gradients by their weights' names."""
    text, shapes, weights = NETWORKS[name]
    return differentiate.value_and_gradient(graph_of(text, shapes), weights)


def planned(graph: Graph, options: Options = Options()) -> tuple[Program, Memory]:
    program = lower_graph(optimise(graph), CPU, options)
    return program, memory(program)


@pytest.mark.parametrize("call", CALLS, ids="-".join)
def test_examples(call: tuple[str, str]) -> None:
    file, function = call
    _, found = planned(graph_of((EXAMPLES / f"{file}.tile").read_text(), CALLS[call], function))
    assert found.live <= found.arena <= 1.1 * found.live
    assert found.peak == found.arena


def test_every_example_is_there() -> None:
    files = {p.stem for p in EXAMPLES.glob("*.tile") if "import" not in p.read_text()}
    assert files >= {f for f, _ in CALLS}


@pytest.mark.parametrize("options", [Options(), Options(schedule=False), Options(fuse=False)], ids=str)
@pytest.mark.parametrize("name", NETWORKS)
def test_gradients(name: str, options: Options) -> None:
    _, found = planned(gradient_of(name), options)
    assert 0 < found.live <= found.arena <= 1.1 * found.live


def test_the_figures_are_right() -> None:
    program = parse_program("""program p(A, W) -> (R) {
      buffer A: param f32[100]  buffer W: param f32[10]  buffer R: param f32[100]  buffer K: heap f32[10]
      buffer B: heap f32[100]  buffer C: heap f32[7]  buffer D: heap f32[50]
      arena 512  place B 0  place C 448  place D 0  constant W "1"
      kernel n(in X: f32[10], out Y: f32[10]) { for i in 10 { Y[i] = neg(X[i]) } }
      kernel b(in A: f32[100], out B: f32[100]) { for i in 100 { B[i] = A[i] } }
      kernel c(in B: f32[100], out C: f32[7]) { for i in 7 { C[i] = B[i] } }
      kernel d(in C: f32[7], in K: f32[10], out D: f32[50]) { for i in 50 { D[i] = add(C[0], K[0]) } }
      kernel r(in D: f32[50], out R: f32[100]) { for i in 50 { R[i] = D[i] R[i + 50] = D[i] } }
      init { launch n(W, K) }
      run { launch b(A, B) launch c(B, C) launch d(C, K, D) launch r(D, R) }
    }""")
    found = memory(program)
    assert (found.live, found.step, found.steps) == (448 + 64, 2, 4)
    assert (found.peak, found.arena, found.ratio) == (512, 512, 1.0)
    assert (found.kept, found.constants, found.arguments, found.results) == (64, 40, 400, 400)
    assert [(b.name, b.bytes, b.first, b.last, b.maker) for b in found.buffers] == [
        ("B", 448, 1, 2, "b"), ("D", 256, 3, 4, "d"), ("C", 64, 2, 3, "c")
    ]  # fmt: skip


def test_of_an_executable_and_on_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    path = str(EXAMPLES / "kmeans.tile")
    found = tilec.compile(Path(path), "llvm", X=(200, 8), Centre=(5, 8)).memory
    assert found.arena >= found.live > 0 and all(b.line.startswith(path) for b in found.buffers)
    assert call(["memory", path, "--shape", "X=200,8", "--shape", "Centre=5,8"]) == 0
    shown = capsys.readouterr().out
    assert shown == f"{found}\n" and "largest live set" in shown and "planner's peak" in shown and "arena" in shown
    assert call(["memory", path, "--shape", "X=200,8", "--shape", "Centre=5,8", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == found.as_value()
    assert call(["memory", path]) == 1
    with pytest.raises(TileError) as caught:
        _ = tilec.compile(Path(path), "reference", X=(200, 8), Centre=(5, 8)).memory
    assert caught.value.code == "TILE0508"


# open sizes ----------------------------------------------------------------------------------------------------------



def attention(*shape: int | str) -> tilec.Executable:
    return tilec.compile(ATTENTION, "llvm", Q=shape, K=shape, V=shape)


@pytest.mark.parametrize(("n", "t"), [(0, 0), (0, 5), (1, 1), (1, 64), (3, 17), (64, 100)])
def test_figures_are_those_of_the_call(n: int, t: int) -> None:
    executable = attention("N", "T", 8)
    found = executable.memory_for(T=t, N=n)
    taken = executable.built._plans.at({"N": n, "T": t}).bytes  # type: ignore[attr-defined]
    assert found.arena == found.peak == -(-taken // 64) * 64
    assert found.live <= found.arena <= 1.1 * found.live
    assert found.arguments == 3 * n * t * 8 * 4 and found.results == n * t * 8 * 4
    assert found.live >= n * t * t * 4
    assert {b.type.partition("[")[0] for b in found.buffers} == {"f32"} and all(b.line for b in found.buffers)
    for b in found.buffers:
        for other in found.buffers:
            if b is not other and b.first <= other.last and other.first <= b.last:
                assert b.offset + b.bytes <= other.offset or other.offset + other.bytes <= b.offset


def test_known_sizes_need_no_name() -> None:
    executable = attention(2, 3, 8)
    assert executable.memory_for() == executable.memory


MISTAKES: list[tuple[dict[str, Any], str, str]] = [
    ({}, "TILE0210", "depends on N, T"),
    ({"N": 3}, "TILE0210", "depends on T"),
    ({"N": 3, "T": 4, "M": 5}, "TILE0502", "no open size 'M'"),
    ({"N": 3, "T": -4}, "TILE0211", "the size T is -4"),
    ({"N": 3, "T": 4.0}, "TILE0505", "the size T is a number, not 4.0"),
    ({"N": 3, "T": True}, "TILE0505", "the size T is a number, not True"),
    ({"N": 1 << 40, "T": 1 << 40}, "TILE0414", "bytes of memory"),
]


@pytest.mark.parametrize(("sizes", "code", "text"), MISTAKES)
def test_sizes_that_say_too_little_or_too_much(sizes: dict[str, Any], code: str, text: str) -> None:
    with pytest.raises(TileError, match=text) as caught:
        attention("N", "T", 8).memory_for(**sizes)
    assert caught.value.code == code


def test_an_axis_that_becomes_negative() -> None:
    code = "function f(X[N]) -> (O) { A[i : N - 5] = =(1.0); P[] = +(X[i]); O = A + P; }"
    with pytest.raises(TileError, match="is -2 where N = 3") as caught:
        tilec.compile(code, "llvm", X=("N",)).memory_for(N=3)
    assert caught.value.code == "TILE0211"


def test_open_sizes_on_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    path = str(EXAMPLES / "softmax.tile")
    shape = ["memory", path, "--shape", "X=N,50"]
    wanted = tilec.compile(Path(path), "llvm", X=("N", 50)).memory_for(N=100)
    assert call([*shape, "--size", "N=100"]) == 0
    assert capsys.readouterr().out == f"{wanted}\n"
    assert call([*shape, "--size", "N=100", "--memory-limit", "4000"]) == 0
    capsys.readouterr()
    for wrong, code in [
        ([], "TILE0210"),
        (["--size", "M=3"], "TILE0502"),
        (["--size", "N=x"], "TILE0704"),
        (["--size", "N=-1"], "TILE0704"),
        (["--size", "N=1", "--size", "N=2"], "TILE0704"),
        (["--size", "N=99999999999999999999"], "TILE0704"),
        (["--size", "N=9223372036854775807"], "TILE0414"),
        (["--size", "N=100", "--memory-limit", "300"], "TILE0419"),
        (["--size", "N=100", "--memory-limit", "-3"], "TILE0511"),
        (["--size", "N=100", "--remat", "auto"], "TILE0511"),
        (["--size", "N=100", "--remat", "auto", "--memory-limit", "300"], "TILE0210"),
    ]:
        assert call([*shape, *wrong]) == (2 if code == "TILE0704" else 1), wrong
        assert f"error[{code}]" in capsys.readouterr().err, wrong
