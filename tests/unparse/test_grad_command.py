"""`tilec grad` of every program of the examples and of the conformance data: what it prints runs, and is the gradient.

Each function is printed twice: with all shapes given, and with sizes that stay open, where only the shapes of inputs
are given whose header has none. What is refused is listed here, with the reason.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tilec
from tests.language.test_conformance import ROWS, make_input
from tests.unparse.test_unparse import made_up
from tilec import api
from tilec.affine import Poly, resolve
from tilec.cli.declared import named_types
from tilec.cli.main import call
from tilec.errors import TileError
from tilec.frontends.tile.elaborate import function_table
from tilec.frontends.tile.names import choose

EXAMPLES = Path(__file__).parents[2] / "examples"
FUNCTIONS = [
    (path, function.name.text)
    for path in sorted(EXAMPLES.rglob("*.tile"))
    for function in api.parse_file(path).functions
    if function.name is not None
]
WITH_INPUTS = [row for row in ROWS if row["inputs"] is not None]
OPEN_REFUSED = {
    "kb.421.TimeExpand": "TILE0213",  # the default's shape is given, that of the result is open
    # reshape(K, LK0, LK1, G, GCO, (CI/G)): as many elements only where CI is G
    "kb.222.Convolution": "TILE0209",
    "kb.224.Convolution": "TILE0209",
    "kb.226.Convolution": "TILE0209",
    "kb.227.Convolution": "TILE0209",
    "kb.493.Convolution": "TILE0209",
}


def example_inputs(path: Path, function: str, longer: int = 0) -> dict[str, Any]:
    """Inputs of any sizes that fit one another, of bare inputs too, where it is seen how many axes they have."""
    program = api.parse_file(path)
    chosen = choose(program, function)
    inputs = made_up(chosen, longer)
    bare = {n: t for n, t in named_types(chosen, {}, function_table(program)).items() if np.shape(inputs[n]) == ()}
    rng = np.random.default_rng(4)
    for name, type_ in bare.items():
        lengths = {n: 3 + longer + len(n) for size in type_.shape if isinstance(size, Poly) for n in size.names()}
        shape = [int(resolve(size, lengths)) for size in type_.shape]
        inputs[name] = rng.standard_normal(shape).astype(np.float32)
    return inputs


def is_float(value: Any) -> bool:
    array = np.asarray(value)
    return array.dtype.kind == "f" or array.dtype.name == "bfloat16"


def shape_of(name: str, value: Any) -> list[str]:
    """The option that gives an input's type."""
    if isinstance(value, int | float):
        return ["--shape", f"{name}={value}"]
    sizes = ",".join(map(str, np.shape(value)))
    return ["--shape", f"{name}={value.dtype.name}[{sizes}]"]


def assert_gradients(
    path: Path, function: str | None, inputs: Mapping[str, Any], shapes: list[str], capsys: pytest.CaptureFixture[str]
) -> str:
    """Prints the gradient of every float result, runs it and compares; returns the code of a refusal, or nothing."""
    program = path.read_text(encoding="utf-8")
    wrt = [name for name, value in inputs.items() if is_float(value)]
    results = tilec.run(program, inputs, function=function, target="reference")
    for of in (name for name, value in results.items() if wrt and is_float(value)):
        named = [option for name in wrt for option in ("--wrt", name)]
        chosen = ["-f", function] if function else []
        code = call(["grad", str(path), *chosen, *named, "--of", of, *shapes])
        text, complaint = capsys.readouterr()
        if code:
            found = re.search(r"error\[(\w+)\]", complaint)
            assert found and "--shape" in complaint, complaint
            return found[1]
        main = re.findall(r"^function (\w+)", text, re.MULTILINE)[-1]
        printed = tilec.run(text, inputs, function=main, target="reference")
        wanted = tilec.grad(program, wrt, function=function, of=of, target="reference")(**inputs)
        for name, expected in zip(wrt, wanted, strict=True):
            value = printed[f"{name}_grad"]
            assert np.shape(value) == np.shape(expected), text
            pair = np.asarray(value, np.float64), np.asarray(expected, np.float64)
            np.testing.assert_allclose(*pair, rtol=1e-4, atol=1e-5, err_msg=text)
    return ""


@pytest.mark.parametrize("path, function", FUNCTIONS, ids=[f"{p.stem}.{f}" for p, f in FUNCTIONS])
@pytest.mark.parametrize("longer", [0, 3])
def test_examples(path: Path, function: str, longer: int, capsys: pytest.CaptureFixture[str]) -> None:
    """No shape is given: the text is for all sizes."""
    assert assert_gradients(path, function, example_inputs(path, function, longer), [], capsys) == ""


@pytest.mark.skipif(not ROWS, reason="needs ../shared/conformance, which is not part of the project")
@pytest.mark.parametrize("sizes", ["open", "given"])
@pytest.mark.parametrize("row", WITH_INPUTS, ids=[r["id"] for r in WITH_INPUTS])
def test_conformance(row: dict[str, Any], sizes: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "program.tile"
    path.write_text(row["code"], encoding="utf-8")
    inputs = {spec["name"]: make_input(spec) for spec in row["inputs"]} | row["consts"]
    try:
        header = choose(api.parse_file(path), None).inputs
        tilec.run(path, inputs, target="reference")
    except TileError:
        pytest.skip("the program is in error")
    shapeless = {i.name.text for i in header if i.dims is None and i.name.text not in row["consts"]}
    given = [o for n, v in inputs.items() if sizes == "given" or n in shapeless for o in shape_of(n, v)]
    refused = OPEN_REFUSED.get(row["id"], "") if sizes == "open" else ""
    assert assert_gradients(path, None, inputs, given, capsys) == refused


OPEN = """
function embed(W[V, D], Ids[L]: i32) -> (O) { O[i, j] = +(W[Ids[i], j]); }
function rows(W[V, D], Ids[L]: i32) -> (O) { O = gather(W, Ids); }
function put(U[L, D], Ids[L]: i32, Like[V, D]) -> (O) { O = scatter(U, Ids, Like); }
function blur(A[N]) -> (O) { O[i : N] = +(A[clamp(i + k - 1)]), k < 3; }
function around(A[N]) -> (O) { O[i : N] = +(A[wrap(i + k - 1)] * k), k < 3; }
function mirror(A[N]) -> (O) { O[i : N] = +(A[reflect(i + k - 1)] * k), k < 3; }
function filled(A[N]) -> (O) { O[i : N] = +(A[pad(i + k - 1, 7)] * A[i]), k < 3; }

function step(H[N], X[N], W[N, N]) -> (Next, Y) { A[i] = +(W[i, j] * H[j]); Next = tanh(A + X); Y = 2.0 * Next; }
function rnn(Xs[T, N], W[N, N]) -> (H, Ys) { Start[n : N] = 0.0; (H, Ys) = scan(step, Start, Xs, W); }

function pool(X[N]) -> (Y) { P[i : (N + 1) / 2] >= X[2*i + j], j < 2; Y = 2.0 * P * P; }
function squares(X[N]) -> (Y) { Y[i : (N + 1) / 2] = X[i] * X[i]; }
function plus_mean(S[M], X[N]) -> (R) { T = pool(X); Q[] += T[i] * S[0]; R = S + Q / N; }
function again(X[N]) -> (Y) { S[i : 3] = 1.0; Y = fold(plus_mean, S, (), X, 4); }
function either(X[N], P[]) -> (Y) { Y = cond(P > 0.0, pool, squares, X); }

/// A step that has to be given a size: no axis of what it sees has it.
function cut(H[M], N) -> (R) { R[i : M] = H[i + N / 2] * H[i]; }
function cuts(X[N]) -> (Y) { S[i : N + 1] = X[i]; Y = fold(cut, S, (), N, 2); }

function far(X, A) -> (Go) { Go = abs(X * X - A) > 1e-5 * A; }
function newton(X, A) -> (Next) { Next = 0.5 * (X + A / X); }
function root(A[]) -> (X) { X = while(far, newton, 1.0, A); }
function large(X[N]) -> (Go) { S[] = +(X[i] * X[i]); Go = S > 1.0; }
function shrunk(X[N]) -> (Y) { Y[i : N] = 0.5 * X[i] * (i + 1) / N; }
function shrinks(X[N]) -> (Y) { Y = while(large, shrunk, X); }

function held(X[N], R[]) -> (Z) { B = assert_positive(R > 0.0); Z = X * X * R; }
function same(X[N], Y[M]) -> (Z) { A = assert_same_length(N == M); Z = X * X; }
function fraction(X[N]) -> (Z) { Z[i : N] = X[(i + N - 1) / 2] * X[i]; }
function value(X[N]) -> (Z) { Z[i : N] = X[i] * (N / 2 + i) * max(N - 3, 1) % 5; }
function first_of_many(X[M, N], Y[N]) -> (Z) { Z[i : M] >= X[i, i + j - k] * Y[j], k < 3; }
function sorted(X[M, N], W[N]) -> (Z) { S = sort(X, 0); Z[i, j] = S[i, j] * W[j]; }
function permuted(X[M, N]) -> (Z) { P = argsort(X, 1); Z[i, j : M, N] = X[i, P[i, j]] * j; }
function first_of_each(X[N], K[L]) -> (Z) { Z[i : N - L + 1] <= X[i + k] - K[k]; }
function product(X[N]) -> (Z) { Z[i : (N + 1) / 2] *= X[2*i + j], j < 2; }
"""
OPEN_INPUTS: dict[str, dict[str, Any]] = {
    "embed": {"W": (4, 2), "Ids": [1, -1, 3, 1, 4]},
    "rows": {"W": (4, 2), "Ids": [1, -1, 3, 1, 4]},
    "put": {"U": (5, 2), "Ids": [1, -1, 3, 1, 4], "Like": (4, 2)},
    "blur": {"A": (5,)},
    "around": {"A": (5,)},
    "mirror": {"A": (5,)},
    "filled": {"A": (5,)},
    "rnn": {"Xs": (4, 3), "W": (3, 3)},
    "again": {"X": (5,)},
    "either": {"X": (5,), "P": ()},
    "cuts": {"X": (4,)},
    "root": {"A": ()},
    "shrinks": {"X": (4,)},
    "held": {"X": (3,), "R": ()},
    "same": {"X": (3,), "Y": (3,)},
    "fraction": {"X": (6,)},
    "value": {"X": (7,)},
    "first_of_many": {"X": (3, 5), "Y": (5,)},
    "first_of_each": {"X": (6,), "K": (3,)},
    "product": {"X": (5,)},
    "sorted": {"X": (5, 2), "W": (2,)},
    "permuted": {"X": (2, 5)},
}


@pytest.mark.parametrize("function", OPEN_INPUTS)
def test_sizes_stay_open_everywhere(function: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Quotients of sizes, reads outside, indices that depend on data, loops whose steps need a size."""
    path = tmp_path / "open.tile"
    path.write_text(OPEN, encoding="utf-8")
    rng = np.random.default_rng(7)
    inputs = {
        name: np.array(given, np.int32) if isinstance(given, list) else np.asarray(rng.uniform(0.2, 2.0, given), "f4")
        for name, given in OPEN_INPUTS[function].items()
    }
    assert assert_gradients(path, function, inputs, [], capsys) == ""
